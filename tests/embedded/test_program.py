"""coldpath-chdb as a program: options, exit codes, start, stop, and what survives."""

import concurrent.futures
import ctypes
import errno
import os
import pathlib
import signal
import socket
import struct
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

    def denied(self, server, sql, *codes):
        with self.assertRaises(chdb.ChdbError, msg=sql) as caught:
            server.query(sql)
        self.assertIn(caught.exception.code, codes, caught.exception.text)

    ACCESS_DENIED, CANNOT_OPEN_FILE, FILE_DOESNT_EXIST, CONSTRAINT, PATH_DENIED = 497, 76, 107, 452, 481

    def test_files_of_the_host_are_out_of_reach(self):
        secret = pathlib.Path(self.work.name) / "secret"
        secret.write_text("s3cret\n")
        server = self.start(env={"NOT_FOR_CLIENTS": "s3cret"})
        server.query("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
        for sql in (f"SELECT * FROM file('{secret}', 'LineAsString', 'a String')", f"SELECT * FROM `{secret}`",
                    f"SELECT * FROM/**/`f\\x69le`('{secret}', LineAsString)", f"DESCRIBE TABLE '{secret}'",
                    f"INSERT INTO FUNCTION file('{secret}.new', 'CSV', 'a String') VALUES ('x')",
                    f"CREATE TABLE f (a String) ENGINE = File('LineAsString', '{secret}')",
                    f"CREATE DATABASE f ENGINE = Filesystem('{self.work.name}')",
                    f"CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(FILE(path '{secret}' format 'TSV')) LAYOUT(FLAT()) LIFETIME(0)",
                    f"BACKUP TABLE t TO File('{secret}.backup')", "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')",
                    "SELECT * FROM remote('127.0.0.1:1', 'system', 'one')", "CREATE USER u", "SYSTEM SHUTDOWN"):
            self.denied(server, sql, self.ACCESS_DENIED)
        self.denied(server, f"SELECT * FROM sqlite('{secret}', 't')", self.ACCESS_DENIED, self.PATH_DENIED)
        self.denied(server, f"SELECT 1 SETTINGS format_template_resultset = '{secret}' FORMAT Template", self.CONSTRAINT)
        self.denied(server, "SET dialect = 'kusto'", self.CONSTRAINT)
        self.assertEqual(sorted(os.listdir(self.work.name)), ["data", "secret"])

    def test_the_kernel_refuses_what_the_engine_does_not(self):
        """The scalar function file() knows no grants."""
        secret = pathlib.Path(self.work.name) / "secret"
        secret.write_text("s3cret\n")
        server = self.start(env={"NOT_FOR_CLIENTS": "s3cret"})
        if "no Landlock" in server.read_log():
            self.skipTest("no Landlock in this kernel")
        server.query("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
        for sql in (f"SELECT file('{secret}')", f"SELECT `f\\x69le`/**/('{secret}')", f"SELECT * APPLY file FROM (SELECT '{secret}' AS x)",
                    f"INSERT INTO t VALUES (file('{secret}'))", "SELECT file('/proc/self/environ')",
                    f"SELECT file('/proc/self/root{secret}')", f"SELECT file('/proc/{server.pid}/environ')"):
            self.denied(server, sql, self.CANNOT_OPEN_FILE, self.FILE_DOESNT_EXIST)
        self.assertEqual(server.query("SELECT count() FROM t"), "0\n")

    def test_allow_files(self):
        secret = pathlib.Path(self.work.name) / "secret"
        secret.write_text("s3cret\n")
        server = self.start(args=["--allow-files"])
        self.assertEqual(server.query(f"SELECT * FROM file('{secret}', 'LineAsString', 'a String')"), "s3cret\n")

    def test_a_data_directory_with_any_name(self):
        server = self.start(path=pathlib.Path(self.work.name) / "a <b> & 'ü'")
        self.denied(server, "SELECT * FROM file('x', 'CSV', 'a String')", self.ACCESS_DENIED)
        server.query("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")

    def test_without_landlock_root_needs_a_password(self):
        def without_landlock():
            """The system call that makes a ruleset fails as on a kernel that does not have it (seccomp, x86-64)."""
            allow, refuse = 0x7FFF0000, 0x00050000 | errno.ENOSYS
            code = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, refuse), (0x06, 0, 0, allow)]
            program = b"".join(struct.pack("<HBBI", *step) for step in code)
            buffer = ctypes.create_string_buffer(program)
            filter_ = struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(buffer))
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, filter_, 0, 0) != 0:  # NO_NEW_PRIVS, SECCOMP
                os._exit(99)

        command = [chdb.build_dir() / "bin/coldpath-chdb", "--port", "0", "--path", str(self.data)]
        env = os.environ | {"COLDPATH_CHDB_LIB": chdb.engine_library()}
        for password in ("", "x"):
            with subprocess.Popen(command, env=env | {"COLDPATH_CHDB_PASSWORD": password}, stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=without_landlock) as process:
                if password or os.geteuid() != 0:
                    self.assertIn("listening", process.stdout.readline())
                    process.terminate()
                said = process.communicate(timeout=60)[1]
            self.assertIn("no Landlock", said)
            self.assertEqual(process.returncode, 0 if password or os.geteuid() != 0 else USAGE, said)

    def test_root_without_a_password_is_warned(self):
        if os.geteuid() != 0:
            self.skipTest("not root")
        self.assertIn("root without a password", self.start().read_log())
        self.assertNotIn("root without a password", self.start(path=pathlib.Path(self.work.name) / "b", password="x").read_log())

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
