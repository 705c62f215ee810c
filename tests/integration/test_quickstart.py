"""The recording part of ./quickstart: the account it gives balances, it takes a CSV of any columns, and it leaves nothing
behind, also when it is interrupted."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, engine_library, engine_present

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGIONS = pathlib.Path("/dev/shm/coldpath")


def start(*arguments):
    environment = {name: value for name, value in os.environ.items() if name != "COLDPATH_TEST_DATA"}
    environment["COLDPATH_CHDB_LIB"] = engine_library()
    return subprocess.Popen([sys.executable, "-B", str(ROOT / "deploy/quickstart.py"), *arguments], env=environment,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_behind(pid):
    """Regions and programs of the quickstart that was process pid."""
    found = [path.name for path in REGIONS.glob(f"quickstart_*_{pid}")]
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if f"_{pid}/" in command and "quickstart_" in command:
            found.append(command)
    return found


class Quickstart(unittest.TestCase):
    def finish(self, process, status):
        out, err = process.communicate(timeout=180)
        self.assertEqual(process.returncode, status, err)
        self.assertEqual(left_behind(process.pid), [])
        return out, err

    def test_the_account_balances(self):
        out, err = self.finish(start("--seconds", "3", "--json"), 0)
        self.assertEqual(len(out.splitlines()), 1)
        numbers = json.loads(out)
        self.assertGreater(numbers["rows_put"], 10_000)
        self.assertEqual(numbers["rows_in_clickhouse"], numbers["rows_put"])
        self.assertEqual((numbers["lost"], numbers["duplicated"]), (0, 0))
        self.assertGreaterEqual(numbers["seconds"], 3)
        self.assertGreater(numbers["rows_per_s"], 0)
        self.assertLessEqual(0, numbers["put_p50_ns"])
        self.assertLessEqual(numbers["put_p50_ns"], numbers["put_p99_ns"])
        self.assertIn("SYNTHETIC", err)

    def test_a_file_of_any_columns(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "My file.csv"
            rows = [f'{n},{n / 4},"name, {n}",{n if n % 3 else ""}' for n in range(5000)]
            path.write_text("a,b c,d,e\n" + "\n".join(rows) + "\n", encoding="utf-8")
            out, err = self.finish(start("--seconds", "1", "--json", "--data", str(path)), 0)
        self.assertRegex(err, r"my_file +5,000 +5,000 +0 +0")
        self.assertGreaterEqual(json.loads(out)["rows_put"], 5000)

    def test_interrupted_it_leaves_nothing(self):
        process = start("--seconds", "60")
        deadline = time.monotonic() + 60
        while not left_behind(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertNotEqual(left_behind(process.pid), [])
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, err = self.finish(process, 130)
        self.assertIn("interrupted", err)

    def test_a_bad_file_is_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write("a,,b\n1,2,3\n")
            file.flush()
            _, err = self.finish(start("--seconds", "1", "--data", file.name), 1)
        self.assertIn(f"{file.name}: the first line has to name every column", err)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main()
