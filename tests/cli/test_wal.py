"""coldpath wal: looking at the log of a critical table beside a recorder and without one, and repairing it."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import support

ROWS = 500


class Wal(support.Case):
    """ClickHouse is away: everything put stays in the log."""

    def setUp(self):
        super().setUp()
        text = self.config.read_text().replace("  t:\n", "  t:\n    class: critical\n    wal_limit: 64MiB\n")
        self.config.write_text(text + f"wal:\n  dir: {self.directory / 'wal'}\n  segment_size: 4MiB\n")
        self.log = self.directory / "wal" / "test" / "t"

    def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COLDPATH_")}
        recorder = subprocess.Popen([support.BIN / "coldpathd", "--config", self.config], stdin=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, env=environment)
        self.addCleanup(self.stop, recorder)
        return recorder

    def stop(self, recorder):
        if recorder.poll() is None:
            recorder.send_signal(signal.SIGKILL)
        recorder.wait()

    def wal(self, action, *args, code=0):
        result = self.coldpath("wal", action, *args)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout.decode()

    def wal_json(self, action, *args, code=0):
        return json.loads(self.wal(action, "--json", *args, code=code))

    def fill(self):
        recorder = self.start()
        deadline = time.monotonic() + 30
        while self.coldpath("status").returncode == 69 and time.monotonic() < deadline:
            self.assertIsNone(recorder.poll())
            time.sleep(0.05)
        for first in range(0, ROWS, 100):
            rows = "".join(json.dumps({"id": i, "price": "1.5", "name": "a'b", "at": None}) + "\n"
                           for i in range(first, first + 100))
            self.assertEqual(self.put(rows)[0], 0)
            table = self.wait_for_rows(first + 100, deadline)  # so that each put is a record of its own at least
        return recorder, table

    def wait_for_rows(self, rows, deadline):
        while time.monotonic() < deadline:
            table = self.wal_json("ls")["tables"][0]
            if table["waiting_rows"] == rows:
                return table
            time.sleep(0.02)
        self.fail(f"{table['waiting_rows']} rows in the log, not {rows}")

    def test_all(self):
        recorder, table = self.fill()
        # Beside the recorder.
        self.assertEqual((table["table"], table["in_use"], table["holder_pid"], table["delivered_lsn"]),
                         ("t", True, recorder.pid, 0))
        self.assertTrue(self.wal_json("verify")["sound"])
        self.assertIn("sound", self.wal("verify", "t"))
        self.assertIn("in use", self.wal("verify"))
        self.assertIn("newest", self.wal("ls", "t"))
        self.assertIn(f"process {recorder.pid}", self.coldpath("wal", "repair", "t", "--yes").stderr.decode())
        rows = [json.loads(line) for line in self.wal("dump", "t", "--rows", "1000").splitlines()]
        self.assertEqual(rows, [{"id": i, "price": 1.5, "name": "a'b", "at": None} for i in range(ROWS)])
        self.assertEqual(self.wal("dump", "t", "--rows", "2", "--tsv"),
                         "id\tprice\tname\tat\n0\t1.5\ta\\'b\t\\N\n1\t1.5\ta\\'b\t\\N\n")
        records = [json.loads(line) for line in self.wal("dump", "t", "--json", "--rows", "3").splitlines()]
        self.assertEqual(sum(record["row_count"] for record in records), ROWS)
        self.assertEqual([record["lsn"] for record in records], list(range(1, len(records) + 1)))
        self.assertEqual(sum(len(record["rows"]) for record in records), 3)
        self.assertEqual(len(self.wal("dump", "t", "--range", "2-3").splitlines()), 3)
        # Without it.
        self.stop(recorder)
        self.assertEqual(self.wal_json("ls")["tables"][0]["in_use"], False)
        self.assertIn("nothing to repair", self.wal("repair", "t"))
        segments = self.wal_json("ls")["tables"][0]["segments"]
        newest = self.log / next(s["file"] for s in segments if s["state"] == "newest")
        with open(newest, "r+b") as file:
            file.seek(8192 + 128 + 20)  # in the first record's payload
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        answer = self.wal_json("verify", code=2)
        fault = answer["tables"][0]["faults"][0]
        self.assertEqual((fault["lo"], fault["hi"], fault["file"], fault["offset"], fault["delivered"]),
                         (1, 1, newest.name, 8192, False))
        self.assertIn("records 1 to 1", self.wal("verify", code=2))
        # A recorder refuses it, and names the way out.
        result = self.run_program("coldpathd", "--config", self.config)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"coldpath wal repair", result.stderr)
        before = newest.read_bytes()
        self.assertIn("would be given up", self.wal("repair", "t", code=2))
        self.assertEqual(newest.read_bytes(), before)
        self.assertEqual(self.wal_json("repair", "t", "--yes")["lost_records"], 1)
        self.assertEqual([p.read_bytes() for p in (self.log / "damaged").iterdir()], [before])
        self.assertTrue(self.wal_json("verify")["sound"])
        lost = records[0]["row_count"]
        rows = [json.loads(line)["id"] for line in self.wal("dump", "t", "--rows", "1000").splitlines()]
        self.assertEqual(rows, list(range(lost, ROWS)))
        self.start()
        deadline = time.monotonic() + 30
        while not (table := self.wal_json("ls")["tables"][0])["in_use"] and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual((table["in_use"], table["waiting_rows"]), (True, ROWS - lost))

    def test_usage(self):
        for args in ([], ["nonsense"], ["dump"], ["repair"], ["dump", "t", "--range", "5"],
                     ["dump", "t", "--range", "9-2"], ["ls", "t", "u"], ["dump", "t", "--rows", "0"]):
            self.assertEqual(self.coldpath("wal", *args).returncode, 64, args)
        self.assertEqual(self.coldpath("wal", "ls", "nosuch").returncode, 1)
        self.assertEqual(self.wal_json("ls")["tables"], [])  # no recorder has run yet
        self.assertEqual(self.coldpath("wal", "verify", "t").returncode, 69)
        self.assertEqual(self.coldpath("wal", "repair", "t").returncode, 69)


class Bench(support.Case):
    """Short runs: that every figure is there and no directory stays."""

    def test_wal(self):
        scratch = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-bench-test-"))
        self.addCleanup(shutil.rmtree, scratch, ignore_errors=True)
        result = self.run_program("coldpath", "bench", "wal", "--seconds", "1", "--rounds", "1", "--json", cwd=scratch,
                                  timeout=120)  # of the working directory: a relative path
        self.assertEqual(result.returncode, 0, result.stderr)
        answer = json.loads(result.stdout)
        self.assertEqual([size["payload_bytes"] for size in answer["sizes"]], [1024, 16384, 262144])
        for size in answer["sizes"]:
            for figure in ("commit_p50_ns", "commit_p99_ns", "stream_bytes_per_s", "device_over_payload",
                           "put_to_durable_p50_ns") + (("fio_p50_ns", "stream_over_fio") if answer["fio"] else ()):
                self.assertGreater(size[figure]["median"], 0, figure)
            self.assertGreaterEqual(size["device_over_payload"]["median"], 1)
            if answer["fio"]:
                self.assertIn(size["fio_sync"], ("fdatasync", "dsync"))
                self.assertIn(size["fio_stream_sync"], ("fdatasync", "dsync"))
                ours, theirs = (size[k]["median"] for k in ("stream_bytes_per_s", "fio_stream_bytes_per_s"))
                self.assertAlmostEqual(size["stream_over_fio"]["median"], ours / theirs, delta=0.01)  # of one round
        self.assertEqual(list(scratch.iterdir()), [])

    def test_recover(self):
        scratch = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-bench-test-"))
        self.addCleanup(shutil.rmtree, scratch, ignore_errors=True)
        result = self.run_program("coldpath", "bench", "recover", "--dir", scratch, "--size", "64", "--rounds", "1", "--json",
                                  timeout=120)
        self.assertEqual(result.returncode, 0, result.stderr)
        answer = json.loads(result.stdout)
        self.assertEqual(answer["records"], 256)
        self.assertGreaterEqual(answer["bytes"], 64 << 20)
        for figure in ("bare_bytes_per_s", "bare_huge_bytes_per_s", "replay_bytes_per_s", "replay_over_bare", "replay_over_bare_huge", "open_replay_over_bare",
                       "open_replay_over_bare_huge", "open_ns"):
            self.assertGreater(answer[figure]["median"], 0, figure)
        self.assertLess(answer["open_replay_over_bare"]["median"], answer["replay_over_bare"]["median"])
        self.assertEqual(list(scratch.iterdir()), [])

    def test_wal_without_fio(self):
        scratch = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-bench-test-"))
        self.addCleanup(shutil.rmtree, scratch, ignore_errors=True)
        verb = [support.BIN / "coldpath", "bench", "wal", "--seconds", "1", "--rounds", "1", "--dir", scratch]
        environment = os.environ | {"PATH": str(scratch)}
        answer = json.loads(subprocess.run(verb + ["--json"], env=environment, capture_output=True, timeout=120, check=True).stdout)
        self.assertEqual((answer["fio"], answer["note"]), (False, "fio is not installed"))
        self.assertEqual([key for item in (answer, *answer["sizes"]) for key in item if "fio" in key], ["fio"])
        table = subprocess.run(verb, env=environment, capture_output=True, timeout=120, check=True).stdout.decode()
        row = next(line for line in table.splitlines() if line.startswith("  16 KiB"))
        self.assertEqual(row.split("|")[1].split()[1:], ["–", "–"], table)
        self.assertIn("not measured: fio is not installed", table)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "needs root to mount a small disk")
    def test_no_room(self):
        scratch = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-bench-test-"))
        self.addCleanup(shutil.rmtree, scratch, ignore_errors=True)
        for verb in ("wal", "recover"):
            done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                   'mount -t tmpfs -o size=100m small "$1" || exit 99; "$2" bench "$3" --rounds 1 --dir "$1"', "sh",
                                   scratch, support.BIN / "coldpath", verb], capture_output=True, timeout=120, check=False)
            if done.returncode in (1, 99) and b"coldpath" not in done.stderr:
                self.skipTest(f"no file system may be mounted here: {done.stderr.decode()}")
            self.assertEqual((done.returncode, done.stdout), (74, b""), done.stderr)
            self.assertRegex(done.stderr.decode(), f"bench {verb} takes .* in {scratch}, and its disk has .* free: .*--dir")

    def test_ends_when_told(self):
        """Parts of a round of an hour take minutes; each is left early, whatever it waits for."""
        scratch = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-bench-test-"))
        self.addCleanup(shutil.rmtree, scratch, ignore_errors=True)
        bench = subprocess.Popen([support.BIN / "coldpath", "bench", "wal", "--seconds", "3600", "--rounds", "1", "--dir", scratch],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(bench.communicate)
        self.addCleanup(bench.kill)
        bench.stderr.readline()  # which says how many rounds there will be, when the first begins
        bench.send_signal(signal.SIGTERM)
        out, _ = bench.communicate(timeout=60)
        self.assertEqual((bench.returncode, out), (1, b""))  # no round was whole
        self.assertEqual(list(scratch.iterdir()), [])

    def test_cpus(self):
        for cpus in ("0,1x", "0", "0,", ",1", "0,-1", "0,1,2", "0 ,1", "0,99999999999"):
            done = self.coldpath("bench", "put", "--cpus", cpus)
            self.assertEqual(done.returncode, 64, cpus)
            self.assertIn(f"--cpus '{cpus}'", done.stderr.decode())


if __name__ == "__main__":
    unittest.main()
