"""Runs every benchmark, one after the other, prints what they measured and writes it as Markdown: ratios first, with spread, date
and host.

    tests/bench/report.py [--out FILE] [--svg FILE] [--under COMMAND] [--keep DIR]

--out    default: performance.md in the build directory        --svg   the plots beside it
--under  put before each benchmark's command line, such as "chrt -f 10"
--keep   where the JSON of each benchmark is kept; what is there already is not measured again

$CP_SECONDS shortens each of them to so many seconds, to see that all of it works; the figures are worth nothing then.
What stands in --out from the heading BOUNDS on is kept: the part that people write.

Of real market data ($COLDPATH_TEST_DATA, or feeds of a user's own in that form) rows are encoded as well, where it is there. The
plots are made by the first Python that has matplotlib, this one or Debian's. Exits 1 when a benchmark fails, or a limit of its own
does not hold."""

import argparse
import datetime
import gzip
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

from tests.bench import paired
from tests.support.chdb import build_dir, engine_present

COLDPATH = build_dir() / "bin/coldpath"
REAL = {"quotes": ("derived_binance_bbo.csv.gz", "schema/ddl/quotes.sql"),
        "l2_updates": ("derived_binance_l2.csv.gz", "schema/ddl/l2_updates.sql")}
BOUNDS = "## What bounds it"
REAL_ROWS = 100_000
MOST_KNEE = 1.25  # more is a knee, and wants to be explained
INTERPOLATED = ("The timer counts in steps longer than a put: p50 is of 16 puts timed together, and percentiles are those of grouped data, interpolated "
                "within the step; puts begin at random places of it. p99 and p99.9 are of puts timed one by one, of which some stores may still be on "
                "their way to the cache when the counter is read, so that they can be below the p50, of which the bursts wait for theirs: compare down "
                "a column, not across.")


def rows_file(path, directory):
    """The first rows under the names of the table's columns."""
    out = pathlib.Path(directory) / path.name.removesuffix(".gz")
    with gzip.open(path, "rt", encoding="ascii") as source, open(out, "w", encoding="ascii") as file:
        file.write(next(source).replace("recv_ts_ns", "recv_ts").replace("exch_ts_ms", "exch_ts"))
        for _, line in zip(range(REAL_ROWS), source):
            file.write(line)
    return out


def python_with_plots():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import matplotlib"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return python
    print("report: no plots: python3-matplotlib is not installed (deploy/debian-packages.txt, group peers)", file=sys.stderr)
    return None


def seconds(usual):
    return min(usual, int(os.environ.get("CP_SECONDS") or usual))


def rounds(usual):
    return min(usual, max(2, seconds(usual)))


def script(name, usual, *args, python=sys.executable, **environment):
    """The command line of a benchmark in this directory, which measures for the usual seconds or fewer."""
    values = {"CP_SECONDS": seconds(usual)} | environment
    return ["env", *(f"{key}={value}" for key, value in values.items()), python, "-B", str(pathlib.Path(__file__).parent / name), *args]


def verbs(directory):
    bench = [str(COLDPATH), "bench"]
    result = {"put": [*bench, "put", "--json", "--seconds", str(seconds(6)), "--rounds", str(rounds(9))],
              "encode": [*bench, "encode", "--json", "--seconds", str(seconds(5))]}
    data = pathlib.Path(os.environ.get("COLDPATH_TEST_DATA") or "/nonexistent")
    for name, (file, ddl) in REAL.items():
        if (data / file).exists():
            result[f"encode {name}"] = [*result["encode"], "--ddl", ddl, "--data", str(rows_file(data / file, directory))]
    result["wal"] = [*bench, "wal", "--json", "--dir", directory, "--seconds", str(seconds(60)), "--rounds", str(rounds(5))]
    result["recover"] = [*bench, "recover", "--json", "--dir", directory, "--rounds", str(rounds(5)),
                         "--size", "512" if seconds(20) == 20 else "64"]
    if engine_present():
        result["e2e"] = [*bench, "e2e", "--json", "--compression", "auto", "--rounds", str(rounds(9))]
        result["e2e large"] = [*result["e2e"], "--batch", "500000"]
        result["e2e zstd"] = [*bench, "e2e", "--json", "--compression", "zstd", "--rounds", str(rounds(9))]
        result["bodies"] = [*bench, "ship", "--json", "--rounds", str(rounds(3))]
        result["bodies plain"] = [*result["bodies"], "--compression", "none"]
    return result


