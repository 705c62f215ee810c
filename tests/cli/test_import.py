"""`coldpath import` where there is no recorder: what it refuses, keeps and leaves, whatever its files, its disk and signals do.
With a recorder: tests/python/test_import.py."""
import json
import resource
import shutil
import signal
import sqlite3
import subprocess
import time

import support

DEADLINE_S = 60


class Import(support.Case):
    def setUp(self):
        super().setUp()
        self.init()

    def import_(self, *args, expect, **kwargs):
        done = self.coldpath("import", *args, "--json", **kwargs)
        self.assertEqual(done.returncode, expect, done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr.decode()

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def start(self, *args, **kwargs):
        process = subprocess.Popen([support.BIN / "coldpath", *args, "--config", self.config], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, **kwargs)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout.close(), process.stderr.close()))
        return process

    def staged(self, path):
        """(rows, settled spans) in a stage."""
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=DEADLINE_S) as db:
            return db.execute("SELECT (SELECT count(*) FROM coldpath_import_row), (SELECT count(settled_end) FROM "
                              "coldpath_import_span)").fetchone()

    def test_rows_of_another_file_of_the_name_are_rejected_too(self):
        """The stage was deleted, as an import says: what its quarantine holds is of other rows."""
        path = self.file("rows.jsonl", '{"id":"a"}\n{"id":"b"}\n')
        kept = self.directory / "rows.jsonl.quarantine.jsonl"
        self.assertEqual(self.import_("jsonl", "t", path, expect=1)["rows_quarantined"], 2)
        (self.directory / "rows.jsonl.coldpath-import").unlink()
        path.write_text('{"id":"c"}\n')
        self.assertEqual(self.import_("jsonl", "t", path, expect=1)["rows_quarantined"], 1)
        lines = [json.loads(line) for line in kept.read_text().splitlines()]
        self.assertEqual([line["payload"] for line in lines], ['{"id":"a"}', '{"id":"b"}', '{"id":"c"}'])

    def test_a_quarantine_of_somebody_else(self):
        path = self.file("rows.jsonl", '{"id":"a"}\n')
        for text in ('{"source":null,"id":1}', '{"import":1,"source":[],"id":{}}', "[]", "{", "null"):
            kept = self.file("kept.jsonl", text + "\n")
            self.assertEqual(self.import_("jsonl", "t", path, "--quarantine", kept, expect=1)["rows_quarantined"], 1, text)
            self.assertEqual(len(kept.read_text().splitlines()), 2, text)
            (self.directory / "rows.jsonl.coldpath-import").unlink()

    def test_a_quarantine_that_is_the_source(self):
        text = '{"id":"a"}\n{"id":"b"'
        path = self.file("rows.jsonl", text)
        (self.directory / "link").symlink_to(path)
        for kept in (path, self.directory / "link", self.directory / "rows.jsonl.coldpath-import"):
            self.assertIn("is the source or its stage", self.import_("jsonl", "t", path, "--quarantine", kept, expect=64))
        self.assertEqual(path.read_text(), text)

    def test_a_line_of_any_length(self):
        path = self.directory / "rows.jsonl"
        with open(path, "wb") as out:
            out.truncate(300 << 20)
            out.seek(0, 2)
            out.write(b'\n{"id":"a"}\n')
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.assertEqual(self.import_("jsonl", "t", path, expect=1)["rows_quarantined"], 2)
        after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.assertTrue(after < 200 << 10 or after == before, f"{after} KiB")
        lines = [json.loads(line) for line in (self.directory / "rows.jsonl.quarantine.jsonl").read_text().splitlines()]
        self.assertEqual([line["payload"] for line in lines], ["", '{"id":"a"}'])
        self.assertIn("314572800 bytes", lines[0]["error"])

    def test_a_signal_within_a_line_without_end(self):
        for args in (["put", "t", "/dev/zero"], ["import", "jsonl", "t", "/dev/zero", "--stage", self.directory / "stage",
                                                 "--quarantine", self.directory / "kept"]):
            process = self.start(*args)
            time.sleep(0.3)  # it should be in the middle; if not, it ends all the sooner
            process.send_signal(signal.SIGTERM)
            _, messages = process.communicate(timeout=DEADLINE_S)
            if process.returncode == -signal.SIGTERM:
                continue  # it had not come to its handler
            self.assertEqual(process.returncode, 1, messages)
            self.assertIn(b"stopped by a signal", messages)

    def test_a_disk_that_fills_up_while_rows_are_staged(self):
        """SQLite rolls all of it back then: how far the file was read must not be noted."""
        rows = 20000
        path = self.file("rows.jsonl", "".join('{"id":%d,"name":"%s"}\n' % (i, "x" * 200) for i in range(rows)))

        def little_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        answer = self.import_("jsonl", "t", path, expect=74, preexec_fn=little_room, restore_signals=False)
        self.assertIn("disk", answer["error"])
        answer = self.import_("jsonl", "t", path, "--timeout", "100ms", expect=1)  # nobody empties the ring
        self.assertEqual(answer["rows_staged"], rows)

    def test_a_region_that_is_deleted_before_rows_are_safe(self):
        path = self.file("rows.jsonl", '{"id":1}\n{"id":2}\n')
        stage = self.directory / "stage"
        process = self.start("import", "jsonl", "t", path, "--stage", stage, "--timeout", "4s")
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and process.poll() is None:
            if stage.exists() and stage.stat().st_size and (self.directory / "stage-wal").exists():
                try:
                    if self.staged(stage) == (2, 1):
                        break
                except sqlite3.OperationalError:  # its tables are being made
                    pass
            time.sleep(0.01)
        shutil.rmtree(self.region)
        _, messages = process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 1, messages)
        self.assertIn(b"not all are safe yet", messages)
        self.assertEqual(self.staged(stage), (2, 1))

    def test_a_region_that_ends_in_a_slash(self):
        path = self.directory / "writer.sqlite3"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT, payload TEXT)")
            db.execute("INSERT INTO queue (table_name, payload) VALUES ('test.t', '{')")
        done = self.run_program("coldpath", "import", "spool", path, "--json", "--region", f"{self.region}//")
        answer = json.loads(done.stdout)
        self.assertEqual((answer["rows_quarantined"], answer["rows_left"]), (1, 0), done.stderr)
