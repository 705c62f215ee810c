"""`coldpath schema apply --cluster` on a real cluster: two shards of Debian's clickhouse-server 18.16 and one ZooKeeper. Skipped
where these programs are not."""

import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, build_dir
from tests.support.real_server import RealServer, free_port, server_present

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
  <macros><shard>{shard}</shard><replica>one</replica></macros>
  <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
  <remote_servers><pair>{shards}</pair></remote_servers>
</yandex>"""
SHARD = """<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>{}</port><user>recorder</user><password>right</password></replica></shard>"""
TABLE = """CREATE TABLE t (ts DateTime, symbol LowCardinality(String), n UInt64{added})
ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (ts, symbol) SETTINGS non_replicated_deduplication_window = 100"""


class Shard(RealServer):
    def join(self, shard, zookeeper, shards):
        config = self.work / "config.xml"
        text = config.read_text().replace("</yandex>", CLUSTER.format(
            interserver=free_port(), zookeeper=zookeeper, shard=shard, shards=shards))
        config.write_text(text)

    def tcp_port(self):
        return (self.work / "config.xml").read_text().split("<tcp_port>")[1].split("<")[0]


class Cluster(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-cluster-test-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        zookeeper = self.zookeeper()
        self.shards = [Shard(), Shard()]
        ports = "".join(SHARD.format(shard.tcp_port()) for shard in self.shards)
        for number, shard in enumerate(self.shards):
            self.addCleanup(shard.stop)
            shard.join(number, zookeeper, ports)
            shard.start()
        self.password = self.work / "password"
        self.password.write_text("right\n")
        self.password.chmod(0o600)

    def zookeeper(self):
        port = free_port()
        (self.work / "zoo.cfg").write_text(ZOO.format(data=self.work / "zookeeper", port=port))
        with open(self.work / "zookeeper.log", "wb") as log:
            process = subprocess.Popen(["java", "-cp", f"{self.work}:{JAR}", "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                                        self.work / "zoo.cfg"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:  # its port is open before it serves
            self.assertIsNone(process.poll(), (self.work / "zookeeper.log").read_text()[-2000:])
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(b"srvr")
                    if b"Mode:" in connection.makefile("rb").read():
                        return port
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError("ZooKeeper did not start")

    def schema(self, *args, added=""):
        config = self.work / "coldpath.yaml"
        (self.work / "t.sql").write_text(TABLE.format(added=added))
        config.write_text(json.dumps({"namespace": "test", "schema": {"dir": str(self.work)}, "tables": {"t": {}}, "clickhouse":
                                      {"url": self.shards[0].url, "user": "recorder", "password_file": str(self.password)}}))
        return subprocess.run([build_dir() / "bin/coldpath", "schema", *args, "--cluster", "pair", "--json", "--config", config],
                              capture_output=True, text=True, timeout=120)

    def add_column(self, added):
        """By hand, from the dry run: that server takes ALTERs of tables that are not replicated only on each server by itself."""
        done = self.schema("apply", "--dry-run", added=added)
        self.assertEqual(done.returncode, 0, done.stderr)
        local, front = [step["statement"] for step in json.loads(done.stdout)["steps"]]
        self.assertIn("`t_local` ON CLUSTER `pair` ADD COLUMN", local)
        self.shards[0].query(local)
        for shard in self.shards:
            shard.query(front.replace(" ON CLUSTER `pair`", ""))

    def test_two_shards(self):
        done = self.schema("apply")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["steps"]), 4)  # database, history, t_local, t
        self.assertEqual(json.loads(self.schema("apply").stdout)["steps"], [])
        self.assertEqual(self.shards[0].query("SELECT step, applied_by, object FROM test.coldpath_schema_history ORDER BY step"),
                         "1\trecorder\tt_local\n2\trecorder\tt\n")
        diff = self.schema("diff")
        self.assertEqual((diff.returncode, json.loads(diff.stdout)["differences"]), (0, []))
        self.shards[1].query("INSERT INTO test.t SELECT toDateTime('2026-01-01 00:00:00') + number, "
                             "concat('S', toString(number % 20)), number FROM system.numbers LIMIT 1000",
                             insert_distributed_sync=1)
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


if __name__ == "__main__":
    if not server_present() or not JAR.exists() or not shutil.which("java"):
        sys.exit(SKIP)
    unittest.main(verbosity=2)
