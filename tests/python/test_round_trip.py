"""Random rows: what goes in comes out of ClickHouse equal, or raises. Never a crash, never a silent truncation.

Hypothesis makes the values, good ones and bad ones, for every column of a table of all types. Each row is put; what put() took is
compared with what ClickHouse holds, value by value, by a model in Python of what each column is to hold; what the model says
does not fit must have raised. CP_SEED, CP_EXAMPLES (rows, default 1500).

Under a sanitizer the engine does not run: then the rows are only put.
"""
import datetime
import decimal
import enum
import ipaddress
import json
import math
import os
import random
import re
import struct
import uuid

import numpy
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import coldpath
from conftest import DDL
from tests.support.chdb import ChdbServer, engine_present
from tests.support.recorder import Recorder

SEED = int(os.environ.get("CP_SEED") or random.randrange(1 << 32))
EXAMPLES = int(os.environ.get("CP_EXAMPLES") or 1500)
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


class Bad(Exception):
    """The model: this value does not fit its column."""


class Side(enum.Enum):
    BUY = "B"
    ASK = 2
    NONE = "C"


# ---- the model: what a column holds of a value, as a JSON value of ClickHouse, or Bad ------------------------------------------

def plain(value):
    """A member of an Enum stands for its value in columns of numbers."""
    return value.value if isinstance(value, enum.Enum) else value


def whole(bits, signed):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def hold(value):
        value = plain(value)
        if isinstance(value, (bool, numpy.bool_)):
            return int(value)
        if isinstance(value, (float, numpy.floating)):
            if not math.isfinite(value) or value != math.floor(value):
                raise Bad
        elif isinstance(value, decimal.Decimal):
            if not value.is_finite() or value != value.to_integral_value():
                raise Bad
        elif not isinstance(value, (int, numpy.integer)):
            raise Bad
        if not low <= int(value) <= high:
            raise Bad
        return int(value)
    return hold


def floating(single):
    def hold(value):
        value = plain(value)
        if not isinstance(value, (int, float, decimal.Decimal, numpy.number, numpy.bool_)):
            raise Bad
        try:
            number = float(value)
        except (OverflowError, ValueError) as error:
            raise Bad from error
        if single and math.isfinite(number):
            try:
                number = struct.unpack("<f", struct.pack("<f", number))[0]  # native "f" would make it inf
            except OverflowError as error:
                raise Bad from error
        return number
    return hold


def hold_bool(value):
    if isinstance(value, (bool, numpy.bool_)) or (isinstance(value, (int, numpy.integer)) and value in (0, 1)):
        return bool(value)
    raise Bad


def decimal_of(digits, scale):
    def hold(value):
        value = plain(value)
        if isinstance(value, (bool, numpy.bool_)):
            raise Bad
        try:
            if isinstance(value, str):
                if not value or any(c not in "+-.0123456789" for c in value) or value[1:].strip(".0123456789"):
                    raise Bad
                number = decimal.Decimal(value)
            elif isinstance(value, (numpy.float32, numpy.float16)):
                number = decimal.Decimal(str(value))
            elif isinstance(value, float):
                number = decimal.Decimal(repr(float(value)))
            elif isinstance(value, (int, numpy.integer)):
                number = decimal.Decimal(int(value))
            elif isinstance(value, decimal.Decimal):
                number = value
            else:
                raise Bad
        except decimal.InvalidOperation as error:
            raise Bad from error
        if not number.is_finite():
            raise Bad
        with decimal.localcontext() as context:
            context.prec = 2000
            scaled = number.scaleb(scale) if number.adjusted() < 900 else None
            if scaled is None or scaled != scaled.to_integral_value() or abs(scaled) >= 10 ** digits:
                raise Bad
            return int(scaled)
    return hold


def hold_text(value):
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, (uuid.UUID, ipaddress.IPv4Address, ipaddress.IPv6Address)):
        value = str(value)
    if isinstance(value, str):
        try:
            return value.encode().hex()
        except UnicodeEncodeError as error:
            raise Bad from error
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    raise Bad


def hold_code(value):
    if isinstance(value, enum.Enum) or not isinstance(value, (str, bytes, bytearray)):
        raise Bad
    text = hold_text(value)
    if len(text) > 8:
        raise Bad
    return text.ljust(8, "0")


