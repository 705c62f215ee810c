"""Runs every benchmark, short, one after the other, and writes what they measured as Markdown: ratios first, with spread, date
and host.

    tests/bench/report.py [--out FILE] [--svg FILE] [--under COMMAND] [--keep DIR]

--out    default: performance.md in the build directory        --svg   the plots beside it
--under  put before each benchmark's command line, such as "chrt -f 10"
--keep   where the JSON of each benchmark is kept; what is there already is not measured again

What stands in --out from the heading BOUNDS on is kept: the part that people write.

Of real market data ($COLDPATH_TEST_DATA, or feeds of a user's own in that form) rows are encoded as well, where it is there."""

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

from tests.support.chdb import build_dir, engine_present

COLDPATH = build_dir() / "bin/coldpath"
REAL = {"quotes": ("derived_binance_bbo.csv.gz", "schema/ddl/quotes.sql"),
        "l2_updates": ("derived_binance_l2.csv.gz", "schema/ddl/l2_updates.sql")}
BOUNDS = "## What bounds it"
REAL_ROWS = 100_000


def rows_file(path, directory):
    """The first rows under the names of the table's columns."""
    out = pathlib.Path(directory) / path.name.removesuffix(".gz")
    with gzip.open(path, "rt", encoding="ascii") as source, open(out, "w", encoding="ascii") as file:
        file.write(next(source).replace("recv_ts_ns", "recv_ts").replace("exch_ts_ms", "exch_ts"))
        for _, line in zip(range(REAL_ROWS), source):
            file.write(line)
    return out


def commands(directory, svg):
    """name -> command line; each prints one JSON object as its last line."""
    bench = [str(COLDPATH), "bench"]
    scripts = pathlib.Path(__file__).parent
    result = {"put": [*bench, "put", "--json"], "encode": [*bench, "encode", "--json"]}
    data = pathlib.Path(os.environ.get("COLDPATH_TEST_DATA") or "/nonexistent")
    for name, (file, ddl) in REAL.items():
        if (data / file).exists():
            result[f"encode {name}"] = [*bench, "encode", "--json", "--ddl", ddl, "--data", str(rows_file(data / file, directory))]
    result |= {"wal": [*bench, "wal", "--json", "--dir", directory], "recover": [*bench, "recover", "--json", "--dir", directory]}
    if (build_dir() / "bin/peers").exists():
        result["peers"] = [sys.executable, "-B", str(scripts / "peers/peers.py"), "--json", "--rounds", "3"]
    if engine_present():
        result["e2e"] = [*bench, "e2e", "--json", "--compression", "auto", "--batch", "500000"]
        result["bodies"] = [*bench, "ship", "--json", "--rounds", "3"]
        result["bodies plain"] = [*bench, "ship", "--json", "--rounds", "3", "--compression", "none"]
        result["load"] = ["env", "CP_SECONDS=12", sys.executable, "-B", str(scripts / "put_under_load.py")]
        result["watched"] = ["env", "CP_SECONDS=10", sys.executable, "-B", str(scripts / "watched.py")]
        result["ship"] = ["env", "CP_ROUNDS=3", sys.executable, "-B", str(scripts / "ship.py")]
        result["idle"] = ["env", "CP_SECONDS=5", sys.executable, "-B", str(scripts / "idle.py")]
        result["linear"] = ["env", "CP_SECONDS=2", sys.executable, "-B", str(scripts / "linear.py"), "--svg", str(svg)]
    return result


def measure(under, keep, svg):
    """The results, and the names of the benchmarks that failed: gave nothing, or say that a limit of theirs is not met."""
    results, failed = {}, []
    with tempfile.TemporaryDirectory(prefix="coldpath-bench-", dir=keep) as directory:
        for name, command in commands(directory, svg).items():
            kept = keep / f"{name.replace(' ', '-')}.json"
            if not kept.exists():
                print(f"report: {name}", file=sys.stderr)
                done = subprocess.run([*under, *command], stdout=subprocess.PIPE, text=True, check=False)
                lines = done.stdout.splitlines()
                failed += [name] if done.returncode else []
                if not lines or not lines[-1].startswith("{"):
                    continue
                kept.write_text(lines[-1])
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
             f"peers take turns; ns. One cache line from CPU to CPU takes {r['cache_line_ns']:.0f} ns. `tests/bench/peers/peers.py`", ""]
    rows = [[p["name"], f"{p['p50_ns_ours_to_it']:.2g}", f"{p['flat_out_ns_ours_to_it']:.2g}", f"{p['p50_ns']:.1f}",
             f"{p['p99_ns']:.0f}", f"{p['p999_ns']:.0f}", f"{p['flat_out_ns']:.1f}", p["what"]] for p in r["peers"]]
    return lines + table(["", "coldpath ÷ it, p50", "flat out", "p50", "p99", "p99.9", "flat out", "what it does"], rows)


