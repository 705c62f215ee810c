"""The flusher against coldpath-chdb: rows arrive once, also when the server is killed and restarted under way, when a
table is created late, and when the password is wrong at first.

    test_ship.py BUILD
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import chdb  # noqa: E402

COLUMNS = """(_cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64, id UInt32, price Float64,
    name LowCardinality(String), note Nullable(String), sizes Array(Float32), at DateTime64(6, 'UTC'))
    ENGINE = MergeTree ORDER BY id"""
WINDOW = " SETTINGS non_replicated_deduplication_window = 10000"


def fields(line):
    return {key: (value if key == "table" else int(value)) for key, value in
            (word.split("=", 1) for word in line.split())}


class Shipping:
    """ship_rows in the background."""

    def __init__(self, build, work, server, ddls, rows, chunk_rows=500, pause_us=1000, password=None):
        paths = []
        for name, ddl in ddls.items():
            path = pathlib.Path(work) / f"{name}.sql"
            path.write_text(ddl)
            paths.append(str(path))
        env = os.environ | {"CP_TEST_PASSWORD": server.password if password is None else password}
        self.log = open(pathlib.Path(work) / "ship.log", "w+")
        self.process = subprocess.Popen(
            [f"{build}/bin/ship_rows", server.url, server.user, str(rows), str(chunk_rows), str(pause_us), *paths],
            env=env, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def finish(self):
        out, _ = self.process.communicate(timeout=120)
        self.log.seek(0)
        log = self.log.read()
        self.log.close()
        return self.process.returncode, {f["table"]: f for f in map(fields, out.splitlines())}, log


def counted(server, table):
    """(rows, distinct rows by provenance)"""
    text = server.query(f"SELECT count(), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM {table}")
    return tuple(int(x) for x in text.split())


def check(name, condition, *context):
    if not condition:
        print(f"FAILED {name}:", *context)
        sys.exit(1)


def test_plain(build, work):
    with chdb.ChdbServer(build, password="right") as server:
        ddls = {"a": f"CREATE TABLE a {COLUMNS}{WINDOW}", "b": f"CREATE TABLE b {COLUMNS}"}
        for ddl in ddls.values():
            server.query(ddl)
        code, tables, log = Shipping(build, work, server, ddls, 60000).finish()
        check("plain", code == 0, tables, log)
        check("guarantee", tables["a"]["guarantee"] == 2 and tables["b"]["guarantee"] == 1, tables)
        for table in ddls:
            check("rows", counted(server, table) == (60000, 60000), counted(server, table))
        check("no failure", tables["a"]["failed"] == 0, log)
        check("secret", "right" not in log, log)


def test_killed_server(build, work):
    data = pathlib.Path(work) / "data"
    ddls = {"a": f"CREATE TABLE a {COLUMNS}{WINDOW}"}
    server = chdb.ChdbServer(build, path=data).start()
    server.query(ddls["a"])
    port = server.port
    shipping = Shipping(build, work, server, ddls, 200000, 500, 5000)
    for _ in range(3):
        time.sleep(0.7)
        server.end(9)
        server = chdb.ChdbServer(build, path=data, args=["--port", str(port)]).start()
    code, tables, log = shipping.finish()
    check("killed", code == 0, tables, log[-3000:])
    check("it noticed", tables["a"]["failed"] > 0, tables)
    check("once", counted(server, "a") == (200000, 200000), counted(server, "a"), log[-3000:])
    server.stop()


def test_late_table(build, work):
    with chdb.ChdbServer(build) as server:
        ddls = {"a": f"CREATE TABLE a {COLUMNS}{WINDOW}", "late": f"CREATE TABLE late {COLUMNS}{WINDOW}"}
        server.query(ddls["a"])
        shipping = Shipping(build, work, server, ddls, 20000)
        deadline = time.monotonic() + 20
        while counted(server, "a")[0] < 10000:
            check("the other table goes on", time.monotonic() < deadline)
            time.sleep(0.05)
        server.query(ddls["late"])
        code, tables, log = shipping.finish()
        check("late", code == 0 and tables["late"]["last_code"] == 60, tables, log)
        check("late rows", counted(server, "late") == (20000, 20000), counted(server, "late"))
        check("late guarantee", tables["late"]["guarantee"] == 2, tables)


def test_wrong_password(build, work):
    with chdb.ChdbServer(build, password="right") as server:
        server.query(f"CREATE TABLE a {COLUMNS}")
        shipping = Shipping(build, work, server, {"a": f"CREATE TABLE a {COLUMNS}"}, 100, password="wrong-secret")
        time.sleep(1.5)
        shipping.process.terminate()
        _, _, log = shipping.finish()
        check("wrong password", "code=516" in log and "check user and password" in log, log)
        check("secret", "wrong-secret" not in log, log)
        check("nothing in", counted_plain(server) == 0)


def counted_plain(server):
    return int(server.query("SELECT count() FROM a"))


def main():
    build = sys.argv[1]
    if not chdb.engine_present(build):
        print("skipped: no libchdb.so")
        sys.exit(chdb.SKIP)
    for test in (test_plain, test_killed_server, test_late_table, test_wrong_password):
        with tempfile.TemporaryDirectory(prefix="coldpath-ship-") as work:
            started = time.monotonic()
            test(build, work)
            print(f"{test.__name__}: ok, {time.monotonic() - started:.1f} s", flush=True)


main()
