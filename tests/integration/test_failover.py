"""Two ClickHouse servers that know nothing of each other, each with a MergeTree of its own. The first one stores a batch, loses the
answer, and is away: nobody knows whether it has the batch. The batch waits for it, on disk; the rows behind it go to the second
one. When the first is back, each row is at one of the two, once: with the recorder alive throughout, killed meanwhile, and
killed between setting the batch aside and saying so. And what is set aside bears its own troubles: a table that its endpoint
lacks, a reload, a damaged file, a directory that has moved, an endpoint that a start does not name."""

import contextlib
import json
import pathlib
import re
import signal
import socket
import sys
import tempfile
import time
import unittest

from tests.support.chaos import NEVER, NOTHING, ChaosProxy, Fault, answer, exception
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

DDL = """CREATE TABLE orders (number UInt64, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree ORDER BY number SETTINGS non_replicated_deduplication_window = 1000"""
FIRST, MORE = 200, 100
WAIT_SECONDS = 20
LOST = Fault("lost", answer=answer(500, "gone"))
AWAY = Fault("away", NOTHING, answer(503, "busy"))


class Failover(unittest.TestCase):
    def wait(self, condition, recorder):
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end, recorder.read_log()[-4000:])
            time.sleep(0.02)

    def put(self, recorder, first, count):
        rows = "".join(f"{number}\n" for number in range(first, first + count)).encode()
        recorder.run("coldpath", "put", "orders", "--format", "csv", input=rows, check=True)

    def run_case(self, critical, killed):
        """killed: None, "later", or "between"."""
        with tempfile.TemporaryDirectory(prefix="coldpath-failover-") as directory, ChdbServer() as one, ChdbServer() as two, \
                ChaosProxy(one.port) as proxy:
            ddl = pathlib.Path(directory) / "orders.sql"
            ddl.write_text(DDL)
            two.query("CREATE DATABASE test")
            two.query(DDL.replace("TABLE orders", "TABLE test.orders"))
            table = {"ddl": str(ddl), "flush": {"interval": "50ms"}} | ({"class": "critical"} if critical else {})
            urls = {"url": [proxy.url, two.url], "retry_min": "10ms", "retry_max": "50ms", "failback_after": "1s"}
            with Recorder(proxy, {"orders": table}, extra={"clickhouse": urls}) as recorder:
                away = [False]

                def plan(request):
                    if away[0] or request.table is None:
                        return AWAY if away[0] else None
                    away[0] = True
                    return LOST

                if killed == "between":
                    recorder.stop()
                    recorder.extra_environment = {"COLDPATH_FAILPOINT": "batch.held"}
                    recorder.start()
                proxy.plan = plan
                self.put(recorder, 0, FIRST)
                if killed == "between":
                    self.wait(lambda: recorder.process.poll() is not None, recorder)
                    recorder.stop()
                    recorder.extra_environment = {}
                    recorder.start()
                status = lambda: recorder.status()["tables"][0]
                self.wait(lambda: status()["rows_held"] == FIRST, recorder)
                self.put(recorder, FIRST, MORE)
                self.wait(lambda: status()["rows_delivered"] == MORE, recorder)
                self.check_shown(recorder, proxy.url, two.url)
                if killed == "later":
                    recorder.stop(signal.SIGKILL)
                    recorder.start()
                    self.assertEqual(status()["rows_held"], FIRST)
                proxy.plan = None
                self.wait(lambda: status()["rows_delivered"] == FIRST + MORE, recorder)
                self.assertEqual((status()["rows_held"], recorder.status()["balanced"]), (0, True), recorder.status())
                held = lambda server: server.query("SELECT count(), uniqExact(number), min(number), max(number) FROM test.orders").split()
                self.assertEqual(held(one), [f"{FIRST}", f"{FIRST}", "0", f"{FIRST - 1}"])
                self.assertEqual(held(two), [f"{MORE}", f"{MORE}", f"{FIRST}", f"{FIRST + MORE - 1}"])
                self.wait(lambda: [e["role"] for e in recorder.status()["recorder"]["endpoints"]] == ["chosen", "standby"], recorder)

    def check_shown(self, recorder, first, second):
        endpoints = recorder.status()["recorder"]["endpoints"]
        self.assertEqual([(e["url"], e["role"], e["state"]) for e in endpoints],
                         [(first, "standby", "down"), (second, "chosen", "healthy")], endpoints)
        self.assertIn("busy", endpoints[0]["reason"])
        self.assertEqual((endpoints[0]["rows_held"], endpoints[0]["batches_held"]), (FIRST, 1))
        text = recorder.run("coldpath", "status").stdout.decode()
        self.assertIn(f"standby   {first} down for", text)
        self.assertIn("set aside for an endpoint that is away", text)

    def test_lossy(self):
        self.run_case(False, None)

    def test_critical(self):
        self.run_case(True, None)

    def test_killed_later(self):
        for critical in (False, True):
            with self.subTest(critical=critical):
                self.run_case(critical, "later")

    def test_killed_between(self):
        for critical in (False, True):
            with self.subTest(critical=critical):
                self.run_case(critical, "between")

