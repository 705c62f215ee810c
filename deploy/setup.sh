#!/bin/bash
# Shared by ./quickstart, ./tests/run and .ci/run: progress on the screen, packages, engine, build. Sourced by bash, from
# the top of the source tree. Steps look like this, on standard error:
#
#   [2/4] building (release)          47 s  [112/180] Building C object …      while it runs (on a terminal)
#   [2/4] building (release)          83 s  ok
#
# Everything a step prints goes to $setup_log; when it fails the log's end is shown.

setup_steps=1
setup_step=0
setup_log=/dev/null
setup_child=

# setup_begin STEPS LOG: how many steps there will be, and where their output goes.
setup_begin() {
    setup_steps=$1
    setup_step=0
    setup_log=$2
    mkdir -p "$(dirname "$setup_log")"
    : >"$setup_log"
}

# Background commands of a script ignore Ctrl-C: it has to be passed on.
setup_interrupted() {
    trap - INT TERM
    [ -z "$setup_child" ] || kill "$setup_child" 2>/dev/null || true
    [ ! -t 2 ] || printf '\n' >&2
    setup_die "interrupted"
}
trap setup_interrupted INT TERM

setup_say() { printf '%s\n' "$*" >&2; }

setup_die() {
    printf '%s: %s\n' "${0#./}" "$1" >&2
    [ $# -lt 2 ] || printf '  %s\n' "${@:2}" >&2
    exit 1
}

# The log's last line, printable and short.
setup_tail_line() { tail -c 400 "$setup_log" | tr '\r' '\n' | grep -v -e '^ *$' -e '^===' | tail -n 1 | tr -cd '\40-\176' | cut -c1-60; }

# setup_run TITLE COMMAND…: one step. Returns the command's status; ends the program when it failed.
setup_run() {
    local title=$1 started=$SECONDS status=0 shown=1 label offset # shown: when to print a line again
    shift
    setup_step=$((setup_step + 1))
    label=$(printf '[%d/%d] %-46s' "$setup_step" "$setup_steps" "$title")
    printf '\n=== %s: %s\n' "$title" "$*" >>"$setup_log"
    offset=$(stat -c %s "$setup_log")
    "$@" >>"$setup_log" 2>&1 </dev/null &
    setup_child=$!
    while kill -0 "$setup_child" 2>/dev/null; do
        sleep 0.2
        kill -0 "$setup_child" 2>/dev/null || break
        if [ -t 2 ]; then
            printf '\r\033[K%s %4d s  %s' "$label" $((SECONDS - started)) "$(setup_tail_line)" >&2
        elif [ $((SECONDS - started)) -ge "$shown" ] && [ "$SECONDS" -gt "$started" ]; then
            shown=$((SECONDS - started + 10))
            printf '%s %4d s  %s\n' "$label" $((SECONDS - started)) "$(setup_tail_line)" >&2
        fi
    done
    wait "$setup_child" || status=$?
    setup_child=
    [ ! -t 2 ] || printf '\r\033[K' >&2
    if [ "$status" -eq 0 ]; then
        printf '%s %4d s  ok\n' "$label" $((SECONDS - started)) >&2
    else
        printf '%s %4d s  failed (status %d)\n' "$label" $((SECONDS - started)) "$status" >&2
        tail -c "+$((offset + 1))" "$setup_log" | tail -n 40 >&2
        setup_die "$title failed; the full output is in $setup_log"
    fi
}

# ---- packages ------------------------------------------------------------------------------------------------------

# setup_missing SECTION…: the packages of these sections that are not installed, one per line.
setup_missing() {
    local wanted=" $* " section='' package command installed
    installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
    while read -r package command _; do
        case $package in
        '' | '#'*) continue ;;
        '['*) section=${package:1:-1} && continue ;;
        esac
        [[ $wanted == *" $section "* ]] || continue
        [[ -z $command || $command == '#' ]] || ! type -P "$command" >/dev/null || continue
        grep -qxF -- "$package" <<<"$installed" || printf '%s\n' "$package"
    done <deploy/debian-packages.txt
}

setup_apt() {
    local -a get=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    [ "$(id -u)" -eq 0 ] || get=(sudo "${get[@]}")
    # The lists of a fresh machine or container may be absent or old: get them only when they do not serve.
    "${get[@]}" install --no-install-recommends "$@" && return
    "${get[@]}" update && "${get[@]}" install --no-install-recommends "$@"
}

# setup_packages SECTION…: a step; installs what is missing, and does nothing when nothing is.
setup_packages() {
    local -a missing
    if ! type -P dpkg-query apt-get >/dev/null; then
        setup_run "packages: not Debian, nothing installed" true
        return
    fi
    mapfile -t missing < <(setup_missing "$@")
    if [ ${#missing[@]} -eq 0 ]; then
        setup_run "packages: all there" true
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        type -P sudo >/dev/null || setup_die "packages are missing, and neither root nor sudo is at hand. As root:" \
            "apt-get install ${missing[*]}"
        sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; } ||
            setup_die "packages are missing, and sudo wants a password. As root:" "apt-get install ${missing[*]}"
    fi
    setup_run "installing ${#missing[@]} packages" setup_apt "${missing[@]}"
}

# ---- build -----------------------------------------------------------------------------------------------------------

# setup_build_dir PRESET: where CMakePresets.json puts it.
setup_build_dir() { [ "$1" = release ] && echo build || echo "build-$1"; }

setup_configure() { cmake --preset "$1" -DCOLDPATH_TESTS="$2"; }

# setup_build PRESET TESTS [TARGET…]: two steps. TESTS is ON or OFF; a tree that has tests keeps them.
setup_build() {
    local preset=$1 tests=$2 dir
    local -a targets=()
    dir=$(setup_build_dir "$preset")
    [ $# -le 2 ] || targets=(--target "${@:3}")
    grep -qs '^COLDPATH_TESTS:BOOL=ON' "$dir/CMakeCache.txt" && tests=ON
    setup_run "configuring ($preset)" setup_configure "$preset" "$tests"
    setup_run "building ($preset)" cmake --build --preset "$preset" "${targets[@]}"
}

# setup_engine PRESET: a step; the embedded ClickHouse engine, from npm, into the build directory, once.
setup_engine() {
    local dir library
    dir=$(setup_build_dir "$1")
    for library in "${COLDPATH_CHDB_LIB:-}" {"$dir",build}/npm/node_modules/@chdb/lib-linux-*-gnu/libchdb.so; do
        if [ -n "$library" ] && [ -f "$library" ]; then
            COLDPATH_CHDB_LIB=$(realpath "$library")
            export COLDPATH_CHDB_LIB
            setup_run "ClickHouse engine: there" true
            return
        fi
    done
    # npm has certificates of its own; the system's count as well, as behind a company's proxy.
    [ ! -r /etc/ssl/certs/ca-certificates.crt ] ||
        export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
    setup_run "ClickHouse engine from npm (566 MB unpacked)" cmake --build --preset "$1" --target chdb-engine
    COLDPATH_CHDB_LIB=$(realpath "$dir"/npm/node_modules/@chdb/lib-linux-*-gnu/libchdb.so)
    export COLDPATH_CHDB_LIB
}
