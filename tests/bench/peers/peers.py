"""Runs the peers beside coldpath, prints the comparison, and writes docs/performance.md's part of it when asked.

    tests/bench/peers/peers.py [--rounds N] [--json]     CP_SECONDS, as tests/run sets it, chooses the rounds

Starts an lttng session of its own, in a home of its own, for the tracepoint to be recorded."""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("COLDPATH_BUILD", "build"))
SECONDS_PER_ROUND = 8


class Lttng:
    """A session daemon and a session that records our tracepoint."""

    def __init__(self, place, cpu):
        self.env = dict(os.environ, LTTNG_HOME=str(place), LTTNG_UST_REGISTER_TIMEOUT="3000")
        self.place = place
        self.daemon = None
        if not shutil.which("lttng-sessiond"):
            return
        self.daemon = subprocess.Popen(["taskset", "-c", str(cpu), "lttng-sessiond", "--no-kernel"], env=self.env,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(1)
        for command in (["create", "peers", f"--output={place}/trace"],
                        ["enable-channel", "--userspace", "--subbuf-size=1M", "--num-subbuf=8", "rows"],
                        ["enable-event", "--userspace", "--channel=rows", "coldpath_peers:row"], ["start"]):
            subprocess.run(["lttng", "--no-sessiond", *command], env=self.env, check=True, stdout=subprocess.DEVNULL)

    def close(self):
        if self.daemon:
            subprocess.run(["lttng", "--no-sessiond", "destroy", "--no-wait", "peers"], env=self.env, check=False,
                           stdout=subprocess.DEVNULL)
            os.killpg(self.daemon.pid, signal.SIGTERM)
            self.daemon.wait(20)


def cpus():
    mine = sorted(os.sched_getaffinity(0))
    return (mine[0], mine[1]) if len(mine) > 1 else (mine[0], mine[0])


def measure(rounds):
    program = BUILD / "bin" / "peers"
    producer, consumer = cpus()
    with tempfile.TemporaryDirectory(prefix="coldpath-peers-", dir="/dev/shm") as place:
        lttng = Lttng(pathlib.Path(place), consumer)
        try:
            done = subprocess.run([program, "--rounds", str(rounds), "--cpus", f"{producer},{consumer}"], env=lttng.env,
                                  check=True, stdout=subprocess.PIPE)
        finally:
            lttng.close()
    return json.loads(done.stdout)


def summary(measured):
    """Per peer: medians over the rounds, their spread, and the median of the ratios coldpath ÷ peer within each round."""
    ours = next(p for p in measured["peers"] if p["name"] == "coldpath")
    lines = []
    for peer in measured["peers"]:
        line = {"name": peer["name"], "what": peer["what"]}
        for figure in ("p50_ns", "p99_ns", "p999_ns", "flat_out_ns"):
            values = peer[figure]
            line[figure] = statistics.median(values)
            line[figure + "_spread"] = [min(values), max(values)]
            ratios = [mine / max(his, 0.01) for mine, his in zip(ours[figure], values)]
            line[figure + "_ours_to_it"] = statistics.median(ratios)
        lines.append(line)
    return {"schema_version": 1, "verb": "bench peers", "row_bytes": measured["row_bytes"], "rounds": measured["rounds"],
            "pace_ns": measured["pace_ns"], "cache_line_ns": statistics.median(measured["cache_line_ns"]), "peers": lines}


def print_table(result):
    print(f"{result['row_bytes']}-byte rows, {result['rounds']} rounds, one put every {result['pace_ns']} ns; then flat out. "
          f"One cache line between the CPUs: {result['cache_line_ns']:.0f} ns")
    print(f"{'':14}{'p50':>9}{'p99':>10}{'p99.9':>11}{'flat out':>10}   coldpath ÷ it: {'p50':>7}{'flat out':>10}")
    for p in result["peers"]:
        print(f"{p['name']:14}{p['p50_ns']:>9.1f}{p['p99_ns']:>10.0f}{p['p999_ns']:>11.0f}{p['flat_out_ns']:>10.1f}"
              f"{p['p50_ns_ours_to_it']:>24.3f}{p['flat_out_ns_ours_to_it']:>10.3f}   {p['what']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=max(3, int(os.environ.get("CP_SECONDS", 40)) // SECONDS_PER_ROUND))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    if not (BUILD / "bin" / "peers").exists():
        print("the peers were not built: install the packages of group peers in deploy/debian-packages.txt", file=sys.stderr)
        return 77
    result = summary(measure(options.rounds))
    print(json.dumps(result)) if options.json else print_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
