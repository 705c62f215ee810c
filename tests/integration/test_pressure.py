"""Lossy tables under pressure. Rows are taken out of a full ring early, while ClickHouse is away: the producer goes on, the
account balances throughout, and what was taken arrives once when ClickHouse returns; a recorder that is killed meanwhile
loses exactly what status called at risk, and its successor books it as dropped. $CP_SEED."""

import json
import os
import random
import signal
import sys
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SEED = int(os.environ.get("CP_SEED") or time.time_ns() & 0xFFFFFFFF)
RING = 256 * 1024
RING_ROWS = RING // 112  # a record of put_quotes takes at least this
POOL = {"recorder": {"memory_limit": "16MiB", "stop_timeout": "1s"},
        "clickhouse": {"retry_min": "20ms", "retry_max": "200ms", "connect_timeout": "200ms"}}
QUOTES = {"ring_size": "256KiB", "slots": 2, "flush": {"interval": "50ms"}}


def put_quotes(recorder, seconds, rate=0, rows=""):
    return recorder.popen("put_quotes", recorder.region, seconds, rate, *([rows] if rows else []), stdout=-1, text=True)


def result_of(producer):
    out, _ = producer.communicate(timeout=120)
    return json.loads(out)


class World(unittest.TestCase):
    POOL = POOL

    def setUp(self):
        self.server = ChdbServer().start()
        self.server.args += ["--port", str(self.server.port)]  # it comes back where it was
        self.addCleanup(self.server.stop)

    def record(self, tables):
        recorder = Recorder(self.server, tables, extra=self.POOL)
        self.addCleanup(recorder.close)
        return recorder.__enter__()

    def table(self, recorder, name="quotes"):
        status = recorder.status()
        self.assertTrue(status["balanced"], status)
        return next(table for table in status["tables"] if table["table"] == name)

    def held(self, table="quotes"):
        """Rows in ClickHouse, and how many of them are not there twice."""
        return tuple(int(n) for n in self.server.query(
            f"SELECT count(), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM test.{table}").split())


