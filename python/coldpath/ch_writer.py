"""ch_writer's names on coldpath: a script changes one import, and nothing else.

    from coldpath.ch_writer import ch_put, ts_us        # was: from ch_writer import ch_put, ts_us

    ch_put("trade_events", {"ts": ts_us(), "asset": "BTCUSDT", ...})

Each function puts into the region of its namespace, which is also the name of its database:

    ch_put            dolphin                 ch_put_pink       dolphin_pink
    ch_put_green      dolphin_green           ch_put_violet     dolphin_violet
    ch_put_prodgreen  dolphin_prodgreen       ch_put_pink_v7    dolphin_pink

A put returns None, from any thread, after about a microsecond; it does no input or output, and needs no recorder: rows wait in
the region, and coldpathd ships them when it comes. What it does not do, unless asked, is raise:

    what                           what happens
    no region                      COLDPATH_CH_MISSING=create (default): it is made, once, by `coldpath init` from
                                   COLDPATH_CH_CONFIG, "/etc/coldpath/{namespace}.yaml"; where that does not work, or with
                                   =warn, rows are counted and a warning is logged, and it is looked for again every second;
                                   with =raise everything in this table raises
    the ring is full               the row is counted and a warning logged
    a value that does not fit      what ClickHouse's JSON input took from the old writer is done here: columns the table has
                                   not are left out, None in a column that is not Nullable too, numbers, lists and dicts in
                                   String columns become their JSON, digits of a second beyond the column's are cut; anything
                                   else is a rejected row: counted, logged, kept in <CH_SPOOL_DIR>/<namespace>/rejected.jsonl
                                   where CH_SPOOL_DIR is set, and no other row waits for it

Warnings go to the logger "ch_writer", each kind at most every ten seconds, with the count. stats() has the counts.

The old module's variables: CH_URL, CH_USER, CH_PASS, CH_BATCH_SIZE and CH_FLUSH_INTERVAL_S are read by coldpathd (see
docs/configuration.md); the others have nothing to do here and are kept as names. COLDPATH_REGION_DIR says where regions are.
"""

from __future__ import annotations

import datetime
import decimal
import json
import logging
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import coldpath

log = logging.getLogger("ch_writer")

CH_URL = os.environ.get("CH_URL", "http://localhost:8123")
CH_USER = os.environ.get("CH_USER", "dolphin")
CH_PASS = os.environ.get("CH_PASS", "")
CH_DB = os.environ.get("CH_DB", "dolphin")
CH_SPOOL_DIR = Path(os.environ.get("CH_SPOOL_DIR", "/mnt/dolphin_training/ch_spool"))
CH_BATCH_SIZE = int(os.environ.get("CH_BATCH_SIZE", "250"))
CH_FLUSH_INTERVAL_S = float(os.environ.get("CH_FLUSH_INTERVAL_S", "1.0"))
CH_MAINTENANCE_INTERVAL_S = float(os.environ.get("CH_MAINTENANCE_INTERVAL_S", "300"))
CH_WAL_TRUNCATE_BYTES = int(os.environ.get("CH_WAL_TRUNCATE_BYTES", str(64 * 1024 * 1024)))
CH_VACUUM_MIN_BYTES = int(os.environ.get("CH_VACUUM_MIN_BYTES", str(512 * 1024 * 1024)))
CH_VACUUM_MIN_FREE_RATIO = float(os.environ.get("CH_VACUUM_MIN_FREE_RATIO", "1.25"))
CH_VACUUM_MIN_FREE_BYTES = int(os.environ.get("CH_VACUUM_MIN_FREE_BYTES", str(128 * 1024 * 1024)))

PINK_V7_JOURNAL_DB = "dolphin_pink"
V7_DECISION_TABLE = "v7_decision_events"
PINK_CH_BUDGET_BYTES_DAY = 50 * 1024 * 1024
PINK_HZ_BUDGET_BYTES_DAY = 500 * 1024 * 1024

