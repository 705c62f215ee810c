"""What may not leave the recorder, and what may not get in: the password is in no file, process table, log or answer; a running
recorder is confined in every thread; certificates are checked whatever the configuration says; and the HTTP servers and the control
socket answer a client that behaves while others hold connections, send endless headers, or ask for files."""

import contextlib
import errno
import http.client
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

from tests.hostile.support import Producer, check_arrived, make
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECRET = "sEcReT-4711-wOrD"
SANITIZED = bool(os.environ.get("COLDPATH_SANITIZE"))
LOOPBACKS = [f"127.0.0.{n}" for n in range(2, 10)]  # each a host of its own to the servers
CONNECTIONS = 2000
PROC = ("cmdline", "environ", "maps", "status", "comm")


class Secrets(unittest.TestCase):
    def test_password_stays_inside(self):
        """With a server that takes it and one that refuses it, with rows given up, when programs start others, and when the recorder
        crashes."""
        server = ChdbServer(user="recorder", password=SECRET).start()
        self.addCleanup(server.stop)
        tables = {"quotes": {}, "trades": {"class": "critical", "wal_limit": "64MiB"}}
        recorder = Recorder(server, tables, extra={"clickhouse": {"user": "recorder"}, "monitor": {"listen": "127.0.0.1:0"}}, init=False)
        self.addCleanup(recorder.close)
        secret = recorder.work / "secret"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        recorder.settings["clickhouse"]["password_file"] = str(secret)
        recorder.write_config()
        said = [recorder.run("coldpath", "init", check=True).stdout]
        recorder.start()
        recorder.run("coldpath", "put", "trades", "--wait", "--timeout", "20s", check=True,
                     input=b'{"recv_ts": 1700000000000000000, "exch_ts": 1, "symbol": "A", "venue": "v", "price": "1", "qty": "1"}\n')
        address = next(line.split("url=http://")[1].split("/")[0] for line in recorder.read_log().splitlines() if 'msg="monitor"' in line)
        for verb in (("status", "--json"), ("check", "--values"), ("check", "--origin"), ("check", "--json"), ("doctor", "--json"),
                     ("audit", "--json"), ("tables", "--json"), ("monitor", "--once"), ("wal", "ls", "--json"), ("query", "SELECT 1")):
            done = recorder.run("coldpath", *verb)
            said += [done.stdout, done.stderr]
        for path in ("/", "/metrics", "/status", "/healthz", "/readyz"):
            said.append(self.get(address, path))
        proc = pathlib.Path(f"/proc/{recorder.process.pid}")
        for name in PROC:
            said.append((proc / name).read_bytes())
        said += [os.readlink(link).encode() for link in (proc / "fd").iterdir()]
        said += self.watch_bench(recorder)
        server.query("ALTER TABLE test.quotes ADD CONSTRAINT refused CHECK bid_px > 0")
        recorder.run("coldpath", "put", "quotes", input=b'{"recv_ts": 1700000000000000000, "symbol": "A", "venue": "v"}\n', check=True)
        self.wait(lambda: recorder.status()["tables"][0]["rows_quarantined"] == 1, recorder)
        recorder.run("coldpath", "quarantine", "drop", "quotes", "--yes", "--confirm=quotes", check=True)
        # A server that does not take it: the words of its refusal are logged.
        server.end()
        other = ChdbServer(user="recorder", password="another", args=["--port", str(server.port)]).start()
        self.addCleanup(other.stop)
        recorder.run("coldpath", "put", "quotes", input=b'{"recv_ts": 1700000000000000000, "symbol": "A", "venue": "v"}\n', check=True)
        self.wait(lambda: "516" in recorder.read_log(), recorder)  # it was refused, and that is said
        said += [recorder.run("coldpath", "query", "SELECT 1").stderr, recorder.run("coldpath", "errors").stdout, recorder.run("coldpath", "status", "--json").stdout]
        recorder.process.send_signal(signal.SIGABRT)  # as a crash would
        recorder.process.wait(30)
        self.assertEqual([path for path in recorder.work.rglob("core*")], [])
        said.append(recorder.read_log().encode())
        files = [path for root in (recorder.work, recorder.region_root) for path in root.rglob("*") if path.is_file() and path != secret]
        self.assertIn(b"516", (recorder.region / "errors").read_bytes())
        for held in (recorder.region / "errors", recorder.log):
            self.assertIn(held, files)
        self.assertTrue([path for path in files if path.parent.name == "trash"], files)
        for text in said + [path.read_bytes() for path in files]:
            self.assertNotIn(SECRET.encode(), text)

    def wait(self, condition, recorder):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, recorder.read_log()[-4000:])
            time.sleep(0.05)

    def watch_bench(self, recorder):
        """What a verb and the recorder that it starts on the configured server, with a password file of its own, show in /proc."""
        bench = recorder.popen("coldpath", "bench", "e2e", "--rows", "20000", "--rounds", "1", stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        seen = {}
        with bench:
            def look():
                own = pathlib.Path(f"/proc/{bench.pid}")
                for pid in [str(bench.pid), *(own / f"task/{bench.pid}/children").read_text().split()]:
                    with contextlib.suppress(OSError):  # it has just ended
                        for name in PROC:
                            seen.setdefault((pathlib.Path(f"/proc/{pid}/comm").read_text().strip(), name), set()).add(
                                pathlib.Path(f"/proc/{pid}/{name}").read_bytes())
            deadline = time.monotonic() + 120
            while bench.poll() is None:
                self.assertLess(time.monotonic(), deadline)
                with contextlib.suppress(OSError):
                    look()
                time.sleep(0.02)
            said = bench.stdout.read()
        self.assertEqual(bench.returncode, 0, said)
        for name in ("cmdline", "environ"):
            self.assertIn(("coldpathd", name), seen)
        return [said, *(text for texts in seen.values() for text in texts)]

    def get(self, address, path):
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request("GET", path)
        try:
            return connection.getresponse().read()
        finally:
            connection.close()

    def test_confined(self):
        """Every thread: no capability in any set, no new privileges, a filter; no core, and no look from other processes."""
        make(self, extra={"monitor": {"listen": "127.0.0.1:0"}})
        pid = self.recorder.process.pid
        tasks = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        self.assertGreater(len(tasks), 3)
        for task in tasks:
            status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            name = status["Name"]
            if name.startswith("iou-"):  # the kernel's own workers of io_uring
                continue
            self.assertEqual({int(status[field], 16) for field in ("CapInh", "CapPrm", "CapEff", "CapAmb")}, {0}, name)
            self.assertEqual(status["NoNewPrivs"].strip(), "1", name)
            if not SANITIZED:
                self.assertEqual(status["Seccomp"].strip(), "2", name)
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        self.assertEqual(pathlib.Path(f"/proc/{pid}/environ").stat().st_uid, 0)  # not dumpable: root's, whoever runs it
        producers = [Producer(self.recorder, table) for table in ("target", "witness")]
        time.sleep(1)
        for producer in producers:
            producer.finish()
            check_arrived(self, producer)

    def test_unconfined(self):
        make(self, extra={"recorder": {"confine": "off", "stop_timeout": "3s"}})
        status = pathlib.Path(f"/proc/{self.recorder.process.pid}/status").read_text()
        self.assertIn("Seccomp:\t0", status)


class TemporaryFiles(unittest.TestCase):
    def test_planted_links(self):
        """Links that lie where files are written beside what they replace: no file elsewhere is written, and rows arrive."""
        make(self, start=False)
        recorder = self.recorder
        victim = recorder.work / "victim"
        victim.write_bytes(b"mine")
        logs = recorder.work / "wal/test/witness"
        logs.mkdir(parents=True, exist_ok=True)
        for link in (recorder.region / "control.new", *(recorder.region / f"target.{slot}.ring.tmp" for slot in range(2)),
                     logs / "checkpoint.tmp", logs / "000000.tmp", logs / "000001.tmp"):
            link.symlink_to(victim)
        shutil.rmtree(recorder.work / "quarantine", ignore_errors=True)
        for ring in recorder.region.glob("target.[01].ring"):
            ring.unlink()  # so that they are made anew
        recorder.settings["tables"]["target"]["ring_size"] = "512KiB"  # and so is the control file
        recorder.write_config()
        recorder.start()
        producers = [Producer(recorder, table) for table in ("target", "witness")]
        time.sleep(1)
        for producer in producers:
            producer.finish()
            check_arrived(self, producer)
        self.assertEqual(recorder.stop(), 0)
        self.assertEqual(victim.read_bytes(), b"mine")


class Certificates(unittest.TestCase):
    """There is no key that turns checking off, and a wrong certificate is refused."""

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl")
    def test_checked(self):
        recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, init=False, extra={"recorder": {"stop_timeout": "0s"}})
        self.addCleanup(recorder.close)
        keys = recorder.run("coldpath", "check", "--json").stdout.decode().lower()
        for word in ("insecure", "verify", "skip"):
            self.assertNotIn(word, keys)
        for name in ("good", "other"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=DNS:localhost" if name == "good" else "subjectAltName=DNS:elsewhere", "-keyout",
                            recorder.work / f"{name}.key", "-out", recorder.work / f"{name}.pem"], check=True, capture_output=True)
        # Trusted, but of another name; of the right name, but not trusted.
        for certificate, trusted in (("other", "other"), ("good", "other")):
            port, seen = self.serve(recorder.work / f"{certificate}.pem", recorder.work / f"{certificate}.key")
            recorder.settings["clickhouse"] |= {"url": f"https://localhost:{port}", "ca_file": str(recorder.work / f"{trusted}.pem"),
                                                "user": "u", "password": SECRET}
            recorder.write_config()
            recorder.config.chmod(0o600)
            done = recorder.run("coldpath", "query", "SELECT 1")
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr.decode().lower(), "certificate|ssl")
            recorder.start()
            recorder.run("coldpath", "put", "quotes", input=b'{"recv_ts": 1700000000000000000, "symbol": "A", "venue": "v"}\n', check=True)
            time.sleep(1.5)
            recorder.stop()
            self.assertEqual(seen, [])  # not a byte of a request

    def serve(self, certificate, key):
        """What clients say inside of TLS goes to a list."""
        seen = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def run():
            while True:
                try:
                    connection, _ = listener.accept()
                    connection.settimeout(5)
                    with context.wrap_socket(connection, server_side=True) as tls:
                        data = tls.recv(100)
                        if data:
                            seen.append(data)
                except ssl.SSLError:
                    continue
                except OSError:
                    if listener.fileno() < 0:
                        return
        threading.Thread(target=run, daemon=True).start()
        return listener.getsockname()[1], seen


