"""The recording part of ./quickstart: starts the programs, follows them, and settles the account.

    coldpath-hoststats ─┐
    coldpath-market ────┼─► /dev/shm/coldpath/<namespace> ─► coldpathd ─► coldpath-chdb (or --clickhouse URL)
    coldpath put ───────┘

Rows put are counted by the producers, rows held by ClickHouse itself; provenance columns (_cp_epoch, _cp_slot,
_cp_position) tell a lost row from one that arrived twice. Every program is ended by its process id, whatever happens;
each also dies with this one. Only Python's standard library is used.
"""

import argparse
import ctypes
import datetime
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import zlib

sys.dont_write_bytecode = True  # the source tree stays as it is
import csv_table  # noqa: E402 (beside this file)

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
BUILD = os.environ.get("COLDPATH_BUILD", os.path.join(ROOT, "build"))
BIN = os.path.join(BUILD, "bin")
RUNS = os.path.join(BUILD, "quickstart")
REGIONS = "/dev/shm/coldpath"

START_SECONDS = 60  # for the engine and the recorder to be ready: a cold disk reads 566 MB first
DELIVER_SECONDS = 120  # for the last rows to arrive after the producers have ended
STOP_SECONDS = 30
SYNTHETIC_RATE = 20_000  # rows per second
SHM_NEEDED = 48 << 20  # rings of this configuration
PROVENANCE = ("_cp_epoch", "_cp_slot", "_cp_position")

# The first line of market files, and the option of coldpath-market that takes them.
MARKET_FILES = {
    "--l2": "recv_ts_ns,exch_ts_ms,venue,symbol,first_update_id,final_update_id,side,price,qty",
    "--quotes": "recv_ts_ns,exch_ts_ms,venue,symbol,update_id,bid_px,bid_qty,ask_px,ask_qty",
    "--trades": "recv_ts_ns,exch_ts_ms,venue,symbol,trade_id,price,qty,buyer_is_maker",
}
MARKET_TABLES = {"--l2": "l2_updates", "--quotes": "quotes", "--trades": "trades"}
RINGS = {"l2_updates": "16MiB", "quotes": "8MiB", "trades": "4MiB", "system_stats": "1MiB"}


class Failure(Exception):
    """Ends the run with a message for the user."""


def say(text=""):
    print(text, file=sys.stderr, flush=True)