class EarlyRelease(World):
    def fill(self, recorder):
        """With ClickHouse away, puts until the recorder's memory and the ring are full; what the producer said."""
        producer = put_quotes(recorder, 3)
        while producer.poll() is None:
            self.table(recorder)  # balances
            time.sleep(0.05)
        result = result_of(producer)
        self.assertGreater(result["quotes"], 5 * RING_ROWS)
        self.assertGreater(result["refused"], 0)
        return result

    def test_outage_is_survived_in_memory(self):
        recorder = self.record({"quotes": QUOTES})
        self.server.end()
        put = self.fill(recorder)["quotes"]
        table = self.table(recorder)
        self.assertEqual((table["rows_put"], table["rows_delivered"], table["rows_dropped"]), (put, 0, 0))
        self.assertGreater(table["rows_at_risk"], 3 * RING_ROWS)
        self.assertEqual(table["rows_at_risk"] + table["rows_in_ring"], put)
        self.assertEqual([(at["slot"], at["from_position"], at["rows"]) for at in table["at_risk"]],
                         [(0, 0, table["rows_at_risk"])])
        self.assertIn('msg="rows are taken out early" table=quotes slot=0 from_position=0', recorder.read_log())
        self.server.start()
        table = recorder.wait_delivered()["tables"][0]
        self.assertEqual((table["rows_delivered"], table["rows_dropped"], table["at_risk"]), (put, 0, []))
        self.assertEqual(self.held(), (put, put))
        self.assertIn('msg="every row taken out early is delivered" table=quotes slot=0', recorder.read_log())

    def test_a_stop_beside_a_producer_loses_nothing(self):
        """What is put while the recorder stops stays in the ring: nothing more is taken out early."""
        recorder = self.record({"quotes": {**QUOTES, "ring_size": "64KiB", "row_max": "4KiB"}})
        producer = put_quotes(recorder, 6)
        for _ in range(4):
            time.sleep(0.5)
            self.assertEqual(recorder.stop(), 0)
            recorder.start()
        put = result_of(producer)["quotes"]
        table = recorder.wait_delivered()["tables"][0]
        self.assertIn("rows are taken out early", recorder.read_log())  # or it shows nothing
        self.assertEqual((table["rows_put"], table["rows_delivered"], table["rows_dropped"]), (put, put, 0))
        self.assertEqual(self.held(), (put, put))

    def test_kill_loses_what_was_at_risk(self):
        recorder = self.record({"quotes": QUOTES})
        self.server.end()
        put = self.fill(recorder)["quotes"]
        at_risk = self.table(recorder)["rows_at_risk"]
        recorder.stop(signal.SIGKILL)
        self.server.start()
        recorder.start()
        table = recorder.wait_delivered()["tables"][0]
        self.assertEqual((table["rows_put"], table["rows_dropped"], table["rows_delivered"]), (put, at_risk, put - at_risk))
        self.assertEqual(self.held(), (put - at_risk, put - at_risk))
        self.assertIn('msg="rows taken out early are lost" table=quotes slot=0 position_from=0', recorder.read_log())
        self.assertIn(f"rows={at_risk} counted=dropped", recorder.read_log())

    def test_stop_says_what_it_loses(self):
        recorder = self.record({"quotes": QUOTES})
        self.server.end()
        put = self.fill(recorder)["quotes"]
        at_risk = self.table(recorder)["rows_at_risk"]
        recorder.stop()
        self.assertIn(f"rows_lost={at_risk} ", recorder.read_log())
        table = self.table(recorder)
        self.assertEqual((table["rows_dropped"], table["rows_in_ring"], table["rows_at_risk"]), (at_risk, put - at_risk, 0))

    def test_early_release_can_be_off(self):
        recorder = self.record({"quotes": QUOTES | {"pressure": {"early_release": "off"}}})
        self.server.end()
        put = result_of(put_quotes(recorder, 1))["quotes"]
        self.assertLess(put, 1.1 * RING / 104)
        self.assertEqual(self.table(recorder)["rows_at_risk"], 0)
        recorder.stop(signal.SIGKILL)
        self.server.start()
        recorder.start()
        self.assertEqual(recorder.wait_delivered()["tables"][0]["rows_delivered"], put)
        self.assertEqual(self.held(), (put, put))

    def test_kills_under_pressure(self):
        """Flat out, ClickHouse up, the recorder killed again and again: what arrived and what was dropped is what was put, but
        for batches whose answer nobody heard, and nothing that was taken out early comes twice."""
        chance = random.Random(SEED)
        print(f"seed: CP_SEED={SEED}", file=sys.stderr)
        recorder = self.record({"quotes": QUOTES})
        producer = put_quotes(recorder, 8)
        while producer.poll() is None:
            time.sleep(chance.uniform(0.05, 0.6))
            recorder.stop(signal.SIGKILL)
            recorder.start()
        put = result_of(producer)["quotes"]
        table = recorder.wait_delivered()["tables"][0]
        self.assertEqual(table["rows_put"], put)
        self.assertEqual(table["rows_delivered"] + table["rows_dropped"], put)
        held, distinct = self.held()
        in_doubt = table["rows_doubtful"]
        print(f"put {put}, delivered {table['rows_delivered']}, dropped {table['rows_dropped']}, held {held},"
              f" in doubt {in_doubt}", file=sys.stderr)
        self.assertGreaterEqual(distinct, table["rows_delivered"])
        self.assertLessEqual(distinct, table["rows_delivered"] + in_doubt)
        self.assertLessEqual(held - distinct, in_doubt)
        audit = recorder.run("coldpath", "audit")
        if held == distinct:
            self.assertEqual(audit.returncode, 0, audit.stdout.decode())
        if not in_doubt:
            self.assertEqual(held, table["rows_delivered"])
            self.assertEqual(held, distinct)