def hold_side(value):
    names = {"B": 1, "A": 2}
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str) and value in names:
        return names[value]
    if isinstance(value, str) and value.lstrip("+-").isdigit() and value.isascii() and value.lstrip("+-") and \
            len(value) - len(value.lstrip("+-")) <= 1 and int(value) in names.values():
        return int(value)
    if isinstance(value, (int, numpy.integer)) and not isinstance(value, (bool, numpy.bool_)) and int(value) in names.values():
        return int(value)
    raise Bad


def hold_uuid(value):
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str) and len(value) == 36:
        try:
            return str(uuid.UUID(value)) if all(value[i] == "-" for i in (8, 13, 18, 23)) else bad()
        except ValueError as error:
            raise Bad from error
    raise Bad


def bad():
    raise Bad


def address_of(kind):
    def hold(value):
        if isinstance(value, kind):
            return str(value)
        raise Bad
    return hold


DAY = re.compile(r"\d{4}-\d\d-\d\d")
TIME = re.compile(DAY.pattern + r"([ T]\d\d:\d\d:\d\d(\.\d{6})?(\+00:00|-03:30)?)?")


def day_of(low, high):
    def hold(value):
        if isinstance(value, str) and DAY.fullmatch(value):
            value = datetime.date.fromisoformat(value)
        if isinstance(value, datetime.datetime) or isinstance(value, (bool, numpy.bool_)):
            raise Bad
        if isinstance(value, datetime.date):
            value = value.toordinal() - datetime.date(1970, 1, 1).toordinal()
        if not isinstance(value, (int, numpy.integer)) or not low <= int(value) <= high:
            raise Bad
        return int(value)
    return hold


def time_of(digits, low, high, utc=True):
    """Ticks since 1970, within the years that ClickHouse knows."""
    def hold(value):
        if isinstance(value, (bool, numpy.bool_, float, numpy.floating)):
            raise Bad
        if isinstance(value, str) and TIME.fullmatch(value):
            value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.datetime):
            if value.tzinfo is None and not utc:
                raise Bad
            micros = ((value if value.tzinfo else value.replace(tzinfo=UTC)) - EPOCH) // datetime.timedelta(microseconds=1)
            ticks = decimal.Decimal(micros).scaleb(digits - 6)
            if ticks != ticks.to_integral_value():
                raise Bad
            value = int(ticks)
        elif isinstance(value, datetime.date):
            if not utc:
                raise Bad
            value = (value.toordinal() - datetime.date(1970, 1, 1).toordinal()) * 86400 * 10 ** digits
        if not isinstance(value, (int, numpy.integer)) or not low <= int(value) <= high:
            raise Bad
        return int(value)
    return hold


FIRST, LAST = -25567 * 86400, 120530 * 86400


def ticks(digits, utc=True):
    return time_of(digits, FIRST * 10 ** digits, min(LAST * 10 ** digits - 1, 2 ** 63 - 1), utc)


def nullable(hold):
    return lambda value: None if value is None else hold(value)


def array(hold):
    def each(value):
        if not isinstance(value, (list, tuple, range)):
            raise Bad
        return [hold(item) for item in value]
    return each


def strict(hold):
    return lambda value: bad() if value is None else hold(value)


MODEL = {
    "i8": whole(8, True), "i16": whole(16, True), "i32": whole(32, True), "i64": whole(64, True),
    "u8": whole(8, False), "u16": whole(16, False), "u32": whole(32, False), "u64": whole(64, False),
    "f32": floating(True), "f64": floating(False), "yes": hold_bool, "day": day_of(0, 65535), "day32": day_of(-25567, 120529),
    "at": time_of(0, 0, 2 ** 32 - 1), "at3": ticks(3), "at9": ticks(9), "there": ticks(3, utc=False),
    "text": hold_text, "low": hold_text, "code": hold_code, "side": hold_side, "id": hold_uuid,
    "d9": decimal_of(9, 4), "d18": decimal_of(18, 8), "d38": decimal_of(38, 10),
    "v4": address_of(ipaddress.IPv4Address), "v6": lambda value: value.packed.hex() if isinstance(value, ipaddress.IPv6Address) else bad(),
    "n": nullable(whole(32, True)), "nt": nullable(ticks(3)), "ns": nullable(hold_text), "af": array(strict(floating(False))),
    "an": array(nullable(whole(16, True))), "at_texts": array(strict(hold_text)), "ad": array(strict(decimal_of(9, 2))),
}
MODEL = {name: hold if name in ("n", "nt", "ns") else strict(hold) for name, hold in MODEL.items()}