def die_with_parent():
    """In the child, between fork and exec: SIGTERM when the parent dies (prctl(2), PR_SET_PDEATHSIG = 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Program:
    """A program in a session of its own, so that Ctrl-C reaches this process alone, which then stops them in order."""

    def __init__(self, run, name, *arguments):
        self.name = name
        self.log_path = os.path.join(run.dir, f"{name}.log")
        self.out_path = os.path.join(run.dir, f"{name}.out")
        command = [os.path.join(BIN, name.split(" ")[0]), *arguments]
        with open(self.log_path, "wb") as log, open(self.out_path, "wb") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=ROOT, start_new_session=True,
                preexec_fn=None if run.keep else die_with_parent)
        run.programs.append(self)

    def running(self):
        return self.process.poll() is None

    def tail(self):
        with open(self.log_path, "rb") as log:
            lines = log.read()[-2000:].decode("utf-8", "replace").splitlines()[-12:]
        return "\n".join("    " + line for line in lines)

    def require_running(self):
        if not self.running():
            raise Failure(f"{self.name} ended early, with status {self.process.returncode}:\n{self.tail()}")

    def stop(self):
        """Returns the exit status; a program that does not end in time is killed."""
        if self.running():
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def summary(self):
        """The JSON object that a producer prints last."""
        with open(self.out_path, encoding="utf-8") as out:
            lines = [line for line in out if line.startswith("{")]
        if not lines:
            raise Failure(f"{self.name} printed no summary:\n{self.tail()}")
        return json.loads(lines[-1])


# ---- files of the user -----------------------------------------------------------------------------------------------


def declare_table(path, taken):
    """A table for a CSV of any columns: (its name, columns, their types, CREATE TABLE)."""
    name = re.sub(r"\W", "_", os.path.basename(path).split(".")[0], flags=re.ASCII)[:50].lower()
    name = name if re.match(r"[a-z_]", name) else "t_" + name
    while name in taken:
        name += "_"
    say(f"Reading {path} to find the types of its columns")
    try:
        header = csv_table.header_of(path)
        types = csv_table.column_types(path, header)
    except (OSError, EOFError, zlib.error) as error:  # a damaged .gz
        raise Failure(f"{path}: {error}") from error
    lines = [f"    {quoted(column)} {kind}" for column, kind in zip(header, types)]
    lines += ["    _cp_epoch UInt64", "    _cp_slot UInt16", "    _cp_position UInt64"]
    return name, header, types, (
        f"CREATE TABLE IF NOT EXISTS {name}\n(\n" + ",\n".join(lines) + "\n)\nENGINE = MergeTree\n"
        "ORDER BY tuple()\nSETTINGS non_replicated_deduplication_window = 10000\n")


def quoted(column):
    return "`" + column.replace("\\", "\\\\").replace("`", "\\`") + "`"


def sort_files(paths):
    """Market files as options of coldpath-market, and the others."""
    market, others = [], []
    for path in paths:
        try:
            with csv_table.open_text(path, "utf-8") as file:
                first = file.readline(100_000).strip()
        except (OSError, EOFError) as error:
                raise Failure(f"{path}: {error}") from error
        option = next((option for option, header in MARKET_FILES.items() if header == first), None)
        if option and option not in [have for have, _ in market]:
            market.append((option, path))
        else:
            others.append(path)
    return market, others


def test_data():
    directory = os.environ.get("COLDPATH_TEST_DATA", "")
    if not os.path.isdir(directory):
        return []
    paths = sorted(os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(".csv.gz"))
    return [path for _, path in sort_files(paths)[0]]


# ---- the run ---------------------------------------------------------------------------------------------------------


class Run:
    """One recording: its directory, its programs, its numbers."""

    def __init__(self, options):
        self.options = options
        self.keep = options.keep
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d_%H%M%S")
        self.namespace = f"quickstart_{stamp}_{os.getpid()}"
        self.dir = os.path.join(RUNS, self.namespace)
        self.config = os.path.join(self.dir, "coldpath.yaml")
        self.programs = []
        self.producers = []
        self.engine = self.recorder = None
        self.region_base = REGIONS
        self.own_tables = {}  # name: (path of the CSV, its columns, their types)
        self.password_file = None  # of the embedded engine
        self.drawn = 0  # lines of the live view on the screen
        self.seconds = 0.0

    def cli(self, *arguments, check=True):
        verb, *rest = arguments
        done = subprocess.run([os.path.join(BIN, "coldpath"), verb, "--config", self.config, *rest],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT, timeout=300,
                              start_new_session=True, check=False)
        if check and done.returncode != 0:
            raise Failure(f"coldpath {verb} failed with status {done.returncode}:\n{done.stderr.strip()}")
        return done

    def query(self, sql):
        return [json.loads(line) for line in self.cli("query", "--format", "JSONEachRow", sql).stdout.splitlines() if line]

    # -- starting

    def clear_old_runs(self):
        """Earlier runs stay for a look; the next one removes them, unless they still run."""
        os.makedirs(RUNS, exist_ok=True)
        for name in os.listdir(RUNS):
            match = re.fullmatch(r"quickstart_\d{8}_\d{6}_(\d+)", name)
            kept = os.path.exists(os.path.join(RUNS, name, "stop"))
            if match and not kept and not os.path.exists(f"/proc/{match[1]}"):
                shutil.rmtree(os.path.join(RUNS, name), ignore_errors=True)
                shutil.rmtree(os.path.join(REGIONS, name), ignore_errors=True)

    def choose_region(self):
        free = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
        if not free or free.f_bavail * free.f_frsize < SHM_NEEDED:
            self.region_base = os.path.join(self.dir, "region")
            say(f"/dev/shm has less than {SHM_NEEDED >> 20} MiB free: the rings are put into {self.region_base}")

    def start_engine(self):
        if self.options.clickhouse:
            return self.options.clickhouse.rstrip("/")
        port_file = os.path.join(self.dir, "chdb.port")
        self.password_file = os.path.join(self.dir, "password")
        with open(os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        self.engine = Program(self, "coldpath-chdb", "--port", "0", "--port-file", port_file,
                              "--password-file", self.password_file, "--path", os.path.join(self.dir, "clickhouse"))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.engine.require_running()
            try:
                with open(port_file, encoding="ascii") as file:
                    url = f"http://127.0.0.1:{int(file.read())}"
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                with opener.open(url + "/ping", timeout=5) as answer:
                    if answer.status == 200:
                        return url
            except (OSError, ValueError):
                time.sleep(0.05)
        raise Failure(f"coldpath-chdb was not ready within {START_SECONDS} s:\n{self.engine.tail()}")

    def write_config(self, url):
        credentials = f', user: default, password_file: "{self.password_file}"' if self.password_file else ""
        lines = [f"# Written by ./quickstart at {datetime.datetime.now():%Y-%m-%d %H:%M:%S}.",
                 f"namespace: {self.namespace}", f'region: {{dir: "{self.region_base}"}}',
                 f'clickhouse: {{url: "{url}"{credentials}}}', "table_defaults: {slots: 4}", "tables:"]
        lines += [f"  {table}: {{ring_size: {size}}}" for table, size in RINGS.items()]
        lines += [f'  {table}: {{ring_size: 8MiB, ddl: "{os.path.join(self.dir, table + ".sql")}"}}'
                  for table in self.own_tables]
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def start_recorder(self):
        self.cli("init")
        self.recorder = Program(self, "coldpathd", "--config", self.config)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.recorder.require_running()
            if self.cli("status", check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise Failure(f"coldpathd was not ready within {START_SECONDS} s:\n{self.recorder.tail()}")

    def region(self):
        return os.path.join(self.region_base, self.namespace)

    def start_producers(self, market):
        seconds = str(self.options.seconds)
        region = ["--region", self.region(), "--seconds", seconds, "--json"]
        self.producers.append(Program(self, "coldpath-hoststats", *region))
        if market or not self.own_tables:
            feed = [word for pair in market for word in pair] + ["--speed", "1"] if market else [
                "--synthetic", "--rate", str(SYNTHETIC_RATE)]
            self.producers.append(Program(self, "coldpath-market", *feed, *region))
        for table, (path, _, _) in self.own_tables.items():
            self.producers.append(Program(self, f"coldpath put {table}", "put", table, path, "--format", "CSV",
                                          "--header", "--json", "--config", self.config))

    # -- watching

    def tables(self):
        done = self.cli("status", "--json", check=False)
        if not done.stdout.startswith("{"):
            raise Failure(f"coldpath status: {done.stderr.strip()}")
        return json.loads(done.stdout)["tables"]

    def draw(self, tables, previous, elapsed, interval):
        if not sys.stderr.isatty():
            put = sum(table["rows_put"] for table in tables)
            delivered = sum(table["rows_delivered"] for table in tables)
            say(f"{elapsed:4.0f} s  put {put:>10,}  delivered {delivered:>10,}  on the way {put - delivered:>8,}")
            return
        lines = [f"{elapsed:4.0f} s  {'table':<24}{'put/s':>10}{'put':>12}{'delivered':>12}{'on the way':>12}{'ring %':>8}"]
        for table in tables:
            rate = (table["rows_put"] - previous.get(table["table"], 0)) / interval if interval > 0 else 0
            lines.append(f"        {table['table']:<24}{rate:>10,.0f}{table['rows_put']:>12,}"
                         f"{table['rows_delivered']:>12,}{table['rows_put'] - table['rows_delivered']:>12,}"
                         f"{100 * table['ring_usage']:>8.1f}")
        say((f"\x1b[{self.drawn}A" if self.drawn else "") + "\n".join(line + "\x1b[K" for line in lines))
        self.drawn = len(lines)

    def watch(self):
        """Until the producers have ended and everything is delivered."""
        started = looked = time.monotonic()
        previous, ended, next_look = {}, None, started + 1
        while True:
            self.recorder.require_running()
            if self.engine:
                self.engine.require_running()
            now = time.monotonic()
            if ended is None and not any(producer.running() for producer in self.producers):
                ended = now
                self.seconds = now - started
            tables = self.tables()
            settled = ended is not None and all(
                table["rows_put"] == table["rows_delivered"] + table["rows_rejected"] for table in tables)
            if now >= next_look or settled:
                self.draw(tables, previous, now - started, now - looked)
                previous = {table["table"]: table["rows_put"] for table in tables}
                looked, next_look = now, next_look + 1
            if settled:
                return
            if ended is not None and now - ended > DELIVER_SECONDS:
                raise Failure(f"not everything was delivered within {DELIVER_SECONDS} s:\n{self.recorder.tail()}")
            time.sleep(0.1)

    def rows_put(self):
        """What the producers say they have put, and the latency of put that the market feed measured."""
        rows, latency = {}, (None, None)
        for producer in self.producers:
            status = producer.process.wait()
            if status != 0:
                raise Failure(f"{producer.name} failed with status {status}:\n{producer.tail()}")
            summary = producer.summary()
            if "put_p50_ns" in summary and (latency[0] is None or producer.name == "coldpath-market"):
                latency = (summary["put_p50_ns"], summary["put_p99_ns"])
            for table, count in self.counts_of(summary).items():
                rows[table] = rows.get(table, 0) + count
        return rows, latency

    @staticmethod
    def counts_of(summary):
        """{table: rows}: a feed lists its tables, `coldpath put` has one."""
        if "tables" in summary:
            return {table["table"]: table["rows"] for table in summary["tables"]}
        return {summary["table"]: summary["rows_put"]}

    # -- the account

    def settle(self, put):
        """Per table (held, distinct), counted by ClickHouse."""
        held = {}
        for table in put:
            row = self.query(f"SELECT count() AS held, uniqExact({', '.join(PROVENANCE)}) AS distinct FROM {table}")[0]
            held[table] = (int(row["held"]), int(row["distinct"]))
        return held

    def compare(self, table):
        """Value by value, what the user's file has against what ClickHouse gives back; the first difference, or None."""
        path, header, types = self.own_tables[table]
        columns = ", ".join(map(quoted, header))
        query = [os.path.join(BIN, "coldpath"), "query", "--config", self.config, "--format", "TSV",
                 f"SELECT {columns} FROM {table} ORDER BY {', '.join(PROVENANCE)}"]
        with subprocess.Popen(query, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
                              encoding="utf-8", errors="surrogateescape", start_new_session=True) as process:
            try:
                difference = csv_table.first_difference(path, header, types, process.stdout)
                # Cut before its end only when there is a difference to tell.
                if difference is None and process.wait() != 0:
                    raise Failure(f"coldpath query failed with status {process.returncode}:\n{process.stderr.read().strip()}")
            finally:
                if process.poll() is None:
                    process.kill()
        return difference

    def show_samples(self, put):
        samples = []
        if put.get("quotes"):
            samples.append("SELECT symbol, venue, count() AS quotes, round(avg(toFloat64(ask_px - bid_px)), 4) AS "
                           "mean_spread FROM quotes GROUP BY symbol, venue ORDER BY quotes DESC LIMIT 5")
        if put.get("system_stats"):
            samples.append("SELECT host, count() AS samples, round(avg(load_1m), 2) AS load, "
                           "round(max(mem_used_gb), 2) AS mem_used_gb FROM system_stats GROUP BY host")
        samples += [f"SELECT * EXCEPT ({', '.join(PROVENANCE)}) FROM {table} LIMIT 3" for table in self.own_tables]
        for sql in samples:
            say(f"\n  {sql}")
            for line in self.cli("query", "--format", "PrettyCompactMonoBlock", sql).stdout.splitlines():
                say(f"    {line}")

    def stop(self):
        """Recorder first, so that it can ship; then the engine. Returns what went wrong, or None."""
        wrong = None
        for program in self.producers:
            program.stop()
        for program in (self.recorder, self.engine):
            if program:
                status = program.stop()
                if status != 0 and wrong is None:
                    wrong = f"{program.name} ended with status {status}:\n{program.tail()}"
        shutil.rmtree(self.region(), ignore_errors=True)
        try:
            os.rmdir(self.region_base)
        except OSError:
            pass  # others use it
        return wrong

    def write_stop(self):
        """With --keep: a script that ends what still runs."""
        path = os.path.join(self.dir, "stop")
        pids = " ".join(str(program.process.pid) for program in (self.recorder, self.engine) if program)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n# Ends this recording: the recorder ships what it has, then the engine stops.\n"
                       f"for pid in {pids}; do\n"
                       f"    tr '\\0' ' ' </proc/$pid/cmdline 2>/dev/null | grep -qF '{self.dir}' || continue\n"
                       "    kill $pid\n    for tenth in $(seq 300); do kill -0 $pid 2>/dev/null || break; sleep 0.1; done\ndone\n"
                       f"rm -rf '{self.region()}'\nrm -f \"$0\"\n")
        os.chmod(path, 0o755)
        return path