class Ladder(World):
    POOL = POOL | {"recorder": {"memory_limit": "32MiB", "stop_timeout": "1s"}}
    LADDER = {"key": ["symbol", "venue"], "value": ["bid_px", "bid_qty", "ask_px", "ask_qty"], "dwell": "20ms", "calm": "300ms",
              "interval_min": "20ms", "interval_max": "500ms"}

    def tables(self, **pressure):
        return {"quotes": {"ring_size": "1MiB", "slots": 2, "flush": {"interval": "50ms"}, "pressure": self.LADDER | pressure},
                "trades": {"class": "critical", "ring_size": "1MiB", "wal_limit": "64MiB", "flush": {"interval": "50ms"}},
                "recorder_events": {"ring_size": "64KiB", "slots": 1, "flush": {"interval": "50ms"}}}

    def outage(self, recorder, rate):
        """A second with ClickHouse, four without, and what comes after; what the producer said, and quotes in the end."""
        producer = put_quotes(recorder, 6, rate)
        time.sleep(1)
        self.server.end(signal.SIGKILL)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            self.table(recorder)  # balances
            time.sleep(0.1)
        self.server.start()
        result = result_of(producer)
        deadline = time.monotonic() + 60
        while self.table(recorder)["pressure"] > 0:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        recorder.wait_delivered()
        time.sleep(1.2)
        recorder.wait_delivered()  # the last events
        table = self.table(recorder)
        self.assertEqual(table["rows_put"], result["quotes"])
        self.assertEqual(table["rows_delivered"] + table["rows_suppressed"] + table["rows_dropped"], result["quotes"])
        self.assertEqual(self.held(), (table["rows_delivered"],) * 2)
        trades = self.table(recorder, "trades")
        self.assertEqual((trades["rows_put"], trades["rows_delivered"], trades["pressure"]), (result["trades"], result["trades"], 0))
        self.assertEqual(self.held("trades"), (result["trades"],) * 2)
        self.check_events(table)
        audit = recorder.run("coldpath", "audit")
        self.assertEqual(audit.returncode, 0, audit.stdout.decode())
        return result, table

    def show(self, result, table):
        shown = {key: table[key] for key in ("rows_put", "rows_delivered", "rows_suppressed", "rows_dropped", "pressure_changes",
                                             "suppress_s", "conflate_s", "drop_s")}
        print({key: result[key] for key in result if key != "last"} | shown, file=sys.stderr)

    def check_events(self, table):
        """The steps of the ladder follow on each other from 0 to 0; what they cost is what the ledger says."""
        steps = [tuple(map(int, line.split("\t"))) for line in self.server.query(
            "SELECT level_from, level_to FROM test.recorder_events WHERE event = 'level' AND `table` = 'quotes'"
            " ORDER BY ts FORMAT TSV").splitlines()]
        self.assertEqual(len(steps), table["pressure_changes"])
        self.assertEqual([a for a, _ in steps], [0] + [b for _, b in steps[:-1]])
        self.assertEqual(steps[-1][1], 0)
        for event, rows in (("suppressed", table["rows_suppressed"]), ("dropped", table["rows_dropped"])):
            self.assertEqual(int(self.server.query(f"SELECT sum(`rows`) FROM test.recorder_events WHERE event = '{event}'")),
                             rows, event)
        outside = self.server.query(
            "SELECT count() FROM test.recorder_events WHERE event IN ('suppressed', 'dropped') AND (position_from >= position_to"
            " OR ring_epoch NOT IN (SELECT _cp_epoch FROM test.quotes))")
        self.assertEqual(int(outside), 0)

    def check_latest(self, result):
        """Of every symbol ClickHouse has the last state."""
        rows = self.server.query("SELECT symbol, toInt64(argMax(bid_px, update_id)) FROM test.quotes GROUP BY symbol"
                                 " FORMAT TSV").splitlines()
        held = {symbol: int(price) for symbol, price in (row.split("\t") for row in rows)}
        self.assertEqual(held, {symbol: price // 10**8 for symbol, price in result["last"].items() if price})

    def test_rungs_one_and_two(self):
        recorder = self.record(self.tables(rungs=["suppress", "conflate"]))
        result, table = self.outage(recorder, 200000)
        self.show(result, table)
        self.assertGreater(table["rows_suppressed"], result["quotes"] // 4)
        self.assertEqual(table["rows_dropped"], 0)
        self.assertEqual(table["unkeyed_rows"], 0)
        self.assertGreater(table["conflate_s"], 0)
        self.assertGreater(result["levels"][1], 0)
        self.assertGreater(result["levels"][2], 0)
        self.assertLess(result["refused"], result["quotes"] / 10)  # while the ladder is climbed
        self.check_latest(result)

    def test_rung_three(self):
        recorder = self.record(self.tables(rungs="drop"))
        result, table = self.outage(recorder, 100000)
        self.show(result, table)
        self.assertEqual(table["rows_suppressed"], 0)
        self.assertGreater(table["rows_dropped"], 0)
        self.assertGreater(table["drop_s"], 0)
        self.assertLess(result["refused"], result["quotes"] / 10)  # while the ladder is climbed
        self.check_latest(result)  # the newest are there
        self.assertIn('msg="oldest rows dropped" table=quotes slot=0', recorder.read_log())

    def test_all_rungs_and_kills(self):
        """The recorder is killed on the ladder: the account balances, what is lost is an event."""
        chance = random.Random(SEED)
        recorder = self.record(self.tables(rungs=["suppress", "conflate", "drop"]))
        producer = put_quotes(recorder, 8, 150000)
        time.sleep(0.5)
        self.server.end(signal.SIGKILL)
        for _ in range(4):
            time.sleep(chance.uniform(0.3, 1.5))
            recorder.stop(signal.SIGKILL)
            recorder.start()
        self.server.start()
        result = result_of(producer)
        recorder.wait_delivered()
        time.sleep(1.2)
        recorder.wait_delivered()
        table = self.table(recorder)
        self.assertEqual(table["rows_delivered"] + table["rows_suppressed"] + table["rows_dropped"], result["quotes"])
        held, distinct = self.held()
        self.assertEqual(held, distinct)
        self.assertGreaterEqual(held, table["rows_delivered"])
        lost = int(self.server.query("SELECT sum(`rows`) FROM test.recorder_events WHERE event IN ('lost', 'dropped')"))
        self.assertGreater(lost, 0)
        self.assertLessEqual(lost, table["rows_dropped"])
        self.assertEqual(self.held("trades"), (result["trades"],) * 2)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