# How ClickHouse is asked, so that JSON shows every bit.
SHOWN = {"f32": "reinterpretAsUInt32(f32)", "f64": "toString(reinterpretAsUInt64(f64))", "day": "toInt32(day)", "day32": "toInt32(day32)",
         "at": "toUInt32(at)", "at3": "toString(toUnixTimestamp64Milli(at3))", "at9": "toString(toUnixTimestamp64Nano(at9))",
         "there": "toString(toUnixTimestamp64Milli(there))", "text": "lower(hex(text))", "low": "lower(hex(low))",
         "code": "lower(hex(code))", "side": "toInt8(side)", "id": "toString(id)", "v4": "toString(v4)", "v6": "lower(hex(v6))",
         "d9": "toString(reinterpretAsInt32(d9))", "d18": "toString(reinterpretAsInt64(d18))",
         "d38": "toString(reinterpretAsInt128(d38))", "nt": "toString(toUnixTimestamp64Milli(nt))", "ns": "lower(hex(ns))",
         "af": "arrayMap(x -> toString(reinterpretAsUInt64(x)), af)", "at_texts": "arrayMap(x -> lower(hex(x)), at_texts)",
         "ad": "arrayMap(x -> toString(reinterpretAsInt32(x)), ad)", "i64": "toString(i64)", "u64": "toString(u64)"}


def as_shown(name, held):
    """What the query gives for a value that the model holds."""
    if held is None:
        return None
    if name == "f32":
        return struct.unpack("I", struct.pack("f", held))[0]
    if name in ("f64", "af"):
        bits = [str(struct.unpack("Q", struct.pack("d", x))[0]) for x in (held if name == "af" else [held])]
        return bits if name == "af" else bits[0]
    if name == "ad":
        return [str(x) for x in held]
    if name in ("at3", "at9", "there", "d9", "d18", "d38", "nt", "i64", "u64"):
        return str(held)
    return held


# ---- the values ------------------------------------------------------------------------------------------------------------

INTS = st.one_of(st.integers(-300, 300), st.integers(-2**65, 2**65), st.sampled_from(
    [2**k + d for k in (7, 8, 15, 16, 31, 32, 63, 64) for d in (-1, 0, 1)] + [-2**k + d for k in (7, 15, 31, 63) for d in (-1, 0, 1)]))
FLOATS = st.one_of(st.floats(), st.floats(width=32), st.integers(-10**6, 10**6).map(lambda i: i / 100), st.integers(-10**4, 10**4).map(float))
DECIMALS = st.one_of(st.decimals(allow_nan=True), st.decimals(-10**9, 10**9, places=4), st.decimals(-10**5, 10**5, places=2))
TEXTS = st.one_of(st.text(max_size=40), st.binary(max_size=40), st.text(alphabet="ab", max_size=4), st.sampled_from(["B", "A", "1", "\ud800", ""]))
TIMES = st.one_of(
    st.datetimes(datetime.datetime(1890, 1, 1), datetime.datetime(2310, 1, 1), timezones=st.one_of(st.none(), st.just(UTC), st.just(
        datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))))).map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
    st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2100, 1, 1)).map(lambda t: t.replace(microsecond=0)),
    st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2262, 1, 1)), st.dates(datetime.date(1890, 1, 1), datetime.date(2310, 1, 1)))
NUMPY = st.one_of(st.integers(-2**63, 2**63 - 1).map(numpy.int64), st.integers(0, 255).map(numpy.uint8), st.floats(width=32).map(numpy.float32),
                  st.booleans().map(numpy.bool_))
MOMENTS = st.one_of(TIMES, TIMES, TIMES.map(str), TIMES.map(lambda t: t.isoformat()), st.integers(0, 10**10).map(str))
SCALARS = st.one_of(INTS, FLOATS, DECIMALS, TEXTS, TIMES, NUMPY, st.booleans(), st.none(), st.uuids(), st.ip_addresses(),
                    st.sampled_from(Side), st.sampled_from([object, 1j, {"a": 1}, {1}, range(3)]))
