"""`coldpath import`: old spools and files into ClickHouse, each row once, while the old writer goes on and the import is killed."""
import calendar
import gzip
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import pytest

from old_writer import Spool, make
from tests.support.chdb import ChdbServer, engine_present
from tests.support.recorder import Recorder

pytestmark = pytest.mark.skipif(not engine_present(), reason="the embedded engine is not here")

TABLES = {"trade_events": {"class": "critical"}, "obf_universe": {}, "status_snapshots": {"ring_size": "256KiB"},
          "v7_decision_events": {}}
KEYS = {"trade_events": "toUInt64(scan_uuid)", "obf_universe": "toUInt64(best_bid)", "status_snapshots": "toUInt64(capital)"}
SEED = int(os.environ.get("CP_SEED") or random.randrange(1 << 32))


@pytest.fixture(scope="module")
def server():
    with ChdbServer() as running:
        yield running


@pytest.fixture
def recorder(server):
    database = f"import_{random.randrange(1 << 40)}"
    with Recorder(server, TABLES, database=database, extra={"schema": {"set": "dolphin"}}) as running:
        running.sql = lambda text: server.query(text, database=database).strip()
        yield running
    server.query(f"DROP DATABASE {database}")


@pytest.fixture
def work():
    path = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-import-"))
    yield path
    shutil.rmtree(path)


def assert_exact(recorder, total):
    """Rows 0 … total-1 of make(), each once, where they belong."""
    for remainder, table in enumerate(("trade_events", "obf_universe", "status_snapshots")):
        count = len(range(remainder, total, 3))
        held = recorder.sql(f"SELECT count(), uniqExact({KEYS[table]}), min({KEYS[table]} % 3), max({KEYS[table]} % 3), "
                            f"max({KEYS[table]}) FROM {table}").split("\t")
        assert held == [str(count), str(count), str(remainder), str(remainder), str(total - 3 + (remainder - total) % 3)], table


def run_import(recorder, *args, expect=0):
    done = recorder.run("coldpath", "import", "--json", *args)
    assert expect is None or done.returncode == expect, done.stderr.decode()
    return json.loads(done.stdout)


def test_spool_while_the_writer_appends(recorder, work):
    """100,000 rows: most are there, the rest comes while they are imported; the import is killed again and again."""
    print(f"CP_SEED={SEED}")
    source = random.Random(SEED)
    path = work / "writer.sqlite3"
    there, total = 90_000, 100_000
    spool = Spool(path)
    spool.fill(make(i) for i in range(there))
    writer = subprocess.Popen([sys.executable, "-B", pathlib.Path(__file__).with_name("old_writer.py"), path, str(total - there),
                               "--first", str(there), "--delay", "0.0002"], stdout=subprocess.PIPE, text=True)
    kills = 0
    while kills < 12 or writer.poll() is None:
        process = recorder.popen("coldpath", "import", "spool", path, "--follow", stderr=subprocess.DEVNULL)
        time.sleep(source.uniform(0.02, 0.5))
        if source.random() < 0.3:  # as another producer, which may take the slot that the import leaves
            recorder.run("coldpath", "put", "v7_decision_events", input=b"")
        process.kill()
        process.wait()
        kills += 1
    failed = int(writer.communicate()[0])
    # Its patience is 50 ms. On a host with far more to do than it has processors, whoever holds the lock may wait that long for one.
    assert writer.returncode == 0 and failed <= (total - there) // 1000, f"our lock made the old writer drop {failed} rows"
    answer = run_import(recorder, "spool", path)
    assert answer["rows_quarantined"] == answer["rows_left"] == answer["rows_given_up"] == 0
    assert spool.count() == 0
    recorder.wait_delivered()
    assert_exact(recorder, total)
    again = run_import(recorder, "spool", path)
    assert again["rows_put"] == again["rows_put_before"] == 0


def test_killed_import_and_another_producer(recorder, work):
    """Another producer takes the slot that a killed import left, and puts: the rows are told apart."""
    path = work / "writer.sqlite3"
    spool = Spool(path)
    spool.fill(make(i) for i in range(2, 3 * 40_000, 3))  # status_snapshots: a ring that is full at once
    recorder.stop(signal.SIGKILL)
    process = recorder.popen("coldpath", "import", "spool", path, stderr=subprocess.DEVNULL)
    time.sleep(2)
    process.kill()
    process.wait()
    in_ring = next(it for it in recorder.status()["tables"] if it["table"] == "status_snapshots")["rows_in_ring"]
    assert 1000 < in_ring < 40_000
    recorder.start()
    recorder.wait_delivered()
    other = b'{"ts":"2099-01-01","capital":1e9}\n' * 10
    assert recorder.run("coldpath", "put", "status_snapshots", "--wait", input=other).returncode == 0
    answer = run_import(recorder, "spool", path)
    assert answer["rows_put_before"] == in_ring and answer["rows_put"] == 40_000 - in_ring
    recorder.wait_delivered()
    assert recorder.sql("SELECT count(), uniqExact(capital) FROM status_snapshots WHERE capital < 1e9") == "40000\t40000"
    assert recorder.sql("SELECT count() FROM status_snapshots") == "40010"


