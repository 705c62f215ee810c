"""What grows with what: the recorder's CPU time with 1 to 200 tables, idle and at a fixed rate over all of them; with 1 to 64
rings of a table at a fixed rate; with 1 to 5 namespaces, each with a recorder of its own, idle and at a fixed rate over all of them; and
what rows of 10 to 2,000 bytes cost to encode and compress.

With tables the cost grows with inserts, not with rows: a table that gets a few rows sends them after its interval, and each insert
costs the recorder about the same. So inserts per second are counted, and the cost of one is shown.

    tests/bench/linear.py [--svg FILE]        $CP_SECONDS: each measurement of the recorder (default 2)

The recorders of a sweep run side by side, all but the one that is measured without rows, and its points are measured in turns,
ROUNDS times; a figure is the median, with the lowest and the highest. Prints one JSON line, and with --svg writes the plots. Exits 1
when the cost at the far end of a sweep is more than MOST_KNEE times what the line through the first two points of the round says."""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from tests.bench.idle import cpu_ns
from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present
from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 2)
ROUNDS = min(3, SECONDS + 1)
TABLES = (1, 50, 100, 200)
RINGS = (1, 16, 32, 64)
NAMESPACES = (1, 2, 3, 5)
ROW_BYTES = (10, 100, 500, 1000, 2000)
ROWS_PER_S = 20_000
PER_PROCESS = 50  # tables that put_paced takes
MOST_KNEE = 2.0
SETTLE_SECONDS = 1
ROOM = {"recorder": {"memory_limit": "512MiB"}}  # chunks for 200 tables


def inserts(recorder):
    return sum(table["batches_delivered"] for table in recorder.status()["tables"])


def figure(samples):
    return {"median": statistics.median(samples), "low": min(samples), "high": max(samples)}


def idle_shares(recorders):
    """Of one core, of each, at the same time."""
    time.sleep(SETTLE_SECONDS)
    before, began = [cpu_ns(r.process.pid) for r in recorders], time.monotonic_ns()
    time.sleep(SECONDS)
    passed = time.monotonic_ns() - began
    return [(cpu_ns(r.process.pid) - used) / passed for r, used in zip(recorders, before)]


def share(recorders, producers):
    """Of one core, while the producers run, and inserts per second: of all these recorders."""
    time.sleep(SETTLE_SECONDS)
    sent = sum(map(inserts, recorders))
    before, began = sum(cpu_ns(r.process.pid) for r in recorders), time.monotonic_ns()
    time.sleep(SECONDS)
    used, passed = sum(cpu_ns(r.process.pid) for r in recorders) - before, time.monotonic_ns() - began
    sent = sum(map(inserts, recorders)) - sent
    for producer in producers:
        producer.communicate(timeout=60)
    for recorder in recorders:
        recorder.wait_delivered()
    return used / passed, sent * 1e9 / passed


def summary(name, values, rounds):
    """rounds: a list of points each, {key: number}. The points with their figures, and the knees of the rounds."""
    points = [{name: value} | {key: figure([points[i][key] for points in rounds]) for key in rounds[0][i]} for i, value in enumerate(values)]
    return points, figure([knee(values, [point["core"] for point in points]) for points in rounds])


def start(recorder, program, *args):
    return subprocess.Popen([recorder.build / "bin" / program, str(recorder.region), *map(str, args)], stdout=subprocess.PIPE)


def quotes_tables(directory, count):
    tables = {}
    ddl = pathlib.Path("schema/ddl/quotes.sql").read_text()
    for i in range(count):
        file = pathlib.Path(directory) / f"feed{i:03}.sql"
        file.write_text(ddl.replace("EXISTS quotes", f"EXISTS feed{i:03}"))
        tables[f"feed{i:03}"] = {"ddl": str(file), "slots": 1, "ring_size": "1MiB"}
    return tables


def sweep_tables(server):
    with contextlib.ExitStack() as stack:
        recorders = [stack.enter_context(Recorder(server, quotes_tables(stack.enter_context(tempfile.TemporaryDirectory()), count),
                                                  database=f"tables{count}", extra=ROOM)) for count in TABLES]
        rounds = []
        for _ in range(ROUNDS):
            points = [{"idle_core": idle} for idle in idle_shares(recorders)]
            for count, recorder, point in zip(TABLES, recorders, points):
                names = [f"feed{i:03}:{ROWS_PER_S // count}" for i in range(count)]
                producers = [start(recorder, "put_paced", SECONDS + 2, 0, *names[at:at + PER_PROCESS])
                             for at in range(0, count, PER_PROCESS)]
                point["core"], point["inserts_per_s"] = share([recorder], producers)
                more = point["inserts_per_s"] - points[0]["inserts_per_s"]  # inserts, of the same rows
                point["insert_us"] = (point["core"] - points[0]["core"]) / more * 1e6 if more > 0 else 0
            rounds.append(points)
        return summary("tables", TABLES, rounds)


