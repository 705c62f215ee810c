"""Which lines, branches and error paths of the product the tests have run, folder by folder:

    tests/run --preset coverage --suite unit        or other suites; what several have run adds up
    python3 tests/support/coverage.py build-coverage [FOLDER…] [--missed] [--errors]

--missed: the lines of these folders that nothing has run. --errors: those of them that are of an error path: which set, report or hand on an
error. Where none should be left, in shm, wal and flush, these are always listed; those that only programs which are started run (the end
of a process, another host) appear here, too, unless such suites were run. Branches are counted as gcc makes them: && and || are branches,
too. An assert's failing branch is left out, being there so as not to be taken. To begin anew, remove the *.gcda files below the build
directory."""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).parents[2]
FOLDERS = ("base", "schema", "shm", "ingest", "wal", "flush", "recorder", "monitor", "cli", "feeds", "embedded")
STRICT = ("shm", "wal", "flush")
ERROR = re.compile(r"\bCP_E_\w+|\bcp_error_|\bCP_LOG_(WARN|ERROR)\b|_report\(|_fail\(|\bfail_|\breturn (rc|code|result|-\w+|NULL|false);")


def files(build):
    """Of each source file: path, lines as gcovr has them."""
    done = subprocess.run(["gcovr", "--root", TOP, "--json", "-", "--exclude-unreachable-branches", f"-j{os.cpu_count()}",
                           "--exclude-branches-by-pattern", r".*\bassert\(.*", "--gcov-ignore-parse-errors", build],
                          cwd=TOP, check=True, stdout=subprocess.PIPE)
    return [(entry["file"], entry["lines"]) for entry in json.loads(done.stdout)["files"]]


def share(run, of):
    return f"{100 * run / max(of, 1):6.1f}%"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--missed", action="store_true")
    parser.add_argument("--errors", action="store_true")
    args = parser.parse_args()
    sums = collections.defaultdict(lambda: [0] * 6)
    for path, lines in files(args.build.resolve()):
        folder = path.split("/")[0]
        lines = [line for line in lines if not line.get("gcovr/noncode")]
        branches = [branch for line in lines for branch in line["branches"] if not branch.get("gcovr/noncode")]
        text = (TOP / path).read_text().splitlines() if folder in FOLDERS else []
        errors = [line for line in lines if text and ERROR.search(text[line["line_number"] - 1])]
        for at, of in enumerate((lines, branches, errors)):
            sums[folder][2 * at] += len(of)
            sums[folder][2 * at + 1] += sum(each["count"] > 0 for each in of)
        if folder not in args.folders:
            continue
        if args.missed:
            print(f"{path}: {' '.join(str(line['line_number']) for line in lines if line['count'] == 0)}")
        if args.errors or folder in STRICT:
            for number in (line["line_number"] for line in errors if line["count"] == 0):
                print(f"{path}:{number}: never run: {text[number - 1].strip()}")
    print(f"{'folder':10} {'lines':>7} {'run':>7} {'branches':>9} {'run':>7} {'of errors':>10} {'run':>7}")
    for folder in (name for name in args.folders if name in sums):
        lines, run, branches, taken, errors, failed = sums[folder]
        print(f"{folder:10} {lines:7} {share(run, lines)} {branches:9} {share(taken, branches)} {errors:10} {share(failed, errors)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
