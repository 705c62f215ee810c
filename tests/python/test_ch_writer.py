"""The drop-in's names, ids and manners, without a recorder. That rows arrive is test_drop_in.py's."""
import concurrent.futures
import copy
import datetime
import importlib
import json
import logging
import multiprocessing
import os
import pickle
import re
import threading
import time
import uuid

import pytest

from conftest import BUILD, Place, fork_alone

TRADE = {"ts": 1_776_269_557_123_456, "date": "2026-04-15", "strategy": "blue", "asset": "BTCUSDT", "side": "SHORT",
         "entry_price": 84500.0, "exit_price": 84200.0, "quantity": 0.01, "pnl": 3.0, "pnl_pct": 0.00355,
         "exit_reason": "FIXED_TP", "vel_div_entry": -0.0319, "leverage": 9.0, "bars_held": 45}


@pytest.fixture
def writer(monkeypatch, tmp_path):
    """The module, fresh, with no region anywhere."""
    monkeypatch.setenv("COLDPATH_REGION_DIR", str(tmp_path / "regions"))
    monkeypatch.setenv("COLDPATH_CH_MISSING", "warn")
    monkeypatch.setenv("CH_SPOOL_DIR", str(tmp_path / "spool"))
    import coldpath.ch_writer
    return importlib.reload(coldpath.ch_writer)


@pytest.fixture
def dolphin(writer, monkeypatch):
    place = Place({"trade_events": {}, "obf_universe": {}, "meta_health": {}, "every": {"row_max": "16KiB"}}, "dolphin")
    monkeypatch.setenv("COLDPATH_REGION_DIR", str(place.work / "region"))
    yield place
    place.remove()


def test_names(writer):
    for name in ("ch_put", "ch_put_green", "ch_put_prodgreen", "ch_put_pink", "ch_put_violet", "ch_put_pink_v7"):
        assert callable(getattr(writer, name))
    assert writer.V7_DECISION_TABLE == "v7_decision_events" and writer.CH_BATCH_SIZE == 250
    assert abs(writer.ts_us() - time.time() * 1e6) < 1e6 and abs(writer.ts_ms() - time.time() * 1e3) < 1e3
    assert isinstance(writer.ts_us(), int) and isinstance(writer.ts_ms(), int)


def test_uuid7(writer, monkeypatch):
    before = time.time_ns() // 1_000_000
    ids = [writer.uuid7() for _ in range(20_000)]
    after = time.time_ns() // 1_000_000
    assert ids == sorted(ids) and len(set(ids)) == len(ids)
    for text in (ids[0], ids[-1]):
        parsed = uuid.UUID(text)
        assert str(parsed) == text and parsed.version == 7 and parsed.variant == uuid.RFC_4122
    assert before <= uuid.UUID(ids[0]).int >> 80 <= after
    monkeypatch.setattr(writer.time, "time_ns", lambda: 1_000_000_000)  # the clock goes back, and stands
    more = [writer.uuid7() for _ in range(10_000)]
    assert [ids[-1]] + more == sorted([ids[-1]] + more)
    assert (uuid.UUID(more[-1]).int >> 80) - (uuid.UUID(ids[-1]).int >> 80) <= 4


