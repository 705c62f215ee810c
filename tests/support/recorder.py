"""A recorder of a test's own: configuration, region, coldpathd, and the other programs run against it.

    with ChdbServer() as server, Recorder(server, {"quotes": {}}) as recorder:
        recorder.run("coldpath", "put", "quotes", input=b"…")
        recorder.restart()                      # SIGTERM, wait, start again
        recorder.wait_delivered()

Region and files are under directories of its own; every process is ended by its id.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from tests.support.chdb import build_dir

START_SECONDS = 60
STOP_SECONDS = 60


class Recorder:
    """tables: name -> settings, as under `tables:` in the configuration. extra: further top-level sections."""

    def __init__(self, server, tables, build=None, database="test", extra=None, init=True):
        self.build = build_dir(build)
        self.database = database
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-recorder-test-"))
        self.region_root = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-test-", dir="/dev/shm"))
        self.region = self.region_root / "test"
        self.log = self.work / "coldpathd.log"
        self.config = self.work / "coldpath.yaml"
        self.init = init
        self.process = None
        self.extra_environment = {}
        self.settings = {
            "namespace": "test",
            "region": {"dir": str(self.region_root)},
            "clickhouse": {"url": server if isinstance(server, str) else server.url, "database": database},
            "quarantine": {"dir": str(self.work / "quarantine")},
            "tables": tables,
        }
        if any(table.get("class") == "critical" for table in tables.values()):
            self.settings["wal"] = {"dir": str(self.work / "wal"), "segment_size": "8MiB"}
        for key, value in (extra or {}).items():
            self.settings[key] = {**self.settings.get(key, {}), **value} if isinstance(value, dict) else value
        self.write_config()

    def write_config(self):
        """JSON is YAML."""
        self.config.write_text(json.dumps(self.settings, indent=1))

    def __enter__(self):
        if self.init:
            self.run("coldpath", "init", check=True)
        return self.start()

    def __exit__(self, *_):
        self.close()

    def environment(self):
        return os.environ | {"COLDPATH_CONFIG": str(self.config), "NO_COLOR": "1"} | self.extra_environment

    def run(self, program, *args, check=False, **kwargs):
        """Runs one of our programs to its end; a CompletedProcess with bytes."""
        kwargs.setdefault("timeout", 300)
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run([str(self.build / "bin" / program), *map(str, args)], env=self.environment(),
                              capture_output=True, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{program} {args}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
        return done

    def popen(self, program, *args, **kwargs):
        """Starts one of our programs; the caller ends it."""
        return subprocess.Popen([str(self.build / "bin" / program), *map(str, args)], env=self.environment(), **kwargs)

    def start(self):
        """Starts coldpathd and waits until it is ready. Returns self."""
        with open(self.log, "ab") as log, open(self.log, "rb") as said:
            said.seek(0, os.SEEK_END)
            self.process = subprocess.Popen([str(self.build / "bin/coldpathd"), "--config", str(self.config)],
                                            env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            deadline = time.monotonic() + START_SECONDS
            text = b""
            while time.monotonic() < deadline:
                ended = self.process.poll() is not None
                text += said.read()
                if b'msg="ready"' in text:
                    return self
                if ended:
                    raise RuntimeError(f"coldpathd ended with {self.process.returncode}:\n{self.read_log()}")
                time.sleep(0.002)
        raise RuntimeError(f"coldpathd was not ready within {START_SECONDS} s:\n{self.read_log()}")

    def failpoints(self):
        """The recorder's fail points; none in a build without them."""
        listed = subprocess.run([str(self.build / "bin/coldpathd"), "--config", "/nonexistent"], capture_output=True,
                                text=True, env=self.environment() | {"COLDPATH_FAILPOINT": "list"}, timeout=30)
        return listed.stdout.split() if listed.returncode == 0 else []

    def stop(self, number=signal.SIGTERM):
        """Ends coldpathd; its exit code (negative: the signal that killed it)."""
        process, self.process = self.process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def restart(self):
        code = self.stop()
        if code != 0:
            raise AssertionError(f"coldpathd ended with {code} on SIGTERM:\n{self.read_log()}")
        self.start()

    def close(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.work, ignore_errors=True)
            shutil.rmtree(self.region_root, ignore_errors=True)

    def read_log(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def status(self):
        """`coldpath status --json`, whatever its exit code."""
        return json.loads(self.run("coldpath", "status", "--json").stdout)

    def wait_delivered(self, timeout=60):
        """Waits until no table has a row that is not delivered; the last status."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()
            if all(table["rows_in_ring"] + table["rows_in_log"] + table["rows_at_risk"] == 0 for table in status["tables"]):
                return status
            if time.monotonic() > deadline:
                raise AssertionError(f"not delivered within {timeout} s: {status}\n{self.read_log()[-3000:]}")
            time.sleep(0.05)

    def rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")