class Http(unittest.TestCase):
    def attack(self, port, good):
        """Slow, huge and odd requests from several addresses; a client of another address is answered all the while."""
        held, refused = [], 0
        for n in range(CONNECTIONS):
            connection = socket.socket()
            connection.settimeout(2)
            try:
                connection.bind((LOOPBACKS[n % 2], 0))
                connection.connect(("127.0.0.1", port))
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                held.append(connection)
            except OSError:
                refused += 1
                connection.close()
            if n % 200 == 0:
                good()
        for n, request in enumerate((b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20), b"GET /" + b"a" * (1 << 18) + b" HTTP/1.1\r\n",
                                     b"\0" * 65536, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100000,
                                     b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                                     b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n")):
            with socket.socket() as connection:
                connection.settimeout(2)
                try:
                    connection.bind((LOOPBACKS[2 + n % 4], 0))
                    connection.connect(("127.0.0.1", port))
                    connection.sendall(request)
                    connection.recv(65536)
                except OSError:
                    pass
            good()
        for connection in held:  # a byte more each, so that they are not idle
            try:
                connection.send(b"x")
            except OSError:
                pass
        good()
        for connection in held:
            connection.close()
        good()

    def answer(self, port, path, source="127.0.0.9"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(source, 0))
        try:
            connection.putrequest("GET", path, skip_host=True)
            connection.putheader("Host", f"127.0.0.1:{port}")
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def test_monitor(self):
        """In the recorder's own process: rows go on, too."""
        make(self, extra={"monitor": {"listen": "127.0.0.1:0"}})
        recorder = self.recorder
        port = next(int(line.split("url=http://127.0.0.1:")[1].split("/")[0]) for line in recorder.read_log().splitlines()
                    if 'msg="monitor"' in line)
        producers = [Producer(recorder, table) for table in ("target", "witness")]

        def good():
            status, body = self.answer(port, "/metrics")
            self.assertEqual(status, 200)
            self.assertIn(b"recorder_queue_usage", body)
        good()
        silent = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(LOOPBACKS[6], 0))
        self.addCleanup(silent.close)
        self.attack(port, good)
        self.assertEqual(silent.recv(1), b"")  # it was closed
        for path in ("/../../../../etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd", "/%00", "/metrics/../../etc/passwd", "/page/../x",
                     "/\\..\\..", "/status%00.html", "http://example.com/"):
            status, body = self.answer(port, path)
            self.assertIn(status, (200, 400, 404), path)  # 200: what is before a NUL or is the server's own
            self.assertNotIn(b"root:", body)
        for producer in producers:
            producer.finish()
            check_arrived(self, producer)
        self.assertEqual(recorder.stop(), 0)

    def test_control_socket(self):
        """Who holds it, or sends it rubbish, keeps neither commands nor rows waiting."""
        make(self)
        producers = [Producer(self.recorder, table) for table in ("target", "witness")]
        held = []
        for n in range(300):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connection.setblocking(False)
            self.addCleanup(connection.close)
            try:
                connection.connect(str(self.recorder.region / "recorder.socket"))
                if n % 3:
                    connection.send(os.urandom(1 + n))
            except OSError:  # as many as fit into its queue
                pass
            held.append(connection)
        before = [producer.rows for producer in producers]
        self.assertEqual(self.recorder.run("coldpath", "flush", timeout=60).returncode, 0)
        deadline = time.monotonic() + 30
        while not all(producer.rows > rows for producer, rows in zip(producers, before)):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertIn('msg="command refused"', self.recorder.read_log())
        self.assertRegex(self.recorder.run("coldpath", "monitor", "--once").stdout.decode(), "recorder_commands_refused_total [1-9]")
        for producer in producers:
            producer.finish()
            check_arrived(self, producer)
        self.assertEqual(self.recorder.stop(), 0)

    def test_embedded_server(self):
        server = ChdbServer(build=os.environ.get("COLDPATH_CHDB_BUILD"), args=["--max-connections", "64"]).start()
        self.addCleanup(server.stop)
        held = []
        for _ in range(CONNECTIONS):  # far more than it takes; when they go, it serves as before
            connection = socket.socket()
            connection.setblocking(False)
            self.addCleanup(connection.close)
            if connection.connect_ex(("127.0.0.1", server.port)) in (0, errno.EINPROGRESS):
                held.append(connection)
        for connection in held:
            try:
                connection.send(b"GET / HTTP/1.1\r\nX-Slow: ")
            except OSError:
                pass
            connection.close()
        deadline = time.monotonic() + 60
        while True:
            try:
                self.assertEqual(server.query("SELECT 1").strip(), "1")
                break
            except OSError:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
        for path in ("/../../../../etc/passwd", "//etc/passwd", "/%2e%2e/etc/passwd"):
            status, body = self.answer(server.port, path)
            self.assertIn(status, (400, 404), path)
            self.assertNotIn(b"root:", body)
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20), b"\0" * 65536):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
                try:
                    connection.sendall(request)
                    connection.recv(65536)
                except OSError:
                    pass
            self.assertEqual(server.query("SELECT 1").strip(), "1")


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