SENT_SECONDS = 4  # both tables' first inserts are under way together for so long
GONE = Fault("gone", NOTHING, answer(500, "gone"))
NO_ANSWER = Fault("no answer", NOTHING, way=NEVER)
POISON = Fault("poison", NOTHING, answer(400, exception(117, "INCORRECT_DATA"), code=117))


class SetAside(unittest.TestCase):
    """A batch of each table is set aside for the first server, which has none of their rows."""

    wait, put = Failover.wait, Failover.put

    @contextlib.contextmanager
    def set_aside(self, *names):
        with tempfile.TemporaryDirectory(prefix="coldpath-failover-") as directory, ChdbServer() as one, ChdbServer() as two, \
                ChaosProxy(one.port) as proxy:
            two.query("CREATE DATABASE test")
            tables = {}
            for name in names:
                ddl = pathlib.Path(directory) / f"{name}.sql"
                ddl.write_text(DDL.replace("orders", name))
                two.query(DDL.replace("orders", f"test.{name}"))
                tables[name] = {"ddl": str(ddl), "flush": {"interval": "50ms"}}
            urls = {"url": [proxy.url, two.url], "retry_min": "10ms", "retry_max": "50ms", "failback_after": "1s",
                    "request_timeout": f"{SENT_SECONDS}s"}
            self.two, self.proxy = two, proxy
            with Recorder(proxy, tables, extra={"clickhouse": urls}) as recorder:
                seen = set()

                def plan(request):
                    if len(seen) == len(names) and (request.table is None or request.table in seen):
                        return AWAY
                    if request.table is None:
                        return None
                    seen.add(request.table)
                    return NO_ANSWER if len(names) > 1 else GONE

                proxy.plan = plan
                for name in names:
                    recorder.run("coldpath", "put", name, "--format", "csv", input=b"".join(b"%d\n" % n for n in range(FIRST)), check=True)
                self.wait(lambda: [self.table(recorder, name)["rows_held"] for name in names] == [FIRST] * len(names), recorder)
                yield recorder, one

    def table(self, recorder, name="orders"):
        return next(table for table in recorder.status()["tables"] if table["table"] == name)

    def settled(self, recorder, name="orders"):
        table = self.table(recorder, name)
        return table["rows_held"] == 0 and table["rows_delivered"] + table["rows_quarantined"] == FIRST

    def count(self, server, name="orders"):
        return server.query(f"SELECT count(), uniqExact(number) FROM test.{name}").split()

    def test_others_do_not_wait(self):
        with self.set_aside("orders", "fills") as (recorder, one):
            first = re.search(r"is set aside, until.* table=(\w+)", recorder.read_log()).group(1)  # and sent first
            other = "fills" if first == "orders" else "orders"
            one.query(f"RENAME TABLE test.{first} TO test.elsewhere")
            self.proxy.plan = None
            self.wait(lambda: self.settled(recorder, other), recorder)
            self.assertEqual(self.table(recorder, first)["rows_held"], FIRST)
            one.query(f"RENAME TABLE test.elsewhere TO test.{first}")
            self.wait(lambda: self.settled(recorder, first), recorder)
            self.assertEqual([self.count(one, name) for name in ("orders", "fills")], [[f"{FIRST}", f"{FIRST}"]] * 2)
            self.assertTrue(recorder.status()["balanced"])

    def test_reload_between_pieces(self):
        with self.set_aside("orders") as (recorder, one):
            refused = []

            def plan(request):
                if request.table:
                    refused.append(request)
                return POISON if request.table else None

            self.proxy.plan = plan
            for _ in range(3):
                sent = len(refused)
                self.wait(lambda: len(refused) > sent + 1 or self.settled(recorder), recorder)
                recorder.run("coldpath", "reload", check=True)
            self.proxy.plan = None
            self.wait(lambda: self.settled(recorder), recorder)
            self.assertGreater(len(refused), 1)
            self.assertEqual(self.count(one), [f"{self.table(recorder)['rows_delivered']}"] * 2)

    def test_a_file_that_cannot_be_read(self):
        with self.set_aside("orders") as (recorder, one):
            recorder.stop()
            file, = (recorder.work / "quarantine").rglob("*.held")
            whole = file.read_bytes()
            file.write_bytes(whole[:-8] + bytes(8 * [0xa5]))
            recorder.start()
            self.assertEqual((self.table(recorder)["rows_held"], self.table(recorder)["rows_delivered"]), (FIRST, 0))
            recorder.stop()
            file.write_bytes(whole)
            recorder.settings["quarantine"]["dir"] = str(recorder.work / "other")
            recorder.write_config()
            recorder.start()
            self.assertEqual((self.table(recorder)["rows_held"], self.table(recorder)["rows_delivered"]), (FIRST, 0))
            self.assertIn("rows that were set aside are not there", recorder.read_log())
            recorder.stop()
            recorder.settings["quarantine"]["dir"] = str(recorder.work / "quarantine")
            recorder.write_config()
            recorder.start()
            self.proxy.plan = None
            self.wait(lambda: self.settled(recorder), recorder)
            self.assertEqual(self.count(one), [f"{FIRST}", f"{FIRST}"])

    def test_moved_and_another(self):
        """What is set aside in a directory that the configuration no longer names counts as nothing else, though the new one has a
        batch, too."""
        with self.set_aside("orders") as (recorder, one):
            first = recorder.settings["quarantine"]["dir"]

            def move(directory):
                recorder.stop()
                recorder.settings["quarantine"]["dir"] = directory
                recorder.write_config()
                recorder.start()

            move(str(recorder.work / "other"))
            self.proxy.plan = None
            first_of = lambda: recorder.status()["recorder"]["endpoints"][0]
            self.wait(lambda: (first_of()["role"], first_of()["state"]) == ("chosen", "healthy"), recorder)
            lost = []

            def plan(request):
                if lost or request.table is None:
                    return AWAY if lost else None
                lost.append(request)
                return GONE

            self.proxy.plan = plan
            self.put(recorder, FIRST, MORE)
            self.wait(lambda: self.table(recorder)["rows_held"] == FIRST + MORE, recorder)
            move(str(recorder.work / "other"))
            self.assertEqual((self.table(recorder)["rows_held"], self.table(recorder)["rows_delivered"]), (FIRST + MORE, 0))
            self.assertIn("rows that were set aside are not there", recorder.read_log())
            self.proxy.plan = None
            self.wait(lambda: self.table(recorder)["rows_delivered"] == MORE, recorder)
            move(first)
            self.wait(lambda: self.table(recorder)["rows_delivered"] == FIRST + MORE, recorder)
            self.assertEqual((self.table(recorder)["rows_held"], recorder.status()["balanced"]), (0, True))
            self.assertEqual(self.count(one), [f"{FIRST + MORE}"] * 2)

    def test_another_form_and_killed_before_the_account(self):
        with self.set_aside("orders") as (recorder, one):
            recorder.stop()
            ddl = pathlib.Path(recorder.settings["tables"]["orders"]["ddl"])
            ddl.write_text(DDL.replace("number UInt64", "number UInt64, price Float64"))
            with self.assertRaisesRegex(RuntimeError, f"{FIRST} rows of its old form are set aside"):
                recorder.start()
            recorder.stop()
            ddl.write_text(DDL)
            one.query("ALTER TABLE test.orders ADD CONSTRAINT sound CHECK number != 5")
            recorder.extra_environment = {"COLDPATH_FAILPOINT": "held.settled"}
            recorder.start()
            self.proxy.plan = None
            self.wait(lambda: recorder.process.poll() is not None, recorder)
            recorder.stop()
            recorder.extra_environment = {}
            held = recorder.work / "quarantine"
            self.assertEqual([len(list(held.rglob(f"*.held{end}"))) for end in ("", ".settled")], [0, 1])
            recorder.start()
            table = self.table(recorder)
            self.assertEqual((table["rows_held"], table["rows_delivered"], table["rows_quarantined"]), (0, FIRST - 1, 1))
            self.assertEqual(list(held.rglob("*.held*")), [])
            self.assertEqual(self.count(one), [f"{FIRST - 1}", f"{FIRST - 1}"])
            self.assertTrue(recorder.status()["balanced"])

    def test_in_pieces(self):
        """The server refuses a row, and is away when it has half of the batch; the other half waits for it, and the table does not.
        The bad row goes to the quarantine, before or after."""
        sound = DDL.replace("_cp_position UInt64)", "_cp_position UInt64, CONSTRAINT sound CHECK number != 1000)")
        with ChdbServer() as one, ChdbServer() as two:
            for server in (one, two):
                server.query("CREATE DATABASE test")
            for critical, bad in ((False, 150), (True, 20)):
                with self.subTest(critical=critical):
                    for server in (one, two):
                        server.query("DROP TABLE IF EXISTS test.orders SYNC")
                        server.query(sound.replace("TABLE orders", "TABLE test.orders"))
                    self.run_in_pieces(critical, bad, one, two)

    def run_in_pieces(self, critical, bad, one, two):
        with tempfile.TemporaryDirectory(prefix="coldpath-failover-") as directory, ChaosProxy(one.port) as proxy:
            ddl = pathlib.Path(directory) / "orders.sql"
            ddl.write_text(DDL)
            table = {"ddl": str(ddl), "flush": {"interval": "50ms"}} | ({"class": "critical"} if critical else {})
            urls = {"url": [proxy.url, two.url], "retry_min": "10ms", "retry_max": "50ms", "failback_after": "1s"}
            with Recorder(proxy, {"orders": table}, extra={"clickhouse": urls}) as recorder:
                sent = []

                def plan(request):
                    if request.table:
                        sent.append(request)
                    # The whole batch is refused, a half or so taken, then the answer to the piece behind it is lost.
                    if len(sent) < 3:
                        return None
                    return LOST if request.table and len(sent) == 3 else AWAY

                proxy.plan = plan
                numbers = [n if n != bad else 1000 for n in range(FIRST)]
                recorder.run("coldpath", "put", "orders", "--format", "csv", input="".join(f"{n}\n" for n in numbers).encode(),
                             check=True)
                table = lambda: recorder.status()["tables"][0]
                self.wait(lambda: table()["rows_held"] > 0, recorder)
                held = table()["rows_held"]
                self.assertLess(held, FIRST)
                self.put(recorder, FIRST, MORE)
                self.wait(lambda: table()["rows_delivered"] + table()["rows_quarantined"] == FIRST - held + MORE, recorder)
                recorder.stop(signal.SIGKILL)
                recorder.start()
                self.assertEqual(table()["rows_held"], held)
                proxy.plan = None
                self.wait(lambda: table()["rows_held"] == 0, recorder)
                self.assertEqual((table()["rows_delivered"], table()["rows_quarantined"]), (FIRST + MORE - 1, 1))
                self.assertTrue(recorder.status()["balanced"], recorder.status())
                count = lambda server: server.query("SELECT count(), uniqExact(number) FROM test.orders").split()
                self.assertEqual((count(one), count(two)), ([f"{FIRST - 1}"] * 2, [f"{MORE}"] * 2))

    def test_a_start_names_the_endpoint(self):
        with self.set_aside("orders") as (recorder, _), ChdbServer() as three:
            three.query("CREATE DATABASE test")
            three.query(DDL.replace("orders", "test.orders"))
            recorder.stop()
            recorder.settings["clickhouse"]["url"] = [self.two.url, three.url]
            recorder.write_config()
            with self.assertRaisesRegex(RuntimeError, "clickhouse.url does not name"):
                recorder.start()
            recorder.stop()
            recorder.settings["clickhouse"]["abandoned"] = [self.proxy.url]
            recorder.write_config()
            recorder.start()
            self.wait(lambda: self.settled(recorder), recorder)
            self.assertEqual(self.count(self.two), [f"{FIRST}", f"{FIRST}"])


