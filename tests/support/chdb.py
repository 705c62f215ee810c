"""Starts and stops coldpath-chdb, the embedded ClickHouse, for tests.

    with ChdbServer(build) as server:
        server.query("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
        server.insert("t", "CSV", b"1\\n2\\n")
        assert server.query("SELECT count() FROM t").strip() == "2"

Each server has a free port and a data directory of its own, and is ended by its process id. `build` is the build
directory with bin/coldpath-chdb; without it the environment variable COLDPATH_BUILD is taken. The engine's library is
found as the program finds it, or through COLDPATH_CHDB_LIB; engine_present() tells whether it is there, so that a test
can end with SKIP (77) when it is not.
"""

import base64
import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import weakref

SKIP = 77
START_SECONDS = 60
STOP_SECONDS = 30


class ChdbError(Exception):
    """The server's answer to a failed statement."""

    def __init__(self, status, code, text):
        super().__init__(f"HTTP {status}: {text.strip()}")
        self.status = status
        self.code = code
        self.text = text


def build_dir(build=None):
    return pathlib.Path(build or os.environ.get("COLDPATH_BUILD") or "build").resolve()


def engine_library(build=None):
    """The path of libchdb.so, or None."""
    given = os.environ.get("COLDPATH_CHDB_LIB")
    if given:
        return given if os.path.exists(given) else None
    for machine in ("x64", "arm64"):
        path = build_dir(build) / f"npm/node_modules/@chdb/lib-linux-{machine}-gnu/libchdb.so"
        if path.exists():
            return str(path)
    return None


def engine_present(build=None):
    return engine_library(build) is not None


class ChdbServer:
    """One running coldpath-chdb. path: its data directory, kept; without it a temporary one, removed by stop()."""

    def __init__(self, build=None, path=None, user="default", password="", args=(), env=None):
        self.build = build_dir(build)
        self.user = user
        self.password = password
        self.args = list(args)
        self.env = dict(env or {})
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-chdb-test-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.work, ignore_errors=True)  # at the latest
        self.path = pathlib.Path(path) if path else self.work / "data"
        self.process = None
        self.port = 0
        self.log = self.work / "log"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Starts the program and waits until it answers. Returns self."""
        port_file = self.work / "port"
        port_file.unlink(missing_ok=True)
        env = os.environ | self.env
        env.pop("LD_PRELOAD", None)  # a sanitizer's library, for Python with our module in it: the engine cannot live with it
        library = engine_library(self.build)
        if library:
            env["COLDPATH_CHDB_LIB"] = library
        if self.password:
            env["COLDPATH_CHDB_PASSWORD"] = self.password
        command = [str(self.build / "bin/coldpath-chdb"), "--port", "0", "--port-file", str(port_file), "--path",
                   str(self.path), "--user", self.user, *self.args]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                said = self.read_log()
                raise RuntimeError(f"coldpath-chdb ended with {self.stop()}: {said}")
            if port_file.exists():
                self.port = int(port_file.read_text())
                if self.request("GET", "/ping")[2] == b"Ok.\n":
                    return self
            time.sleep(0.01)
        said = self.read_log()
        self.stop()
        raise RuntimeError(f"coldpath-chdb did not answer within {START_SECONDS} s: {said}")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def read_log(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def end(self, number=signal.SIGTERM, timeout=STOP_SECONDS):
        """Sends the process a signal and waits for its end; its exit code. The data stays."""
        process, self.process = self.process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def stop(self):
        """Ends the process and removes what was temporary; its exit code."""
        try:
            return self.end()
        finally:
            self._remove()

    def request(self, method, path, body=None, headers=None, timeout=120):
        """One HTTP request as it is: (status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def authorization(self):
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def post(self, parameters, body=b"", headers=None):
        """A POST with URL parameters; ChdbError unless it succeeded, otherwise (headers, body)."""
        path = "/?" + urllib.parse.urlencode(parameters)
        status, answer, data = self.request("POST", path, body, self.authorization() | (headers or {}))
        if status != 200 or answer.get("X-ClickHouse-Exception-Code"):
            raise ChdbError(status, int(answer.get("X-ClickHouse-Exception-Code", 0)), data.decode(errors="replace"))
        return answer, data

    def query(self, sql, **parameters):
        """Runs a statement; parameters are URL parameters (settings, database, param_x …). Its result as text."""
        return self.post(parameters, sql.encode())[1].decode()

    def insert(self, table, data_format, data, **parameters):
        """INSERT INTO table FORMAT data_format with data as the body."""
        self.post({"query": f"INSERT INTO {table} FORMAT {data_format}"} | parameters, data)