def report(run, put, held, latency, differences):
    """Prints the account; returns the numbers of --json."""
    say("\nThe account, put by the producers against held by ClickHouse:\n")
    say(f"  {'table':<24}{'put':>12}{'held':>12}{'lost':>8}{'twice':>8}")
    lost = twice = 0
    for table, count in put.items():
        rows, distinct = held[table]
        lost += max(count - distinct, 0)
        twice += rows - distinct
        say(f"  {table:<24}{count:>12,}{rows:>12,}{count - distinct:>8,}{rows - distinct:>8,}")
    for table, difference in differences.items():
        path = run.own_tables[table][0]
        say(f"\n  {table}: " + (f"NOT what {path} holds: {difference}" if difference else
                                f"every value is the one in {path}"))
    rows_put = sum(put.values())
    in_clickhouse = sum(rows for rows, _ in held.values())
    numbers = {
        "rows_put": rows_put, "rows_in_clickhouse": in_clickhouse, "lost": lost, "duplicated": twice,
        "seconds": round(run.seconds, 3), "rows_per_s": round(rows_put / run.seconds) if run.seconds else 0,
        "put_p50_ns": latency[0], "put_p99_ns": latency[1],
        "tables_compared": len(differences), "tables_different": sum(map(bool, differences.values())),
    }
    say(f"\n  {rows_put:,} rows in {run.seconds:.1f} s" + (
        f"; a put takes {latency[0]} ns (median), {latency[1]} ns (99 %)" if latency[0] is not None else ""))
    return numbers


