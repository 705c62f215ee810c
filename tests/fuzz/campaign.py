"""A long run of the fuzz targets with libFuzzer, until their coverage stands still:

    cmake -B build-fuzz -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCOLDPATH_FUZZ=ON \\
          -DCOLDPATH_PYTHON=OFF -DCOLDPATH_SANITIZE=address,undefined
    ninja -C build-fuzz
    python3 tests/fuzz/campaign.py build-fuzz [TARGET…] [--round SECONDS] [--still N] [--most SECONDS] [--keep]

A target runs in rounds, each from what the last one found; it ends when N rounds in a row have found no new edge. A line per target: rounds,
seconds, executions, edges when the first round began and at the end. --keep merges what was found into tests/fuzz/corpus/<target>: the
smallest set of small inputs with the same coverage, the first KEPT of them. A finding ends the run of its target; its input is
named, and the exit code is 1."""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

TARGETS = ("ddl", "config", "rows", "record", "region", "wal", "quarantine", "answer", "request", "command")
KEPT = 60          # inputs of a corpus in the tree
KEPT_BYTES = 2048   # and none longer
RSS_MB = 4096


class Target:
    def __init__(self, build, name):
        self.name, self.program = name, (build / f"bin/fuzz_{name}").resolve()
        self.dir = (build / "tests/fuzz" / name).resolve()
        self.found, self.start = self.dir / "found", self.dir / "start"
        self.rounds = self.executions = self.seconds = 0
        self.first_edges = self.edges = 0
        self.finding = None

    def fuzz(self, *args):
        done = subprocess.run([self.program, f"-rss_limit_mb={RSS_MB}", "-print_final_stats=1", *args, self.found, self.start],
                              cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return done.returncode, done.stderr.decode(errors="replace")

    def round(self, seconds):
        """True when it found an edge."""
        code, said = self.fuzz(f"-max_total_time={seconds}")
        edges = [int(number) for number in re.findall(r"\bcov: (\d+)", said)]
        self.rounds += 1
        self.seconds += seconds
        self.executions += int(re.search(r"number_of_executed_units: +(\d+)", said).group(1))
        before = self.edges
        if self.rounds == 1:
            self.first_edges = before = edges[0]
        self.edges = max(self.edges, *edges)
        if code != 0:
            self.finding = said
        return self.edges > before

    def run(self, seconds, still, most):
        quiet = 0
        while quiet < still and self.seconds < most and not self.finding:
            quiet = 0 if self.round(seconds) else quiet + 1
        print(f"{self.name:10} rounds {self.rounds:3}  seconds {self.seconds:5}  executions {self.executions:>11,}  "
              f"edges {self.first_edges} -> {self.edges}  {'stands still' if quiet >= still else 'still growing, or ended'}", flush=True)

    def keep(self, corpus):
        merged = self.dir / "merged"
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir()
        subprocess.run([self.program, "-merge=1", f"-max_len={KEPT_BYTES}", merged, self.start, self.found], cwd=self.dir, check=True,
                       capture_output=True)
        kept = sorted((path for path in merged.iterdir()), key=lambda path: (path.stat().st_size, path.name))[:KEPT]
        shutil.rmtree(corpus / self.name, ignore_errors=True)
        (corpus / self.name).mkdir(parents=True)
        for number, path in enumerate(kept):
            shutil.copyfile(path, corpus / self.name / f"{number:03}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("targets", nargs="*", default=TARGETS)
    parser.add_argument("--round", type=int, default=30)
    parser.add_argument("--still", type=int, default=2)
    parser.add_argument("--most", type=int, default=3600)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    targets = [Target(args.build, name) for name in args.targets]
    for target in targets:
        target.run(args.round, args.still, args.most)
        if target.finding:
            print(target.finding[-4000:])
        elif args.keep:
            target.keep(pathlib.Path(__file__).parent / "corpus")
    return 1 if any(target.finding for target in targets) else 0


if __name__ == "__main__":
    sys.exit(main())
