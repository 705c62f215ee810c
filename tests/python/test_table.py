"""Table handles without a recorder: what is taken, what is refused and how it is said, threads, forks, full rings and
regions that are replaced. What arrives in ClickHouse is test_round_trip.py's."""
import collections
import datetime
import decimal
import enum
import gc
import ipaddress
import os
import subprocess
import sys
import threading
import types
import uuid

import numpy
import pytest

import coldpath

UTC = datetime.timezone.utc
OBF = {"ts": 1_776_269_557_123, "symbol": "BTCUSDT", "spread_bps": 1.18, "depth_1pct_usd": 5e4, "depth_quality": 0.85,
       "fill_probability": 0.95, "imbalance": 0.03, "best_bid": 84500.0, "best_ask": 84501.0, "n_bid_levels": 5,
       "n_ask_levels": 5}


class Side(enum.Enum):
    BUY = "B"
    ASK = 2


class Twisted(enum.IntEnum):
    A = 1  # by its name 2, by its value 1


class Row(dict):
    pass


class Nanos(datetime.datetime):
    """As pandas' Timestamp: a datetime with more digits than a datetime."""
    nanosecond = 789


class Unknown(datetime.tzinfo):
    """A zone that does not know its offset."""
    def utcoffset(self, when):
        return None


@pytest.fixture
def every(place):
    with coldpath.attach(place.path) as region, region.table("every") as table:
        yield table


def test_describes(place):
    with coldpath.attach(place.path) as region:
        assert "obf_universe" in region.tables
        assert not region.recorder_alive
        table = region.table("obf_universe", producer="me")
        assert table.columns == tuple(OBF)
        assert table.types["ts"] == "DateTime64(3, 'UTC')"
        assert table.name == "obf_universe"
    assert "_cp_slot" not in coldpath.attach(place.path).table("every").columns


def test_puts_and_counts(place):
    table = coldpath.attach(place.path).table("obf_universe")
    assert table.put(OBF) is True
    assert table.put(Row(reversed(OBF.items()))) is True
    assert table.append(*OBF.values()) is True
    assert table.put_many([OBF, tuple(OBF.values()), list(OBF.values())]) == 3
    assert table.put({}) is True
    assert table.stats()["put"] == 7
    table.close()
    assert place.rows("obf_universe") == 7


GOOD = {
    "i8": [-128, 127, True, 3.0, numpy.int64(5), numpy.float32(2), decimal.Decimal(7), Twisted.A],
    "i64": [-2**63, 2**63 - 1], "u64": [2**64 - 1, numpy.uint64(2**64 - 1)],
    "f32": [1.5, 1, float("inf"), float("nan"), numpy.float32(1), decimal.Decimal("0.1"), True],
    "f64": [1e308, 2**60, numpy.float16(1), numpy.array(2.5), numpy.longdouble(1) / 3, decimal.Decimal("-Infinity")],
    "yes": [True, 0, 1, numpy.bool_(True)],
    "day": [datetime.date(2026, 1, 31), "2026-01-31", 65535, numpy.datetime64("2026-01-31")],
    "day32": [datetime.date(1900, 1, 1), -25567],
    "at": [datetime.datetime(2026, 1, 31, 1, 2, 3), datetime.date(2026, 1, 31), 4294967295, "2026-01-31T01:02:03+02:00"],
    "at3": [datetime.datetime(2026, 1, 31, 1, 2, 3, 4000, UTC), numpy.datetime64("2026-01-31T01:02:03.123"), -1],
    "at9": [numpy.datetime64("2026-01-31T01:02:03.123456789"), "2026-01-31 01:02:03.123456789Z", numpy.datetime64("2026-01-31T01", "h"),
            numpy.datetime64("2026-01-31T01:02", "m"), Nanos(2026, 1, 31)],
    "there": [datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone(datetime.timedelta(hours=-9, minutes=-30)))],
    "text": ["ü", b"\xff\0", bytearray(b"x"), "", uuid.UUID(int=1), numpy.str_("x"), Side.BUY],
    "code": ["abcd", b"", "é"],
    "side": ["B", 2, Side.BUY, Side.ASK, numpy.int8(1)], "kind": ["ü", -300, "7"],
    "id": [uuid.UUID(int=2**128 - 1), "12345678-1234-5678-1234-567812345678"],
    "d9": [decimal.Decimal("1.2345"), 1.5, "99999.9999", -3, numpy.float32(0.1), 1e-4],
    "d18": [decimal.Decimal("1E-8"), 61800.2, 1e9, decimal.Decimal("-0E+3")],
    "v4": [ipaddress.ip_address("1.2.3.4"), "1.2.3.4"], "v6": [ipaddress.ip_address("::1"), "::1"],
    "n": [None, 5], "nt": [None, "2026-01-31"], "ns": [None, "x"],
    "af": [[], [1, 2.5], (1,), numpy.array([1.0, 2.0])], "an": [[1, None]], "at_texts": [["a", b"b", ""]],
    "ad": [[decimal.Decimal("1.25"), 3]],
}


