"""init, put --wait and query against the embedded engine and a running recorder. Skipped where the engine is absent."""
import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

import support

LIBRARY = pathlib.Path(os.environ.get("COLDPATH_CHDB_LIB") or
                       support.BIN.parent / "npm/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")


@unittest.skipUnless(LIBRARY.exists(), f"{LIBRARY} is not there")
class Server(support.Case):
    def start(self, *args):
        process = subprocess.Popen(list(map(str, args)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.send_signal, signal.SIGTERM)
        return process

    def setUp(self):
        super().setUp()
        port_file = self.directory / "port"
        self.start(support.BIN / "coldpath-chdb", "--library", LIBRARY, "--port", "0", "--port-file", port_file,
                   "--path", self.directory / "chdb")
        deadline = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().strip()) and time.monotonic() < deadline:
            time.sleep(0.05)
        text = self.config.read_text().replace("127.0.0.1:9", f"127.0.0.1:{port_file.read_text().strip()}")
        self.config.write_text(text)

    def query(self, sql, *args):
        result = self.coldpath("query", sql, *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def test_whole_way(self):
        answer = json.loads(self.coldpath("init", "--json").stdout)
        self.assertEqual(answer["tables"], [{"database": "test", "table": "t", "result": "created"}])
        answer = json.loads(self.coldpath("init", "--json").stdout)
        self.assertEqual(answer["tables"][0]["result"], "already there")
        self.start(support.BIN / "coldpathd", "--config", self.config)
        code, answer, messages = self.put("1\t1.2345\ta\\tb\t2026-01-31 23:59:59.123\n2\t-1\t\t\\N\n" * 2000, "--format",
                                          "TSV", "--wait")
        self.assertEqual((code, answer["rows_put"], answer["delivered"]), (0, 4000, True), messages)
        self.assertEqual(self.query("SELECT DISTINCT * FROM t ORDER BY id", "--format", "TSV"),
                         "1\t1.2345\ta\\tb\t2026-01-31 23:59:59.123\n2\t-1\t\t\\N\n")
        self.assertEqual(self.query("SELECT count() AS n FROM t"), "n\n4000\n")
        self.assertEqual(json.loads(self.query("SELECT count() AS n FROM t", "--json"))["result"]["data"][0]["n"], 4000)
        self.assertEqual(self.query("SELECT 1 FORMAT CSV"), "1\n")
        status = self.coldpath("status", "--json")
        self.assertEqual(status.returncode, 0, status.stdout)
        self.assertIn(b"in use by a running recorder", self.coldpath("init").stdout)

    def test_reader_closes_pipe(self):
        """query … | head -1: no complaint, whatever was still to come."""
        process = subprocess.Popen([support.BIN / "coldpath", "query", "--config", self.config, "--database", "default",
                                    "SELECT number, repeat('x', 100) FROM numbers(2000000) FORMAT TSV"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(process.stdout.readline().startswith(b"0\t"))
        process.stdout.close()
        messages = process.stderr.read()
        process.stderr.close()
        self.assertEqual((process.wait(60), messages), (0, b""))
        with open("/dev/full", "wb") as full:
            result = subprocess.run([support.BIN / "coldpath", "query", "--config", self.config, "--database", "default",
                                     "SELECT 1"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(result.returncode, 74, result.stderr)

    def test_server_error(self):
        result = self.coldpath("query", "SELECT nope", "--database", "default")
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertIn(b"nope", result.stderr)


if __name__ == "__main__":
    unittest.main()