def part_put(r):
    rows = [[f"{s['bytes']}", f"{s['paced_p50_over_floor']:.2f}", f"{s['saturated_over_floor']:.2f}",
             f"{s['paced']['p999'] / r['pingpong_ns']:.2f}", spread(s["spread"]["paced_p50_ns"], "{:.1f}"),
             spread(s["spread"]["paced_p999_ns"], "{:.0f}"), spread(s["spread"]["saturated_ns"], "{:.1f}")] for s in r["sizes"]]
    return ["## Puts, by size", "", f"`coldpath bench put`: medians of {r['rounds']} rounds (lowest … highest). The floor is a memcpy of "
            "the row into memory of the ring's size.", ""] + table(
        ["bytes", "p50 ÷ floor", "flat out ÷ floor", "p99.9 ÷ cache line", "p50, ns", "p99.9, ns", "flat out, ns"], rows)


def part_encode(results):
    rows = []
    for name, r in results.items():
        if not name.startswith("encode"):
            continue
        ways = r["ways"]
        rows.append([name.removeprefix("encode").strip() or "synthetic order book", spread(r["cpu_native_to_json"]),
                     f"{r['wire_native_to_json']:.2f}", f"{ways['native']['rows_per_cpu_s'] / 1e6:.0f} M",
                     f"{ways['native_zstd']['rows_per_cpu_s'] / 1e6:.1f} M", f"{ways['json_zstd']['rows_per_cpu_s'] / 1e6:.1f} M",
                     f"{ways['native_zstd']['cpu_ns_per_row']['median'] - ways['native']['cpu_ns_per_row']['median']:.0f} of "
                     f"{ways['native_zstd']['cpu_ns_per_row']['median']:.0f} ns", f"{r['heap_growth_bytes']}"])
    return ["## Making an insert's body", "", "`coldpath bench encode`: rows to Native and zstd -1, beside JSONEachRow, written digit by "
            "digit in C, and zstd -1. CPU time of one thread.", ""] + table(
        ["rows", "CPU, ÷ JSON", "bytes sent, ÷ JSON", "Native, rows/s", "Native + zstd, rows/s", "JSON + zstd, rows/s",
         "of which zstd", "heap growth, bytes"], rows)


def part_ship(r):
    rows = [[way, spread(f["rows_per_s"], "{:.3f} M", 1e-6), spread(f["rows_per_cpu_s"], "{:.3f} M", 1e-6)] for way, f in r["ways"].items()]
    return ["## From put to visible", "", f"`tests/bench/ship.py`, medians of {r['rounds']} rounds: coldpath's rate is "
            f"{spread(r['rate_to_native'])} of the engine's own INSERT of the same rows as one Native file, "
            f"{spread(r['rate_to_batches'])} of ready Native files in batches of the recorder's size, and it takes "
            f"{spread(r['cpu_rate_to_json'], '{:.0f}')} times as many rows per CPU second as JSONEachRow in batches of 250 from Python. "
            f"Of coldpath's CPU seconds the recorder has {spread(r['ways']['coldpath']['recorder_share_of_cpu'])}, the engine the rest; "
            "the producer's are not counted, but it is one of two cores' load. `compression: auto` sends plain here.", ""] + table(["", "rows/s", "rows per CPU s"], rows)