def sweep_rings(server):
    with contextlib.ExitStack() as stack:
        recorders = [stack.enter_context(Recorder(server, {"obf_universe": {"slots": count, "ring_size": "1MiB"}}, database=f"rings{count}",
                                                  extra=ROOM)) for count in RINGS]
        rounds = []
        for _ in range(ROUNDS):
            points = []
            for count, recorder in zip(RINGS, recorders):
                core, rate = share([recorder], [start(recorder, "put_obf", SECONDS + 2, ROWS_PER_S // count) for _ in range(count)])
                points.append({"core": core, "inserts_per_s": rate})
            rounds.append(points)
        return summary("rings", RINGS, rounds)


def sweep_namespaces(server):
    with contextlib.ExitStack() as stack:
        recorders = [stack.enter_context(Recorder(server, {"obf_universe": {"slots": 1}}, database=f"space{i}"))
                     for i in range(NAMESPACES[-1])]
        rounds = []
        for _ in range(ROUNDS):
            idle = idle_shares(recorders)
            points = []
            for count in NAMESPACES:
                few = recorders[:count]
                core, rate = share(few, [start(recorder, "put_obf", SECONDS + 2, ROWS_PER_S // count) for recorder in few])
                points.append({"idle_core": sum(idle[:count]), "core": core, "inserts_per_s": rate, "rss_mb": sum(r.rss_bytes() for r in few) / 1e6})
            rounds.append(points)
        return summary("namespaces", NAMESPACES, rounds)


def sweep_row_bytes():
    """Strings of hexadecimal digits, in which zstd finds no more than that: the cost of bytes, not of patterns."""
    points = []
    for size in ROW_BYTES:
        with tempfile.TemporaryDirectory() as directory:
            ddl, data = pathlib.Path(directory) / "t.sql", pathlib.Path(directory) / "t.csv"
            ddl.write_text("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
            rows = max(2000, 4_000_000 // size)
            with open("/dev/urandom", "rb") as random, open(data, "w", encoding="ascii") as out:
                out.write("a\n" + "".join(f"{random.read((size + 1) // 2).hex()[:size]}\n" for _ in range(rows)))
            done = subprocess.run([build_dir() / "bin/coldpath", "bench", "encode", "--json", "--seconds", "1", "--rounds", "5",
                                   "--rows", str(rows), "--ddl", ddl, "--data", data], check=True, stdout=subprocess.PIPE)
        ways = json.loads(done.stdout)["ways"]
        points.append({"row_bytes": size} | {f"{way}_ns": ways[way]["cpu_ns_per_row"] for way in ("native", "native_zstd")})
    return points, figure([knee(ROW_BYTES, [point["native_zstd_ns"]["median"] for point in points])])


def knee(x, y):
    """How many times the last point lies above the line through the first two."""
    expected = y[0] + (y[1] - y[0]) / (x[1] - x[0]) * (x[-1] - x[0])
    return y[-1] / expected if expected > 0 else 1.0


PLOTS = (("tables", "tables", (("idle_core", "no rows"), ("core", f"{ROWS_PER_S:,} rows/s over all")), 100, "% of a core"),
         ("rings", "rings of a table", (("core", f"{ROWS_PER_S:,} rows/s over all"),), 100, "% of a core"),
         ("namespaces", "namespaces", (("idle_core", "no rows"), ("core", f"{ROWS_PER_S:,} rows/s over all")), 100, "% of a core"),
         ("row_bytes", "bytes of a row", (("native_ns", "Native"), ("native_zstd_ns", "Native + zstd")), 1, "ns per row"))


def plot(result, path):
    import matplotlib  # pylint: disable=import-outside-toplevel  # only where plots are wanted
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "coldpath"
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, len(PLOTS), figsize=(16, 3.4), constrained_layout=True)
    for axis, (name, label, lines, factor, unit) in zip(axes, PLOTS):
        for key, what in lines:
            medians, lows, highs = ([p[key][of] * factor for p in result[name]] for of in ("median", "low", "high"))
            errors = [[max(m - low, 0) for m, low in zip(medians, lows)], [max(high - m, 0) for m, high in zip(medians, highs)]]
            axis.errorbar([p[name] for p in result[name]], medians, yerr=errors, marker="o", capsize=3, label=what)
        axis.set(xlabel=label, ylabel=unit, xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--svg", help="where the plots go")
    options = parser.parse_args()
    sweeps = {"row_bytes": sweep_row_bytes()}
    with ChdbServer(args=["--threads", "1"]) as server:
        sweeps |= {"rings": sweep_rings(server), "namespaces": sweep_namespaces(server), "tables": sweep_tables(server)}
    result = {"schema_version": 1, "verb": "bench linear", "rows_per_s": ROWS_PER_S, "rounds": ROUNDS}
    result |= {name: points for name, (points, _) in sweeps.items()} | {"knees": {name: times for name, (_, times) in sweeps.items()}}
    print(json.dumps(result))
    if options.svg:
        plot(result, options.svg)
    return 0 if max(times["median"] for times in result["knees"].values()) <= MOST_KNEE else 1


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
