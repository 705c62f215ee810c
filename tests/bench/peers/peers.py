"""Runs the peers beside coldpath, prints the comparison, as a table or as one JSON object.

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
RINGS = ("boost spsc", "boost spsc, lazy", "ck_ring", "ck_ring, lazy")


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


def figure(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(ours, theirs):
    """Round by round; nothing takes less than a hundredth of a nanosecond."""
    return figure([mine / max(his, 0.01) for mine, his in zip(ours, theirs)])


def summary(measured):
    """Per peer: the figures over the rounds, and the ratios coldpath ÷ peer within each round; `best_ring`: to the ring of a round
    that was the fastest."""
    ours = next(p for p in measured["peers"] if p["name"] == "coldpath")
    lines = []
    for peer in measured["peers"]:
        line = {"name": peer["name"], "what": peer["what"]}
        for name in ("p50_ns", "p99_ns", "p999_ns", "flat_out_ns"):
            line[name] = figure(peer[name])
            line[f"{name}_ours_to_it"] = ratios(ours[name], peer[name])
            line[f"{name}_it_to_ours"] = ratios(peer[name], ours[name])
        lines.append(line)
    rings = [peer["flat_out_ns"] for peer in measured["peers"] if peer["name"] in RINGS]
    return {"schema_version": 1, "verb": "bench peers", "row_bytes": measured["row_bytes"], "rounds": measured["rounds"],
            "pace_ns": measured["pace_ns"], "cache_line_ns": figure(measured["cache_line_ns"]), "peers": lines} | (
                {"best_ring": ratios(ours["flat_out_ns"], [min(round_) for round_ in zip(*rings)])} if rings else {})


def print_table(result):
    print(f"{result['row_bytes']}-byte rows, {result['rounds']} rounds, one put every {result['pace_ns']} ns; then flat out. "
          f"One cache line between the CPUs: {result['cache_line_ns']['median']:.0f} ns")
    print(f"{'':17}{'p50':>9}{'p99':>10}{'p99.9':>11}{'flat out':>10}   coldpath ÷ it: {'p50':>7}{'flat out':>10}")
    for p in result["peers"]:
        print(f"{p['name']:17}{p['p50_ns']['median']:>9.1f}{p['p99_ns']['median']:>10.0f}{p['p999_ns']['median']:>11.0f}"
              f"{p['flat_out_ns']['median']:>10.1f}{p['p50_ns_ours_to_it']['median']:>24.3f}"
              f"{p['flat_out_ns_ours_to_it']['median']:>10.3f}   {p['what']}")


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
