"""A host that fails, and somebody with the recorder's rights who tampers with its files: rings truncated, deleted, replaced by
anything else, unreadable, full of holes; region or logs removed under the running recorder; the recorder stopped for a while (SIGSTOP),
out of descriptors, its shared memory or its disk full, its wall clock stepped. What is tampered with suffers and is named; the rows of
everybody else arrive, each once. $CP_SECONDS: how long rings are tampered with at random, and the recorder is stopped (at most
STOPPED_MOST); $CP_SEED."""

import collections
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from tests.hostile.support import SECONDS, SEED, SLOTS, TABLES, Producer, check_arrived, log_events, make
from tests.support.chdb import SKIP, engine_present

NOBODY = 65534
STOPPED_SECONDS, STOPPED_MOST = 4, 300
TAMPERED_SECONDS = SECONDS if os.environ.get("CP_SECONDS") else 3
DATA_OFFSET = 8192  # of a ring file
RUBBISH_MOST = 1 << 20


class Host(unittest.TestCase):
    def producers(self, tables=("target", "witness", "bystander")):
        started = [Producer(self.recorder, table) for table in tables]
        time.sleep(0.5)
        return started

    def finish(self, producers):
        for producer in producers:
            producer.finish()
            check_arrived(self, producer)
        self.assertIsNone(self.recorder.process.poll(), self.recorder.read_log()[-3000:])
        self.assertEqual(self.recorder.stop(), 0)

    def ring(self, slot, table="target"):
        return self.recorder.region / f"{table}.{slot}.ring"

    def wait_said(self, text, since=0, seconds=30):
        """Until the recorder's log has it."""
        deadline = time.monotonic() + seconds
        while text not in (said := self.recorder.read_log()[since:]):
            self.assertLess(time.monotonic(), deadline, f"{text}: {said[-3000:]}")
            time.sleep(0.05)
        return said

    def broken(self, since=0):
        return {int(event["slot"]): event for event in log_events(self.recorder.read_log()[since:], "ring broken")}