LISTS = st.one_of(st.lists(st.one_of(st.none(), st.integers(-40000, 40000)), max_size=6), st.lists(FLOATS, max_size=6),
                  st.lists(TEXTS, max_size=6), st.lists(DECIMALS, max_size=4), st.lists(SCALARS, max_size=3))
LIKELY = {"i": INTS, "u": INTS, "f": st.one_of(FLOATS, INTS, NUMPY), "yes": st.booleans(), "day": MOMENTS, "day32": MOMENTS, "at": MOMENTS, "at3": MOMENTS,
          "at9": MOMENTS, "there": MOMENTS, "text": TEXTS, "low": TEXTS, "code": TEXTS, "side": st.sampled_from(["A", "B", 1, 2, Side.BUY]),
          "id": st.uuids(), "d": st.one_of(DECIMALS, FLOATS, st.integers(-10**9, 10**9)), "v4": st.ip_addresses(v=4), "v6": st.ip_addresses(v=6),
          "n": st.one_of(st.none(), INTS), "nt": st.one_of(st.none(), MOMENTS), "ns": st.one_of(st.none(), TEXTS)}


def likely(name):
    return LIKELY.get(name, LIKELY.get(name.rstrip("0123456789"), LISTS))


def fits(name, value):
    try:
        MODEL[name](value)
    except Bad:
        return False
    return True


def row_of(choose):
    return st.lists(st.sampled_from(sorted(MODEL)), max_size=8, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: choose(name) for name in names}))


GOOD = row_of(lambda name: likely(name).filter(lambda value: fits(name, value)))
WILD = row_of(lambda name: st.one_of(likely(name), likely(name), SCALARS, LISTS))
ROWS = st.one_of(GOOD, WILD)


def expected(row):
    held = {}
    for name, value in row.items():
        held[name] = MODEL[name](value)
    return held


def run_rows(table, kept):
    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate, Phase.shrink])
    @given(ROWS)
    def put(row):
        try:
            held = expected(row)
        except Bad:
            held = None
        number = len(kept)
        try:
            taken = table.put({**row, "kind": "x", "five": number})
        except (coldpath.ColumnTypeError, coldpath.ColumnValueError) as error:
            assert held is None, f"raised {error!r} for {row!r}"
            assert error.column is None or error.column in row
            return
        assert taken
        assert held is not None, f"took {row!r}, whose values do not all fit"
        kept.append((held, row))

    put()


@pytest.mark.skipif(not engine_present(), reason="the embedded engine is not here")
def test_equal_or_raises(tmp_path):
    print(f"CP_SEED={SEED}")
    (tmp_path / "every.sql").write_text(DDL)
    kept = []
    with ChdbServer() as server, Recorder(server, {"every": {"ring_size": "64MiB"}}, extra={"schema": {"dir": str(tmp_path)}}) as recorder:
        table = coldpath.attach(str(recorder.region)).table("every")
        run_rows(table, kept)
        assert table.wait_delivered(60)
        columns = ", ".join(f"{SHOWN.get(name, name)} AS c_{name}" for name in sorted(MODEL))
        lines = server.query(f"SELECT five AS number, {columns} FROM test.every ORDER BY number FORMAT JSONEachRow "
                             "SETTINGS output_format_json_quote_64bit_integers = 0")
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [row["number"] for row in rows] == list(range(len(kept)))
    for found, (held, row) in zip(rows, kept):
        for name, value in held.items():
            assert found[f"c_{name}"] == as_shown(name, value), f"column {name} of {row!r}"
    columns_seen = {name for held, _ in kept for name in held}
    assert len(kept) > EXAMPLES // 5 and columns_seen == set(MODEL)


@pytest.mark.skipif(not os.environ.get("COLDPATH_SANITIZE"), reason="without a sanitizer the test above does it all")
def test_never_a_crash(place):
    """Where the engine cannot run: the same rows, put only, a sanitizer watching."""
    print(f"CP_SEED={SEED}")
    place.settings["tables"]["every"] = {"ring_size": "64MiB"}
    place.init()
    kept = []
    run_rows(coldpath.attach(place.path).table("every"), kept)
    assert place.rows("every") == len(kept)
