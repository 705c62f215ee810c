"""A region of one's own for tests of the programs: a configuration, `coldpath init`, and a way to run things.

COLDPATH_BIN names the directory with the programs. Regions live in /dev/shm when it is there, else in the temporary
directory, and are removed at the end.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ.get("COLDPATH_BIN", "build/bin")).absolute()

DDL = """CREATE TABLE t (id UInt32, price Decimal(18, 4), name LowCardinality(String), at Nullable(DateTime64(3, 'UTC')))
ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"""

CONFIG = """namespace: test
region:
  dir: {directory}
clickhouse:
  url: http://127.0.0.1:9
schema:
  dir: {ddl}
tables:
  t:
    ring_size: 64KiB
    row_max: 4KiB
    slots: 2
"""


def options(verb):
    """Every long option of a verb, sorted, as its --help has them."""
    text = subprocess.run([BIN / "coldpath", verb, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    return sorted({option for line in re.findall(r"^ {2,6}(?:-., )?--\S+(?: ?, ?--\S+)*", text, re.M) for option in re.findall(r"--[a-z][a-z-]*", line)})


class Case(unittest.TestCase):
    """A test with a region in self.region and its configuration in self.config."""

    def setUp(self):
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-test-", dir=shm))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.config = self.directory / "coldpath.yaml"
        self.config.write_text(CONFIG.format(directory=self.directory / "region", ddl=self.directory))
        (self.directory / "t.sql").write_text(DDL)
        self.region = self.directory / "region" / "test"

    def run_program(self, *args, stdin=b"", timeout=60, **kwargs):
        if isinstance(stdin, str):
            stdin = stdin.encode()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COLDPATH_")}
        return subprocess.run([BIN / args[0], *map(str, args[1:])], input=stdin, capture_output=True, timeout=timeout,
                              env=environment, check=False, **kwargs)

    def coldpath(self, verb, *args, **kwargs):
        return self.run_program("coldpath", verb, "--config", self.config, *args, **kwargs)

    def init(self):
        result = self.coldpath("init", "--no-tables")
        self.assertEqual(result.returncode, 0, result.stderr)

    def put(self, stdin, *args, **kwargs):
        """Runs put --json; returns its exit code, its answer, and its messages line by line."""
        result = self.coldpath("put", "t", "--json", *args, stdin=stdin, **kwargs)
        answer = json.loads(result.stdout) if result.stdout else None
        return result.returncode, answer, result.stderr.decode(errors="replace").splitlines()

    def rows_in_ring(self):
        status = json.loads(self.coldpath("status", "--json").stdout)
        return status["tables"][0]["rows_in_ring"]