class Files(Host):
    def ways(self):
        """What can be done to a ring's file: name -> function of its slot. Slot 0 has a producer that behaves."""
        def other(slot):
            self.remove(slot)
            return self.ring(slot)

        def symlink(slot):
            other(slot).symlink_to(self.ring(0))

        def directory(slot):
            other(slot).mkdir()

        def fifo(slot):
            os.mkfifo(other(slot))

        def other_ring(slot):
            shutil.copyfile(self.ring(0), other(slot))

        def truncated(slot):
            os.truncate(self.ring(slot), 0)

        def cut(slot):
            os.truncate(self.ring(slot), DATA_OFFSET + 4096)

        def sparse(slot):
            os.truncate(self.ring(slot), 1 << 40)

        def rubbish(slot):
            self.ring(slot).write_bytes(os.urandom(min(self.ring(slot).stat().st_size, RUBBISH_MOST)))

        def link(slot):
            os.link(self.ring(0), other(slot))

        return {way.__name__: way for way in (symlink, directory, fifo, other_ring, truncated, cut, sparse, rubbish, link)}

    def remove(self, slot):
        path = self.ring(slot)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)

    def tamper(self):
        """One ring each, from slot 1 on. Name of what is done: its slot."""
        for slot, way in enumerate(self.ways().values(), 1):
            way(slot)
        return {way: slot for slot, way in enumerate(self.ways(), 1)}

    def test_while_it_runs(self):
        make(self)
        producers = self.producers()
        slots = self.tamper()
        # Mapped files outlive their names: what is seen now is what became shorter, once there is something to read.
        with open(self.ring(slots["truncated"]), "r+b") as file:
            file.truncate(DATA_OFFSET)
            file.seek(4096)
            file.write(struct.pack("<QQ", 4096, 1))
        deadline = time.monotonic() + 10
        while slots["truncated"] not in self.broken() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.broken()[slots["truncated"]]["fault"], "truncated file")
        self.recorder.restart()
        self.assertEqual(set(self.broken()) - set(slots.values()), set())
        self.finish(producers)

    def test_found_at_the_start(self):
        make(self)
        producers = self.producers()
        self.assertEqual(self.recorder.stop(), 0)
        since = len(self.recorder.read_log())
        slots = self.tamper()
        self.recorder.start()
        broken = self.broken(since)
        for way, slot in slots.items():
            self.assertIn(slot, broken, way)
            self.assertEqual(broken[slot]["table"], "target")
            print(f"    {way}: {broken[slot]['reason']}", file=sys.stderr)
        for verb in (("status", "--json"), ("doctor", "--json"), ("audit", "--json")):
            self.assertGreaterEqual(self.recorder.run("coldpath", *verb, timeout=60).returncode, 0)
        self.finish(producers)
        # The remedy that the log names.
        for slot in slots.values():
            self.remove(slot)
        since = len(self.recorder.read_log())
        self.recorder.start()
        self.assertEqual(self.broken(since), {})

    def test_again_and_again(self):
        """Any of it to any ring at any time, modes and names included, with stops, kills and restarts between."""
        rng = random.Random(SEED)
        make(self, start=False)
        for table in ("target", "bystander"):  # what is taken out early, a kill loses, as it says
            self.recorder.settings["tables"][table]["pressure"] = {"early_release": "off"}
        self.recorder.write_config()
        self.recorder.start()
        producers = self.producers()
        done = collections.Counter()
        end = time.monotonic() + TAMPERED_SECONDS
        ways = self.ways() | {"mode": lambda slot: os.chmod(self.ring(slot), rng.choice((0, 0o200, 0o777))), "removed": self.remove}
        tampered = set()
        while time.monotonic() < end:
            slot = rng.randrange(1, SLOTS)
            way = rng.choice(sorted(ways))
            path = self.ring(slot)
            if not path.is_file() or path.is_symlink() or path.stat().st_nlink > 1:  # slot 0's, perhaps: only the name may be touched
                self.remove(slot)
                way = rng.choice(("symlink", "directory", "fifo", "other_ring", "link", "removed"))
            ways[way](slot)
            tampered.add(slot)
            done[way] += 1
            if rng.random() < 0.2:
                done["restarts"] += 1
                self.recorder.stop(rng.choice((signal.SIGKILL, signal.SIGTERM)))
                self.recorder.start()
            self.assertEqual(set(self.broken()) - tampered, set())
            for event in log_events(self.recorder.read_log(), "a ring's file was removed"):
                self.assertIn((event["table"], int(event["slot"])), [("target", slot) for slot in tampered])
            time.sleep(rng.uniform(0, 0.1))
        print(f"tampered {dict(done)}, {len(self.broken())} rings set aside", file=sys.stderr)
        self.finish(producers)

    def test_region_removed(self):
        """Who is attached goes on; it is said; the next recorder makes it anew."""
        make(self)
        producers = self.producers()
        since = len(self.recorder.read_log())
        shutil.rmtree(self.recorder.region)
        said = self.wait_said('msg="the region was removed"', since)
        self.assertIn(f"dir={self.recorder.region} ", said)
        self.assertEqual(self.recorder.run("coldpath", "status").returncode, 69)
        self.assertNotEqual(self.recorder.run("coldpath", "put", "target", "--format", "CSV", input=b"").returncode, 0)
        self.finish(producers)
        since = len(self.recorder.read_log())
        self.recorder.start()
        self.finish([Producer(self.recorder, table, "later") for table in TABLES])
        self.assertNotIn("was removed", self.recorder.read_log()[since:])

    def test_ring_removed(self):
        """Also one that is in use: its producer goes on; which it is is said, once."""
        make(self)
        producers = self.producers()
        since = len(self.recorder.read_log())
        os.unlink(self.ring(0))
        os.unlink(self.ring(1, "bystander"))
        self.wait_said('msg="a ring\'s file was removed" table=target slot=0 ', since)
        self.wait_said('msg="a ring\'s file was removed" table=bystander slot=1 ', since)
        self.finish(producers)
        self.assertEqual(len(log_events(self.recorder.read_log()[since:], "a ring's file was removed")), 2)

    def test_logs_removed(self):
        """What is written from then on would be nowhere: the log takes no rows, which is said, and they stay in their ring. When the recorder
        is started again they arrive; what the removed files had and ClickHouse had not is counted, and named."""
        make(self)
        producers = self.producers()
        since = len(self.recorder.read_log())
        shutil.rmtree(self.recorder.work / "wal")
        said = self.wait_said('msg="the log cannot be written" table=witness ', since)
        self.assertIn("No such file or directory", said)
        status = self.recorder.run("coldpath", "status")
        self.assertEqual(status.returncode, 2)
        self.assertIn(b"witness: its log cannot be written", status.stdout)
        before = [producer.rows for producer in producers]
        deadline = time.monotonic() + 30
        while not all(producer.rows > rows for producer, rows in zip(producers, before)):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(self.recorder.stop(), 0)
        since = len(self.recorder.read_log())
        self.recorder.start()
        lost = sum(int(event["rows"]) for event in log_events(self.recorder.read_log()[since:], "rows are in another log"))
        witness = producers.pop(1)
        witness.finish()
        deadline = time.monotonic() + 60
        sql = "SELECT count(), uniqExact(seq), max(seq) + 1 FROM witness"
        while (held := [int(value) for value in self.server.query(sql, database="test").split()]) != [witness.rows - lost] * 2 + [witness.rows]:
            self.assertLess(time.monotonic(), deadline, (held, lost, witness.rows))
            time.sleep(0.1)
        print(f"{lost} rows were in the removed log alone", file=sys.stderr)
        self.finish(producers)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become a user who is not")
    def test_unreadable(self):
        """Mode 0000, as another user than root sees it."""
        make(self)
        self.assertEqual(self.recorder.stop(), 0)
        home = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-hostile-"))
        self.addCleanup(shutil.rmtree, home)
        program = shutil.copy(self.recorder.build / "bin/coldpathd", home)
        for path in (home, self.recorder.work, self.recorder.region_root, *self.recorder.work.rglob("*"), *self.recorder.region.rglob("*"),
                     self.recorder.region):
            os.chown(path, NOBODY, NOBODY)
        os.chmod(self.ring(1), 0)
        since = len(self.recorder.read_log())
        with open(self.recorder.log, "ab") as log:
            process = subprocess.Popen([program, "--config", self.recorder.config], user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.recorder.process = process
        deadline = time.monotonic() + 20
        while 'msg="ready"' not in self.recorder.read_log()[since:] and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        self.assertIn('msg="ready"', self.recorder.read_log()[since:])
        self.assertEqual(set(self.broken(since)), {1})
        self.finish(self.producers())


class Resources(Host):
    def test_stopped_for_a_while(self):
        """SIGSTOP: rings fill up, producers wait; nobody is declared dead, and nothing is lost or repeated."""
        make(self)
        producers = self.producers()
        self.recorder.process.send_signal(signal.SIGSTOP)
        time.sleep(min(max(STOPPED_SECONDS, SECONDS if os.environ.get("CP_SECONDS") else 0), STOPPED_MOST))
        self.assertEqual(self.recorder.run("coldpath", "status").returncode, 2)  # unhealthy, and it answers
        self.assertEqual([table["producers"] for table in self.recorder.status()["tables"]], [1, 1, 1])
        self.recorder.process.send_signal(signal.SIGCONT)
        self.finish(producers)
        self.assertEqual(self.broken(), {})

    def test_no_descriptors(self):
        """Running: no connection can be made, the rows wait. Starting: it says so."""
        make(self)
        producers = self.producers()
        pid = self.recorder.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        self.server.end(signal.SIGKILL)
        self.server.args = ["--port", str(self.server.port)]
        self.server.start()
        time.sleep(2)
        self.assertIsNone(self.recorder.process.poll(), self.recorder.read_log()[-3000:])
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        self.finish(producers)
        done = subprocess.run(
            [self.recorder.build / "bin/coldpathd", "--config", self.recorder.config], capture_output=True, timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)))
        self.assertIn(done.returncode, (1, 69, 74), done.stderr)
        self.assertIn(b"Too many open files", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to mount a small tmpfs")
    def test_full_shared_memory(self):
        """Rings are sparse until a producer takes them: where there is no room for one, its producer hears of it, nobody else."""
        mount = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-tmpfs-"))
        self.addCleanup(mount.rmdir)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", mount], capture_output=True, check=False).returncode:
            self.skipTest("may not mount")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=True)
        make(self, region=mount)
        producers = self.producers()
        with open(mount / "rubbish", "wb") as file:
            try:
                while True:
                    file.write(bytes(65536))
                    file.flush()
            except OSError:
                pass
        done = self.recorder.run("coldpath", "put", "target", "--format", "CSV", input=b"")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"allocate", done.stderr)
        time.sleep(1)
        self.recorder.restart()  # what it writes to is allocated
        os.unlink(mount / "rubbish")
        self.assertEqual(self.recorder.run("coldpath", "put", "target", "--format", "CSV", input=b"").returncode, 0)
        self.finish(producers)

    def test_full_disk(self):
        """The disk of the logs: the critical table's rows stay in their ring, the log says so; nobody else waits; with room they arrive."""
        mount = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-tmpfs-"))
        self.addCleanup(mount.rmdir)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=26m", "tmpfs", mount], capture_output=True, check=False).returncode:
            self.skipTest("may not mount")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=True)
        make(self, start=False)
        self.recorder.settings["wal"] |= {"dir": str(mount), "segment_size": "4MiB"}
        self.recorder.write_config()
        self.recorder.start()
        producers = self.producers()
        self.server.end(signal.SIGKILL)  # what the log has stays there
        self.server.args += ["--port", str(self.server.port)]
        with open(mount / "rubbish", "wb") as file:
            try:
                while True:
                    file.write(bytes(65536))
                    file.flush()
            except OSError:
                pass
        rows = b"".join(b'filler,%d,1700000000000000000,1,0.25,"%s",,"[]",buy,2026-01-01,1\n' % (n, b"x" * 3000) for n in range(9000))
        done = self.recorder.run("coldpath", "put", "witness", "--format", "CSV", "--timeout", "2s", "--json", input=rows)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.wait_said('msg="the log is full" table=witness ')
        self.server.start()
        before = int(self.server.query("SELECT count() FROM bystander", database="test"))
        deadline = time.monotonic() + 30
        while int(self.server.query("SELECT count() FROM bystander", database="test")) <= before:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        os.unlink(mount / "rubbish")
        self.finish(producers)
        held = int(self.server.query("SELECT count() FROM witness WHERE who = 'filler'", database="test"))
        self.assertEqual(held, json.loads(done.stdout)["rows_put"])

    @unittest.skipIf(os.environ.get("COLDPATH_SANITIZE"), "the sanitizers want to be preloaded first")
    def test_clock_steps(self):
        """The wall clock goes back and ahead by hours, for the recorder alone: what it times is timed by another clock."""
        shift = tempfile.NamedTemporaryFile()
        self.addCleanup(shift.close)
        shift.write(bytes(8))
        shift.flush()
        make(self)
        self.recorder.stop()
        self.recorder.extra_environment = {"LD_PRELOAD": str(self.recorder.build / "lib/libclock_step.so"),
                                           "CLOCK_STEP_FILE": shift.name}
        self.recorder.start()
        self.recorder.extra_environment = {}
        producers = self.producers()
        for hours in (-5, 30 * 24, 0, -30 * 24):
            shift.seek(0)
            shift.write(struct.pack("<q", hours * 3600 * 1_000_000_000))
            shift.flush()
            before = [producer.rows for producer in producers]
            time.sleep(1)
            self.assertTrue(all(producer.rows > rows for producer, rows in zip(producers, before)))
            self.assertEqual([table["table"] for table in self.recorder.status()["tables"]], list(TABLES))
        self.finish(producers)
        self.assertIn(time.strftime("ts=%Y-%m-%d", time.gmtime(time.time() - 30 * 86400)), self.recorder.read_log())  # it was stepped


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
