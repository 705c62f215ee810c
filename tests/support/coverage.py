"""Which lines and branches of the product the tests have run, folder by folder:

    tests/run --preset coverage --suite unit        or other suites; what several have run adds up
    python3 tests/support/coverage.py build-coverage [FOLDER…] [--missed]

--missed: the lines of these folders that nothing has run. Branches are counted as gcc makes them: && and || are branches, too. An
assert's failing branch is left out, being there so as not to be taken. To begin anew, remove the *.gcda files below the build directory."""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).parents[2]
FOLDERS = ("base", "schema", "shm", "ingest", "wal", "flush", "recorder", "monitor", "cli", "feeds", "embedded")


def files(build):
    """Of each source file: path, lines as gcovr has them."""
    done = subprocess.run(["gcovr", "--root", TOP, "--json", "-", "--exclude-unreachable-branches", f"-j{os.cpu_count()}",
                           "--exclude-branches-by-pattern", r".*\bassert\(.*", "--gcov-ignore-parse-errors", build],
                          cwd=TOP, check=True, stdout=subprocess.PIPE)
    return [(entry["file"], entry["lines"]) for entry in json.loads(done.stdout)["files"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--missed", action="store_true")
    args = parser.parse_args()
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    for path, lines in files(args.build.resolve()):
        folder = path.split("/")[0]
        lines = [line for line in lines if not line.get("gcovr/noncode")]
        branches = [branch for line in lines for branch in line["branches"] if not branch.get("gcovr/noncode")]
        for at, number in enumerate((sum(line["count"] > 0 for line in lines), len(lines),
                                     sum(branch["count"] > 0 for branch in branches), len(branches))):
            sums[folder][at] += number
        if args.missed and folder in args.folders:
            missed = [line["line_number"] for line in lines if line["count"] == 0]
            print(f"{path}: {' '.join(map(str, missed))}")
    print(f"{'folder':10} {'lines':>7} {'run':>7} {'branches':>9} {'run':>7}")
    for folder in (name for name in args.folders if name in sums):
        run, lines, taken, branches = sums[folder]
        print(f"{folder:10} {lines:7} {100 * run / lines:6.1f}% {branches:9} {100 * taken / max(branches, 1):6.1f}%")
    return 0


if __name__ == "__main__":
    sys.exit(main())