def test_in_doubt_is_said(recorder, work):
    """The ring went round since: nobody can tell what was put, and the import says so instead of guessing."""
    path = work / "writer.sqlite3"
    spool = Spool(path)
    spool.fill(make(i) for i in range(2, 3 * 10_000, 3))
    recorder.stop(signal.SIGKILL)
    process = recorder.popen("coldpath", "import", "spool", path, stderr=subprocess.DEVNULL)
    time.sleep(1)
    process.kill()
    process.wait()
    recorder.start()
    recorder.wait_delivered()
    other = b'{"ts":"2099-01-01","capital":1e9}\n' * 8000
    assert recorder.run("coldpath", "put", "status_snapshots", "--wait", input=other).returncode == 0
    answer = run_import(recorder, "spool", path, expect=1)
    assert "--in-doubt=put" in answer["error"] and "written over" in answer["error"]
    answer = run_import(recorder, "spool", path, "--in-doubt", "put")
    assert answer["error"] is None
    recorder.wait_delivered()
    assert int(recorder.sql("SELECT uniqExact(capital) FROM status_snapshots WHERE capital < 1e9")) == 10_000


def test_bad_rows_and_unknown_tables(recorder, work):
    path = work / "writer.sqlite3"
    spool = Spool(path)
    bad = ["{", '{"ts":"x"}', '{"ts":1,"pnl":"much"}', "[1]", '{"ts":1,"pnl":{"a":1}}', '{"ts":99999999999999999999}']
    spool.fill([("trade_events", text) for text in bad] + [make(0), ("nowhere", "{}"), make(3), ("nowhere", "{}")])
    answer = run_import(recorder, "spool", path, expect=1)
    assert answer["rows_put"] == 2 and answer["rows_quarantined"] == 6 and answer["rows_left"] == 2
    assert spool.count() == 2
    lines = [json.loads(line) for line in (work / "writer.sqlite3.quarantine.jsonl").read_text().splitlines()]
    assert [line["payload"] for line in lines] == bad and [line["id"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["table"] == "trade_events" and line["error"] for line in lines)
    spool.fill([("trade_events", "{")])
    with open(work / "writer.sqlite3.quarantine.jsonl", "ab") as file:
        file.write(b'{"source":"cut off by a ki')
    assert run_import(recorder, "spool", path, expect=1)["rows_quarantined"] == 1
    lines = (work / "writer.sqlite3.quarantine.jsonl").read_text().splitlines()
    assert len(lines) == 7 and json.loads(lines[6])["id"] == 11
    strict = Spool(work / "strict.sqlite3")
    strict.fill([make(1)])
    assert run_import(recorder, "spool", work / "strict.sqlite3", "--strict", expect=1)["rows_quarantined"] == 1


def test_times_as_the_old_writer_sent_them(recorder, work):
    """date_time_input_format=best_effort took isoformat() with more digits than the column has, and other forms."""
    path = work / "writer.sqlite3"
    day = time.strftime("%Y-%m-%d")
    forms = [f"{day}T10:00:00.123456+00:00", f"{day}T10:00:00.123Z", f"{day} 10:00:00.123999", f"{day.replace('-', '/')} 10:00:00.123",
             calendar.timegm(time.strptime(day, "%Y-%m-%d")) * 1000 + 36_000_123]
    forms += [str(forms[-1]), str(forms[-1]) + "999"]  # digits in a string: by their number, not ticks of the column
    Spool(path).fill(("obf_universe", {"ts": form, "symbol": str(i)}) for i, form in enumerate(forms))
    assert run_import(recorder, "spool", path)["rows_put"] == len(forms)
    recorder.wait_delivered()
    assert recorder.sql("SELECT count(), groupUniqArray(toString(ts)) FROM obf_universe") == f"{len(forms)}\t['{day} 10:00:00.123']"
    Spool(path).fill(("obf_universe", {"ts": digits}) for digits in ("12345", "-5", "17762695"))
    assert run_import(recorder, "spool", path, expect=1)["rows_quarantined"] == 3


def test_values_as_the_old_writer_sent_them(recorder, work):
    """ClickHouse took true in a number column for 1, and objects and arrays in a String column as the text they stood in."""
    path = work / "writer.sqlite3"
    now = int(time.time() * 1000)
    spool = Spool(path)
    nested = {"detail": 7, "x": {"score": 1.0, "b": [True, None, "}\\\""], "ü": 10**30}}
    spool.fill([("status_snapshots", {"ts": now, "vol_ok": True, "capital": True, "roi_pct": False, "phase": True}),
                ("trade_events", {"ts": now * 1000, "unknown": {"scan_uuid": 1}, "scan_uuid": nested, "pnl": 1.5, "asset": []}),
                ("trade_events", '{"ts":%d, "scan\\u005fuuid" : [ 1, {} ] , "pnl":2}' % (now * 1000))])
    assert run_import(recorder, "spool", path)["rows_quarantined"] == 0
    recorder.wait_delivered()
    assert recorder.sql("SELECT vol_ok, capital, roi_pct, phase FROM status_snapshots") == "1\t1\t0\ttrue"
    assert recorder.sql("SELECT asset, scan_uuid FROM trade_events ORDER BY pnl FORMAT TSVRaw").splitlines() == [
        "[]\t" + json.dumps(nested, separators=(",", ":"), ensure_ascii=False), "\t[ 1, {} ]"]
    strict = Spool(work / "strict.sqlite3")
    strict.fill([("status_snapshots", {"ts": now, "vol_ok": True}), ("trade_events", {"ts": now, "scan_uuid": {}})])
    assert run_import(recorder, "spool", work / "strict.sqlite3", "--strict", expect=1)["rows_quarantined"] == 2


def test_decimals_as_the_old_loader_sent_them(server, work):
    """Python's floats have more digits than a Decimal's scale, and exponents; ClickHouse cut the digits off and took the others."""
    database = f"import_{random.randrange(1 << 40)}"
    row = '{"ts":"2099-01-01 00:00:00","order_id":"%d","price":%s,"qty":"%s"}'
    values = (("0.30000000000000004", "1e-07"), ("1e-7", "1.23456789999"), ("2.5E-9", "3"), ("61800.2", "1e3"))
    with Recorder(server, {"orders": {"class": "critical"}}, database=database, extra={"schema": {"set": "platform"}}) as running:
        rows = [row % (number, *pair) for number, pair in enumerate(values)]
        (work / "orders_1.jsonl").write_text("\n".join(rows + [row % (9, "1e10", "1")]) + "\n")
        answer = run_import(running, "wal", work, expect=1)
        assert (answer["rows_put"], answer["rows_quarantined"]) == (4, 1)
        running.wait_delivered()
        ours = server.query("SELECT price, qty FROM orders ORDER BY order_id", database=database)
        server.query("CREATE TABLE theirs AS orders ENGINE = Memory", database=database)
        server.query("INSERT INTO theirs FORMAT JSONEachRow " + "\n".join(rows), database=database)
        assert ours == server.query("SELECT price, qty FROM theirs ORDER BY order_id", database=database)
        (work / "strict").mkdir()
        (work / "strict/orders_1.jsonl").write_text(rows[0] + "\n")
        assert run_import(running, "wal", work / "strict", "--strict", expect=1)["rows_quarantined"] == 1
    server.query(f"DROP DATABASE {database}")


def test_a_row_of_another_database_stays(recorder, work):
    """The old writer, whose namespaces are databases, sent it to that one: it does not go to this one's table of the same name."""
    path = work / "writer.sqlite3"
    spool = Spool(path)
    spool.fill([("trade_events", {"ts": 1, "pnl": 1}), ("test.trade_events", {"ts": 1, "pnl": 2}),
                ("elsewhere.trade_events", {"ts": 1, "pnl": 3})])
    answer = run_import(recorder, "spool", path, expect=1)
    assert answer["rows_put"] == 2 and answer["rows_left"] == 1
    assert spool.count() == 1


def test_not_a_spool(recorder, work):
    (work / "text").write_text("this is no database, but text that is long enough to look at" * 10)
    other = sqlite3.connect(work / "other.sqlite3")
    other.execute("CREATE TABLE precious (x)")
    other.close()
    for path, says in ((work / "text", "not a database"), (work / "absent", "No such file"), (work, ""), (work / "other.sqlite3", "no spool")):
        done = recorder.run("coldpath", "import", "spool", path)
        assert done.returncode not in (0, 69), done.stderr
        assert says in done.stderr.decode()
    held = sqlite3.connect(work / "other.sqlite3").execute("SELECT name FROM sqlite_master").fetchall()
    assert held == [("precious",)], "nothing is written into another's database"
    for args in ((), ("spoool", "x"), ("spool", "-"), ("jsonl", "x"), ("wal", "x", "--follow"), ("wal", "x", "--map", "x")):
        assert recorder.run("coldpath", "import", *args).returncode == 64, args
    assert recorder.run("coldpath", "import", "jsonl", "nowhere", work / "text").returncode == 64


def test_one_import_at_a_time(recorder, work):
    path = work / "writer.sqlite3"
    Spool(path)
    process = recorder.popen("coldpath", "import", "spool", path, "--follow", stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    done = recorder.run("coldpath", "import", "spool", path)
    assert done.returncode == 69 and b"another process" in done.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_jsonl_and_csv(recorder, work):
    path = work / "rows.jsonl"
    lines = [json.dumps(make(i)[1]) for i in range(0, 9000, 3)]
    lines[500:500] = ["no json", '{"ts":"x"}']
    path.write_text("\n".join(lines[:1500]) + "\n")
    answer = run_import(recorder, "jsonl", "trade_events", path, "--skip-unknown", expect=1)
    assert answer["rows_put"] == 0 and answer["rows_quarantined"] == 1500  # posture: null is no default here
    path.unlink()
    (work / "rows.jsonl.coldpath-import").unlink()
    (work / "rows.jsonl.quarantine.jsonl").unlink()
    lines = [line.replace(', "posture": null', "") for line in lines]
    path.write_text("\n".join(lines[:1500]) + "\n")
    answer = run_import(recorder, "jsonl", "trade_events", path, expect=1)
    assert answer["rows_put"] == 1498 and answer["rows_quarantined"] == 2
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n".join(lines[1500:]) + "\n")
    process = recorder.popen("coldpath", "import", "jsonl", "trade_events", path, stderr=subprocess.DEVNULL)
    time.sleep(0.05)
    process.kill()
    process.wait()
    answer = run_import(recorder, "jsonl", "trade_events", path)
    assert answer["rows_quarantined"] == 0
    kept = [json.loads(line) for line in (work / "rows.jsonl.quarantine.jsonl").read_text().splitlines()]
    assert [(line["id"], line["payload"]) for line in kept] == [(501, "no json"), (502, '{"ts":"x"}')]
    table = work / "rows.csv"
    table.write_text("capital,ts,posture\n" + "".join(f"{i},2099-01-01,\"A\nB\"\n" for i in range(2000)) + "x,1,C\n")
    assert run_import(recorder, "csv", "status_snapshots", table, "--header", expect=1)["rows_put"] == 2000
    assert run_import(recorder, "csv", "status_snapshots", table, "--header")["rows_put"] == 0
    recorder.wait_delivered()
    assert recorder.sql("SELECT count(), uniqExact(scan_uuid) FROM trade_events") == "3000\t3000"
    assert recorder.sql("SELECT count(), uniqExact(capital), any(posture) FROM status_snapshots") == "2000\t2000\tA\\nB"


def test_a_file_under_other_names_and_another_under_its_name(recorder, work):
    path = work / "rows.jsonl"
    row = '{{"ts":"2099-01-01","capital":{}}}'.format
    path.write_text(row(0) + "\n" + row(1) + "\n")
    (work / "link.jsonl").symlink_to(path)
    put = [run_import(recorder, "jsonl", "status_snapshots", name)["rows_put"]
           for name in (path, os.path.relpath(path), work / "link.jsonl", work / ".." / work.name / "rows.jsonl")]
    assert put == [2, 0, 0, 0]
    with open(path, "a", encoding="utf-8") as file:
        file.write(row(2) + "\n" + row(3)[:12])
    answer = run_import(recorder, "jsonl", "status_snapshots", path, expect=1)
    assert answer["rows_put"] == 1 and answer["rows_quarantined"] == 0 and "lacks its newline" in answer["error"]
    with open(path, "a", encoding="utf-8") as file:
        file.write(row(3)[12:])
    assert run_import(recorder, "jsonl", "status_snapshots", path)["rows_put"] == 1
    whole = path.read_text()
    path.write_text(row(0) + "\n")
    assert b"begins otherwise" in recorder.run("coldpath", "import", "jsonl", "status_snapshots", path).stderr
    path.write_text(whole)
    assert run_import(recorder, "jsonl", "status_snapshots", path)["rows_put"] == 0
    recorder.wait_delivered()
    assert recorder.sql("SELECT count(), uniqExact(capital), max(capital) FROM status_snapshots") == "4\t4\t3"


def test_gzip_that_is_cut_short(recorder, work):
    path = work / "rows.jsonl.gz"
    source = random.Random(SEED)
    data = gzip.compress("".join(f'{{"ts":"2099-01-01","capital":{i},"posture":"{source.getrandbits(64)}"}}\n' for i in range(30_000)).encode())
    path.write_bytes(data[:len(data) * 9 // 10])
    answer = run_import(recorder, "jsonl", "status_snapshots", path, expect=1)
    assert 20_000 < answer["rows_put"] < 30_000 and "cut short" in answer["error"], "what was read is not kept back"
    path.write_bytes(data)
    assert run_import(recorder, "jsonl", "status_snapshots", path)["rows_put"] == 30_000 - answer["rows_put"]
    recorder.wait_delivered()
    assert recorder.sql("SELECT count(), uniqExact(capital) FROM status_snapshots") == "30000\t30000"


def test_wal_with_what_is_no_log_and_tables_that_come_later(recorder, work):
    row = '{"ts":"2099-01-01","capital":%d}'
    (work / "snapshots_1.jsonl").write_text(row % 0 + "\n" + row % 1 + "\n")
    (work / "batch_2.jsonl").write_text("\n".join(['{"__wal_table__":"status_snapshots"}', row % 2, '{"__wal_table__":"snapshots"}', row % 3,
                                                   '{"__wal_table__":"status_snapshots"}', row % 4, ""]))
    (work / "status_snapshots_3.jsonl").mkdir()
    os.mkfifo(work / "status_snapshots_4.jsonl")
    (work / "status_snapshots_5.jsonl").write_text(row % 5 + "\n")
    (work / "status_snapshots_6.jsonl").write_bytes(gzip.compress(row.encode() * 1000)[:30])
    (work / "status_snapshots_7.jsonl").write_text(row % 6 + "\n")
    first = run_import(recorder, "wal", work, expect=1)
    assert first["rows_put"] == 4 and first["rows_left"] == 3 and "cut short" in first["error"]
    again = run_import(recorder, "wal", work, expect=1)
    assert again["rows_put"] == 0 and again["rows_left"] == 3
    (work / "status_snapshots_6.jsonl").unlink()
    mapped = run_import(recorder, "wal", work, "--map", "snapshots=status_snapshots")
    assert mapped["rows_put"] == 3 and mapped["rows_left"] == 0
    recorder.wait_delivered()
    assert recorder.sql("SELECT count(), uniqExact(capital), max(capital) FROM status_snapshots") == "7\t7\t6"


def test_wal_directory(recorder, work):
    """Files of one table, and files with headers; killed and run again; a name that is mapped, one that is not known."""
    expected = 0
    for number in range(40):
        rows = [json.dumps(make(3 * (number * 50 + i))[1]) for i in range(50)]
        (work / f"hft.trade_events_{1000 + number}.jsonl").write_text("\n".join(rows) + "\n")
        expected += 50
    snapshots = [json.dumps(make(3 * i + 2)[1]) for i in range(100)]
    batch = ['{"__wal_table__":"hft.trade_events","__row_count__":1}', json.dumps(make(300_000)[1]),
             '{"__wal_table__": "snapshots", "__row_count__": 100}', *snapshots, '{"__wal_table__":"hft.nowhere"}', "{}", "{}",
             '{"__wal_table__":"trade_events"}', json.dumps(make(300_003)[1]), "broken"]
    (work / "batch_500.jsonl").write_text("\n".join(batch) + "\n")
    (work / "manifest.txt").write_text("trade_events_1.jsonl")
    (work / "trade_events_9.jsonl.tmp").write_text("{}")
    for _ in range(6):
        process = recorder.popen("coldpath", "import", "wal", work, "--map", "snapshots=status_snapshots",
                                 stderr=subprocess.DEVNULL)
        time.sleep(0.03)
        process.kill()
        process.wait()
    answer = run_import(recorder, "wal", work, "--map", "snapshots=status_snapshots", expect=None)
    recorder.wait_delivered()
    assert recorder.sql("SELECT count(), uniqExact(scan_uuid) FROM trade_events") == f"{expected + 2}\t{expected + 2}"
    assert recorder.sql("SELECT count(), uniqExact(capital) FROM status_snapshots") == "100\t100"
    kept = (work / "quarantine.jsonl").read_text().splitlines()
    assert len(kept) == 1 and json.loads(kept[0])["payload"] == "broken"
    assert answer["error"] is None
