"""The recording part of ./quickstart: the account it gives balances, it takes a CSV of any columns, and it leaves nothing
behind, also when it is interrupted."""

import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from tests.support.chdb import SKIP, engine_library, engine_present

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
import csv_table  # noqa: E402 (a part of the program under test)

BUILD = pathlib.Path(os.environ.get("COLDPATH_BUILD", ROOT / "build"))
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
        self.pid = process.pid
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

    def record_file(self, text, status=0, name="My file.csv"):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / name
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return self.finish(start("--seconds", "1", "--json", "--data", str(path)), status)

    def test_no_value_of_a_file_is_changed(self):
        """Long integers, leading zeros, many digits, NULL in both forms, quoting, a byte order mark."""
        columns = {
            "ns": ("1700000000123456789", "1700000000123456790", "Int64"),
            "id": ("18446744073709551615", "1", "UInt64"),
            "huge": ("18446744073709551616", "-1", "Decimal(20, 0)"),
            "code": ("000001", "42", "LowCardinality(String)"),
            "plus": ("+1", "2", "LowCardinality(String)"),
            "price": ("0.1", "64123.50", "Float64"),
            "exact": ("3.14159265358979323846", "1", "Decimal(21, 20)"),
            "digits": ("1" * 40, "2", "LowCardinality(String)"),
            "maybe": ("\\N", "7", "Nullable(Int64)"),
            "gap": ("", "1.5", "Nullable(Float64)"),
            "text": ("\\N", "x", "Nullable(String)"),
            "said": ('"a ""b"", c\nd"', "é \t\\t", "LowCardinality(String)"),
        }
        text = ",".join(columns) + "\n"
        text += "".join(",".join(value[row] for value in columns.values()) + "\r\n" for row in (0, 1) for _ in range(50))
        out, err = self.record_file(b"\xef\xbb\xbf" + text.encode())
        self.assertIn("my_file: every value is the one in", err)
        self.assertEqual((json.loads(out)["tables_compared"], json.loads(out)["tables_different"]), (1, 0))
        ddl = next((BUILD / "quickstart").glob(f"*_{self.pid}")) / "my_file.sql"
        found = dict(re.findall(r"^    `(\w+)` (.*?),?$", ddl.read_text(), re.MULTILINE))
        self.assertEqual(found, {name: value[2] for name, value in columns.items()})

    def test_a_value_that_changed_is_told(self):
        """A row is rewritten in ClickHouse, so to speak: the comparison itself has to notice one digit."""
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "x.csv"
            path.write_text('a,b,c\n1,0.50,x\n2,1.5,\n3,,"y\tz"\n', encoding="utf-8")
            header = csv_table.header_of(path)
            types = csv_table.column_types(path, header)
            self.assertEqual(types, ["Int64", "Nullable(Float64)", "LowCardinality(String)"])
            good = ["1\t0.5\tx\n", "2\t1.5\t\n", "3\t\\N\ty\\tz\n"]
            self.assertIsNone(csv_table.first_difference(path, header, types, good))
            for row, field, other in ((0, "1", "11"), (1, "1.5", "1.50000001"), (2, "\\N", "0"), (2, "y", "Y")):
                bad = good[:row] + [good[row].replace(field, other, 1)] + good[row + 1:]
                self.assertIn(f"line {row + 2}, column", csv_table.first_difference(path, header, types, bad) or "")
            self.assertIn("not in the table", csv_table.first_difference(path, header, types, good[:2]))
            self.assertIn("does not have", csv_table.first_difference(path, header, types, good + good[:1]))

    def test_types(self):
        """No type of which a value loses anything."""
        for values, kind in ((["9223372036854775807", "-9223372036854775808"], "Int64"),
                             (["9223372036854775808", "0"], "UInt64"), (["9223372036854775808", "-1"], "Decimal(19, 0)"),
                             (["-0"], "LowCardinality(String)"), (["00"], "LowCardinality(String)"),
                             (["1e5", "-2.5e-3", "nan", "inf"], "Float64"), (["1e400"], "LowCardinality(String)"),
                             (["0.5", "18446744073709551615"], "Decimal(21, 1)"), (["007.5"], "LowCardinality(String)"),
                             (["9007199254740993", "0.5"], "Decimal(17, 1)"), ([None, None], "LowCardinality(String)"),
                             (["1" * 39], "LowCardinality(String)"), (["1" * 38, None], "Nullable(Decimal(38, 0))"),
                             (["0x10"], "LowCardinality(String)"), (["1_000"], "LowCardinality(String)"),
                             (["\u0661"], "LowCardinality(String)"), (["true", "\\N"], "Nullable(String)"),
                             ([str(n) + "x" for n in range(1001)], "String")):
            column = csv_table.Column()
            column.take(values)
            self.assertEqual(column.type(), kind, values[:3])

    def quickstart_shell(self, *arguments, **options):
        return subprocess.run(["bash", "-c", f'"{ROOT}/quickstart" {" ".join(arguments)}'], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False, **options)

    def test_closed_descriptors(self):
        self.assertEqual(self.quickstart_shell("--help", "2>&-").returncode, 0)
        self.assertEqual(self.quickstart_shell("--bogus", "2>&-").returncode, 64)
        self.assertEqual(self.quickstart_shell("--bogus", "<&-", ">&-", "2>&-").returncode, 64)

    def test_data_is_found_from_where_the_caller_is(self):
        with tempfile.TemporaryDirectory() as directory:
            (pathlib.Path(directory) / "here.csv").write_text("a\n1\n", encoding="utf-8")
            done = self.quickstart_shell("--data", "here.csv", "--data", "nowhere.csv", cwd=directory)
            self.assertEqual(done.returncode, 64)
            self.assertIn(f"--data: {directory}/nowhere.csv is not a file", done.stderr)

    def test_kept_it_answers_who_has_the_password_alone(self):
        for name, value in (("COLDPATH_CLICKHOUSE__PASSWORD", "of another server"), ("COLDPATH_REGION_DIR", "/dev/shm/of-another-recorder")):
            os.environ[name] = value
            self.addCleanup(os.environ.pop, name)
        process = start("--seconds", "1", "--keep")
        _, err = process.communicate(timeout=180)
        directory = next((BUILD / "quickstart").glob(f"*_{process.pid}"))
        try:
            self.assertEqual(process.returncode, 0, err)
            password = (directory / "password").read_text().strip()
            self.assertGreater(len(password), 30)
            self.assertEqual((directory / "password").stat().st_mode & 0o777, 0o600)
            self.assertEqual(directory.stat().st_mode & 0o777, 0o700)
            self.assertNotIn(password, err + "".join(left_behind(process.pid)))
            for path in [*directory.glob("*.log"), *directory.glob("*.out"), directory / "coldpath.yaml"]:
                self.assertNotIn(password, path.read_text())
            url = re.search(r'url: "([^"]+)"', (directory / "coldpath.yaml").read_text())[1]
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{url}/?query=SELECT+1", timeout=10)
            with caught.exception as answer:
                self.assertEqual(answer.code, 403)
            # The command that the screen shows.
            shown = re.search(r"build/bin/(coldpath query --config )\S+ '(.*)'", err)
            self.assertTrue(shown, err)
            done = subprocess.run([BUILD / "bin/coldpath", "query", "--config", directory / "coldpath.yaml", shown[2]],
                                  capture_output=True, text=True, timeout=60, check=False,
                                  env={name: value for name, value in os.environ.items() if not name.startswith("COLDPATH_")})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(int(done.stdout.split()[-1]), 0)
        finally:
            subprocess.run([directory / "stop"], timeout=60, check=False)
        self.assertEqual(left_behind(process.pid), [])

    def test_interrupted_it_leaves_nothing(self):
        process = start("--seconds", "60")
        deadline = time.monotonic() + 60
        while not left_behind(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertNotEqual(left_behind(process.pid), [])
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # at once: it is stopping already
        _, err = self.finish(process, 130)
        self.assertIn("interrupted", err)
        self.assertNotIn("Traceback", err)

    def test_a_bad_file_is_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write("a,,b\n1,2,3\n")
            file.flush()
            out, err = self.finish(start("--seconds", "1", "--json", "--data", file.name), 1)
        self.assertIn(f"{file.name}: the first line has to name every column", err)
        self.assertEqual(len(out.splitlines()), 1)
        self.assertIn(f"{file.name}: the first line has to name every column", json.loads(out)["error"])

    def test_a_damaged_file_is_named(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "cut.csv.gz"
            path.write_bytes(gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(9999)))[:-100])
            _, err = self.finish(start("--seconds", "1", "--data", str(path)), 1)
        self.assertIn(f"{path}: Compressed file ended", err)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main()