def test_uuid7_in_threads_and_children(writer):
    found = []
    threads = [threading.Thread(target=lambda: found.extend([writer.uuid7() for _ in range(2000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader, other = os.pipe()
    if fork_alone() == 0:
        os.write(other, "".join(writer.uuid7() for _ in range(100)).encode())
        os._exit(0)
    os.wait()
    found += re.findall(".{36}", os.read(reader, 4000).decode())
    found += [writer.uuid7() for _ in range(100)]
    assert len(found) == len(set(found)) == 8200


def test_no_region_never_raises(writer, caplog):
    with caplog.at_level(logging.WARNING, "ch_writer"):
        for _ in range(1000):
            assert writer.ch_put("trade_events", TRADE) is None
            writer.ch_put_green("trade_events", object())
    assert writer.stats()["dolphin"]["missing"] == 1000
    assert len(caplog.records) == 2, "warned once per namespace, not a thousand times"
    assert "trade_events" in caplog.text and "init" in caplog.text


def test_raises_when_asked(writer, monkeypatch):
    monkeypatch.setenv("COLDPATH_CH_MISSING", "raise")
    with pytest.raises(writer.coldpath.AbsentError):
        writer.ch_put("trade_events", TRADE)


def test_region_is_made(writer, monkeypatch, dolphin, caplog):
    monkeypatch.setenv("COLDPATH_CH_MISSING", "create")
    monkeypatch.setenv("COLDPATH_PROGRAM", str(BUILD / "bin/coldpath"))
    monkeypatch.setenv("COLDPATH_CH_CONFIG", str(dolphin.work / "none-{namespace}.yaml"))
    writer.ch_put_green("trade_events", TRADE)
    assert "no configuration" in caplog.text and "none-dolphin_green.yaml" in caplog.text
    green = dict(dolphin.settings, namespace="dolphin_green")
    (dolphin.work / "none-dolphin_green.yaml").write_text(json.dumps(green))
    writer = importlib.reload(writer)
    writer.ch_put_green("trade_events", TRADE)
    assert writer.stats()["dolphin_green"]["put"] == 1
    assert os.path.exists(dolphin.work / "region/dolphin_green/control")


def test_one_configuration_for_all_namespaces(writer, monkeypatch, dolphin):
    """As deploy/dolphin.yaml is: the region that is made is that of the put, whatever namespace file or environment name."""
    monkeypatch.setenv("COLDPATH_CH_MISSING", "create")
    monkeypatch.setenv("COLDPATH_PROGRAM", str(BUILD / "bin/coldpath"))
    monkeypatch.setenv("COLDPATH_CH_CONFIG", str(dolphin.config))
    writer.ch_put_pink("trade_events", TRADE)
    monkeypatch.setenv("COLDPATH_NAMESPACE", "dolphin_green")
    writer.ch_put_violet("trade_events", TRADE)
    assert [writer.stats()[name]["put"] for name in ("dolphin_pink", "dolphin_violet")] == [1, 1]
    assert sorted(os.listdir(dolphin.work / "region")) == ["dolphin", "dolphin_pink", "dolphin_violet"]


def test_rows_wait_without_a_recorder(writer, dolphin):
    threads = [threading.Thread(target=lambda: [writer.ch_put("trade_events", TRADE) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = fork_alone()
    if child == 0:
        for _ in range(100):
            writer.ch_put("trade_events", TRADE)
        os._exit(0 if writer.stats()["dolphin"]["put"] == 100 else 1)
    assert os.waitpid(child, 0)[1] == 0
    writer.ch_put("trade_events", TRADE)
    assert dolphin.rows("trade_events") == 2101
    assert writer.stats()["dolphin"] | {"tables": 0} == {"put": 2001, "missing": 0, "full": 0, "adapted": 0, "rejected": 0,
                                                         "tables": 0}


def test_takes_what_the_old_one_took(writer, dolphin, caplog):
    now = datetime.datetime.now(datetime.timezone.utc)
    rows = [TRADE | {"no_such_column": 1}, TRADE | {"strategy": None}, TRADE | {"scan_uuid": 12},
            TRADE | {"scan_uuid": {"a": [1, None]}}, TRADE | {"ts": now.isoformat() + "", "bars_held": "45"},
            TRADE | {"ts": 1776269557.5}, TRADE | {"ts": "2026-06-11T10:00:00.123456789+00:00"}, TRADE | {"pnl": "3.5"},
            TRADE | {"scan_uuid": "\ud800"}]
    for row in rows:
        writer.ch_put("trade_events", row)
    writer.ch_put("obf_universe", {"ts": now})
    writer.ch_put("every", {"an": None, "i64": 1})
    counts = writer.stats()["dolphin"]
    assert counts["put"] == 11 and counts["rejected"] == 0, caplog.text
    assert counts["adapted"] >= 8
    assert dolphin.rows("trade_events") == 9


@pytest.mark.parametrize("text, digits, ticks", [("1776269557", 6, 1776269557_000000), ("1776269557123", 3, 1776269557123),
                                                 ("1776269557123456", 3, 1776269557123), ("1776269557123456789", 0, 1776269557)])
def test_digits_are_read_by_their_size(writer, text, digits, ticks):
    """As date_time_input_format=best_effort read them for the old writer, and not as ticks of whatever the column has."""
    assert writer._adapted({"ts": f"DateTime64({digits}, 'UTC')"}, {"ts": text}) == {"ts": ticks}


def test_a_function_as_any_other(writer, dolphin):
    """The old module's were plain functions: processes are given them, tests copy what holds them."""
    assert pickle.loads(pickle.dumps(writer.ch_put_pink)) == writer.ch_put_pink
    writer.ch_put("trade_events", TRADE)
    assert copy.deepcopy({"put": writer.ch_put})["put"] == writer.ch_put
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(writer.ch_put, "trade_events", TRADE).result(60)
    assert dolphin.rows("trade_events") == 2


def test_the_database_in_front_of_a_table(writer, dolphin):
    """INSERT INTO took it. Another namespace's does not become a table of this one."""
    writer.ch_put("dolphin.trade_events", TRADE)
    writer.ch_put("trade_events", TRADE)
    writer.ch_put("dolphin_pink.trade_events", TRADE)
    assert dolphin.rows("trade_events") == 2
    assert writer.stats()["dolphin"]["put"] == 2 and writer.stats()["dolphin"]["missing"] == 1


@pytest.mark.parametrize("table", [[], {}, None, 1, b"trade_events", "tr\ud800", "a\0b"])
def test_no_name_of_a_table_raises(writer, dolphin, table):
    writer.ch_put(table, TRADE)
    counts = writer.stats()["dolphin"]
    assert counts["missing"] + counts["rejected"] == 1 and counts["put"] == 0


def test_digits_are_what_clickhouse_calls_digits(writer, dolphin):
    """int() and float() take more: what was refused before is not another number now."""
    for text in ("1_0", "١"):
        writer.ch_put("trade_events", TRADE | {"bars_held": text})
        writer.ch_put("trade_events", TRADE | {"pnl": text})
    assert writer.stats()["dolphin"]["rejected"] == 4


def test_rejected_rows_are_kept(writer, dolphin, tmp_path, caplog):
    for value in ("not a time", float("nan"), object(), 2**80):
        writer.ch_put("trade_events", TRADE | {"ts": value})
    writer.ch_put("trade_events", "no dict at all")
    writer.ch_put("trade_events", TRADE)
    counts = writer.stats()["dolphin"]
    assert counts["rejected"] == 5 and counts["put"] == 1
    kept = (tmp_path / "spool/dolphin/rejected.jsonl").read_text().splitlines()
    assert len(kept) == 5 and json.loads(kept[0])["row"]["ts"] == "not a time"
    assert "column 'ts'" in caplog.text


def test_a_missing_table_is_one_table(writer, dolphin, caplog):
    writer.ch_put("no_such_table", TRADE)
    writer.ch_put("trade_events", TRADE)
    assert writer.stats()["dolphin"]["missing"] == 1 and writer.stats()["dolphin"]["put"] == 1
    assert "it has trade_events" in caplog.text