_RETRY_S = 1.0  # between looks for a region or table that is not there
_WARN_S = 10.0  # between warnings of one kind
_INIT_S = 10.0  # for `coldpath init`
_REJECTED_BYTES = 64 * 1024 * 1024  # of one namespace's rejected.jsonl


# ---- time and ids --------------------------------------------------------------------------------------------------------

def ts_us() -> int:
    """Now, in microseconds since 1970: for DateTime64(6)."""
    return time.time_ns() // 1000


def ts_ms() -> int:
    """Now, in milliseconds since 1970: for DateTime64(3)."""
    return time.time_ns() // 1_000_000


_uuid_lock = threading.Lock()
_uuid_last = 0  # milliseconds and counter of the last UUID, 12 bits for the counter


def uuid7() -> str:
    """A UUID version 7 (RFC 9562): time-ordered, and within a millisecond too, in this process.

    The 12 bits behind the time are a counter (section 6.2, method 1) that begins in its lower half at random in each new
    millisecond; when it overflows the time runs ahead by a millisecond. The last 62 bits are random.
    """
    global _uuid_last
    noise = int.from_bytes(os.urandom(10), "big")
    with _uuid_lock:
        first = (time.time_ns() // 1_000_000) << 12 | (noise >> 64) & 0x7FF
        _uuid_last = first if first >> 12 > _uuid_last >> 12 else _uuid_last + 1
        stamp = _uuid_last
    bits = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | noise & (1 << 62) - 1
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


# ---- what the old writer's way into ClickHouse took ------------------------------------------------------------------------

def _json_text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def _inner(kind: str) -> str:
    """Int8 of LowCardinality(Nullable(Int8))."""
    for wrapper in ("LowCardinality(", "Nullable("):
        if kind.startswith(wrapper):
            kind = kind[len(wrapper):-1]
    return kind


def _precision(kind: str) -> int:
    return int(kind[len("DateTime64("):].split(",")[0].rstrip(")")) if kind.startswith("DateTime64(") else 0


_EPOCH_UNITS = {9: 0, 10: 0, 13: 3, 16: 6, 19: 9}  # digits of a count since 1970: decimals it has


def _time_cut(value: Any, digits: int) -> Any:
    """A time with no more digits of a second than its column has."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        unit = _EPOCH_UNITS.get(len(value))  # s, ms, µs, ns: by its size, as date_time_input_format=best_effort has it
        return value if unit is None else int(value) * 10 ** max(0, digits - unit) // 10 ** max(0, unit - digits)
    if isinstance(value, float):
        return int(decimal.Decimal(repr(value)).scaleb(digits))
    if isinstance(value, datetime.datetime):
        keep = 10 ** max(0, 6 - digits)
        return value.replace(microsecond=value.microsecond // keep * keep)
    if isinstance(value, str) and "." in value:
        head, _, tail = value.partition(".")
        count = next((i for i, c in enumerate(tail) if not c.isdigit()), len(tail))
        kept = tail[:min(count, digits)]
        return head + ("." + kept if kept else "") + tail[count:]
    return value


def _number(kind: str, value: str) -> Any:
    if "_" in value or not value.isascii():  # int() and float() would take it
        raise ValueError(f"{value!r} is no number")
    return float(value) if kind.startswith("Float") else int(value)


def _adapted(types: dict[str, str], row: dict) -> dict:
    """The row as ClickHouse's JSON input would have read it from the old writer."""
    result = {}
    for name, value in row.items():
        declared = types.get(name)
        if declared is None or (value is None and not declared.startswith(("Nullable(", "LowCardinality(Nullable("))):
            continue
        kind = _inner(declared)
        if value is None or declared.startswith("Array("):
            pass
        elif kind == "String" or kind.startswith("FixedString"):
            if not isinstance(value, (str, bytes, bytearray)):
                value = _json_text(value)
            elif isinstance(value, str):
                value = value.encode("utf-8", "surrogatepass")
        elif kind.startswith("DateTime"):
            value = _time_cut(value, _precision(kind))
        elif isinstance(value, str) and kind.startswith(("Int", "UInt", "Float")):
            value = _number(kind, value)
        result[name] = value
    return result


# ---- the writer ------------------------------------------------------------------------------------------------------------

class _CHWriter:
    """One namespace: its tables, opened when they are first put to, and its counts."""

    def __init__(self, db: str) -> None:
        self._db = db
        self._tables: dict[str, coldpath.Table] = {}
        self._lock = threading.RLock()  # of everything but putting
        self._retry: dict[str, float] = {}  # table → when to look for it again
        self._warned: dict[tuple[str, str], float] = {}
        self._created = False
        self.missing = self.full = self.adapted = self.rejected = 0

    def put(self, table: str, row: dict) -> None:
        """Puts one row; see the module's text for what happens to one that cannot be put."""
        try:
            handle = self._tables.get(table)
        except TypeError:  # a list: no name of anything
            table, handle = repr(table), None
        if handle is None:
            handle = self._open(table)
            if handle is None:
                return
        try:
            if not handle.put(row):
                self._full(table)
        except Exception as error:
            self._adapt(handle, table, row, error)

    def _full(self, table: str) -> None:
        self.full += 1
        if _policy() == "raise":
            raise coldpath.Error(f"table {table} of {self._db}: the ring is full")
        self._warn("full", table, "the ring is full, the row is dropped; %d so far. Does coldpathd run?", self.full)

    def _adapt(self, handle: coldpath.Table, table: str, row: dict, error: Exception) -> None:
        try:
            if not isinstance(error, (coldpath.ColumnTypeError, coldpath.ColumnValueError, coldpath.UnknownColumnError)):
                raise error
            if not handle.put(_adapted(handle.types, row)):
                self._full(table)
                return
            self.adapted += 1
            self._warn("adapted", table, "a value was adapted to its column, as ClickHouse's JSON input would have; %d so far: %s",
                       self.adapted, error)
        except Exception as final:
            if _policy() == "raise":
                raise
            self.rejected += 1
            self._warn("rejected", table, "the row is rejected, %d so far: %s", self.rejected, final)
            self._keep(table, row)

    def _keep(self, table: str, row: dict) -> None:
        """A rejected row, in a file for people. Never raises."""
        if not os.environ.get("CH_SPOOL_DIR"):
            return
        try:
            path = CH_SPOOL_DIR / self._db / "rejected.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8", errors="backslashreplace") as out:
                if out.tell() < _REJECTED_BYTES:
                    out.write(_json_text({"table": table, "at_us": ts_us(), "row": row}) + "\n")
        except Exception as error:
            self._warn("unkept", table, "a rejected row cannot be kept either: %s", error)

    def _open(self, table: str) -> coldpath.Table | None:
        with self._lock:
            handle = self._tables.get(table)
            if handle is not None:
                return handle
            error: Exception | None = None
            if time.monotonic() >= self._retry.get(table, 0.0):
                try:
                    handle = self._tables[table] = self._table(table)
                    return handle
                except Exception as refused:
                    error = refused
                    self._retry[table] = time.monotonic() + _RETRY_S
                    if _policy() == "raise":
                        raise
            self.missing += 1
            if error is not None:
                self._warn("missing", table, "cannot be put to, %d rows dropped so far: %s", self.missing, error)
            return None

    def _table(self, table: str) -> coldpath.Table:
        """The table, also of a name with the database in front. One table is opened once, whatever it is called."""
        bare = table.removeprefix(self._db + ".") if isinstance(table, str) else table
        handle = self._tables.get(bare)
        if handle is None:
            handle = self._tables[bare] = self._attach().table(bare, shared=True)
        return handle

    def _attach(self) -> coldpath.Region:
        try:
            return coldpath.attach(self._db, producer="ch_writer")
        except coldpath.AbsentError:
            if _policy() == "warn" or self._created:
                raise
        self._created = True
        _region_create(self._db)
        return coldpath.attach(self._db, producer="ch_writer")

    def _warn(self, kind: str, table: str, text: str, *args: Any) -> None:
        now = time.monotonic()
        if now >= self._warned.get((kind, table), 0.0):
            self._warned[(kind, table)] = now + _WARN_S
            log.warning("ch_writer[%s]: table %s: " + text, self._db, table, *args)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, and what another process is given, is the writer of that name, as with functions."""
        return _named, (self._db,)

    def stats(self) -> dict[str, Any]:
        tables = {name: handle.stats() for name, handle in list(self._tables.items()) if name == handle.name}
        return {"put": sum(it["put"] for it in tables.values()), "missing": self.missing, "full": self.full,
                "adapted": self.adapted, "rejected": self.rejected, "tables": tables}

    def wait_delivered(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        return all(handle.wait_delivered(max(0.0, deadline - time.monotonic())) for handle in list(self._tables.values()))

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.RLock()


def _policy() -> str:
    return os.environ.get("COLDPATH_CH_MISSING", "create")


def _region_create(db: str) -> None:
    """`coldpath init` from the namespace's configuration. AbsentError says why it cannot."""
    config = os.environ.get("COLDPATH_CH_CONFIG", "/etc/coldpath/{namespace}.yaml").replace("{namespace}", db)
    program = os.environ.get("COLDPATH_PROGRAM") or shutil.which("coldpath")
    if not os.path.exists(config) or not program:
        what = (f"there is no configuration {config}; write one (docs/moving-from-ch-writer.md), or COLDPATH_CH_CONFIG names it" if program
                else "there is no program coldpath on the PATH, and COLDPATH_PROGRAM names none")
        raise coldpath.AbsentError(f"there is no region {db}, and none can be made: {what}")
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    environment["COLDPATH_NAMESPACE"] = db  # one file may serve several
    done = subprocess.run([program, "init", "--no-tables", "--config", config], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=_INIT_S, env=environment, check=False)
    if done.returncode != 0:
        raise coldpath.AbsentError(f"there is no region {db}, and coldpath init failed: {done.stderr.strip()[-500:]}")
    log.info("ch_writer[%s]: region made from %s", db, config)