@pytest.mark.parametrize("column", GOOD)
def test_takes(every, column):
    for value in GOOD[column]:
        assert every.put({column: value}) is True, value


BAD = {
    "i8": [(128, ValueError, "out of range: -128 to 127"), (2.5, ValueError, "not a whole number"), ("5", TypeError, "an int"),
           (float("nan"), ValueError, "whole"), (decimal.Decimal("NaN"), ValueError, "whole"), ([1], TypeError, "an int"),
           (10**30, ValueError, "out of range"), (numpy.array([5]), TypeError, "an int"), (numpy.ma.masked, TypeError, "an int"),
           (10**5000, ValueError, "out of range"), (numpy.timedelta64(5, "s"), TypeError, "an int")],
    "u64": [(-1, ValueError, "0 to 18446744073709551615"), (2**64, ValueError, "out of range")],
    "f32": [(1e39, ValueError, "Float32"), ("1.5", TypeError, "a float"), (1j, TypeError, "a float")],
    "f64": [(10**400, ValueError, "range"), (b"1", TypeError, "a float"), (decimal.Decimal("1E+400"), ValueError, "beyond"),
            (numpy.complex64(1 + 2j), TypeError, "a float"), (numpy.clongdouble(1), TypeError, "a float"),
            (numpy.array([1.5]), TypeError, "a float"), (numpy.ma.masked, TypeError, "a float")],
    "yes": [(2, ValueError, "truth"), ("true", TypeError, "a bool"), (1.0, TypeError, "a bool")],
    "day": [(datetime.datetime(2026, 1, 1), TypeError, r"\.date\(\)"), ("2026-02-30", ValueError, "day"),
            (65536, ValueError, "range"), (1.5, TypeError, "a date"), ("1", ValueError, "as an int")],
    "nt": [("1", ValueError, "as an int"), ("-5", ValueError, "as an int"), ("", ValueError, "not a time")],
    "at": [("2026-01-31 01:02:03.5", ValueError, "fraction"), (1.5, TypeError, "ticks"), (-1, ValueError, "range"),
           ("1781172000", ValueError, "as an int"), ("\ud800", ValueError, "surrogate")],
    "at3": [(datetime.datetime(2026, 1, 1, microsecond=1), ValueError, "precision"), ("now", ValueError, "not a time"),
            (numpy.datetime64("NaT"), ValueError, "no time"), (numpy.datetime64("2026", "Y"), ValueError, "names no day"),
           (numpy.datetime64("-0005", "Y"), ValueError, "names no day"), (numpy.datetime64("2026-01", "M"), ValueError, "names no day"),
           (datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(microseconds=5))), ValueError, "offset"),
           (Nanos(2026, 1, 1), ValueError, "precision"), ("2026-06-11T00:00:00.000+00:00x", ValueError, "not a time"),
            (numpy.timedelta64(5, "s"), TypeError, "a datetime")],
    "there": [(datetime.datetime(2026, 1, 1), ValueError, "offset"), ("2026-01-01 00:00:00", ValueError, "offset"),
              (datetime.datetime(2026, 1, 1, tzinfo=Unknown()), ValueError, "offset")],
    "text": [(5, TypeError, "a str or bytes"), ("\ud800", ValueError, "surrogate"), (["x"], TypeError, "a str"),
             (Side.ASK, TypeError, "a str")],
    "code": [("abcde", ValueError, "more bytes"), (5, TypeError, "a str")],
    "side": [("C", ValueError, "neither"), (3, ValueError, "no number"), (Twisted.A, ValueError, "one value by its name"),
             (True, TypeError, "a name or number"), (1.0, TypeError, "a name or number"), ("B\0", ValueError, "neither")],
    "kind": [("Ã¼", ValueError, "neither"), ("\ud800", ValueError, "surrogate")],
    "id": [("x", ValueError, "UUID"), (5, TypeError, "uuid.UUID")],
    "d9": [(1.23456, ValueError, "digits|round"), (float("inf"), ValueError, "decimal"), ("1e5", ValueError, "exponent"),
           (decimal.Decimal("NaN"), ValueError, "decimal"), (10**6, ValueError, "digits"), (True, TypeError, "Decimal"),
           (decimal.Decimal("1E+5000"), ValueError, "digits"), (10**5000, ValueError, "digits")],
    "v4": [("::1", ValueError, ""), (ipaddress.ip_address("::1"), ValueError, ""), (5, TypeError, "ipaddress")],
    "i16": [(None, ValueError, "not Nullable")],
    "af": [(numpy.array(1.0), TypeError, "a list"), (numpy.array([[1.0], [2.0]]), TypeError, "a float"), (range(10**12), ValueError, "more elements"),
           (numpy.ma.array([1.0, 2.0], mask=[0, 1]), TypeError, "without a mask"), ("12", TypeError, "a list"), ({1: 2}, TypeError, "a list"), ([None], ValueError, "not Nullable"), (5, TypeError, "a list")],
    "an": [([1, "x"], TypeError, "an int"), ([40000], ValueError, "range")],
    "at_texts": [([5], TypeError, "a str")],
}


