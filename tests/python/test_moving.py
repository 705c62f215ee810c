"""The guides for moving, as they are written: their files are written and their commands run, in order, in one shell, against a real
recorder and engine. Paths of a host (/etc/coldpath …) are moved below a directory of the test's; nothing else is changed."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

from conftest import BUILD, environment
from tests.support.chdb import ChdbServer, engine_present

pytestmark = pytest.mark.skipif(not engine_present(), reason="the embedded engine is not here")

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = "a-password-of-the-test"
ENDS = "for job in $(jobs -p); do kill $job; done; wait"  # whatever is left over, by its id

# The old module, made again from its description: what is put goes into the spool, and is delivered from there when the process ends.
OLD_MODULE = '''
import atexit, json, os, sys, urllib.request
sys.path.append(os.environ["TESTS"])
from old_writer import Spool
from coldpath.ch_writer import ts_ms, ts_us, uuid7

path = os.environ["CH_SPOOL_DIR"] + "/dolphin"
os.makedirs(path, exist_ok=True)
spool = Spool(path + "/writer.sqlite3")
ch_put = spool.put

@atexit.register
def deliver():
    for number, table, payload in spool.connection.execute("SELECT id, table_name, payload FROM queue ORDER BY id").fetchall():
        request = urllib.request.Request(os.environ["CH_URL"] + "/?database=dolphin&date_time_input_format=best_effort&query=INSERT+INTO+"
                                         + table + "+FORMAT+JSONEachRow", payload.encode(), {
            "X-ClickHouse-User": os.environ["CH_USER"], "X-ClickHouse-Key": os.environ["CH_PASS"]})
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            return
        spool.connection.execute("DELETE FROM queue WHERE id = ?", (number,))
'''

STRATEGY = '''
import datetime
from ch_writer import ch_put, ts_ms, ts_us, uuid7

for i in range(100):
    ch_put("trade_events", {"ts": ts_us(), "date": "2026-04-15", "strategy": "blue", "asset": "BTCUSDT", "pnl": float(i), "scan_uuid": uuid7(),
                            "not_a_column": [i]})
    ch_put("status_snapshots", {"ts": datetime.datetime.now(datetime.timezone.utc).isoformat(), "capital": float(i)})
    ch_put("obf_universe", {"ts": ts_ms(), "symbol": "BTCUSDT", "best_bid": float(i)})
'''


class Host:
    """Directories in place of a host's, an engine, and a shell for a guide's commands."""

    def __init__(self, server):
        self.server = server
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-moving-"))
        self.shm = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-moving-", dir="/dev/shm"))
        self.there = self.work / "there"  # where the commands run
        self.there.mkdir()
        self.moved = {"/dev/shm/coldpath": f"{self.shm}/coldpath", "/etc/coldpath": f"{self.work}/etc",
                      "/var/lib/coldpath": f"{self.work}/lib", "/mnt/dolphin_training/ch_spool": f"{self.work}/spool"}
        (self.work / "etc").mkdir()

    def text(self, guide):
        text = (SOURCE / "docs" / guide).read_text()
        for path, moved in self.moved.items():
            text = text.replace(path, moved)
        return text

    def run(self, guide, variables):
        """Every fenced block: a sh block is run; any other is written to the file that the last line before it names."""
        text = self.text(guide)
        script = ["set -eu"]
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.S | re.M):
            if language == "sh":
                script.append("echo '# step' >&2\n" + block)
                continue
            before = text[:text.index(f"```{language}\n{block}")].rstrip().splitlines()
            named = re.findall(r"`([^`]+)`", " ".join(before[-2:]))
            (self.there / named[-1]).write_text(block)
        script = f"trap '{ENDS}' EXIT\n" + "\n".join(script)
        done = subprocess.run(["bash", "-xc", script], cwd=self.there, capture_output=True, text=True, timeout=240, check=False,
                              stdin=subprocess.DEVNULL, env=self.environment() | variables)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
        return done

    def environment(self):
        bin_dir = self.work / "bin"
        bin_dir.mkdir(exist_ok=True)
        if not (bin_dir / "python3").exists():
            (bin_dir / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} -B "$@"\n')
            (bin_dir / "python3").chmod(0o755)
        return environment() | {"PATH": f"{bin_dir}:{BUILD / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(BUILD / "python"),
                                "TESTS": str(SOURCE / "tests/python")}

    def remove(self):
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.shm, ignore_errors=True)


@pytest.fixture
def host():
    with ChdbServer(user="dolphin", password=PASSWORD) as server:
        made = Host(server)
        yield made
        made.remove()


def old_tables(server, database, folder, names):
    """As they were made for the old recorder: without what is ours."""
    server.query(f"CREATE DATABASE {database}")
    for name in names:
        ddl = (SOURCE / "schema/ddl" / folder / f"{name}.sql").read_text()
        ddl = re.sub(r"^ +_cp_.*\n", "", ddl, flags=re.M)
        ddl = re.sub(r" CODEC\(.*\)(,?)$", r"\1", ddl, flags=re.M)
        ddl = re.sub(r"non_replicated_deduplication_window = \d+", "index_granularity = 8192", ddl)
        ddl = re.sub(r",(\s*\)\s*ENGINE)", r"\1", ddl)
        server.query(ddl, database=database)


def test_ch_writer(host):
    server = host.server
    old_tables(server, "dolphin", "dolphin", ("trade_events", "obf_universe", "status_snapshots"))
    (host.there / "ch_writer.py").write_text(OLD_MODULE)
    (host.there / "strategy.py").write_text(STRATEGY)
    (host.there / "not_moved_yet.py").write_text(STRATEGY)
    done = host.run("moving-from-ch-writer.md", {"CH_URL": server.url, "CH_USER": "dolphin", "CH_PASS": PASSWORD, "CH_DB": "dolphin",
                                                 "CH_SPOOL_DIR": f"{host.work}/spool"})
    assert "non_replicated_deduplication_window" in done.stdout, "what the old tables lack"
    assert {"$CH_URL", "$CH_USER", "$CH_PASS", "$CH_DB"} <= set(re.findall(r"# (\$\w+)$", done.stdout, re.M)), "what of the old variables is taken"
    assert re.search(r"^both\tnew_alone\n100\t0$", done.stdout, re.M), done.stdout
    assert re.search(r"^trades\ttwice\n300\t0$", done.stdout, re.M), done.stdout  # rehearsal (old writer), moved, from the spool
    assert PASSWORD not in done.stdout + done.stderr
    # And the strategy once more, gone back. Every row is there, once.
    assert server.query("SELECT count(), uniqExact(scan_uuid) FROM dolphin.trade_events").split() == ["400", "400"]
    assert server.query("SELECT count(), uniqExact(best_bid) FROM dolphin.obf_universe").split() == ["400", "100"]
    assert server.query("SELECT count(), uniqExact(capital) FROM dolphin.status_snapshots").split() == ["400", "100"]


# A platform, with the old recorder's queue and with record(): rows of orders, and fills. What ClickHouse does not take the old one
# leaves in .wal.
PLATFORM = '''
import asyncio, json, os, sys, time, urllib.request, uuid

OLD, NEW = {old}, {new}
if NEW:
    from topics import delivered, record
os.makedirs(".wal", exist_ok=True)

def old_record(topic, row):
    table = {{"fills": "trades"}}.get(topic, topic)
    request = urllib.request.Request("http://" + os.environ["ENGINE"] + "/?database=hft&query=INSERT+INTO+" + table + "+FORMAT+JSONEachRow",
                                     json.dumps(row).encode(), {{"X-ClickHouse-User": "dolphin", "X-ClickHouse-Key": os.environ["PASSWORD"]}})
    urllib.request.urlopen(request, timeout=5).close()

async def main():
    for i in range(50):
        row = {{"ts": time.time_ns(), "order_id": str(uuid.uuid4()), "symbol": "BTCUSDT", "price": 61800.25, "qty": i}}
        fill = {{"ts": time.time_ns(), "order_id": row["order_id"], "trade_id": str(uuid.uuid4()), "price": 61800.25}}
        for topic, it in (("orders", row), ("fills", fill)):
            if OLD:
                await asyncio.to_thread(old_record, topic, it)
            if NEW:
                assert record(topic, it)
    assert not NEW or await asyncio.to_thread(delivered, 30)

asyncio.run(main())
'''


def test_asyncio_recorder(host):
    server = host.server
    old_tables(server, "hft", "platform", ("orders", "trades", "logs", "latency_spans"))
    for name, old, new in (("both", True, True), ("new", False, True), ("old", True, False)):
        (host.there / f"platform_{name}.py").write_text(PLATFORM.format(old=old, new=new))
    wal = host.there / ".wal"
    wal.mkdir()
    for number in range(5):
        lines = [json.dumps({"ts": time.time_ns(), "order_id": f"{number}-{i}", "symbol": "BTCUSDT"}) for i in range(10)]
        (wal / f"hft.orders_{time.time_ns()}.jsonl").write_text("\n".join(lines) + "\n")
    now = time.time_ns()  # rows of 1970 would be taken away by their tables' TTL
    header = ['{"__wal_table__":"fills","__row_count__":1}', f'{{"ts":{now},"trade_id":"a"}}',
              '{"__wal_table__":"risk_log","__row_count__":1}', f'{{"ts":{now},"event":"b"}}']
    (wal / f"batch_{time.time_ns()}.jsonl").write_text("\n".join(header) + "\n")
    done = host.run("moving-from-an-asyncio-recorder.md", {
        "COLDPATH_CLICKHOUSE__URL": server.url, "CH_USER": "dolphin", "CH_PASS": PASSWORD, "PASSWORD": PASSWORD,
        "ENGINE": server.url.removeprefix("http://")})
    assert re.search(r"^  user: dolphin +# \$CH_USER$", done.stdout, re.M)
    assert re.search(r"^new\tnew_alone\n50\t0$", done.stdout, re.M), done.stdout
    assert re.search(r"^orders\ttwice\n150\t0$", done.stdout, re.M), done.stdout  # in parallel, moved, from .wal
    assert server.query("SELECT count(), uniqExact(order_id) FROM hft.orders").split() == ["200", "200"]
    assert server.query("SELECT count(), uniqExact(trade_id) FROM hft.trades").split() == ["151", "151"]
    assert server.query("SELECT groupArray(event) FROM hft.logs").strip() == "['b']"


def test_links():
    for guide in ("moving-from-ch-writer.md", "moving-from-an-asyncio-recorder.md", "python.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (SOURCE / "docs" / guide).read_text()):
            assert (SOURCE / "docs" / target).exists(), (guide, target)