class ReadingVerbs(unittest.TestCase):
    """The first endpoint cannot be reached, or takes connections and says nothing: what only reads asks the next one and says so,
    what may write does not."""

    DDL = DDL.replace("(number UInt64,", "(number UInt64, day Date,")

    def test_ask_the_next(self):
        with tempfile.TemporaryDirectory(prefix="coldpath-failover-") as directory, ChdbServer() as server, \
                socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as silent:
            closed.bind(("127.0.0.1", 0))  # a port that refuses, and is nobody else's
            refusing, mute = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in (closed, silent))
            ddl = pathlib.Path(directory) / "orders.sql"
            ddl.write_text(self.DDL)
            server.query("CREATE DATABASE test")
            server.query(self.DDL.replace("TABLE orders", "TABLE test.orders"))
            urls = {"url": [refusing, server.url], "retry_min": "10ms", "retry_max": "50ms"}
            with Recorder(server, {"orders": {"ddl": str(ddl), "flush": {"interval": "50ms"}}}, extra={"clickhouse": urls}, init=False) as recorder:
                rows = "".join(f"{number},2026-02-25\n" for number in range(FIRST)).encode()
                recorder.run("coldpath", "put", "orders", "--format", "csv", input=rows, check=True)
                recorder.wait_delivered()
                note = f"coldpath: asking {server.url}, the next of clickhouse.url: ClickHouse at {refusing}: "

                def ask(*arguments, said=1):
                    done = recorder.run("coldpath", *arguments)
                    text = done.stderr.decode()
                    self.assertEqual((done.returncode, text.count(note), text.count("\n")), (0, said, said), text)
                    return done.stdout.decode()

                self.assertEqual(ask("query", "SELECT count() FROM orders FORMAT TSV"), f"{FIRST}\n")
                self.assertEqual(json.loads(ask("query", "SELECT 1 AS one", "--json"))["result"]["rows"], 1)
                self.assertEqual(json.loads(ask("latest", "orders", "--by", "day"))["day"], "2026-02-25")
                exported = json.loads(ask("export", "orders", "--from", "2026-02-25", "--dir", f"{directory}/days", "--json"))
                self.assertEqual((exported["rows_written"], exported["error"]), (FIRST, None), exported)
                self.assertTrue(json.loads(ask("audit", "--json"))["equal"])
                self.assertTrue(json.loads(ask("schema", "diff", "--json"))["equal"])
                for arguments in (("query", "INSERT INTO orders (number) VALUES (1)"), ("schema", "apply"), ("init",), ("maintain",)):
                    done = recorder.run("coldpath", *arguments)
                    self.assertNotEqual(done.returncode, 0, arguments)
                    self.assertNotIn("asking", done.stderr.decode())
                    if arguments[0] != "query":
                        self.assertIn(f"COLDPATH_CLICKHOUSE__URL={server.url} coldpath {' '.join(arguments)}\n", done.stderr.decode())
                checks = json.loads(recorder.run("coldpath", "doctor", "--json").stdout)["checks"]
                found = [(check["verdict"], check["found"]) for check in checks if check["check"] == "ClickHouse"]
                self.assertEqual([verdict for verdict, _ in found], ["wrong", "ok"], found)
                self.assertIn(refusing, found[0][1])
                self.assertIn(server.url, found[1][1])
                self.assertEqual([check["verdict"] for check in checks if check["check"] == "schema"], ["ok"])
                recorder.settings["clickhouse"] |= {"url": [mute, refusing, server.url], "connect_timeout": "1s"}
                recorder.write_config()
                text = recorder.run("coldpath", "query", "SELECT count() FROM orders FORMAT TSV", check=True)
                self.assertEqual(text.stdout.decode(), f"{FIRST}\n")
                self.assertRegex(text.stderr.decode(), f"asking {refusing}, .* at {mute}: .*\n.*asking {server.url}, .* at {refusing}: ")
                recorder.settings["clickhouse"]["url"] = [server.url, refusing]
                recorder.write_config()
                ask("query", "SELECT 1", said=0)
                recorder.settings["clickhouse"]["url"] = [refusing, "http://127.0.0.1:1"]  # none answers
                recorder.write_config()
                done = recorder.run("coldpath", "query", "SELECT 1")
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr.decode(), f"asking http://127.0.0.1:1, .* at {refusing}: .*\ncoldpath: ClickHouse at http://127.0.0.1:1: ")


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
