"""`coldpath schema apply --cluster` and what goes with it on a real cluster: two of Debian's clickhouse-server 18.16, as two shards
or as two replicas of one, and one ZooKeeper. Skipped where these programs are not.

That server knows neither DateTime64 nor codecs, TTLs and comments of tables: the shipped tables are made without them."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, build_dir
from tests.support.real_server import RealServer, free_port, server_present
from tests.support.recorder import Recorder

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DDL = SOURCE / "schema/ddl"

START_SECONDS = 60
JAR = pathlib.Path("/usr/share/java/zookeeper.jar")
ZOO = """tickTime=2000
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=srvr
"""
CLUSTER = """  <interserver_http_port>{interserver}</interserver_http_port>
  <interserver_http_host>127.0.0.1</interserver_http_host>
  <zookeeper><node><host>127.0.0.1</host><port>{zookeeper}</port></node></zookeeper>
  <macros><shard>{shard}</shard><replica>{replica}</replica></macros>
  <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
  <remote_servers><pair>{shards}</pair></remote_servers>
</yandex>"""
SHARD = "<shard><internal_replication>true</internal_replication>{}</shard>"
REPLICA = "<replica><host>127.0.0.1</host><port>{}</port><user>recorder</user><password>right</password></replica>"
# What is put into a Distributed table without waiting for its shards would stay on its way for an hour.
LAZY = "<distributed_directory_monitor_sleep_time_ms>3600000</distributed_directory_monitor_sleep_time_ms>"
# What 18.16 does not know, and what it takes instead.
OLDER = [(r"DateTime64\(\d, 'UTC'\)", "DateTime('UTC')"), (r" CODEC\((?:[^()]|\([^()]*\))*\)", ""),
         (r"\n?\s?COMMENT '(?:[^']|'')*'", ""), (r"\nTTL .*", ""), (r", ttl_only_drop_parts = 1", ""), (r"\bBool\b", "UInt8"),
         (r"Date32", "Date"),
         (r"LowCardinality\(String\)", "String")]  # of which one insert through a Distributed table takes only one
TABLE = """CREATE TABLE t (ts DateTime, symbol LowCardinality(String), n UInt64{added})
ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (ts, symbol) SETTINGS non_replicated_deduplication_window = 100"""


class Shard(RealServer):
    def join(self, shard, replica, zookeeper, shards):
        config = self.work / "config.xml"
        text = config.read_text().replace("</yandex>", CLUSTER.format(
            interserver=free_port(), zookeeper=zookeeper, shard=shard, replica=replica, shards=shards))
        config.write_text(text)
        users = self.work / "users.xml"
        users.write_text(users.read_text().replace("<default>", "<default>" + LAZY, 1))

    def tcp_port(self):
        return (self.work / "config.xml").read_text().split("<tcp_port>")[1].split("<")[0]


class Servers(unittest.TestCase):
    """Two servers, one cluster, for all tests of a class; each test begins without the database."""

    replicas = False  # of one shard; else two shards

    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-cluster-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.password = cls.work / "password"
        cls.password.write_text("right\n")
        cls.password.chmod(0o600)
        zookeeper = cls.zookeeper()
        cls.shards = [Shard(), Shard()]
        servers = [REPLICA.format(shard.tcp_port()) for shard in cls.shards]
        shards = SHARD.format("".join(servers)) if cls.replicas else "".join(map(SHARD.format, servers))
        for number, shard in enumerate(cls.shards):
            cls.addClassCleanup(shard.stop)
            shard.join(0 if cls.replicas else number, number if cls.replicas else 0, zookeeper, shards)
            shard.start()

    def setUp(self):
        shutil.rmtree(self.work / "rollups", ignore_errors=True)
        for shard in self.shards:
            shard.query("DROP DATABASE IF EXISTS test")

    @classmethod
    def zookeeper(cls):
        port = free_port()
        (cls.work / "zoo.cfg").write_text(ZOO.format(data=cls.work / "zookeeper", port=port))
        with open(cls.work / "zookeeper.log", "wb") as log:
            process = subprocess.Popen(["java", "-cp", f"{cls.work}:{JAR}", "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                                        cls.work / "zoo.cfg"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.terminate)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:  # its port is open before it serves
            if process.poll() is not None:
                raise AssertionError((cls.work / "zookeeper.log").read_text()[-2000:])
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(b"srvr")
                    if b"Mode:" in connection.makefile("rb").read():
                        return port
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError("ZooKeeper did not start")

    def coldpath(self, *args, directory=None, tables=("t",), classes=None, database="test"):
        config = self.work / "coldpath.yaml"
        config.write_text(json.dumps({"namespace": "test", "schema": {"dir": str(directory or self.work)}, "tables":
                                      {table: {"class": "critical" if table in (classes or ()) else "lossy"} for table in tables},
                                      "clickhouse": {"url": self.shards[0].url, "user": "recorder", "database": database,
                                                     "password_file": str(self.password)}}))
        return subprocess.run([build_dir() / "bin/coldpath", *map(str, args), "--config", config], capture_output=True, text=True,
                              timeout=400)

    def declare(self, added="", behind=""):
        (self.work / "t.sql").write_text(TABLE.format(added=added) + behind)

    def schema(self, *args, added="", **options):
        if "directory" not in options:
            self.declare(added)
        return self.coldpath("schema", *args, "--cluster", "pair", "--json", **options)

    def ok(self, done, code=0):
        self.assertEqual(done.returncode, code, (done.stdout[-2000:], done.stderr[-2000:]))
        return json.loads(done.stdout)


class Cluster(Servers):
    def add_column(self, added):
        """By hand, from the dry run: that server takes ALTERs of tables that are not replicated only on each server by itself."""
        done = self.schema("apply", "--dry-run", added=added)
        self.assertEqual(done.returncode, 0, done.stderr)
        local, front = [step["statement"] for step in json.loads(done.stdout)["steps"]]
        self.assertIn("`t_local` ON CLUSTER `pair` ADD COLUMN", local)
        self.shards[0].query(local)
        for shard in self.shards:
            shard.query(front.replace(" ON CLUSTER `pair`", ""))

    def fill(self):
        self.shards[1].query("INSERT INTO test.t SELECT toDateTime('2026-01-01 00:00:00') + number, "
                             "concat('S', toString(number % 20)), number FROM system.numbers LIMIT 1000",
                             insert_distributed_sync=1)

    def test_two_shards(self):
        done = self.schema("apply")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["steps"]), 4)  # database, history, t_local, t
        self.assertEqual(json.loads(self.schema("apply").stdout)["steps"], [])
        self.assertEqual(self.shards[0].query("SELECT step, applied_by, object FROM test.coldpath_schema_history ORDER BY step"),
                         "1\trecorder\tt_local\n2\trecorder\tt\n")
        diff = self.schema("diff")
        self.assertEqual((diff.returncode, json.loads(diff.stdout)["differences"]), (0, []))
        self.fill()
        held = [shard.query("SELECT count(), groupUniqArray(cityHash64(symbol) % 2) FROM test.t_local").split()
                for shard in self.shards]
        self.assertEqual(sum(int(count) for count, _ in held), 1000)
        self.assertEqual([key for _, key in held], ["[0]", "[1]"])  # all of a symbol on one shard
        self.assertEqual(self.shards[0].query("SELECT count(), sum(n) FROM test.t").split(), ["1000", "499500"])
        added = ", venue LowCardinality(String) DEFAULT 'spot'"
        self.add_column(added)
        diff = self.schema("diff", added=added)
        self.assertEqual((diff.returncode, json.loads(diff.stdout)["differences"]), (0, []))
        for shard in self.shards:
            self.assertEqual(shard.query("SELECT venue, count() FROM test.t GROUP BY venue"), "spot\t1000\n")

    def test_other_servers(self):
        """What one server of the cluster lacks, another than the one that is asked, is found and made; so is what was broken
        off between a table and the one in front of it."""
        self.ok(self.schema("apply"))
        for statement, objects in (("DROP TABLE test.t", ["t"]), ("DROP TABLE test.t_local", ["t_local"]),
                                   ("DROP DATABASE test", ["coldpath_schema_history", "t", "t_local"])):
            self.shards[1].query(statement)
            self.ok(self.schema("diff"), 2)
            steps = self.ok(self.schema("apply"))["steps"]
            self.assertEqual(sorted({step["object"] for step in steps} - {""}), objects)
            self.assertEqual(self.ok(self.schema("diff"))["differences"], [])
        self.fill()
        self.shards[0].query("ALTER TABLE test.t_local ADD COLUMN venue String")
        self.shards[1].query("ALTER TABLE test.t ADD COLUMN other String")
        found = self.ok(self.schema("diff", added=", venue String"), 2)["differences"]
        self.assertEqual(sorted((item["object"], item["column"], item["what"]) for item in found),
                         [("t", "other", "column not declared"), ("t", "venue", "column missing"),
                          ("t_local", "venue", "column missing")])
        for shard, table in ((1, "t_local"), (0, "t"), (1, "t")):
            self.shards[shard].query(f"ALTER TABLE test.{table} ADD COLUMN venue String")
        self.shards[1].query("ALTER TABLE test.t DROP COLUMN other")
        self.assertEqual(self.ok(self.schema("diff", added=", venue String"))["differences"], [])
        self.shards[0].query("DROP TABLE test.t")
        self.shards[0].query("CREATE TABLE test.t AS test.t_local ENGINE = Distributed('pair', 'test', 't_local', rand())")
        done = self.schema("apply", added=", venue String")
        self.assertEqual([item["what"] for item in self.ok(done, 1)["refused"]], ["engine"])

    def test_every_table(self):
        """Every shipped table, on the cluster: made once, rows on both shards, by the shard key that its Distributed table has."""
        count = 0
        for group in ("", "dolphin", "trading", "platform"):
            directory = self.work / f"set_{group}"
            directory.mkdir()
            tables = []
            for file in sorted((DDL / group).glob("*.sql")):
                text = file.read_text()
                for new, old in OLDER:
                    text = re.sub(new, old, text)
                (directory / file.name).write_text(text)
                tables.append(file.stem)
            options = {"directory": directory, "tables": tables, "database": f"d_{group}"}
            steps = self.ok(self.schema("apply", **options))["steps"]
            self.assertEqual(len(steps), 2 + 2 * len(tables))
            self.assertEqual(self.ok(self.schema("apply", **options))["steps"], [])
            self.assertEqual(self.ok(self.schema("diff", **options))["differences"], [])
            for table in tables:
                self.spread(f"d_{group}", table)
            count += len(tables)
        self.assertEqual(count, len(list(DDL.glob("*.sql")) + list(DDL.glob("*/*.sql"))))

    def spread(self, database, table):
        made = self.shards[0].query(f"SELECT create_table_query FROM system.tables WHERE database = '{database}' AND "
                                    f"name = '{table}'")
        key = re.search(r"cityHash64\((\w+)\)", made).group(1)
        kind = re.search(rf"[(,]\s*`?{key}`? (\S+?)[,)(\s]", made).group(1)
        value = {"DateTime": "toDateTime('2026-01-01 00:00:00') + number", "UInt32": "toUInt32(number)"}.get(kind, "toString(number)")
        self.shards[1].query(f"INSERT INTO {database}.{table} (`{key}`) SELECT {value} FROM system.numbers LIMIT 64",
                             insert_distributed_sync=1)
        held = [int(shard.query(f"SELECT count() FROM {database}.{table}_local")) for shard in self.shards]
        self.assertEqual(sum(held), 64, (table, held))
        self.assertGreater(min(held), 0, (table, key, held))

    def test_cold_store(self):
        """latest and export read all shards through the table in front."""
        self.ok(self.schema("apply"))
        self.fill()
        rows = list(map(json.loads, self.coldpath("latest", "t", "--by", "symbol").stdout.splitlines()))
        self.assertEqual([int(row["n"]) for row in sorted(rows, key=lambda row: int(row["n"]))], list(range(980, 1000)))
        done = self.ok(self.coldpath("export", "t", "--from", "2026-01-01", "--format", "JSONEachRow", "--dir", self.work / "out",
                                     "--json"))
        self.assertEqual(done["rows_written"], 1000)
        lines = (self.work / "out/2026-01-01.jsonl").read_text().splitlines()
        self.assertEqual(sorted(int(json.loads(line)["n"]) for line in lines), list(range(1000)))

    def test_maintain(self):
        """Expired partitions go from all shards, after their roll-up, which is spread by its own key; others stay."""
        (self.work / "bars.sql").write_text("CREATE TABLE bars (minute DateTime, symbol String, ticks UInt64) ENGINE = MergeTree "
                                            "PARTITION BY toYYYYMM(minute) ORDER BY (minute, symbol)")
        (self.work / "rollups").mkdir()
        (self.work / "rollups/t.sql").write_text(
            "INSERT INTO bars SELECT toStartOfMinute(ts) AS minute, toString(symbol) AS symbol, count() AS ticks FROM t "
            "WHERE _partition_id = {partition:String} GROUP BY minute, symbol")
        options = {"tables": ("t", "bars"), "classes": ("t",)}
        self.ok(self.schema("apply", **options))
        self.shards[1].query("INSERT INTO test.t SELECT now() - intDiv(number, 100) * 86400 * 30, concat('S', toString(number % 20)), "
                             "number FROM system.numbers LIMIT 1000", insert_distributed_sync=1)
        self.declare(behind=" TTL ts + INTERVAL 100 DAY")  # that server's own TTL is to do nothing: it has none
        expired = set(self.shards[0].query("SELECT _partition_id AS id FROM test.t GROUP BY id HAVING max(ts) + 100 * 86400 <= now()"
                                           ).split())
        bars = ("SELECT toStartOfMinute(ts) AS minute, toString(symbol) AS s, count() FROM test.t WHERE _partition_id IN "
                f"({', '.join(map(repr, sorted(expired)))}) GROUP BY minute, s ORDER BY minute, s")
        wanted = self.shards[0].query(bars)
        kept = int(self.shards[0].query(f"SELECT count() FROM test.t WHERE _partition_id NOT IN {tuple(expired) + ('',)}"))
        arguments = ("maintain", "--cluster", "pair", "--json")
        plan = self.ok(self.coldpath(*arguments, "--yes", **options), 1)  # t is critical
        self.assertEqual((plan["done"], plan["unconfirmed"]), (0, len(expired)))
        answer = self.ok(self.coldpath(*arguments, "--yes", "--confirm=t", **options), 2)  # the server's TTL is not the declared one
        self.assertEqual({p["partition"] for p in answer["tables"][0]["partitions"] if "drop" in p["action"] and p["done"]}, expired)
        for shard in self.shards:
            self.assertEqual(set(shard.query("SELECT DISTINCT partition_id FROM system.parts WHERE active AND table = 't_local'"
                                             ).split()) & expired, set())
            self.assertGreater(int(shard.query("SELECT count() FROM test.bars_local")), 0)
        self.assertEqual(int(self.shards[0].query("SELECT count() FROM test.t")), kept)
        months = ", ".join(sorted(expired))
        self.assertEqual(self.shards[0].query(f"SELECT minute, symbol, ticks FROM test.bars WHERE toYYYYMM(minute) IN ({months}) "
                                              "ORDER BY minute, symbol"), wanted)

    def test_recorder(self):
        """What the recorder counts as delivered is on its shards, not on its way there."""
        self.ok(self.schema("apply"))
        recorder = Recorder(self.shards[0], {"t": {"flush": {"interval": "20ms"}}}, init=False, extra={
            "clickhouse": {"user": "recorder", "password_file": str(self.password)}, "schema": {"dir": str(self.work)}})
        self.addCleanup(recorder.close)
        recorder.start()
        rows = "".join(f'{{"ts": {1767225600 + n}, "symbol": "S{n % 20}", "n": {n}}}\n' for n in range(500))
        recorder.run("coldpath", "put", "t", input=rows.encode(), check=True)
        recorder.wait_delivered()
        held = [shard.query("SELECT count(), sum(n) FROM test.t_local").split() for shard in self.shards]
        self.assertEqual([sum(int(one[i]) for one in held) for i in (0, 1)], [500, 499 * 250])
        self.assertGreater(min(int(one[0]) for one in held), 0)


class Replicas(Servers):
    replicas = True

    def test_replicas(self):
        """One shard, two replicas: rows go to both, a repeated insert through the other one is none, history included."""
        self.ok(self.schema("apply"))
        self.assertEqual(self.ok(self.schema("apply"))["steps"], [])
        insert = "INSERT INTO test.t_local SELECT toDateTime('2026-01-01 00:00:00') + number, 'S', number FROM system.numbers LIMIT 10"
        for shard in self.shards:
            shard.query(insert)
        for shard in self.shards:
            shard.query("SYSTEM SYNC REPLICA test.t_local")
            shard.query("SYSTEM SYNC REPLICA test.coldpath_schema_history")
            self.assertEqual(shard.query("SELECT count() FROM test.t_local"), "10\n")
            self.assertEqual(shard.query("SELECT count() FROM test.t"), "10\n")
            self.assertEqual(shard.query("SELECT object FROM test.coldpath_schema_history ORDER BY step"), "t_local\nt\n")


if __name__ == "__main__":
    if not server_present() or not JAR.exists() or not shutil.which("java"):
        sys.exit(SKIP)
    unittest.main(verbosity=2)