@pytest.mark.parametrize("column", BAD)
def test_refuses(place, every, column):
    for value, kind, says in BAD[column]:
        with pytest.raises(kind, match=says) as caught:
            every.put({"i64": 1, column: value})
        assert isinstance(caught.value, coldpath.Error)
        assert caught.value.column == column
        assert column in str(caught.value) and every.types[column][:20] in str(caught.value)
    assert every.stats()["put"] == 0
    assert every.stats()["written"] == 0, "nothing of a refused row is in the ring"


def test_unknown_names(every):
    for row, says in (({"sidee": 1}, "did you mean 'side'"), ({"zzzzzz": 1}, "no column 'zzzzzz'"),
                      ({"_cp_slot": 1}, "filled by the recorder"), ({5: 1}, "names of columns"), ({"ü": 1}, "no column 'ü'"),
                      ({"i8\0": 1}, "names of columns")):
        with pytest.raises(coldpath.UnknownColumnError, match=says):
            every.put(row)
    assert every.put(collections.ChainMap({"i8": 1}, {"i16": 2})) and every.put(types.MappingProxyType({"i8": 1}))
    for row in (5, [1], "x", None):
        with pytest.raises(TypeError):
            every.put(row)
    with pytest.raises(TypeError, match="takes 37 values"):
        every.append(1, 2)
    with pytest.raises(coldpath.AbsentError, match="it has every"):
        coldpath.attach(os.path.dirname(every.__repr__().split(" in ")[1].rstrip(">")) + "/test").table("absent")
    with pytest.raises(coldpath.AbsentError):
        coldpath.attach("/dev/shm/there-is-no-such-region")


def test_required_columns(place):
    table = coldpath.attach(place.path).table("needed")
    with pytest.raises(ValueError, match="column 'at' must be given"):
        table.put({"id": 1})
    assert table.put({"at": 1})
    with pytest.raises(ValueError, match="column 'at' must be given"):
        table.put_array(numpy.zeros(1, dtype=[("id", "u4")]))


def test_full_ring_is_false(place):
    table = coldpath.attach(place.path).table("needed")
    put = 0
    while table.put({"id": put, "at": 0}):
        put += 1
    assert put == 64 * 1024 // 32
    assert table.put_many([{"at": 0}] * 5) == 0
    assert table.put_array(numpy.zeros(5, dtype=[("at", "i8")])) == 0
    stats = table.stats()
    assert stats["put"] == put and stats["refused"] == 3 and stats["full"] >= 3
    assert table.wait_delivered(0.01) is False


def test_too_big_is_said(every):
    with pytest.raises(coldpath.ColumnValueError, match="row_max"):
        every.put({"text": "x" * 20_000})
    with pytest.raises(coldpath.ColumnValueError, match="row_max"):
        every.put({"af": [1.0] * 3000})
    assert every.put({"text": "x" * 15_000})


