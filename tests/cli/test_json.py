"""What every verb says under --json, and the monitor over HTTP, against the schemas in docs/schemas: a change of shape is seen.

A recorder is taken through its life, and every verb asked on the way. The schemas name every member and allow no other; a member
that is missing, new, or of another type fails. Skipped (77) without the embedded engine or python3-jsonschema."""

import json
import pathlib
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present
from tests.support.recorder import Recorder

try:
    import jsonschema
except ImportError:
    jsonschema = None

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "docs/schemas"
DDL = """CREATE TABLE {name} (id UInt64, at DateTime, price Int64, note String, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree PARTITION BY toYYYYMMDD(at) ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"""
DAY = "2026-01-02"
FAST = {"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}, "monitor": {"listen": "127.0.0.1:0"}}
NO_JSON = {"completion"}  # a script, whatever is asked for


def rows(first, count, price=1):
    return "".join(f'{{"id":{first + i},"at":"{DAY} 03:04:05","price":{price},"note":"n"}}\n' for i in range(count)).encode()


class Answers:
    """Runs programs, and keeps what they answer by its kind: "status", "wal ls"."""

    def __init__(self, recorder):
        self.recorder = recorder
        self.seen = {}  # kind -> documents

    def take(self, kind, text):
        text = text.decode().strip()
        if not text:
            raise AssertionError(f"{kind}: no answer")
        while text:  # one document, or one after the other
            document, end = json.JSONDecoder().raw_decode(text)
            self.seen.setdefault(kind, []).append(document)
            text = text[end:].lstrip()

    def ask(self, kind, *args, codes=(0,), **kwargs):
        done = self.recorder.run("coldpath", *kind.split(), *args, "--json", **kwargs)
        if done.returncode not in codes:
            raise AssertionError(f"{kind} {args}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
        self.take(kind, done.stdout)

    def fetch(self, kind, url):
        with urllib.request.urlopen(url, timeout=10) as answer:
            self.take(kind, answer.read())


def look(answers, *codes):
    """Whatever state the recorder is in."""
    for kind, *args in (("status",), ("stat", "-n", "2", "-i", "50ms"), ("stat", "--raw", "-n", "1"), ("top", "--once"), ("tables",),
                        ("doctor",)):
        answers.ask(kind, *args, codes=codes)


def before_start(answers, server):
    answers.ask("help")
    for options in ((), ("--values",), ("--origin",)):
        answers.ask("check", *options)
    answers.ask("check", answers.recorder.config, answers.recorder.config, codes=(2,))
    answers.ask("check", "--config", "/nonexistent", codes=(78,))
    answers.ask("init")
    answers.ask("init")
    answers.ask("bench put", "--seconds", "1", "--rounds", "1", codes=(0, 1))
    answers.ask("bench encode", "--seconds", "1", "--rounds", "1", "--rows", "1000")
    for kind in ("bench ship", "bench e2e"):
        answers.ask(kind, "--rounds", "1", "--rows", "2000", "--url", server.url)
    answers.ask("bench wal", "--seconds", "1", "--rounds", "1", "--dir", answers.recorder.work)
    answers.ask("bench recover", "--size", "64", "--rounds", "1", "--dir", answers.recorder.work)
    look(answers, 0, 2, 69)


def while_it_runs(answers, server):
    recorder = answers.recorder
    for table in ("lossy", "critical"):
        answers.ask("put", table, input=rows(0, 100))
        answers.ask("put", table, input=b'{"id":"wrong"}\n' + rows(100, 1), codes=(1,))
    answers.ask("flush", "--wait")
    source = recorder.work / "more.jsonl"
    source.write_bytes(rows(200, 10))
    answers.ask("import jsonl", "lossy", source)
    look(answers, 0, 2)
    for kind, *args in (("audit",), ("query", "SELECT id FROM lossy LIMIT 2"), ("latest", "lossy", "--by", "id"), ("reload",),
                        ("export", "lossy", "--from", DAY, "--dir", recorder.work / "days"), ("schema show", "lossy"), ("schema gen", "lossy"),
                        ("wal ls",), ("wal verify",), ("wal dump", "critical", "--range", "1-"), ("quarantine ls",)):
        answers.ask(kind, *args)
    for kind, *args in (("pause", "lossy"), ("resume", "all"), ("degrade", "lossy", "auto"), ("rotate",)):
        answers.ask(kind, *args)
    server.query("ALTER TABLE test.lossy DROP COLUMN note")
    answers.ask("schema diff", codes=(2,))
    answers.ask("audit", codes=(0, 2))
    answers.ask("schema apply", "--dry-run")
    answers.ask("schema apply")
    answers.ask("maintain", codes=(0, 2))
    quarantined(answers, server)
    address = recorder.read_log().split('msg="monitor" url=')[1].split("/\n")[0].split()[0].rstrip("/")
    time.sleep(1.2)  # a point of history
    answers.fetch("api status", address + "/api/v1/status")
    answers.fetch("api history", address + "/api/v1/history")


def quarantined(answers, server):
    server.query("ALTER TABLE test.lossy ADD CONSTRAINT sound CHECK price > 0")
    answers.ask("put", "lossy", input=rows(300, 2, price=-1) + rows(302, 100))
    answers.recorder.wait_delivered()
    for kind, args, codes in (("quarantine ls", (), (0,)), ("quarantine show", ("lossy",), (0,)), ("quarantine retry", ("lossy",), (1,)),
                              ("quarantine drop", ("lossy", "--yes", "--confirm=lossy"), (0,))):
        answers.ask(kind, *args, codes=codes)
    server.query("ALTER TABLE test.lossy DROP CONSTRAINT sound")


def in_trouble(answers, server):
    """A parked table, then no recorder: rows wait in the log and in the ring."""
    server.query("RENAME TABLE test.critical TO test.away")
    answers.ask("put", "critical", input=rows(400, 100))
    deadline = time.monotonic() + 30
    while not answers.recorder.status()["tables"][1]["parked"]:
        if time.monotonic() > deadline:
            raise AssertionError("not parked")
        time.sleep(0.1)
    # Behind the batch that is under way.
    answers.ask("put", "critical", input=rows(600, 100))
    while answers.recorder.status()["tables"][1]["rows_in_log"] < 200:
        if time.monotonic() > deadline:
            raise AssertionError("not in the log")
        time.sleep(0.1)
    look(answers, 0, 2)
    answers.recorder.stop()
    answers.ask("put", "lossy", input=rows(500, 10))
    look(answers, 0, 2, 69)
    answers.ask("tail", "lossy", "--waiting", "-n", "10")
    answers.ask("latency")
    answers.ask("wal dump", "critical")
    answers.ask("errors")
    server.query("RENAME TABLE test.away TO test.critical")
    answers.ask("wal repair", "critical")
    answers.ask("wal ls")
    last = answers.seen["wal ls"][-1]["tables"][0]["end_lsn"]
    answers.ask("purge", "critical", "--range", f"{last}-{last}", codes=(2,))
    answers.ask("replay", "--offline")
    monitor = answers.recorder.popen("coldpath", "monitor", "--listen", "127.0.0.1:0", "--json", stdout=subprocess.PIPE)
    try:
        answers.take("monitor", monitor.stdout.readline())
    finally:
        monitor.terminate()
        monitor.wait(20)
        monitor.stdout.close()


class Json(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)
        cls.recorder = Recorder(cls.server, {}, extra=FAST | {"wal": {}}, init=False)
        cls.addClassCleanup(cls.recorder.close)
        for name in ("lossy", "critical"):
            ddl = cls.recorder.work / f"{name}.sql"
            ddl.write_text(DDL.format(name=name))
            cls.recorder.settings["tables"][name] = {"ddl": str(ddl), "class": name, "flush": {"interval": "20ms"}}
        cls.recorder.settings["tables"]["recorder_canary"] = {"ring_size": "64KiB", "slots": 1, "flush": {"interval": "20ms"}}
        cls.recorder.settings["wal"] = {"dir": str(cls.recorder.work / "wal"), "segment_size": "8MiB"}
        cls.recorder.write_config()
        cls.answers = Answers(cls.recorder)
        before_start(cls.answers, cls.server)
        cls.recorder.start()
        while_it_runs(cls.answers, cls.server)
        in_trouble(cls.answers, cls.server)

    def test_every_verb(self):
        """A verb that is new needs a schema, and to be asked here."""
        listed = subprocess.run([build_dir() / "bin/coldpath", "help", "--json"], capture_output=True, timeout=30, check=True).stdout
        verbs = {verb["name"] for verb in json.loads(listed)["verbs"]}
        self.assertEqual(verbs - {kind.split()[0] for kind in self.answers.seen}, NO_JSON)
        self.assertEqual({path.stem for path in SCHEMAS.glob("*.json")}, {kind.replace(" ", "-") for kind in self.answers.seen})

    def test_shapes(self):
        for kind, documents in self.answers.seen.items():
            schema = json.loads((SCHEMAS / f"{kind.replace(' ', '-')}.json").read_text())
            jsonschema.Draft202012Validator.check_schema(schema)
            validator = jsonschema.Draft202012Validator(schema)
            for document in documents:
                with self.subTest(kind=kind):
                    problems = [f"{'/'.join(map(str, problem.path))}: {problem.message}" for problem in validator.iter_errors(document)]
                    self.assertEqual(problems[:5], [], kind)


if __name__ == "__main__":
    if not engine_present() or not jsonschema:
        print("skipped: the embedded engine or python3-jsonschema is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