def next_steps(run):
    config = os.path.relpath(run.config, ROOT)
    if run.keep:
        say("\nThe recorder still runs; the producers have ended." + (
            "" if run.options.clickhouse else " ClickHouse's password is in a file that the configuration names."))
        say(f"               Look:  build/bin/coldpath status --config {config}\n"
            f"                      build/bin/coldpath query --config {config} 'SELECT count() FROM quotes'")
        say(f"               Stop:  {os.path.relpath(run.write_stop(), ROOT)}")
    elif run.options.clickhouse:
        say(f"\nThe rows are in database {run.namespace} of {run.options.clickhouse}; remove them with\n"
            f"  DROP DATABASE {run.namespace}")
    else:
        say(f"\nData, logs and configuration: {os.path.relpath(run.dir, ROOT)} (until the next run)")
    say("Next:  ./quickstart --keep             leave it running and query it\n"
        "       ./quickstart --data FILE.csv    record a file of yours\n"
        "       deploy/coldpath.yaml            every setting, explained")


def record(run, paths):
    synthetic = not paths
    market, others = sort_files(paths)
    os.makedirs(run.dir, mode=0o700)
    for path in others:
        table, header, types, statement = declare_table(path, [*RINGS, *run.own_tables])
        run.own_tables[table] = (os.path.realpath(path), header, types)
        with open(os.path.join(run.dir, table + ".sql"), "w", encoding="utf-8") as file:
            file.write(statement)
    run.choose_region()
    run.write_config(run.start_engine())
    run.start_recorder()
    say(f"\nRecording for {run.options.seconds} s: this host's statistics, and " + (
        "SYNTHETIC market data (made up, not recorded)" if synthetic else
        ", ".join(os.path.basename(path) for path in paths)) + "\n")
    run.start_producers([(option, os.path.realpath(path)) for option, path in market])
    run.watch()
    put, latency = run.rows_put()
    held = run.settle(put)
    say("\nWhat ClickHouse holds" + (" (market data is synthetic):" if synthetic else ":"))
    run.show_samples(put)
    return report(run, put, held, latency, {table: run.compare(table) for table in run.own_tables})


