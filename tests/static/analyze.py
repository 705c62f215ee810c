"""gcc -fanalyzer and cppcheck over the product's sources; clang-tidy is .ci/run's. Run as a test of label static, or by hand:

    python3 tests/static/analyze.py BUILD      with the compile_commands.json of a build directory

Each warning is either mended or stands in exceptions.txt, by tool, file, function (gcc) and kind, with the reason why it is none. Lines
of it that nothing needs any more are printed. Exit 77: a tool is missing."""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
TOP = HERE.parent.parent
PRODUCT = ("base", "schema", "shm", "ingest", "wal", "flush", "recorder", "monitor", "cli", "feeds", "embedded", "python")
GCC = "gcc"
SKIP = 77
# cppcheck's own limits are not findings: system headers that it does not find. integerOverflow: it takes an enum times (uint64_t) for a
# signed product; gcc's -Woverflow sees real ones.
CPPCHECK = ["cppcheck", "--std=c11", "--enable=warning,performance,portability", "--inline-suppr", "--suppress=missingIncludeSystem",
            "--suppress=missingInclude", "--suppress=integerOverflow", "--quiet", "-D_GNU_SOURCE", "-D__GNUC__=12",
            "-D__x86_64__", "--template={file}:{line}: {id}: {message}"]
INCLUDES = ("", "base/include", "schema/include", "shm/include")

Finding = collections.namedtuple("Finding", "tool file function kind")


def commands(build):
    """(file, arguments) of each of the product's own compilations."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = pathlib.Path(entry["file"])
        if file.suffix == ".c" and file.is_relative_to(TOP) and file.relative_to(TOP).parts[0] in PRODUCT:
            found.setdefault(file, (shlex.split(entry["command"]), entry["directory"]))
    return found


def gcc_look(file, arguments, directory):
    """Findings of one file: (finding, text)."""
    kept = []
    after = iter(arguments)
    for word in after:
        if word in ("-o", "-MF", "-MT"):
            next(after)
        elif word in ("-MD", "-Werror") or word.startswith(("-O", "-ffile-prefix-map")) or (not kept and "ccache" in word):
            continue
        else:
            kept.append(word)
    kept[0] = GCC
    done = subprocess.run(kept + ["-O0", "-U_FORTIFY_SOURCE", "-fanalyzer", "-fdiagnostics-plain-output", "-fanalyzer-verbosity=0", "-o",
                                  os.devnull], cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(kept)}:\n{done.stderr[-2000:]}")
    findings, function = [], "-"
    for line in done.stderr.splitlines():
        if inside := re.match(r".*: In function [‘'](\w+)[’']", line):
            function = inside.group(1)
        elif warning := re.match(r"([^:]+):\d+:\d+: warning: .*\[-W(analyzer-[\w-]+)\]", line):
            where = pathlib.Path(directory, warning.group(1)).resolve().relative_to(TOP)
            findings.append((Finding("gcc", str(where), function, warning.group(2)), line))
    return findings


def gcc_findings(build):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = [pool.submit(gcc_look, file, *command) for file, command in commands(build).items()]
        return [finding for look in looks for finding in look.result()]


def cppcheck_findings():
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run([*CPPCHECK, f"-j{os.cpu_count()}", f"--cppcheck-build-dir={cache}", *(f"-I{TOP / name}" for name in INCLUDES),
                               *(name for name in PRODUCT if (TOP / name).exists())], cwd=TOP, capture_output=True, text=True)
    findings = []
    for line in done.stderr.splitlines():
        if found := re.match(r"([^:]+):\d+: (\w+): ", line):
            findings.append((Finding("cppcheck", found.group(1), "-", found.group(2)), line))
    return findings


def exceptions():
    """Finding -> reason."""
    known = {}
    for number, line in enumerate((HERE / "exceptions.txt").read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        words, _, reason = line.partition("  # ")
        if len(words.split()) != 4 or not reason:
            raise SystemExit(f"exceptions.txt:{number}: not \"TOOL FILE FUNCTION KIND  # REASON\"")
        known[Finding(*words.split())] = reason
    return known


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    if not all(shutil.which(tool) for tool in (GCC, "cppcheck")):
        print("gcc or cppcheck is missing", file=sys.stderr)
        return SKIP
    known, used, bad = exceptions(), set(), 0
    for finding, text in gcc_findings(build) + cppcheck_findings():
        if finding in known:
            used.add(finding)
        else:
            bad += 1
            print(f"{text}\n    as an exception: {' '.join(finding)}  # why it is none")
    for finding in known.keys() - used:
        print(f"an exception that nothing needs any more: {' '.join(finding)}")
    print(f"{len(commands(build))} files, {len(used)} exceptions, {bad} findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
