"""Every shipped table, through the real recorder into the embedded engine: random rows of every column come back equal;
the queries that the tables' users run give the answers that the rows put make known.

    test_schema_tables.py [--seed N] [unittest's arguments]"""

import datetime
import decimal
import json
import math
import pathlib
import random
import re
import struct
import subprocess
import sys
import time
import unittest
import uuid

from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present
from tests.support.recorder import Recorder

SOURCE = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = pathlib.Path(__file__).with_name("dolphin_reference.txt")
GROUPS = {"dolphin": 14, "trading": 9, "platform": 6}
FEEDS = ["l2_updates", "quotes", "system_stats", "trades", "recorder_events", "recorder_canary"]
ROWS = 20
FLUSH = {"interval": "20ms"}
WORDS = ["", "BTCUSDT", "venue-1", "tab\there", "quote'\"", "back\\slash", "ü €", "line\nbreak", "x" * 300]
SETTINGS = {"output_format_json_quote_decimals": 1, "output_format_json_quote_64bit_integers": 1}


def group_config(group):
    """What `coldpath check` reads out of deploy/<group>.yaml."""
    done = subprocess.run([build_dir() / "bin/coldpath", "check", "--values", "--json", "--config",
                           SOURCE / f"deploy/{group}.yaml"], capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def tables_of(group):
    """The tables of deploy/<group>.yaml, with their classes, in rings that a test can afford."""
    return {name: {"class": table["class"], "ring_size": "1MiB", "slots": 1, "flush": FLUSH}
            | ({"wal_limit": "64MiB"} if table["class"] == "critical" else {})
            for name, table in group_config(group)["tables"].items()}


class Values:
    """Random values of a type, as `put` takes them in JSON."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def time(self, digits):
        """Within the last days: what is too old would fall under the tables' TTLs, and each day is a partition."""
        ns = time.time_ns() - self.random.randrange(10 * 86400 * 10**9)
        text = datetime.datetime.fromtimestamp(ns // 10**9, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        return text + (f".{ns % 10**9:09}"[:digits + 1] if digits else "")

    def number(self, low, high):
        return self.random.choice([low, high, 0, self.random.randint(low, high), self.random.randint(0, 100)])

    def float(self, bits):
        value = self.random.choice([0.0, 1.5, -1e-3, 1e30, self.random.uniform(-1e6, 1e6)])
        return struct.unpack("f", struct.pack("f", value))[0] if bits == 32 else value

    def of(self, kind):
        for outer in ("LowCardinality", "Nullable"):
            if kind.startswith(outer + "("):
                if outer == "Nullable" and self.random.random() < 0.3:
                    return None
                return self.of(kind[len(outer) + 1:-1])
        name, _, arguments = kind.rstrip(")").partition("(")
        if name == "Array":
            inner = kind[6:-1]
            return [self.of(inner) for _ in range(self.random.choice([0, 1, 10]))]
        if name in ("DateTime64", "DateTime"):
            return self.time(int(arguments.split(",")[0]) if name == "DateTime64" else 0)
        if name == "Bool":
            return self.random.random() < 0.5
        if name == "Date":
            return self.time(0)[:10]
        if name == "Decimal":
            precision, scale = map(int, arguments.split(","))
            number = decimal.Decimal(self.number(-10**precision + 1, 10**precision - 1))
            return f"{number.scaleb(-scale, decimal.Context(60)):f}"
        if name.startswith("Enum"):
            return self.random.choice([word.split("'")[1] for word in arguments.split(",")])
        if name == "UUID":
            return str(uuid.UUID(int=self.random.getrandbits(128)))
        if name == "String":
            return self.random.choice(WORDS)
        if name.startswith("Float"):
            return self.float(int(name[5:]))
        bits = int(name.lstrip("UInt"))
        return self.number(0, 2**bits - 1) if name[0] == "U" else self.number(-2**(bits - 1), 2**(bits - 1) - 1)


def comparable(value, kind):
    """A value of JSON in one form, whether it was put or read."""
    if isinstance(value, list):
        return [comparable(element, kind[6:-1]) for element in value]
    if value is None:
        return None
    if "Decimal" in kind:
        return decimal.Decimal(value).normalize(decimal.Context(60))
    if "Float32" in kind:
        return struct.pack("f", float(value))
    if "Float64" in kind:
        return float(value)
    if "Int" in kind:
        return int(value)
    return value


def order(row):
    return json.dumps(row, sort_keys=True, default=repr)


class Tables(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)

    def recorder(self, group, database):
        recorder = Recorder(self.server, tables_of(group), database=database, extra={"schema": {"set": group}}, init=False)
        self.addCleanup(recorder.close)
        recorder.run("coldpath", "schema", "apply", check=True)
        self.assertEqual(recorder.run("coldpath", "schema", "diff").returncode, 0)
        return recorder.start()

    def put(self, recorder, table, rows):
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        recorder.run("coldpath", "put", table, "--format", "JSONEachRow", input=data, check=True)

    def every_table(self, group):
        self.every_row(group, self.recorder(group, f"all_{group}"), GROUPS[group])

    def every_row(self, group, recorder, tables):
        values = Values(SEED)
        sent = {}
        for table in recorder.settings["tables"]:
            shown = json.loads(recorder.run("coldpath", "schema", "show", table, "--json", check=True).stdout)
            columns = {column["name"]: column["type"] for column in shown["columns"] if not column["provenance"]}
            rows = [{name: values.of(kind) for name, kind in columns.items()} for _ in range(ROWS)]
            self.put(recorder, table, rows)
            sent[table] = (columns, rows)
        self.assertEqual(len(sent), tables)
        recorder.wait_delivered()
        for table, (columns, rows) in sent.items():
            names = ", ".join(f"`{name}`" for name in columns)
            lines = self.server.query(f"SELECT {names} FROM all_{group}.{table} FORMAT JSONEachRow", **SETTINGS).splitlines()
            lines = list(map(json.loads, lines))
            both = [sorted(({name: comparable(row[name], kind) for name, kind in columns.items()} for row in side),
                           key=order) for side in (rows, lines)]
            if table.startswith("recorder_"):  # it puts rows of its own there
                both[1] = [row for row in both[1] if row in both[0]]
            self.assertEqual(*both, (group, table, f"seed {SEED}"))

    def test_dolphin(self):
        self.every_table("dolphin")

    def test_feeds(self):
        """The tables of no set: those of the feeds, and the recorder's own (of which it has a slot itself)."""
        recorder = Recorder(self.server, {name: {"ring_size": "1MiB", "slots": 2, "flush": FLUSH} for name in FEEDS},
                            database="all_feeds", init=False)
        self.addCleanup(recorder.close)
        recorder.run("coldpath", "schema", "apply", check=True)
        self.assertEqual(recorder.run("coldpath", "schema", "diff").returncode, 0)
        self.assertEqual(sorted(FEEDS), sorted(path.stem for path in (SOURCE / "schema/ddl").glob("*.sql")))
        self.every_row("feeds", recorder.start(), len(FEEDS))

    def test_reference(self):
        """Columns, types, engine, keys and TTLs on the server are those that the Dolphin tables' programs know."""
        recorder = Recorder(self.server, tables_of("dolphin"), database="reference", extra={"schema": {"set": "dolphin"}}, init=False)
        self.addCleanup(recorder.close)
        recorder.run("coldpath", "schema", "apply", check=True)
        text = "".join(line for line in REFERENCE.read_text().splitlines(True) if not line.startswith("#"))
        parts = re.findall(r"^(\w+): (.*)\n((?:    .*\n)+)", text, re.M)
        self.assertEqual(len(parts), 11 + 5)
        for name, known, columns in parts:
            wanted = " ".join(columns.split())
            what = "name" if known == "view" else "name || ' ' || type"
            got = self.server.query(f"SELECT arrayStringConcat(groupArray({what}), ', ') FROM (SELECT name, type FROM system.columns "
                                    f"WHERE database = 'reference' AND table = '{name}' ORDER BY position) FORMAT TSVRaw")
            self.assertEqual(got.strip(), wanted, name)
            if known in ("view", "?"):
                continue
            got = self.server.query("SELECT engine, partition_key, sorting_key, extract(create_table_query, 'TTL (.*?) SETTINGS') "
                                    f"FROM system.tables WHERE database = 'reference' AND name = '{name}' FORMAT TSVRaw")
            self.assertEqual(got.rstrip("\n").split("\t"), (known + " ").split("; ")[:3] + [known.split(";")[3].strip()], name)

    def test_trading(self):
        self.every_table("trading")

    def test_platform(self):
        self.every_table("platform")

    def test_stamp(self):
        """The recorder fills in source and environment where a row leaves them empty, and only there."""
        recorder = Recorder(self.server, tables_of("trading"), database="stamped", init=False, extra={
            "schema": {"set": "trading"}, "stamp": {"source": "gateway-1", "environment": "paper"}})
        self.addCleanup(recorder.close)
        recorder.run("coldpath", "schema", "apply", check=True)
        recorder.start()
        recorder.settings["clickhouse"]["retry_min"] = "50ms"
        recorder.write_config()
        recorder.run("coldpath", "reload", check=True)  # exchanges what the flusher knows; the stamps stay
        values = Values(SEED)
        for table in ("orders", "market_data"):  # out of the log, out of the ring
            shown = json.loads(recorder.run("coldpath", "schema", "show", table, "--json", check=True).stdout)
            row = {column["name"]: values.of(column["type"]) for column in shown["columns"] if not column["provenance"]}
            self.put(recorder, table, [row | {"venue": str(n), "source": source, "environment": environment}
                                       for n, (source, environment) in enumerate([("", ""), ("own", ""), ("", "live")])])
        recorder.wait_delivered()
        for table in ("orders", "market_data"):
            self.assertEqual(self.server.query(f"SELECT source, environment FROM stamped.{table} ORDER BY venue"),
                             "gateway-1\tpaper\nown\tpaper\ngateway-1\tlive\n")

    def test_best_effort(self):
        """Times as other programs write them, with --best-effort and without."""
        recorder = self.recorder("dolphin", "effort")
        row = json.dumps({"ts": "Thu, 11 Jun 2026 12:00:00 +0200", "boost": 1, "beta": 2, "signals": 3}).encode()
        refused = recorder.run("coldpath", "put", "acb_state", input=row)
        self.assertIn(b"is not a time", refused.stderr)
        recorder.run("coldpath", "put", "acb_state", "--best-effort", input=row, check=True)
        recorder.wait_delivered()
        self.assertEqual(self.server.query("SELECT ts FROM effort.acb_state"), "2026-06-11 10:00:00.000000\n")

    def test_classes(self):
        """What an auditor asks for is critical; market data is not."""
        critical = {group: sorted(name for name, table in tables_of(group).items() if table["class"] == "critical")
                    for group in GROUPS}
        self.assertEqual(critical["trading"], ["account_state", "fills", "guardrail_transitions", "orders",
                                               "positions_intraday", "risk_decisions", "system_events"])
        self.assertEqual(critical["platform"], ["backtest_runs", "logs", "orders", "trades"])
        self.assertIn("trade_events", critical["dolphin"])


def stamp(seconds_ago, digits=6):
    moment = time.time() - seconds_ago
    text = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
    return text[:20 + digits]


class Queries(Tables):
    """The queries of the users' reference, on rows whose answers are known."""

    def ask(self, sql):
        return [tuple(row) for row in json.loads(self.server.query(sql + " FORMAT JSONCompact"))["data"]]

    def near(self, got, wanted):
        self.assertEqual(len(got), len(wanted), (got, wanted))
        for row, expected in zip(got, wanted):
            for value, known in zip(row, expected):
                if isinstance(known, float):
                    self.assertTrue(math.isclose(float(value), known, rel_tol=1e-5, abs_tol=1e-6), (got, wanted))
                else:
                    self.assertEqual(value, known, (got, wanted))

    def trades(self):
        """Five trades of today, oldest first, and one of 40 days ago."""
        rows = []
        for i, (asset, pnl, reason, leverage, drawdown) in enumerate([
                ("ENJUSDT", 3.0, "FIXED_TP", 9.0, 1.0), ("ENJUSDT", -1.0, "MAX_HOLD", 8.0, 2.5),
                ("LTCUSDT", 5.0, "FIXED_TP", 9.0, 0.5), ("LTCUSDT", 2.0, "MAX_HOLD", 9.0, 4.0),
                ("BTCUSDT", -2.0, "HIBERNATE_HALT", 1.0, 3.0)]):
            rows.append({"ts": stamp(5 - i), "date": stamp(5 - i)[:10], "strategy": "blue", "asset": asset, "side": "SHORT",
                         "entry_price": 100.0, "exit_price": 101.0, "quantity": 1.0, "pnl": pnl, "pnl_pct": pnl / 100,
                         "exit_reason": reason, "vel_div_entry": -0.03, "posture": "APEX", "leverage": leverage,
                         "drawdown_at_entry": drawdown, "scan_uuid": f"scan-{i}", "bars_held": 10 * i})
        rows.append(rows[0] | {"ts": stamp(40 * 86400), "date": stamp(40 * 86400)[:10], "strategy": "old"})
        return rows

    def fill(self, recorder):
        self.put(recorder, "trade_events", self.trades())
        scans = [{"ts": stamp(10 + i), "scan_number": i, "vel_div": 0.1, "w50_velocity": 1.0, "w750_velocity": 0.9,
                  "instability_50": 0.5, "scan_to_fill_ms": float(i), "step_bar_ms": 1.0, "scan_uuid": f"scan-{i}"}
                 for i in range(101)]
        scans.append(scans[0] | {"ts": stamp(2 * 3600), "scan_number": 999, "scan_uuid": "scan-999"})
        self.put(recorder, "eigen_scans", scans)
        snapshot = {"roi_pct": 1.0, "dd_pct": 0.5, "trades_executed": 1, "posture": "APEX", "rm": 0.9, "vel_div": 0.25,
                    "vol_ok": 1, "phase": "LIVE", "mhs_status": "GREEN", "boost": 1.5, "cat5": 0.0}
        self.put(recorder, "status_snapshots", [snapshot | {"ts": stamp(age, 3), "capital": capital} for age, capital in
                                                ((60, 25100.0), (3600, 25000.0), (9 * 86400, 24000.0))])
        self.put(recorder, "posture_events", [{"ts": stamp(age), "posture": posture, "rm": 0.5, "prev_posture": "x",
                                               "trigger": "{}", "scan_uuid": ""}
                                              for age, posture in ((50, "TURTLE"), (10, "HIBERNATE"), (90, "APEX"))])
        self.put(recorder, "supervisord_state", [
            {"ts": stamp(age), "process_name": name, "group_name": "dolphin", "state": state, "pid": pid, "uptime_s": 5,
             "exit_status": 0, "source": "poll"}
            for age, name, state, pid in ((20, "trader", "RUNNING", 1), (10, "trader", "EXITED", 2), (30, "feed", "RUNNING", 3))])
        self.put(recorder, "system_stats", [
            {"ts": stamp(age, 3), "mem_used_gb": 1.0, "mem_available_gb": 2.0, "mem_pct": percent, "load_1m": load,
             "load_5m": 0.0, "load_15m": 0.0, "net_rx_mb_s": rx, "net_tx_mb_s": 1.0, "net_iface": "eth0"}
            for age, percent, load, rx in ((0, 10.0, 1.0, 5.0), (0, 20.0, 2.0, 7.0), (7200, 90.0, 9.0, 99.0))])
        self.put(recorder, "acb_state", [{"ts": stamp(age), "boost": boost, "beta": 0.8, "signals": 1.0}
                                         for age, boost in ((20, 1.25), (5, 1.5))])
        recorder.wait_delivered()

    def test_queries(self):
        if time.time() % 86400 > 86400 - 120 or time.time() % 86400 < 10:
            self.skipTest("midnight is near: 'today' would change under the test")
        if 300 - time.time() % 300 < 30:  # the two samples of host statistics are to fall into one bucket
            time.sleep(300 - time.time() % 300 + 1)
        recorder = self.recorder("dolphin", "dolphin")
        self.fill(recorder)
        trades = self.ask("""SELECT ts, asset, side, entry_price, exit_price, pnl, pnl_pct, exit_reason, leverage,
            vel_div_entry, bars_held, posture FROM dolphin.trade_events ORDER BY ts DESC LIMIT 20""")
        self.assertEqual([(row[1], row[5], row[7], row[10]) for row in trades], [
            ("BTCUSDT", -2, "HIBERNATE_HALT", 40), ("LTCUSDT", 2, "MAX_HOLD", 30), ("LTCUSDT", 5, "FIXED_TP", 20),
            ("ENJUSDT", -1, "MAX_HOLD", 10), ("ENJUSDT", 3, "FIXED_TP", 0), ("ENJUSDT", 3, "FIXED_TP", 0)])
        self.near(self.ask("""SELECT count() as trades, sum(pnl) as total_pnl, countIf(pnl>0) as wins,
            round(countIf(pnl>0)/count()*100,1) as win_rate FROM dolphin.trade_events WHERE date = today()"""),
                  [(5, 7.0, 3, 60.0)])
        self.near(self.ask("""SELECT exit_reason, count() as n, round(sum(pnl),2) as total_pnl,
            round(countIf(pnl>0)/count()*100,1) as win_rate FROM dolphin.trade_events
            GROUP BY exit_reason ORDER BY n DESC"""),
                  [("FIXED_TP", 3, 11.0, 100.0), ("MAX_HOLD", 2, 1.0, 50.0), ("HIBERNATE_HALT", 1, -2.0, 0.0)])
        # The reference writes pnl for t.pnl, which ClickHouse takes for the alias: error 184.
        self.near(self.ask("""SELECT asset, count() as trades, round(sum(t.pnl),2) as pnl,
            round(countIf(t.pnl>0)/count()*100,1) as wr, round(avg(leverage),1) as avg_lev
            FROM dolphin.trade_events AS t GROUP BY asset ORDER BY pnl DESC"""),
                  [("LTCUSDT", 2, 7.0, 100.0, 9.0), ("ENJUSDT", 3, 5.0, 66.7, 8.7), ("BTCUSDT", 1, -2.0, 0.0, 1.0)])
        self.near([row[1:] for row in self.ask("""SELECT ts, capital, roi_pct, dd_pct, posture, vel_div
            FROM dolphin.status_snapshots WHERE ts >= today() - INTERVAL 7 DAY ORDER BY ts""")],
                  [(25000.0, 1.0, 0.5, "APEX", 0.25), (25100.0, 1.0, 0.5, "APEX", 0.25)])
        self.near(self.ask("""SELECT quantile(0.5)(scan_to_fill_ms) as p50, quantile(0.95)(scan_to_fill_ms) as p95,
            quantile(0.99)(scan_to_fill_ms) as p99 FROM dolphin.eigen_scans WHERE ts >= now() - INTERVAL 1 HOUR"""),
                  [(50.0, 95.0, 99.0)])
        self.near(self.ask("""SELECT round(leverage,1) as lev, count() as n
            FROM dolphin.trade_events GROUP BY lev ORDER BY lev"""), [(1.0, 1), (8.0, 1), (9.0, 4)])
        hours = self.ask("""SELECT toStartOfHour(ts) as hour, count() as scans FROM dolphin.eigen_scans
            WHERE ts >= now() - INTERVAL 24 HOUR GROUP BY hour ORDER BY hour""")
        self.assertEqual(sum(int(row[1]) for row in hours), 102)
        self.assertEqual(int(hours[0][1]), 1)
        self.near(self.ask("SELECT boost, beta FROM dolphin.acb_state ORDER BY ts DESC LIMIT 1"), [(1.5, 0.8)])

        self.near(self.ask("""SELECT strategy, n_trades, wins, win_rate_pct, total_pnl, avg_pnl_pct, median_pnl_pct,
            max_dd_seen_pct FROM dolphin.v_trade_summary_30d"""), [("blue", 5, 3, 60.0, 7.0, 0.014, 0.02, 4.0)])
        self.near([row[:3] for row in self.ask("SELECT posture, rm, trigger, ts FROM dolphin.v_current_posture")],
                  [("HIBERNATE", 0.5, "{}")])
        self.assertEqual([row[:5] for row in self.ask("""SELECT process_name, group_name, state, pid, uptime_s, last_seen
            FROM dolphin.v_process_health ORDER BY group_name, process_name""")],
                         [("feed", "dolphin", "RUNNING", 3, 5), ("trader", "dolphin", "EXITED", 2, 5)])
        self.near(self.ask("SELECT p50_ms, p95_ms, p99_ms, n_scans FROM dolphin.v_scan_latency_1h"),
                  [(50.0, 95.0, 99.0, 101)])
        self.near([row[1:] for row in self.ask("""SELECT bucket, mem_pct_avg, load_avg, net_rx_peak, net_tx_peak
            FROM dolphin.v_system_stats_1h""")], [(15.0, 1.5, 7.0, 1.0)])
        chain = self.ask("""SELECT scan_number, asset, pnl FROM dolphin.v_scan_causal_chain
            WHERE trade_ts IS NOT NULL AND strategy = 'blue' ORDER BY scan_number""")
        self.near(chain, [(0, "ENJUSDT", 3.0), (1, "ENJUSDT", -1.0), (2, "LTCUSDT", 5.0), (3, "LTCUSDT", 2.0),
                          (4, "BTCUSDT", -2.0)])
        self.assertEqual(self.ask("SELECT count() FROM dolphin.v_scan_causal_chain WHERE trade_ts IS NULL"), [(97,)])

    test_dolphin = test_reference = test_feeds = test_trading = test_platform = test_classes = test_stamp = test_best_effort = None


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    SEED = random.SystemRandom().randrange(2**32)
    if "--seed" in sys.argv:
        at = sys.argv.index("--seed")
        SEED = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    print(f"seed {SEED}", flush=True)
    unittest.main(verbosity=2)