stopping = False


def interrupted(_number, _frame):
    """Once: stopping is short, and is not to be cut shorter."""
    global stopping
    if not stopping:
        stopping = True
        raise KeyboardInterrupt


def parse_options():
    parser = argparse.ArgumentParser(prog="quickstart", add_help=False)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--clickhouse")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def forget_settings(own_server):
    """Variables that would overrule the recording's configuration: send the recorder to another ClickHouse than the embedded one, or with
    other credentials, or its region elsewhere."""
    for name in list(os.environ):
        server = name.startswith("COLDPATH_CLICKHOUSE__") or name in ("CREDENTIALS_DIRECTORY", "CH_DB")
        setting = name.startswith("COLDPATH_") and name not in ("COLDPATH_TEST_DATA", "COLDPATH_CHDB_LIB", "COLDPATH_BUILD")
        if (server or setting) and not (server and own_server):
            del os.environ[name]


def main():
    global stopping
    options = parse_options()
    forget_settings(own_server=bool(options.clickhouse))
    signal.signal(signal.SIGINT, interrupted)  # also where it was inherited as ignored
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    run = Run(options)
    numbers = wrong = None
    try:
        run.clear_old_runs()
        numbers = record(run, options.data or test_data())
    except (Failure, csv_table.Malformed) as failure:
        wrong = str(failure)
    except OSError as error:
        wrong = str(error)
    except KeyboardInterrupt:
        wrong = "interrupted"
    stopping = True
    if wrong or not run.keep:
        run.keep = False
        stopped = run.stop()
        wrong = wrong or stopped
    if numbers and not wrong:
        next_steps(run)
        balanced = numbers["lost"] == 0 and numbers["duplicated"] == 0 and numbers["rows_put"] == numbers[
            "rows_in_clickhouse"] and numbers["tables_different"] == 0
        say("\nEvery row arrived, once." if balanced else "\nThe account does NOT balance." if not numbers[
            "tables_different"] else "\nClickHouse does NOT hold what the file holds.")
        if options.json:
            print(json.dumps(numbers | {"error": None}), flush=True)
        return 0 if balanced else 1
    say(f"\nquickstart: {wrong}\n  logs: {os.path.relpath(run.dir, ROOT)}")
    if options.json:
        print(json.dumps((numbers or {}) | {"error": wrong}), flush=True)
    return 130 if wrong == "interrupted" else 1


if __name__ == "__main__":
    sys.exit(main())
