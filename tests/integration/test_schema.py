"""`coldpath schema apply` and `diff` against the embedded engine: made once and never again, what loses nothing is closed,
what would lose rows or values is refused with a plan and leaves everything as it was; five databases from one file."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TABLE = """CREATE TABLE IF NOT EXISTS t
(
    ts DateTime64(3, 'UTC') COMMENT 'when' CODEC(Delta, ZSTD(1)),
    symbol LowCardinality(String),
    price Decimal(18, 8) CODEC(T64, ZSTD(1)),
    n UInt32 DEFAULT 7,
    kind Enum8('a' = 1, 'b' = 2)
)
ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (symbol, ts) TTL toDateTime(ts) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 100
COMMENT 'it''s a table';
"""
RICH = """CREATE TABLE t
(
    ts DateTime64(3, 'UTC'), symbol LowCardinality(String), n UInt32 DEFAULT 1+2*3 CODEC(T64),
    kind Enum8('a' = 1, 'b' = 2), note String DEFAULT concat('x', toString(n*2)) TTL toDateTime(ts) + INTERVAL 1825 DAY,
    twice UInt64 MATERIALIZED n * 2 + 1, name String ALIAS upper(symbol),
    INDEX i (n) TYPE minmax, INDEX j symbol TYPE bloom_filter(0.01) GRANULARITY 2,
    CONSTRAINT c CHECK n < 100*100, PROJECTION p (SELECT symbol, count() GROUP BY symbol)
)
ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (symbol, ts)
TTL toDateTime(ts) + INTERVAL 10*365 DAY, toDateTime(ts) + INTERVAL 30 DAY RECOMPRESS CODEC(ZSTD(9))
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 100
"""
FIVE = ["dolphin", "dolphin_green", "dolphin_prodgreen", "dolphin_pink", "dolphin_violet"]


class Schema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        work = tempfile.TemporaryDirectory(prefix="coldpath-schema-test-")
        self.addCleanup(work.cleanup)
        self.work = pathlib.Path(work.name)
        self.database = self.id().rpartition(".")[2]
        self.config = self.work / "coldpath.yaml"
        self.config.write_text(json.dumps({"namespace": "test", "schema": {"dir": str(self.work)}, "tables": {"t": {}},
                                           "clickhouse": {"url": self.server.url, "database": self.database}}))
        self.declare(TABLE)

    def declare(self, text):
        (self.work / "t.sql").write_text(text)

    def change(self, old, new):
        self.assertIn(old, TABLE)
        self.declare(TABLE.replace(old, new))

    def schema(self, *args, config=None, code=0, namespace=None):
        env = os.environ | ({"COLDPATH_NAMESPACE": namespace} if namespace else {})
        done = subprocess.run([build_dir() / "bin/coldpath", "schema", *args, "--config", config or self.config],
                              capture_output=True, text=True, timeout=120, env=env)
        self.assertEqual(done.returncode, code, (args, done.stdout, done.stderr))
        return done

    def apply(self, code=0):
        return json.loads(self.schema("apply", "--json", code=code).stdout)

    def differences(self):
        done = subprocess.run([build_dir() / "bin/coldpath", "schema", "diff", "--json", "--config", self.config],
                              capture_output=True, text=True, timeout=120)
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if answer["equal"] else 2, done.stderr)
        return [(item["column"], item["what"], item["refused"]) for item in answer["differences"]]

    def rows(self):
        return self.server.query(f"SELECT ts, symbol, price, n, kind FROM {self.database}.t ORDER BY ts")

    def history(self):
        return self.server.query(f"SELECT object, what FROM {self.database}.coldpath_schema_history ORDER BY step "
                                 "FORMAT TSV").splitlines()

    def filled(self):
        """The table made, with two rows; what it then shows."""
        self.apply()
        self.server.query(f"INSERT INTO {self.database}.t (ts, symbol, price, kind) SELECT now64(3) - number, 'A', 1.5, 'a' "
                          "FROM numbers(2)")
        return self.rows()

    def test_made_once(self):
        self.assertEqual(len(self.apply()["steps"]), 3)  # database, history, table
        self.assertEqual(self.apply()["steps"], [])
        self.assertEqual(self.differences(), [])
        self.assertEqual(self.history(), ["t\ttable missing"])
        dry = self.schema("apply", "--dry-run").stdout
        self.assertIn("nothing to do", dry)

    def test_dry_run_is_sql(self):
        """What a dry run prints makes the same tables when a person runs it."""
        for line in self.schema("apply", "--dry-run").stdout.split(";\n"):
            if line.strip():
                self.server.query(line)
        self.assertEqual(self.differences(), [])
        self.assertEqual(self.server.query(f"SELECT count() FROM {self.database}.coldpath_schema_history").strip(), "0")

    def test_additive(self):
        """Columns are added where they are declared; old rows have the default, and nothing of them changes."""
        before = self.filled()
        self.change("    kind Enum8('a' = 1, 'b' = 2)", "    venue LowCardinality(String) DEFAULT 'spot' COMMENT 'it''s new' "
                    "CODEC(ZSTD(3)),\n    kind Enum8('a' = 1, 'b' = 2), last Nullable(Int64)")
        self.assertEqual(self.differences(), [("venue", "column missing", False), ("last", "column missing", False)])
        self.assertEqual(len(self.apply()["steps"]), 2)
        self.assertEqual(self.differences(), [])
        self.assertEqual(self.rows(), before)
        self.assertEqual(self.server.query(f"SELECT DISTINCT venue, last FROM {self.database}.t"), "spot\t\\N\n")
        self.assertEqual(self.server.query("SELECT name FROM system.columns WHERE table = 't' AND "
                                           f"database = '{self.database}' ORDER BY position").split(),
                         ["ts", "symbol", "price", "n", "venue", "kind", "last"])
        self.assertEqual(self.history()[1:], ["t.venue\tcolumn missing", "t.last\tcolumn missing"])

    def test_lossless(self):
        before = self.filled()
        for old, new, expected in [
                ("n UInt32 DEFAULT 7", "n UInt64 DEFAULT 7", ("n", "type", False)),
                ("n UInt32 DEFAULT 7", "n Int64 DEFAULT 7", ("n", "type", False)),
                ("'b' = 2)", "'b' = 2, 'c' = 3)", ("kind", "type", False)),
                ("Decimal(18, 8) CODEC(T64, ZSTD(1))", "Decimal(38, 10) CODEC(ZSTD(1))", ("price", "type", False)),
                ("DEFAULT 7", "DEFAULT 8", ("n", "default", False)),
                ("DEFAULT 7", "", ("n", "default", False)),
                ("COMMENT 'when'", "COMMENT 'it''s when'", ("ts", "comment", False)),
                ("CODEC(Delta, ZSTD(1))", "CODEC(DoubleDelta, LZ4)", ("ts", "codec", False)),
                ("INTERVAL 90 DAY", "INTERVAL 1 YEAR", (None, "TTL", False)),
                ("window = 100", "window = 5000", ("non_replicated_deduplication_window", "setting", False)),
                ("'it''s a table'", "'another'", (None, "comment", False))]:
            self.server.query(f"DROP DATABASE {self.database}")
            self.declare(TABLE)
            self.filled()
            self.change(old, new)
            with self.subTest(change=new):
                self.assertEqual(self.differences()[0], expected)
                self.assertLessEqual(len(self.differences()), 2)
                self.apply()
                self.assertEqual(self.differences(), [])
                shown = [line.split("\t")[1:] for line in self.rows().splitlines()]
                wanted = [line.split("\t")[1:] for line in before.splitlines()]
                self.assertEqual(shown, wanted)

    def test_refused(self):
        """Nothing at all is done, not even what could be, and the plan names column and way."""
        before = self.filled()
        created = self.server.query(f"SHOW CREATE TABLE {self.database}.t")
        for old, new, column, what, words in [
                ("n UInt32 DEFAULT 7", "n UInt16 DEFAULT 7", "n", "type", "narrows"),
                ("n UInt32 DEFAULT 7", "n Int32 DEFAULT 7", "n", "type", "wrap"),
                ("n UInt32 DEFAULT 7", "n String DEFAULT '7'", "n", "type", "another kind"),
                ("Decimal(18, 8)", "Decimal(18, 4)", "price", "type", "cut"),
                ("kind Enum8('a' = 1, 'b' = 2)", "kind Enum8('a' = 1, 'b' = 3)", "kind", "type", "Enum"),
                ("    n UInt32 DEFAULT 7,\n", "", "n", "column not declared", "DROP COLUMN n"),
                ("DateTime64(3, 'UTC')", "DateTime64(6, 'UTC')", "ts", "type", "part of a key"),
                ("ORDER BY (symbol, ts)", "ORDER BY (ts, symbol)", None, "ORDER BY", "INSERT INTO t SELECT"),
                ("toYYYYMM(ts)", "toDate(ts)", None, "PARTITION BY", "RENAME TABLE"),
                ("ENGINE = MergeTree", "ENGINE = ReplacingMergeTree", None, "engine", "RENAME TABLE"),
                ("INTERVAL 90 DAY", "INTERVAL 30 DAY", None, "TTL", "MODIFY TTL toDateTime(ts) + INTERVAL 30 DAY")]:
            with self.subTest(change=new):
                self.change(old, new)
                self.declare((self.work / "t.sql").read_text().replace("'it''s a table'", "'changed too'"))
                self.assertIn((column, what, True), self.differences())
                answer = self.apply(code=1)
                self.assertEqual(answer["steps"], [])
                self.assertIn(words, " ".join(item["remedy"] for item in answer["refused"]))
                self.assertEqual(self.server.query(f"SHOW CREATE TABLE {self.database}.t"), created)
        self.assertEqual(self.rows(), before)

    def test_altered_by_hand(self):
        """Whatever of a table somebody altered on the server is found; what nothing is lost by is put right, rows unharmed, and
        what was put there on purpose is refused and stays."""
        self.declare(RICH)
        self.assertEqual(len(self.apply()["steps"]), 3)  # and what the server rewrites is no difference
        self.assertEqual(self.differences(), [])
        self.server.query(f"INSERT INTO {self.database}.t (ts, symbol, kind) SELECT toDateTime64('2026-01-01 00:00:00', 3) + number, "
                          "'s', 'b' FROM numbers(100)")
        before = self.server.query(f"SELECT ts, symbol, n, kind, note FROM {self.database}.t ORDER BY ts")
        created = self.server.query(f"SHOW CREATE TABLE {self.database}.t")
        later = "toDateTime(ts) + toIntervalDay"
        for alter, undo, expected in [
                ("MODIFY COLUMN kind Enum8('a' = 1, 'b' = 2) FIRST", None, [("kind", "place of column")]),
                ("MODIFY COLUMN n UInt32 AFTER note, MODIFY COLUMN ts DateTime64(3, 'UTC') AFTER symbol", None,
                 [("symbol", "place of column"), ("n", "place of column")]),
                ("DROP INDEX i", None, [("i", "index missing")]),
                ("DROP INDEX j, ADD INDEX j symbol TYPE bloom_filter(0.02) GRANULARITY 2", None, [("j", "index")]),
                ("ADD INDEX k kind TYPE minmax", "DROP INDEX k", [("k", "index not declared")]),
                ("DROP CONSTRAINT c", None, [("c", "constraint missing")]),
                ("DROP CONSTRAINT c, ADD CONSTRAINT c CHECK n < 10", None, [("c", "constraint")]),
                ("ADD CONSTRAINT d CHECK n > 0", "DROP CONSTRAINT d", [("d", "constraint not declared")]),
                ("DROP PROJECTION p", None, [("p", "projection missing")]),
                ("DROP PROJECTION p, ADD PROJECTION p (SELECT kind, count() GROUP BY kind)", None, [("p", "projection")]),
                ("ADD PROJECTION q (SELECT ts ORDER BY ts)", "DROP PROJECTION q", [("q", "projection not declared")]),
                ("DROP COLUMN twice", None, [("twice", "column missing")]),
                ("MODIFY COLUMN twice MATERIALIZED n * 3", None, [("twice", "expression")]),
                ("MODIFY COLUMN twice UInt32", None, [("twice", "type")]),
                ("MODIFY COLUMN name String ALIAS lower(symbol)", None, [("name", "expression")]),
                ("DROP COLUMN name, ADD COLUMN name String", "DROP COLUMN name, ADD COLUMN name String ALIAS upper(symbol)",
                 [("name", "kind of column")]),
                ("ADD COLUMN other UInt8 ALIAS 1", "DROP COLUMN other", [("other", "column not declared")]),
                ("MODIFY COLUMN n REMOVE CODEC", None, [("n", "codec")]),
                (f"MODIFY COLUMN note TTL {later}(300)", None, [("note", "column TTL")]),
                ("MODIFY COLUMN note REMOVE TTL", f"MODIFY COLUMN note TTL {later}(1825)", [("note", "column TTL")]),
                (f"MODIFY TTL {later}(1000)", f"MODIFY TTL {later}(10*365), {later}(30) RECOMPRESS CODEC(ZSTD(9))",
                 [(None, "TTL")]),
                ("MODIFY SETTING non_replicated_deduplication_window = 7", None,
                 [("non_replicated_deduplication_window", "setting")]),
                ("RESET SETTING non_replicated_deduplication_window", None, [("non_replicated_deduplication_window", "setting")]),
                ("MODIFY SETTING min_rows_for_wide_part = 7", "RESET SETTING min_rows_for_wide_part",
                 [("min_rows_for_wide_part", "setting not declared")])]:
            with self.subTest(alter=alter):
                self.server.query(f"ALTER TABLE {self.database}.t {alter}", materialize_ttl_after_modify=0)
                altered = self.server.query(f"SHOW CREATE TABLE {self.database}.t")
                self.assertEqual(self.differences(), [(column, what, bool(undo)) for column, what in expected])
                answer = self.apply(code=1 if undo else 0)
                if undo:
                    self.assertEqual(answer["steps"], [])
                    self.assertEqual(self.server.query(f"SHOW CREATE TABLE {self.database}.t"), altered)
                    self.server.query(f"ALTER TABLE {self.database}.t {undo}", materialize_ttl_after_modify=0)
                self.assertEqual(self.differences(), [])
                self.assertEqual(self.server.query(f"SELECT ts, symbol, n, kind, note FROM {self.database}.t ORDER BY ts"), before)
        self.assertEqual(sorted(self.server.query(f"SHOW CREATE TABLE {self.database}.t").split("\\n")), sorted(created.split("\\n")))
        self.declare(RICH.replace("= 1024", "= 2048"))  # which no ALTER can change
        self.assertEqual(self.differences(), [("index_granularity", "setting", True)])
        self.assertIn("RENAME TABLE", self.schema("apply", code=1).stderr)

    def test_foreign_table(self):
        """A table of the server that our types do not reach is named, not guessed at."""
        self.server.query(f"CREATE DATABASE {self.database}")
        self.server.query(f"CREATE TABLE {self.database}.t (m Map(String, UInt8)) ENGINE = MergeTree ORDER BY tuple()")
        self.assertEqual(self.differences(), [(None, "cannot be compared", True)])
        self.apply(code=1)

    def test_five_databases(self):
        """One file, five namespaces; views follow changes of their text, and of the server's."""
        text = (SOURCE / "deploy/dolphin.yaml").read_text()
        config = self.work / "dolphin.yaml"
        config.write_text(text + f"\nclickhouse: {{url: '{self.server.url}'}}\n")
        for database in FIVE:
            self.schema("apply", config=config, namespace=database)
        for database in FIVE:
            self.assertIn("the server has what is declared", self.schema("diff", config=config, namespace=database).stdout)
            names = self.server.query(f"SELECT name FROM system.tables WHERE database = '{database}' ORDER BY name").split()
            self.assertEqual(len(names), 14 + 6 + 1)
            self.assertEqual([name for name in names if name.startswith("v_")],
                             ["v_current_posture", "v_process_health", "v_scan_causal_chain", "v_scan_latency_1h",
                              "v_system_stats_1h", "v_trade_summary_30d"])
            for name in names:
                self.server.query(f"SELECT * FROM {database}.{name}")
        self.server.query("CREATE OR REPLACE VIEW dolphin.v_current_posture AS SELECT 1 AS posture")
        self.assertIn("v_current_posture: view differs",
                      self.schema("diff", config=config, namespace="dolphin", code=2).stdout)
        self.schema("apply", config=config, namespace="dolphin")
        self.assertEqual(self.server.query("SELECT posture FROM dolphin.v_current_posture"), "")
        self.schema("diff", config=config, namespace="dolphin")

    def test_views_left_out(self):
        views = self.work / "views"
        views.mkdir()
        (views / "v_a.sql").write_text("CREATE VIEW v_a AS SELECT count() AS n FROM v_b;")
        (views / "v_b.sql").write_text("CREATE VIEW v_b AS SELECT ts FROM t")
        (views / "v_c.sql").write_text("CREATE VIEW v_c AS SELECT * FROM t JOIN elsewhere USING ts")
        done = self.schema("apply")
        self.assertIn("view v_c is left out", done.stderr)
        self.assertEqual(self.server.query(f"SELECT n FROM {self.database}.v_a").strip(), "0")
        self.schema("diff")
        (views / "v_d.sql").write_text("CREATE VIEW v_d SELECT 1")
        self.assertIn("v_d.sql:1:17: ", self.schema("diff", code=1).stderr)

    def test_table_in_a_views_place(self):
        """A table that has a view's name is not replaced by it: its rows would be gone."""
        (self.work / "views").mkdir()
        (self.work / "views/v.sql").write_text("CREATE VIEW v AS SELECT ts FROM t")
        self.server.query(f"CREATE DATABASE {self.database}")
        self.server.query(f"CREATE TABLE {self.database}.v (n UInt8) ENGINE = MergeTree ORDER BY n")
        self.server.query(f"INSERT INTO {self.database}.v VALUES (7)")
        self.assertEqual(self.differences(), [(None, "table missing", False), (None, "cannot be compared", True)])
        self.assertIn("RENAME TABLE v TO v_old", self.schema("apply", code=1).stderr)
        self.assertEqual(self.server.query(f"SELECT n FROM {self.database}.v"), "7\n")
        self.server.query(f"RENAME TABLE {self.database}.v TO {self.database}.v_old")
        self.apply()
        self.assertEqual(self.differences(), [])

    def test_errors(self):
        self.assertIn("did you mean", self.schema("diff", "tt", code=1).stderr)
        self.schema("diff", "--dry-run", code=64)
        self.schema("lose", code=64)
        config = self.config.read_text().replace(self.server.url, "http://127.0.0.1:9")
        self.config.write_text(config)
        self.assertIn("127.0.0.1:9", self.schema("diff", code=1).stderr)
        self.assertIn("127.0.0.1:9", json.loads(self.schema("apply", "--json", code=1).stdout)["error"])


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