_writer = _CHWriter("dolphin")
_writer_green = _CHWriter("dolphin_green")
_writer_prodgreen = _CHWriter("dolphin_prodgreen")
_writer_pink = _CHWriter("dolphin_pink")
_writer_violet = _CHWriter("dolphin_violet")
_writer_pink_v7 = _writer_pink  # the same database: the same region
_writers = {"dolphin": _writer, "dolphin_green": _writer_green, "dolphin_prodgreen": _writer_prodgreen,
            "dolphin_pink": _writer_pink, "dolphin_violet": _writer_violet}


def _named(db: str) -> _CHWriter:
    return _writers[db]


ch_put = _writer.put
ch_put_green = _writer_green.put
ch_put_prodgreen = _writer_prodgreen.put
ch_put_pink = _writer_pink.put
ch_put_violet = _writer_violet.put
ch_put_pink_v7 = _writer_pink_v7.put


def stats() -> dict[str, dict[str, Any]]:
    """Per namespace: rows put, missing (no region or table), full, adapted, rejected; and each table's stats()."""
    return {db: writer.stats() for db, writer in _writers.items()}


def wait_delivered(timeout: float = 30.0) -> bool:
    """Waits until ClickHouse has all that this process has put. Not for the trading loop; for tests, and ends of scripts."""
    deadline = time.monotonic() + timeout
    return all(writer.wait_delivered(max(0.0, deadline - time.monotonic())) for writer in _writers.values())


def _after_fork() -> None:
    global _uuid_lock
    _uuid_lock = threading.Lock()
    for writer in _writers.values():
        writer.after_fork()


os.register_at_fork(after_in_child=_after_fork)