def test_put_many_says_how_far(every):
    with pytest.raises(TypeError) as caught:
        every.put_many([{"i8": 1}, {"i8": 2}, {"i8": "x"}])
    assert caught.value.rows_put == 2
    with pytest.raises(ZeroDivisionError) as caught:
        every.put_many({"i8": 1 // (1 - i)} for i in range(3))
    assert caught.value.rows_put == 1


def test_owner(place):
    table = coldpath.attach(place.path).table("obf_universe")
    caught = []

    def use():
        try:
            table.put(OBF)
        except coldpath.ThreadError as error:
            caught.append(str(error))

    thread = threading.Thread(target=use)
    table.put(OBF)
    thread.start()
    thread.join()
    assert len(caught) == 1 and "shared=True" in caught[0]


def test_owner_is_who_puts_first(place):
    table = coldpath.attach(place.path).table("obf_universe")
    thread = threading.Thread(target=table.put, args=(OBF,))
    thread.start()
    thread.join()
    with pytest.raises(coldpath.ThreadError):
        table.put(OBF)


def test_shared(place):
    table = coldpath.attach(place.path).table("quotes", shared=True)

    class Slow:
        def __index__(self):
            return sum(1 for _ in range(50))  # Python code, in which other threads run

    def use():
        for _ in range(200):
            assert table.put({"update_id": Slow(), "symbol": "X"})

    threads = [threading.Thread(target=use) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert table.stats()["rows"] == 800
    table.close()
    assert place.rows("quotes") == 800


def test_conversions_that_misbehave(every):
    class Evil:
        def __init__(self, action):
            self.action = action

        def __index__(self):
            self.action()
            return 1

    with pytest.raises(RuntimeError, match="while a row is being put"):
        every.put({"i8": Evil(lambda: every.put({}))})
    with pytest.raises(RuntimeError, match="while a row is being put"):
        every.put({"i8": Evil(every.close)})
    with pytest.raises(KeyError):
        every.put({"i8": Evil(lambda: {}["x"])})
    row = {"i8": Evil(lambda: row.clear()), "text": "x"}
    with pytest.raises(RuntimeError, match="changed while it was read"):
        every.put(row)
    values = [Evil(lambda: values.clear()), 2]
    with pytest.raises(ValueError, match="changed its length"):
        every.put({"an": values})
    assert every.stats()["put"] == 0
    assert every.put({"i8": Evil(gc.collect)})


def test_shared_closed_from_a_conversion(place):
    table = coldpath.attach(place.path).table("every", shared=True)

    class Closing:
        def __index__(self):
            table.close()
            return 1

    assert table.put({"i8": Closing()}) is False
    with pytest.raises(coldpath.ClosedError):
        table.put({})


def test_closed(place):
    region = coldpath.attach(place.path)
    with region.table("every") as table:
        table.put({})
    assert table.closed
    for call in (lambda: table.put({}), lambda: table.put_array(numpy.zeros(1, dtype=[("i8", "i1")])), table.wait_durable,
                 lambda: table.types):
        with pytest.raises(coldpath.ClosedError):
            call()
    table.close()
    region.close()
    with pytest.raises(coldpath.ClosedError):
        region.table("every")


def test_fork(place):
    table = coldpath.attach(place.path).table("obf_universe")
    table.put(OBF)
    child = os.fork()
    if child == 0:
        good = table.put(OBF) and table.put(OBF) and table.stats()["slot"] == 1 and table.stats()["put"] == 2
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert table.put(OBF) and table.stats()["slot"] == 0
    table.close()
    assert place.rows("obf_universe") == 4


def test_fork_without_a_free_slot_raises(place):
    region = coldpath.attach(place.path)
    tables = [region.table("needed"), region.table("needed")]
    tables[0].put({"at": 1})
    child = os.fork()
    if child == 0:
        try:
            tables[0].put({"at": 1})
        except coldpath.Error as error:
            os._exit(0 if "slots" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


class Child:
    """A forked process that runs action once it is told to, and exits with what it returns."""

    def __init__(self, action):
        started_read, started_write = os.pipe()
        go_read, self.go_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                os.close(self.go_write)
                os.write(started_write, b"x")
                os.read(go_read, 1)
                code = action()
            finally:
                os._exit(code)
        os.close(started_write)
        os.close(go_read)
        os.read(started_read, 1)
        os.close(started_read)

    def end(self):
        os.close(self.go_write)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_child_does_not_keep_the_slot(place):
    """The parent gives its slot back; a child that lives on and never uses it must not keep it busy."""
    region = coldpath.attach(place.path)
    table = region.table("needed")
    child = Child(lambda: 0)
    slot = table.stats()["slot"]
    table.close()
    assert region.table("needed").stats()["slot"] == slot
    assert child.end() == 0


def test_exit_without_close(place):
    code = f"import coldpath, sys\nt = coldpath.attach({place.path!r}).table('needed')\n" \
           "for i in range(1000): assert t.put({'id': i, 'at': i})\n"
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert place.rows("needed") == 2000


def test_replaced_region(place):
    """With another configuration the region is replaced; the handle goes on, full at most for a moment."""
    table = coldpath.attach(place.path).table("needed")
    while table.put({"at": 0}):
        pass
    before = table.stats()["put"]
    place.settings["tables"]["extra"] = {"ddl": str(place.ddl / "trades.sql")}
    del place.settings["tables"]["extra"]
    place.settings["tables"]["trades"] = {}
    place.init()
    assert table.put({"at": 0}) is False  # attached anew: the same ring, as full as before
    assert table.stats()["attached"]
    assert table.stats()["put"] == before
    assert place.rows("needed") == before


def test_region_with_other_columns_after_a_fork(place):
    """A table whose columns changed before the child came to put is not put to as if they had not."""
    table = coldpath.attach(place.path).table("needed")

    def put():
        try:
            table.put({"at": 1})
        except coldpath.SchemaError:
            return 0
        return 1

    child = Child(put)
    table.close()
    ddl = place.ddl / "needed.sql"
    ddl.write_text(ddl.read_text().replace("x Float64", "x Float64, y Float64"))
    place.init()
    assert "y" in coldpath.attach(place.path).table("needed").columns
    assert child.end() == 0


def test_memory_is_given_back(place):
    region = coldpath.attach(place.path)
    keys = [f"key{i}" for i in range(100)]
    table = region.table("every")
    for _ in range(200):
        for key in ("n", "text"):
            try:
                table.put({key: object()})
            except TypeError:
                pass
        table.put({"text": "x" * 100, "af": [1.0] * 10, "d18": 0.5})
        try:
            table.put(dict.fromkeys(keys))
        except LookupError:
            pass
    gc.collect()
    before = sys.getrefcount(OBF["symbol"])
    obf = region.table("obf_universe")
    for _ in range(1000):
        obf.put(OBF)
    after = sys.getrefcount(OBF["symbol"])
    assert after == before
    del obf, table


ARRAY = [("ts", "M8[ms]"), ("symbol", "U10"), ("spread_bps", "f4"), ("depth_1pct_usd", "f8"), ("depth_quality", "f8"),
         ("fill_probability", "i4"), ("imbalance", "f4"), ("best_bid", "f4"), ("best_ask", "f8"), ("n_bid_levels", "i8"),
         ("n_ask_levels", "u1")]


class Pretends:
    """Says it has rows of a field that lies far behind its memory."""
    __array_interface__ = {"data": (numpy.zeros(1).ctypes.data, True), "shape": (1,), "strides": None, "typestr": "|V8", "version": 3}

    class dtype:
        names = ("ts",)
        fields = {"ts": (numpy.dtype("i8"), 1 << 30)}
        itemsize = 8


def test_arrays(place):
    table = coldpath.attach(place.path).table("obf_universe")
    array = numpy.zeros(100, dtype=ARRAY)
    array["symbol"] = "ÜSDT"
    assert table.put_array(array) == 100
    assert table.put_array(array[::-3]) == 34
    assert table.put_array(array[:0]) == 0
    assert table.put_array(array[["symbol", "ts"]]) == 100
    array["n_bid_levels"][7] = 300
    with pytest.raises(coldpath.ColumnValueError, match="'n_bid_levels'.*out of range") as caught:
        table.put_array(array)
    assert caught.value.rows_put == 7
    array["depth_quality"][0] = 1e300
    array["n_bid_levels"] = 0
    array["best_bid"] = 1
    with pytest.raises(coldpath.ColumnValueError, match="Float32"):
        table.put_array(array)
    for wrong, kind, says in ((numpy.zeros(3), TypeError, "structured"), ([1], TypeError, "structured"),
                              (numpy.zeros((2, 2), dtype=ARRAY), ValueError, "one dimension"), (numpy.ma.zeros(2, dtype=ARRAY), TypeError, "masked"),
                              (Pretends(), TypeError, "structured"),
                              (numpy.zeros(2, dtype=[("tss", "i8")]), LookupError, "did you mean 'ts'"),
                              (numpy.zeros(2, dtype=[("ts", ">i8")]), TypeError, "native byte order"),
                              (numpy.zeros(2, dtype=[("ts", "O")]), TypeError, "put_many"),
                              (numpy.array([("NaT",)], dtype=[("ts", "M8[ms]")]), ValueError, "NaT"),
                              (numpy.array([(1,)], dtype=[("ts", "M8[us]")]), ValueError, "more digits"),
                              (numpy.zeros(2, dtype=[("ts", "M8[M]")]), TypeError, "put_many"),
                              (numpy.zeros(2, dtype=[("symbol", "i8")]), TypeError, "a str")):
        with pytest.raises(kind, match=says):
            table.put_array(wrong)
    assert table.stats()["put"] == 241
    table.close()
    assert place.rows("obf_universe") == 241


def test_numpy_is_not_imported(place):
    code = f"import coldpath, sys\nt = coldpath.attach({place.path!r}).table('obf_universe')\n" \
           "t.put({'ts': 1}); t.append(*[0, 'x'] + [0] * 9)\nassert 'numpy' not in sys.modules\n"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