def part_e2e(r):
    cpu = r["cpu_ns_per_row"]
    engine = (f", the engine {spread(cpu['engine'], '{:.0f}')}; for a ready file the engine takes {spread(cpu['engine_native'], '{:.0f}')}"
              if "engine" in cpu else "")
    return [f"`coldpath bench e2e --compression {r['compression']} --batch {r['batch_rows']}`, {r['rows']:,} rows of {r['rows_of']}, from the "
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
        lines += [f"`coldpath bench ship --compression {r['compression']}`, rows in memory to rows visible, in batches of {r['batch_rows']:,}: "
                  f"the recorder's flusher runs at {spread(r['rate_to_native'])} of one ready Native file, {spread(r['rate_to_batches'])} of "
                  f"ready batches{json_ratio}.", ""]
        lines += table(["", "rows/s", "rows per CPU s of the client", "with the engine's", "bytes per row"], rows)
    return lines


def part_load(results):
    lines = ["## Puts while there is trouble", ""]
    if "load" in results:
        r = results["load"]
        what = {"quiet": "nothing else", "log": f"a critical table's log is saturated, {r['log_mb_per_s']} MB/s", "away": "ClickHouse is gone",
                "copy": "no trouble, but a process on another CPU copies memory"}
        lines += [f"`tests/bench/put_under_load.py`: {r['rows_per_s']:,} quotes a second from a CPU of their own, {r['rounds']} rounds in turns; "
                  "p99.9 of a put in ns.", ""]
        lines += table(["while", "p99.9", "÷ quiet"],
                       [[what[state], spread(f, "{:.0f}"), f"{r['p999_to_quiet'].get(state, 1):.2f}"] for state, f in r["p999_ns"].items()])
    if "watched" in results:
        r = results["watched"]
        lines += [f"With `coldpath monitor`, scraped, and `coldpath top` running (`tests/bench/watched.py`, no CPU of its own): p99.9 is "
                  f"{r['ratio']:.2f} of that without them, {r['p999_alone_ns']:.0f} ns, over {r['rounds']} rounds.", ""]
    return lines


def part_log(results):
    lines = ["## The log", ""]
    if "wal" in results:
        rows = [[f"{s['payload_bytes'] // 1024} KiB", *(spread(s[k]) if k in s else "–" for k in ("stream_over_fio", "commit_p50_over_fio"))]
                for s in results["wal"]["sizes"]]
        lines += ["`coldpath bench wal`, beside fio with the same file system and depth:", ""]
        lines += table(["record", "stream ÷ fio", "commit, p50 ÷ fio"], rows)
    if "recover" in results:
        lines += [f"Reading a log back runs at {spread(results['recover']['replay_over_bare'])} of bare reads of its files "
                  "(`coldpath bench recover`).", ""]
    return lines


def part_idle(r):
    rows = [[f"{load['rows_per_s']:,}", f"{load['core']:.2%}", f"{load['most']:.0%}" if load["most"] else "–"] for load in r["loads"]]
    return ["## What the recorder costs when little happens", "", f"`tests/bench/idle.py`; resident memory after all of it {r['rss_mb']:.0f} MB, "
            "of which the chunk pool takes up to `recorder.memory_limit`, 128 MiB, and the ring in use, which is shared, 16 MiB.", ""] + table(
        ["rows/s", "of one core", "aim"], rows)


def part_linear(r, svg):
    lines = ["## What grows with what", "", f"`tests/bench/linear.py`; at {r['rows_per_s']:,} rows/s in all.", "", f"![plots]({svg.name})", ""]
    lines += table(["tables", "no rows, of a core", "with rows", "inserts/s", "µs of CPU per insert beyond those of one table"],
                   [[str(p["tables"]), f"{p['idle_core']:.2%}", f"{p['core']:.2%}", f"{p['inserts_per_s']:.0f}",
                     f"{p['insert_us']:.0f}" if "insert_us" in p else "–"] for p in r["tables"]])
    lines += table(["rings", "of a core", "inserts/s"], [[str(p["rings"]), f"{p['core']:.2%}", f"{p['inserts_per_s']:.0f}"] for p in r["rings"]])
    lines += table(["namespaces, each with a recorder", "no rows, of a core", "with rows", "inserts/s", "memory of all, MB"],
                   [[str(p["namespaces"]), f"{p['idle_core']:.2%}", f"{p['core']:.2%}", f"{p['inserts_per_s']:.0f}", f"{p['rss_mb']:.0f}"]
                    for p in r["namespaces"]])
    return lines + table(["bytes of a row", "Native, ns", "Native + zstd, ns"],
                         [[str(p["row_bytes"]), f"{p['native_ns']:.1f}", f"{p['native_zstd_ns']:.1f}"] for p in r["row_bytes"]])


def host_line(results):
    hosts = [r["host"] for r in results.values() if "host" in r]
    first = hosts[0]
    warnings = sorted({host["warning"] for host in hosts if host["warning"]})
    return (f"{first['cpu']}, {first['cpus']} CPUs, Linux {first['kernel']}, governor {first['governor']}; steal up to "
            f"{max(host['steal'] for host in hosts):.1%}, others here kept up to {max(host['busy_cpus_of_others'] for host in hosts):.2f} "
            f"CPUs busy." + "".join(f" Warning: {warning}." for warning in warnings))


def markdown(results, svg):
    lines = ["# Performance", "", f"Measured on {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d} by `tests/bench/report.py`: "
             f"{host_line(results)}", "", "Ratios within one run mean something; nanoseconds on a shared host mean little. Each figure is a "
             "median of rounds in which the contestants took turns, with the lowest and the highest round in brackets.", ""]
    for name, part in (("peers", part_peers), ("put", part_put)):
        lines += part(results[name]) if name in results else []
    lines += part_load(results) if results.keys() & {"load", "watched"} else []
    lines += part_encode(results)
    for name, part in (("ship", part_ship), ("e2e", part_e2e)):
        lines += part(results[name]) if name in results else []
    lines += part_bodies(results)
    lines += part_idle(results["idle"]) if "idle" in results else []
    lines += part_log(results)
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
    options.out.write_text((markdown(results, svg).rstrip() + "\n\n" + "".join(kept)).rstrip() + "\n")
    print(options.out)
    for name in failed:
        print(f"report: {name} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