def commands(directory, svg):
    """name -> command line; each prints one JSON object on a line of its own, the last such line counts."""
    plots = python_with_plots()
    result = verbs(directory)
    if (build_dir() / "bin/peers").exists():
        result["peers"] = script("peers/peers.py", 24, "--json", "--rounds", str(rounds(5)))
    result["watched"] = script("watched.py", 16)
    result["restart"] = script("restart.py", 9, CP_KILLS=seconds(9))
    if engine_present():
        result["load"] = script("put_under_load.py", 240)
        result["ship"] = script("ship.py", 5, CP_ROUNDS=rounds(5))
        result["idle"] = script("idle.py", 4)
        result["linear"] = script("linear.py", 2, *(["--svg", str(svg)] if plots else []), python=plots or sys.executable)
        result["sustained"] = script("sustained.py", 20)
        result["isolation"] = script("isolation.py", 40)
        result["outage_put"] = script("outage_put.py", 40)
        result["outage"] = script("outage.py", 20, CP_ROWS=seconds(20) * 1_000_000)
    return result


def cpu_ticks():
    """(stolen by the hypervisor, all), of all CPUs since the host's start."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return ticks[7], sum(ticks)


def measure(under, keep, svg):
    """The results, each with the share of the CPUs' time that was stolen meanwhile ("stolen"), and the names of the benchmarks that failed:
    gave nothing, or say that a limit of theirs is not met."""
    results, failed = {}, []
    with tempfile.TemporaryDirectory(prefix="coldpath-bench-", dir=keep) as directory:
        for name, command in commands(directory, svg).items():
            kept = keep / f"{name.replace(' ', '-')}.json"
            if not kept.exists():
                print(f"report: {name}", file=sys.stderr)
                before = cpu_ticks()
                done = subprocess.run([*under, *command], stdout=subprocess.PIPE, text=True, check=False)
                stolen, ticks = (after - begin for after, begin in zip(cpu_ticks(), before))
                lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
                failed += [name] if done.returncode else []
                if not lines:
                    continue
                kept.write_text(json.dumps(json.loads(lines[-1]) | {"stolen": stolen / max(ticks, 1)}))
            results[name] = json.loads(kept.read_text())
    return results, failed


# ---- Markdown -----------------------------------------------------------------------------------------------------------------


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def spread(figure, form="{:.2f}", factor=1):
    median, low, high = (form.format(figure[key] * factor) for key in ("median", "low", "high"))
    return f"{median} ({low} … {high})"


def part_peers(r):
    lines = ["## Puts beside peers", "",
             f"{r['row_bytes']}-byte rows, one put every {r['pace_ns']} ns, then flat out; medians of {r['rounds']} rounds, in which the "
             f"peers take turns, as are the ratios, formed round by round; ns. One cache line from CPU to CPU takes {spread(r['cache_line_ns'], '{:.0f}')} ns. "
             f"{INTERPOLATED} `tests/bench/peers/peers.py`", ""]
    rows = [[p["name"], spread(p["p50_ns_ours_to_it"], "{:.2g}"), spread(p["flat_out_ns_ours_to_it"], "{:.2g}"),
             *(spread(p[key], form) for key, form in (("p50_ns", "{:.1f}"), ("p99_ns", "{:.0f}"), ("p999_ns", "{:.0f}"), ("flat_out_ns", "{:.1f}"))),
             p["what"]] for p in r["peers"]]
    return lines + table(["", "coldpath ÷ it, p50", "flat out", "p50", "p99", "p99.9", "flat out", "what it does"], rows)


def part_put(r):
    ratios = ("paced_p50_over_floor", "saturated_over_floor", "paced_p999_over_pingpong", "drain_over_floor")
    times = (("paced_p50_ns", "{:.2f}"), ("paced_p999_ns", "{:.0f}"), ("saturated_ns", "{:.1f}"), ("drain_ns", "{:.1f}"))
    rows = [[f"{s['bytes']}", *(spread(s["spread"][key]) for key in ratios), *(spread(s["spread"][key], form) for key, form in times)] for s in r["sizes"]]
    return ["## Puts, by size", "", f"`coldpath bench put`: medians of {r['rounds']} rounds (lowest … highest); ratios are formed round by round. The floor "
            f"is a memcpy of the row into memory of the ring's size. {INTERPOLATED} Drained: a row that lies in its ring is taken out, checked, and "
            "indexed in a chunk, on another CPU, 256 KiB of rows at a time, timed by itself.", ""] + table(
        ["bytes", "p50 ÷ floor", "flat out ÷ floor", "p99.9 ÷ cache line", "drained ÷ floor", "p50, ns", "p99.9, ns", "flat out, ns", "drained, ns"], rows)


def plain_from(ways, rows):
    """The speed of a line, Gbit/s, from which `compression: auto` sends plain: making and sending plain takes 0.9 of the time of making and
    sending compressed (flush/compress_choice.c), if ClickHouse takes both in the same time. None: never."""
    plain, packed = ways["native"], ways["native_zstd"]
    saved_ns = 0.9 * packed["cpu_ns_per_row"]["median"] - plain["cpu_ns_per_row"]["median"]
    return (plain["bytes"] - 0.9 * packed["bytes"]) / rows * 8 / saved_ns if saved_ns > 0 else None


def part_encode(results):
    rows, plain = [], []
    for name, r in results.items():
        if not name.startswith("encode"):
            continue
        name = name.removeprefix("encode").strip() or "synthetic order book"
        ways = r["ways"]
        ns = {way: figures["cpu_ns_per_row"]["median"] for way, figures in ways.items()}
        rows.append([name, spread(r["cpu_native_to_json"]), f"{r['wire_native_to_json']:.2f}",
                     f"{ways['native']['rows_per_cpu_s'] / 1e6:.0f} M", f"{ways['native_zstd']['rows_per_cpu_s'] / 1e6:.1f} M",
                     f"{ways['json_zstd']['rows_per_cpu_s'] / 1e6:.1f} M",
                     f"{ns['native_zstd'] - ns['native']:.0f} of {ns['native_zstd']:.0f} ns", f"{r['heap_growth_bytes']}"])
        speed = plain_from(ways, r["rows"])
        plain.append([name, f"{ns['native']:.1f}", f"{ns['json']:.0f}", f"{ns['native'] / ns['json']:.3f}", f"{ns['native'] / ns['json_zstd']:.3f}",
                      f"{ways['native']['bytes'] / ways['json_zstd']['bytes']:.2f}", f"{speed:.1f} Gbit/s" if speed else "never"])
    lines = ["## Making an insert's body", "", "`coldpath bench encode`: rows to Native and zstd -1, beside JSONEachRow, written digit by "
             "digit in C, and zstd -1. CPU time of one thread.", ""] + table(
        ["rows", "CPU, ÷ JSON", "bytes sent, ÷ JSON", "Native, rows/s", "Native + zstd, rows/s", "JSON + zstd, rows/s",
         "of which zstd", "heap growth, bytes"], rows)
    return lines + ["Without compression, which `compression: auto` chooses where the line is faster than the last column says:", ""] + table(
        ["rows", "Native, ns", "JSON, ns", "÷ JSON", "÷ JSON + zstd", "bytes, ÷ JSON + zstd", "chosen from"], plain)


def part_ship(r):
    rows = [[way, spread(f["rows_per_s"], "{:.3f} M", 1e-6), spread(f["rows_per_cpu_s"], "{:.3f} M", 1e-6), spread(f["engine_ns_per_row"], "{:.0f}")]
            for way, f in r["ways"].items()]
    return [f"A stream: `tests/bench/ship.py`, a second of puts flat out, {r['ways']['coldpath']['rows']['median'] / 1e6:.1f} M rows, medians of {r['rounds']} rounds: "
            f"coldpath's rate is {spread(r['rate_to_native'])} of the engine's own INSERT of the same rows as one Native file, "
            f"{spread(r['rate_to_batches'])} of ready Native files in batches of the recorder's size, and it takes "
            f"{spread(r['cpu_rate_to_json'], '{:.0f}')} times as many rows per CPU second as JSONEachRow in batches of 250 from Python. "
            f"Of coldpath's CPU seconds the recorder has {spread(r['ways']['coldpath']['recorder_share_of_cpu'])}, the engine the rest; "
            "the producer's are not counted, but it is one of two cores' load. Many inserts make parts that the engine merges meanwhile, one file makes few. "
            "`compression: auto` sends plain here.", ""] + table(["", "rows/s", "rows per CPU s", "engine, ns of CPU per row"], rows)


def part_e2e(r):
    cpu = r["cpu_ns_per_row"]
    engine = (f", the engine {spread(cpu['engine'], '{:.0f}')}; for a ready file the engine takes {spread(cpu['engine_native'], '{:.0f}')}"
              if "engine" in cpu else "")
    return [f"`coldpath bench e2e` with `--compression {r['compression']} --batch {r['batch_rows']}`, {r['rows']:,} rows of {r['rows_of']}, from the "
            f"first put until a SELECT counts them all: {spread(r['rows_per_s'], '{:.2f} M', 1e-6)} rows/s, {spread(r['rate_to_native'])} of the "
            f"engine's own INSERT of the same rows as one Native file in the same round. CPU time, ns per row: the producer "
            f"{spread(cpu['producer'], '{:.0f}')}, the recorder {spread(cpu['recorder'], '{:.0f}')}{engine}. A row put alone is visible after "
            f"{r['alone_ns']['median'] / 1e6:.0f} ms ({r['alone_ns']['low'] / 1e6:.0f} … {r['alone_ns']['high'] / 1e6:.0f}), of which its batch "
            f"waits {r['alone_wait_ms']} ms for more.", ""]


def part_bodies(results):
    lines = []
    for name in ("bodies", "bodies plain"):
        if name not in results:
            continue
        r = results[name]
        rows = [[way, spread(f["rows_per_s"], "{:.3f} M", 1e-6), spread(f["own_rows_per_cpu_s"], "{:.2f} M", 1e-6),
                 spread(f["rows_per_cpu_s"], "{:.3f} M", 1e-6) if "rows_per_cpu_s" in f else "–", f"{f['bytes'] / f['rows']:.0f}"]
                for way, f in r["ways"].items()]
        json_ratio = (f", and takes {spread(r['cpu_rate_to_json'], '{:.0f}')} times as many rows per CPU second, the engine's included, as "
                      "JSONEachRow written in C in batches of 250" if "cpu_rate_to_json" in r else "")
        lines += [f"`coldpath bench ship` with `--compression {r['compression']}`, rows in memory to rows visible, in batches of {r['batch_rows']:,}: "
                  f"the recorder's flusher runs at {spread(r['rate_to_native'])} of one ready Native file, {spread(r['rate_to_batches'])} of "
                  f"ready batches{json_ratio}.", ""]
        lines += table(["", "rows/s", "rows per CPU s of the client", "with the engine's", "bytes per row"], rows)
    return lines


def load_rows(what, state):
    """Of the undisturbed puts, then of all."""
    for which, ratio, name in (("undisturbed", "ratio", what), ("times", "ratio_of_all", "– all puts")):
        quiet, it = state["quiet"], state["it"]
        yield [name, *(f"{side[which][key]:.1f}" for key in ("p50_ns", "p999_ns") for side in (quiet, it)), spread(state[ratio]) if state["blocks"] else "–",
               f"{state['blocks']} of {state['blocks'] + state['blocks_left_out']}", f"{quiet['gaps_per_s']:.0f}, {it['gaps_per_s']:.0f}"]


def part_load(results):
    lines = ["## Puts while there is trouble", ""]
    rows = []
    if "load" in results:
        r = results["load"]
        lines += [f"`tests/bench/put_under_load.py`: {r['rows_per_s']:,} quotes a second, into a ring of {r['ring']}, from a CPU of their own, without and with "
                  f"trouble in turns, {4 * r['part_seconds']:.0f} s a block (`tests/bench/paired.py`): p50 and p99.9 of a put in ns, of all blocks together, and the ratio of the "
                  f"p99.9, the median of the blocks' ratios with the interval that holds it with {r['confidence']:.0%}. Undisturbed puts: without those in the "
                  "0.2 ms after an interrupt, another thread or the hypervisor had the producer's CPU, so often a second (gaps). A block is left out where the "
                  "hypervisor or other processes took CPU time. None of this looks at what puts take.", ""]
        what = {"log": f"a critical table's log is saturated, {r['log_mb_per_s']} MB/s", "away": "ClickHouse is gone",
                "watched": "`coldpath monitor`, scraped, and `coldpath top`, ten times a second each",
                "copy": "control: no trouble, but a process on another CPU copies memory"}
        rows += [row for name, state in r["states"].items() for row in load_rows(what[name], state)]
    if "watched" in results:
        rows += list(load_rows("monitor and top as above, the producer without a CPU of its own and sleeping between puts (`watched.py`)", results["watched"]))[:1]
    return lines + table(["while", "p50 quiet", "p50", "p99.9 quiet", "p99.9", "p99.9 ÷ quiet", "blocks", "gaps per s quiet, then"], rows)


def part_log(results):
    lines = ["## The log", ""]
    if "wal" in results:
        r = results["wal"]
        rows = [[f"{s['payload_bytes'] // 1024} KiB", *(spread(s[k]) if k in s else "–" for k in ("stream_over_fio", "stream_over_fio_huge", "commit_p50_over_fio")),
                 ", ".join(s[k] for k in ("fio_stream_sync", "fio_huge_stream_sync", "fio_sync")) if "fio_sync" in s else "–",
                 spread(s["device_over_payload"]) if "device_over_payload" in s else "–",
                 f"{s['put_to_durable_p50_ns']['median'] / 1e3:.0f}" if "put_to_durable_p50_ns" in s else "–"]
                for s in r["sizes"]]
        lines += [f"`coldpath bench wal`, medians of {r['rounds']} rounds, {r['backend']} and {r['sync']}, beside fio on the same file system: as many writes under way, each of a frame's 1.5 MiB, "
                  "its buffers as it takes them and on huge pages, where the log's are; of its two ways to sync the one that is faster by the medians, which is named:", ""]
        lines += table(["record", "stream ÷ fio", "÷ fio on huge pages", "commit, p50 ÷ fio", "fio's syncs", "bytes on the device ÷ payload", "put to durable, p50, µs"], rows)
    if "recover" in results:
        r = results["recover"]
        lines += [f"Reading a log back, checked and decoded, runs at {spread(r['replay_over_bare'])} of bare O_DIRECT reads of its files, with its opening, the search for its end "
                  f"included, at {spread(r['open_replay_over_bare'])}; beside bare reads onto huge pages as its own at {spread(r['replay_over_bare_huge'])} and "
                  f"{spread(r['open_replay_over_bare_huge'])} "
                  f"(`coldpath bench recover`: {r['bare_bytes_per_s']['median'] / 1e6:,.0f} MB/s bare, {r['bare_huge_bytes_per_s']['median'] / 1e6:,.0f} onto huge pages, "
                  f"{r['replay_bytes_per_s']['median'] / 1e6:,.0f} read back).", ""]
    return lines


def part_idle(r):
    rows = [[f"{load['rows_per_s']:,}", spread(load["core_spread"], "{:.2%}"), f"{load['most']:.0%}" if load["most"] else "–"] for load in r["loads"]]
    return ["## What the recorder costs when little happens", "", f"`tests/bench/idle.py`, {r['rounds']} rounds of {r['seconds']} s each; resident memory after all of it {r['memory']['bytes'] / 1e6:.0f} MB, "
            f"rings apart, of {r['memory']['most_bytes'] / 1e6:.0f} MB that `coldpath check` says it takes at most with this configuration (with the ring in use, which is shared, "
            f"and programs and libraries {r['rss_mb']:.0f} MB).", ""] + table(
        ["rows/s", "of one core", "aim"], rows)


def part_linear(r, svg):
    lines = ["## What grows with what", "", f"`tests/bench/linear.py`; at {r['rows_per_s']:,} rows/s in all; medians of {r['rounds']} rounds in which the "
             "points of a sweep take turns; the bytes of a row one after another, by encoding alone.", ""]
    lines += [f"![plots]({svg.name})", ""] if svg.exists() else []
    lines += table(["tables", "no rows, of a core", "with rows", "inserts/s", "µs of CPU per insert beyond those of one table"],
                   [[str(p["tables"]), spread(p["idle_core"], "{:.2%}"), spread(p["core"], "{:.2%}"), f"{p['inserts_per_s']['median']:.0f}",
                     spread(p["insert_us"], "{:.0f}") if p["insert_us"]["median"] else "–"] for p in r["tables"]])
    lines += table(["rings", "of a core", "inserts/s"], [[str(p["rings"]), spread(p["core"], "{:.2%}"), f"{p['inserts_per_s']['median']:.0f}"] for p in r["rings"]])
    lines += table(["namespaces, each with a recorder", "no rows, of a core", "with rows", "inserts/s", "memory of all, MB"],
                   [[str(p["namespaces"]), spread(p["idle_core"], "{:.2%}"), spread(p["core"], "{:.2%}"), f"{p['inserts_per_s']['median']:.0f}",
                     f"{p['rss_mb']['median']:.0f}"] for p in r["namespaces"]])
    return lines + table(["bytes of a row", "Native, ns", "Native + zstd, ns"],
                         [[str(p["row_bytes"]), spread(p["native_ns"], "{:.1f}"), spread(p["native_zstd_ns"], "{:.1f}")] for p in r["row_bytes"]])


TRIALS = {"sustained": "one producer flat out, through recorder and engine", "isolation": "a table that ClickHouse refuses, beside eleven others",
          "outage_put": "1 M quotes a second in outages", "outage": "critical rows gather while ClickHouse is away, then drain",
          "restart": "a recorder is killed with a log of 1 GB"}


def part_trials(results):
    rows = []
    for name, what in TRIALS.items():
        if name not in results:
            continue
        figures = {key: value for key, value in results[name].items() if isinstance(value, (int, float)) and key not in ("schema_version", "stolen")}
        figures |= {key: spread({"median": value["median"], "low": value["least"], "high": value["most"]}, "{:g}")
                    for key, value in results[name].items() if isinstance(value, dict) and value.keys() >= {"median", "least", "most"}}
        rows.append([f"`{name}.py`", what, "; ".join(f"{key.replace('_', ' ')} {value:,}" if isinstance(value, (int, float)) and not isinstance(value, bool)
                                                     else f"{key.replace('_', ' ')} {value}" for key, value in figures.items())])
    return ["## Longer trials", "", "Programs of `tests/bench`, each run once, with limits of its own; what they print:", ""] + table(["", "what happens", "figures"], rows)


# ---- the aims -----------------------------------------------------------------------------------------------------------------


def at_most(what, figure, most, form="{:.2f}"):
    return what, figure, "≤ " + form.format(most), figure["median"] <= most, form


def at_least(what, figure, least, form="{:.2f}"):
    return what, figure, "≥ " + form.format(least), figure["median"] >= least, form


def one(value):
    return {"median": value}


def aims_put(results):
    if "put" in results:
        size = next(s for s in results["put"]["sizes"] if s["bytes"] == 120)
        ratios = size["spread"]
        yield at_most("put of 120 bytes, p50 ÷ memcpy", ratios["paced_p50_over_floor"], 1.5)
        yield at_most("its p99.9 ÷ a cache line's way from CPU to CPU", ratios["paced_p999_over_pingpong"], 2)
    peers = {p["name"]: p for p in results.get("peers", {"peers": []})["peers"]}
    if "best_ring" in results.get("peers", {}):
        yield at_most("flat out ÷ the best peer ring of the round", results["peers"]["best_ring"], 1)
    for name, times in (("lttng-ust", 5), ("SQLite spool", 1000)):
        if name in peers:
            yield at_least(f"{name}'s p50 ÷ ours", peers[name]["p50_ns_it_to_ours"], times, "{:,.0f}")
    for state, what in (("log", "the log saturated"), ("away", "ClickHouse away"), ("watched", "monitor and top running")):
        if "load" in results and results["load"]["states"][state]["blocks"]:
            for ratio, puts in (("ratio", "undisturbed"), ("ratio_of_all", "all")):
                figure = results["load"]["states"][state][ratio]
                for most in (1.1, 1.05) if state == "log" else (1.1,):
                    yield f"p99.9 of {puts} puts with {what} ÷ quiet", figure, f"≤ {most:.2f}", paired.verdict(figure, most), "{:.2f}"


def aims_encode(results):
    if "encode" in results:
        ways = results["encode"]["ways"]
        yield at_least("synthetic order book to Native, M rows/s of a core", one(ways["native"]["rows_per_cpu_s"] / 1e6), 15, "{:.1f}")
        yield at_least("with zstd", one(ways["native_zstd"]["rows_per_cpu_s"] / 1e6), 4, "{:.1f}")
        yield at_most("heap growth over its batches, bytes", one(results["encode"]["heap_growth_bytes"]), 0, "{:.0f}")
    for name in REAL:
        if f"encode {name}" in results:
            r = results[f"encode {name}"]
            yield at_most(f"{name}, encoded and compressed: CPU time ÷ JSONEachRow's", r["cpu_native_to_json"], 0.1)
            yield at_most(f"{name}: bytes sent ÷ JSONEachRow's", one(r["wire_native_to_json"]), 0.85)


def aims_path(results):
    if "e2e" in results:
        yield at_least(f"put to visible ÷ the engine's own INSERT, {results['e2e']['rows']:,} rows (`coldpath bench e2e`)", results["e2e"]["rate_to_native"], 0.9)
    if "e2e zstd" in results:
        yield at_least("the same with zstd, which is the default", results["e2e zstd"]["rate_to_native"], 0.9)
    if "ship" in results:
        millions = results["ship"]["ways"]["coldpath"]["rows"]["median"] / 1e6
        yield at_least(f"the same of a stream of {millions:.1f} M rows, whose many inserts the engine merges meanwhile (`ship.py`)", results["ship"]["rate_to_native"], 0.9)
        yield at_least("rows per CPU second ÷ JSONEachRow's by 250", results["ship"]["cpu_rate_to_json"], 10, "{:.0f}")
    for load in results.get("idle", {"loads": []})["loads"]:
        if load["most"]:
            yield at_most(f"recorder at {load['rows_per_s_wanted']:,} rows/s, of a core", load["core_spread"], load["most"], "{:.2%}")
    for name, what in (("idle", "after 250,000 rows/s"), ("sustained", "flat out, the most of it")):
        if name in results:
            taken = results[name]["memory"]
            yield at_most(f"recorder's memory, {taken['bytes'] / 1e6:.0f} MB {what}, ÷ what `coldpath check` says at most", one(taken["to_most"]), 1)


def aims_log(results):
    for key, what, aim, most in (("stream_over_fio", "log: stream ÷ fio", at_least, 0.97),
                                 ("stream_over_fio_huge", "log: stream ÷ fio, its buffers on huge pages too", at_least, 0.97),
                                 ("commit_p50_over_fio", "log: commit p50 ÷ fio", at_most, 1.1),
                                 ("device_over_payload", "log: bytes on the device ÷ payload", at_most, 1.03)):
        for size in results.get("wal", {"sizes": []})["sizes"]:
            if key in size:
                yield aim(f"{what}, records of {size['payload_bytes'] // 1024} KiB", size[key], most)
    if "recover" in results:
        yield at_least("reading a log back ÷ bare reads", results["recover"]["replay_over_bare"], 0.9)
        yield at_least("reading a log back ÷ bare reads onto huge pages", results["recover"]["replay_over_bare_huge"], 0.9)
        yield at_least("opening a log and reading it back ÷ bare reads", results["recover"]["open_replay_over_bare"], 0.9)
        yield at_least("opening a log and reading it back ÷ bare reads onto huge pages", results["recover"]["open_replay_over_bare_huge"], 0.9)
    for name, times in results.get("linear", {"knees": {}})["knees"].items():
        yield at_most(f"cost at the far end ÷ a line through the first two points: {name.replace('_', ' ')}", times, MOST_KNEE)


def part_aims(results):
    words = {True: "yes", False: "**no**", "no": "**no**"}
    rows = [[what, spread(figure, form) if "low" in figure else form.format(figure["median"]), aim, words.get(met, met)]
            for part in (aims_put, aims_encode, aims_path, aims_log) for what, figure, aim, met, form in part(results)]
    return ["## Aims", "", "By the medians of this run, or, where a line can say so, by an interval of confidence: \"cannot be told\" has the aim within it. What is not measured here has no line. Below are the sections that the figures are "
            "from, and at the end what bounds those that are missed.", ""] + table(["", "this run", "aim", "met"], rows)


def host_line(results):
    hosts = [r["host"] for r in results.values() if "host" in r]
    first = hosts[0]
    warned = [host for host in hosts if host["warning"]]
    worst = max(warned, key=lambda host: host["steal"] + host["busy_cpus_of_others"], default=None)
    stolen = [r["stolen"] if "stolen" in r else r["host"]["steal"] for r in results.values() if "stolen" in r or "host" in r]
    return (f"{first['cpu']}, {first['cpus']} CPUs, Linux {first['kernel']}, governor {first['governor']}; steal up to {max(stolen):.1%} of the CPUs' "
            f"time in one of {len(stolen)} benchmarks, others here kept up to {max(host['busy_cpus_of_others'] for host in hosts):.2f} CPUs busy in one of "
            f"the {len(hosts)} that can tell." + (f" Warning, of {len(warned)} of {len(hosts)} benchmarks, the worst: {worst['warning']}." if worst else ""))


def markdown(results, svg):
    lines = ["# Performance", "", f"Measured on {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d} by `tests/bench/report.py`: "
             f"{host_line(results)}", "", "Ratios within one run mean something; nanoseconds on a shared host mean little. A figure is the "
             "median of rounds in which the contestants took turns, with the lowest and the highest round in brackets.", ""]
    lines += part_aims(results)
    for name, part in (("peers", part_peers), ("put", part_put)):
        lines += part(results[name]) if name in results else []
    lines += part_load(results) if results.keys() & {"load", "watched"} else []
    lines += part_encode(results)
    lines += ["## From put to visible", ""] if results.keys() & {"e2e", "e2e large", "e2e zstd", "ship", "bodies", "bodies plain"} else []
    for name, part in (("e2e", part_e2e), ("e2e large", part_e2e), ("e2e zstd", part_e2e), ("ship", part_ship)):
        lines += part(results[name]) if name in results else []
    lines += part_bodies(results)
    lines += part_idle(results["idle"]) if "idle" in results else []
    lines += part_log(results)
    lines += part_trials(results) if results.keys() & TRIALS.keys() else []
    return "\n".join(lines + (part_linear(results["linear"], svg) if "linear" in results else []))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=pathlib.Path, default=build_dir() / "performance.md")
    parser.add_argument("--svg", type=pathlib.Path)
    parser.add_argument("--under", type=shlex.split, default=[])
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    svg = options.svg or options.out.with_suffix(".svg")
    with tempfile.TemporaryDirectory(prefix="coldpath-report-") as scratch:
        keep = options.keep or pathlib.Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        results, failed = measure(options.under, keep, svg)
    kept = options.out.read_text().partition(BOUNDS)[1:] if options.out.exists() else ("", "")
    figures = markdown(results, svg).rstrip() + "\n"
    options.out.write_text((figures + "\n" + "".join(kept)).rstrip() + "\n")
    print(figures)
    print(f"report: {options.out}", file=sys.stderr)
    for name in failed:
        print(f"report: {name} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
