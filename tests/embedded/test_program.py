"""coldpath-chdb as a program: options, exit codes, start, stop, and what survives."""

import concurrent.futures
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import chdb

USAGE, UNAVAILABLE, IO_ERROR = 64, 69, 74


def run(*args, env=None):
    """Runs the program with arguments that make it fail: (exit code, what it said)."""
    environment = os.environ | {"COLDPATH_CHDB_LIB": chdb.engine_library() or ""} | (env or {})
    done = subprocess.run([chdb.build_dir() / "bin/coldpath-chdb", *args], env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.TemporaryDirectory(prefix="coldpath-chdb-test-")
        self.addCleanup(self.work.cleanup)
        self.data = pathlib.Path(self.work.name) / "data"

    def start(self, **options):
        server = chdb.ChdbServer(**({"path": self.data} | options)).start()
        self.addCleanup(server.stop)
        return server

    def refused(self, code, words, *args, env=None):
        got, said = run(*args, env=env)
        self.assertEqual(got, code, said)
        for word in words:
            self.assertIn(word, said)

    def test_usage(self):
        self.refused(USAGE, ["--port", "70000"], "--port", "70000")
        self.refused(USAGE, ["--max-body"], "--max-body", "0")
        self.refused(USAGE, ["--log-level", "loud"], "--log-level", "loud")
        self.refused(USAGE, ["surplus"], "surplus")
        self.refused(USAGE, ["no-such-option"], "--no-such-option")
        self.refused(USAGE, ["not an IPv4"], "--port", "0", "--listen", "localhost:1", env={"COLDPATH_CHDB_PASSWORD": "x"})
        self.refused(USAGE, ["password"], "--port", "0", "--listen", "0.0.0.0")
        self.assertEqual(run("--help")[0], 0)
        self.assertEqual(run("--version")[0], 0)

    def test_library(self):
        self.refused(UNAVAILABLE, ["/no/such/lib.so"], "--port", "0", "--library", "/no/such/lib.so")
        self.refused(1, ["cannot load", "/etc/hostname"], "--port", "0", "--library", "/etc/hostname")

    def test_password_file(self):
        empty = pathlib.Path(self.work.name) / "empty"
        empty.write_text("\n")
        self.refused(IO_ERROR, ["/no/such/file"], "--port", "0", "--password-file", "/no/such/file")
        self.refused(USAGE, ["empty"], "--port", "0", "--password-file", str(empty))
        secret = pathlib.Path(self.work.name) / "secret"
        secret.write_text("s3cret\n")
        server = chdb.ChdbServer(path=self.data, user="u", args=["--password-file", str(secret)])
        server.start()
        self.addCleanup(server.stop)
        server.password = "s3cret"
        self.assertEqual(server.query("SELECT 1"), "1\n")

    def test_port_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.refused(UNAVAILABLE, [str(port), "in use"], "--port", str(port), "--path", str(self.data))

    def test_directory(self):
        file = pathlib.Path(self.work.name) / "file"
        file.write_text("")
        self.refused(IO_ERROR, ["not a directory", str(file)], "--port", "0", "--path", str(file))
        self.refused(IO_ERROR, ["/no/such/parent/data"], "--port", "0", "--path", "/no/such/parent/data")

    def test_directory_in_use(self):
        server = self.start()
        self.refused(UNAVAILABLE, ["in use by another engine"], "--port", "0", "--path", str(self.data))
        self.assertEqual(server.query("SELECT 1"), "1\n")

    def test_port_file_that_cannot_be_written(self):
        self.refused(IO_ERROR, ["/no/such/dir/port"], "--port", "0", "--port-file", "/no/such/dir/port", "--path", str(self.data))

    def test_says_where_it_listens(self):
        server = self.start()
        self.assertIn(f"listening on {server.url}\n", server.read_log())
        inodes = pathlib.Path("/proc/net/tcp").read_text()
        self.assertIn(f"0100007F:{server.port:04X} 00000000:0000 0A", inodes)
        self.assertNotIn(f"00000000:{server.port:04X} 00000000:0000 0A", inodes)

    def test_ipv6(self):
        if not socket.has_ipv6 or not pathlib.Path("/proc/net/if_inet6").exists():
            self.skipTest("no IPv6 here")
        process = subprocess.Popen([chdb.build_dir() / "bin/coldpath-chdb", "--port", "0", "--listen", "::1"],
                                   env=os.environ | {"COLDPATH_CHDB_LIB": chdb.engine_library()}, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            lines = [process.stdout.readline(), process.stdout.readline()]
            self.assertRegex(lines[1], r"^listening on http://\[::1\]:\d+\n$")
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()

    def test_temporary_directory_is_removed(self):
        env = os.environ | {"TMPDIR": self.work.name, "COLDPATH_CHDB_LIB": chdb.engine_library()}
        process = subprocess.Popen([chdb.build_dir() / "bin/coldpath-chdb", "--port", "0"], env=env, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            said = process.stdout.readline()
            self.assertIn("removed at the end", said)
            process.stdout.readline()
            self.assertEqual(len(os.listdir(self.work.name)), 1)
        finally:
            process.terminate()
            self.assertEqual(process.wait(30), 0)
            process.stdout.close()
        self.assertEqual(os.listdir(self.work.name), [])

    def test_data_survives_a_restart(self):
        first = chdb.ChdbServer(path=self.data).start()
        first.query("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 10")
        first.insert("t", "CSV", b"1\n2\n", insert_deduplication_token="x")
        self.assertEqual(first.stop(), 0)
        second = self.start()
        second.insert("t", "CSV", b"1\n2\n", insert_deduplication_token="x")
        self.assertEqual(second.query("SELECT count(), sum(a) FROM t"), "2\t3\n")

    def test_data_survives_sigkill(self):
        first = chdb.ChdbServer(path=self.data).start()
        first.query("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
        first.insert("t", "CSV", b"1\n2\n")
        self.addCleanup(first.stop)
        first.end(signal.SIGKILL)
        self.assertEqual(self.start().query("SELECT count() FROM t"), "2\n")

    def test_stop_lets_a_statement_finish(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = chdb.ChdbServer(path=self.data).start()
            with concurrent.futures.ThreadPoolExecutor() as pool:
                running = pool.submit(server.query, "SELECT sleep(1.5), 'done'")
                time.sleep(0.5)
                self.assertEqual(server.end(number), 0)
                self.assertEqual(running.result(), "0\tdone\n")
            with self.assertRaises(OSError):
                socket.create_connection(("127.0.0.1", server.port), timeout=1)
            server.stop()

    def test_stop_cancels_what_does_not_end(self):
        server = chdb.ChdbServer(path=self.data, args=["--stop-timeout", "1"]).start()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            endless = pool.submit(server.query, "SELECT count() FROM numbers(1000000000000000)")
            time.sleep(0.5)
            begun = time.monotonic()
            self.assertEqual(server.end(), 0)
            self.assertLess(time.monotonic() - begun, 8)
            with self.assertRaises(chdb.ChdbError) as caught:
                endless.result()
            self.assertEqual(caught.exception.code, 394)
        server.stop()

    def test_stop_with_idle_and_half_sent_requests(self):
        server = chdb.ChdbServer(path=self.data, args=["--stop-timeout", "1"]).start()
        idle = socket.create_connection(("127.0.0.1", server.port))
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nSELECT")
        time.sleep(0.2)
        begun = time.monotonic()
        self.assertEqual(server.end(), 0)
        self.assertLess(time.monotonic() - begun, 10)
        idle.close()
        half.close()
        server.stop()

    def test_statements_wait_for_their_turn(self):
        server = self.start(args=["--max-statements", "2"])
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            begun = time.monotonic()
            list(pool.map(lambda _: server.query("SELECT sleep(0.3)"), range(6)))
            self.assertGreater(time.monotonic() - begun, 0.85)

    def test_connections_are_bounded(self):
        server = self.start(args=["--max-connections", "4"])
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]
        time.sleep(0.3)
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 10
        while True:
            try:
                self.assertEqual(server.query("SELECT 1"), "1\n")
                break
            except OSError:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)

    def test_threads(self):
        self.assertEqual(self.start(args=["--threads", "3"]).query("SELECT getSetting('max_threads')"), "3\n")


if __name__ == "__main__":
    if not chdb.engine_present():
        print("skipped: the embedded engine is not there")
        sys.exit(chdb.SKIP)
    unittest.main(verbosity=1)
