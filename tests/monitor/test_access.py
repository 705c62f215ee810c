"""Who may ask the monitor: TLS with certificates made here, the token as Prometheus, curl and browsers send it, what is refused before
anything listens, and a real Prometheus that scrapes through both. A proper client is curl with --cacert; nothing here turns
verification off."""

import base64
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import warnings

from tests.support.chdb import SKIP
from tests.support.prometheus import Prometheus, prometheus_present
from tests.support.recorder import Recorder

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "a-token-that-nobody-guesses-0123456789"
PATHS = ("/", "/metrics", "/healthz", "/readyz", "/api/v1/status", "/api/v1/history", "/page.js", "/nothing")


def openssl(work, *args):
    subprocess.run(["openssl", *args], cwd=work, check=True, capture_output=True, timeout=60)


def certificates(work):
    """ca.pem, monitor.pem and monitor.key of it; other.key, which belongs to nothing."""
    openssl(work, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test CA",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl(work, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=monitor", "-keyout", "monitor.key",
            "-out", "monitor.csr")
    (work / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl(work, "x509", "-req", "-in", "monitor.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san",
            "-out", "monitor.pem")
    openssl(work, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "other.key")
    for name in ("monitor.key", "other.key"):
        (work / name).chmod(0o640)


class Access(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-access-"))
        cls.addClassCleanup(shutil.rmtree, cls.work)
        certificates(cls.work)
        (cls.work / "token").write_text(TOKEN + "\n")
        (cls.work / "token").chmod(0o600)
        cls.recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, init=False).start()
        cls.addClassCleanup(cls.recorder.close)

    def setUp(self):
        self.errors = open(self.work / "stderr", "w+b")
        self.addCleanup(self.errors.close)

    def said(self):
        return (self.work / "stderr").read_text()

    def tls(self):
        return ("--certificate", self.work / "monitor.pem", "--key", self.work / "monitor.key")

    def token(self):
        return ("--token-file", self.work / "token")

    def serve(self, *args, listen="127.0.0.1:0"):
        """The URL of a monitor with these options, as 127.0.0.1 reaches it."""
        process = self.recorder.popen("coldpath", "monitor", "--listen", listen, *map(str, args), stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        scheme, port = re.match(r"(https?)://[^ ]*:(\d+)/ ", process.stdout.readline()).groups()
        return f"{scheme}://127.0.0.1:{port}"

    def refusal(self, *args, listen="127.0.0.1:0"):
        """What a monitor says that does not start."""
        done = self.recorder.run("coldpath", "monitor", "--listen", listen, *args, timeout=30)
        self.assertNotIn(done.returncode, (0, 64))
        self.assertNotIn(TOKEN.encode(), done.stdout + done.stderr)
        return done.stderr.decode()

    def curl(self, url, *args):
        """(exit code, status, body); the token goes over a file, as it should."""
        done = subprocess.run(["curl", "--silent", "--max-time", "20", "--noproxy", "*", "--cacert", self.work / "ca.pem", "--write-out", "\n%{http_code}", *args, url],
                              capture_output=True, text=True, timeout=60, check=False)
        body, status = done.stdout.rsplit("\n", 1)
        return done.returncode, int(status), body

    def header(self, text):
        file = self.work / "header"
        file.write_text(text + "\n")
        return ("--header", f"@{file}")

    def test_tls(self):
        url = self.serve(*self.tls())
        self.assertTrue(url.startswith("https://"))
        code, status, body = self.curl(url + "/metrics")
        self.assertEqual((code, status), (0, 200))
        self.assertIn("recorder_up 1\n", body)
        self.assertEqual(self.curl(url + "/page.js")[2], (SOURCE / "monitor/page/page.js").read_text())
        self.assertEqual(self.curl(url.replace("127.0.0.1", "localhost") + "/healthz", "--ipv4")[:2], (0, 200))
        done = subprocess.run(["curl", "--silent", "--noproxy", "*", url + "/metrics"], capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 60)  # nobody has told that client of the CA
        code, status, _ = self.curl(url.replace("https", "http") + "/metrics")
        self.assertTrue(code != 0 or status == 400, (code, status))

    def test_old_tls_is_refused(self):
        host, port = urllib.parse.urlsplit(self.serve(*self.tls())).netloc.split(":")
        for version, taken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
            context = ssl.create_default_context(cafile=self.work / "ca.pem")
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with warnings.catch_warnings(action="ignore"):  # an old version is what this is about
                context.minimum_version = context.maximum_version = version
            with self.subTest(version=version), socket.create_connection((host, int(port)), timeout=20) as plain:
                if taken:
                    with context.wrap_socket(plain, server_hostname=host) as secured:
                        self.assertEqual(secured.version(), version.name.replace("_", "."))
                else:
                    with self.assertRaises((ssl.SSLError, OSError)):
                        context.wrap_socket(plain, server_hostname=host)

    def test_token(self):
        """Every path wants it; it comes as Bearer, or as a password; anything near it is refused."""
        url = self.serve(*self.token())
        for path in PATHS:
            code, status, body = self.curl(url + path)
            self.assertEqual((code, status), (0, 401), path)
            self.assertNotIn("recorder", body)
        for path in PATHS:
            self.assertEqual(self.curl(url + path, *self.header(f"Authorization: Bearer {TOKEN}"))[1], 404 if path == "/nothing" else {"/readyz": 503}.get(path, 200), path)
        pair = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
        self.assertEqual(self.curl(url + "/metrics", *self.header(f"Authorization: Basic {pair}"))[1], 200)
        self.assertEqual(self.curl(url + "/metrics", *self.header(f"authorization: bearer  {TOKEN}"))[1], 200)
        for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN[:-1] + "8", "x" * len(TOKEN), "", TOKEN.upper(), "x" * 3000):
            for text in (f"Bearer {wrong}", "Basic " + base64.b64encode(f"anybody:{wrong}".encode()).decode(), wrong, f"Basic {wrong}"):
                self.assertEqual(self.curl(url + "/metrics", *self.header(f"Authorization: {text}"))[1], 401, text)
        head = subprocess.run(["curl", "--silent", "--noproxy", "*", "--head", url + "/metrics"], capture_output=True, text=True, timeout=60, check=False).stdout
        self.assertIn('WWW-Authenticate: Basic realm="coldpath', head)  # which makes a browser ask
        self.assertIn("WWW-Authenticate: Bearer", head)

    def test_health_open(self):
        self.recorder.settings["monitor"] = {"health_open": "on"}
        self.recorder.write_config()
        self.addCleanup(self.recorder.write_config)
        self.addCleanup(self.recorder.settings.pop, "monitor")
        url = self.serve(*self.token())
        self.assertEqual(self.curl(url + "/healthz"), (0, 200, "ok\n"))
        self.assertEqual(self.curl(url + "/readyz")[1], 401)
        self.assertEqual(self.curl(url + "/healthz/")[1], 401)

    def test_check(self):
        """`coldpath check` finds beforehand what the start would find in the files, and says it as the start does."""
        good = {"certificate_file": "monitor.pem", "key_file": "monitor.key", "token_file": "token"}
        for name, mode, text in (("loose", 0o644, TOKEN), ("short", 0o600, "short"), ("empty", 0o600, "")):
            (self.work / name).write_text(text)
            (self.work / name).chmod(mode)
        self.addCleanup(self.recorder.write_config)
        self.addCleanup(self.recorder.settings.pop, "monitor")
        for wrong, why in (({}, None), ({"token_file": "absent"}, "absent: open it: No such file"), ({"token_file": "loose"}, "everyone can read it"),
                           ({"token_file": "short"}, "no token of 16"), ({"token_file": "empty"}, "no token of 16"), ({"token_file": "."}, "is no file"),
                           ({"certificate_file": "token"}, "have to be PEM"), ({"key_file": "other.key"}, "belong together"),
                           ({"certificate_file": "absent.pem"}, "absent.pem"), ({"key_file": "loose"}, "everyone can read it")):
            with self.subTest(wrong=wrong):
                self.recorder.settings["monitor"] = {"listen": "127.0.0.1:0"} | {key: str(self.work / file) for key, file in (good | wrong).items()}
                self.recorder.write_config()
                text, answer = self.recorder.run("coldpath", "check"), self.recorder.run("coldpath", "check", "--json")
                self.assertEqual((text.returncode, answer.returncode), (2, 2) if why else (0, 0), text.stderr)
                said = json.loads(answer.stdout)["monitor"]
                if not why:
                    self.assertIsNone(said)
                    continue
                self.assertIn(why, said)
                self.assertIn(f"the monitor would not start: {said}", text.stderr.decode())
                self.assertIn(said, self.refusal())
                self.assertNotIn(TOKEN.encode(), text.stdout + text.stderr + answer.stdout)

    def test_other_hosts(self):
        """Beyond this host it wants both, or to be told."""
        for args, lack in (((), "no TLS and no token"), (self.tls(), "no token"), (self.token(), "no TLS")):
            said = self.refusal(*args, listen="0.0.0.0:0")
            self.assertIn(lack, said)
            self.assertIn("monitor.unprotected", said)
        self.assertIn("no TLS", self.refusal(listen="[::]:0"))
        url = self.serve(*self.tls(), *self.token(), listen="0.0.0.0:0")
        self.assertEqual(self.curl(url + "/metrics")[1], 401)
        self.assertEqual(self.curl(url + "/metrics", *self.header(f"Authorization: Bearer {TOKEN}"))[1], 200)
        self.assertEqual(self.curl(self.serve("--unprotected", listen="0.0.0.0:0") + "/metrics")[1], 200)

    def test_files(self):
        """What cannot be used is named, and nothing is served."""
        self.assertIn("TLS needs a certificate and its key", self.refusal("--certificate", self.work / "monitor.pem"))
        self.assertIn("TLS needs a certificate and its key", self.refusal("--key", self.work / "monitor.key"))
        self.assertIn("belong together", self.refusal("--certificate", self.work / "monitor.pem", "--key", self.work / "other.key"))
        self.assertIn("have to be PEM", self.refusal("--certificate", self.work / "token", "--key", self.work / "monitor.key"))
        self.assertIn("absent.pem", self.refusal("--certificate", self.work / "absent.pem", "--key", self.work / "monitor.key"))
        self.assertIn("is no file", self.refusal("--token-file", self.work))
        for text, why in (("short\n", "no token of 16"), ("\n" + TOKEN, "no token"), ("with a space in it 123\n", "no token"), ("x" * 600, "no token"),
                          ("a\0" + TOKEN, "no token")):
            file = self.work / "bad-token"
            file.write_text(text)
            file.chmod(0o600)
            said = self.refusal("--token-file", file)
            self.assertIn(why, said)
            self.assertIn("openssl rand", said)
        for name, option in (("token", "--token-file"), ("monitor.key", "--key")):
            file = self.work / ("open-" + name)
            shutil.copy(self.work / name, file)
            file.chmod(0o644)
            args = (option, file) if option != "--key" else ("--certificate", self.work / "monitor.pem", option, file)
            self.assertIn("everyone can read it", self.refusal(*args))

    def wait_for(self, truth):
        deadline = time.monotonic() + 60
        while not (found := truth()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        return found

    def serial(self, url):
        host, port = urllib.parse.urlsplit(url).netloc.split(":")
        return ssl.get_server_certificate((host, int(port)), ca_certs=self.work / "ca.pem", timeout=20)

    def test_renewal(self):
        """Changed files are taken while it serves; what cannot be used leaves everything as it was, and is said."""
        work = self.work / "renewed"
        work.mkdir()
        certificates(work)
        for name in ("monitor.pem", "monitor.key", "ca.pem"):
            (work / f"next-{name}").write_bytes((work / name).read_bytes())
            (work / name).write_bytes((self.work / name).read_bytes())
        token = work / "token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        url = self.serve("--certificate", work / "monitor.pem", "--key", work / "monitor.key", "--token-file", token)
        self.assertEqual(self.curl(url + "/metrics", *self.header(f"Authorization: Bearer {TOKEN}"))[1], 200)
        before = self.serial(url)
        fresh = TOKEN[::-1]
        for text, mode in (("short\n", 0o600), (fresh + "\n", 0o644)):  # neither can be used
            token.chmod(mode)
            token.write_text(text)
            said = len(self.said())
            self.wait_for(lambda said=said: "the old ones are kept" in self.said()[said:])
            self.assertEqual(self.curl(url + "/metrics", *self.header(f"Authorization: Bearer {TOKEN}"))[1], 200)
        self.assertNotIn(fresh, self.said())
        token.chmod(0o600)
        self.wait_for(lambda: self.curl(url + "/metrics", *self.header(f"Authorization: Bearer {fresh}"))[1] == 200)
        self.assertEqual(self.curl(url + "/metrics", *self.header(f"Authorization: Bearer {TOKEN}"))[1], 401)
        # A certificate without its key is none; then the key comes.
        (work / "monitor.pem").write_bytes((work / "next-monitor.pem").read_bytes())
        said = len(self.said())
        self.wait_for(lambda: "belong together" in self.said()[said:])
        self.assertEqual(self.serial(url), before)
        (work / "monitor.key").write_bytes((work / "next-monitor.key").read_bytes())
        (self.work / "ca.pem").rename(self.work / "old-ca.pem")
        try:
            (self.work / "ca.pem").write_bytes((work / "next-ca.pem").read_bytes())
            self.wait_for(lambda: self.curl(url + "/metrics", *self.header(f"Authorization: Bearer {fresh}"))[:2] == (0, 200))
            self.assertNotEqual(self.serial(url), before)
        finally:
            (self.work / "old-ca.pem").rename(self.work / "ca.pem")

    def test_recorder(self):
        """coldpathd serves likewise by its configuration, confined as it is; what it cannot serve keeps it from nothing else."""
        for listen, files, works in (("127.0.0.1:0", {"certificate_file": "monitor.pem", "key_file": "monitor.key", "token_file": "token"}, True),
                                     ("0.0.0.0:0", {"certificate_file": "monitor.pem", "key_file": "monitor.key"}, False)):
            recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, init=False,
                                extra={"monitor": {"listen": listen} | {key: str(self.work / file) for key, file in files.items()}})
            self.addCleanup(recorder.close)
            checked = recorder.run("coldpath", "check")
            recorder.start()
            said = recorder.read_log()
            self.assertNotIn(TOKEN, said)
            if works:
                url = re.search(r'msg="monitor" url=(https://\S+?)/\s', said)[1]
                self.assertEqual(self.curl(url + "/metrics")[1], 401)
                self.assertIn("recorder_up 1\n", self.curl(url + "/metrics", *self.header(f"Authorization: Bearer {TOKEN}"))[2])
                os.utime(self.work / "token")
                self.wait_for(lambda recorder=recorder: 'msg="monitor: certificate, key and token taken anew"' in recorder.read_log())
                self.assertIn("recorder_up 1\n", self.curl(url + "/metrics", *self.header(f"Authorization: Bearer {TOKEN}"))[2])
            else:
                self.assertIn('msg="no monitor"', said)
                self.assertIn("is reached from other hosts", checked.stderr.decode() + checked.stdout.decode())
            self.assertTrue(recorder.status()["recorder"]["alive"])

    @unittest.skipUnless(prometheus_present(), "prometheus is not there")
    def test_prometheus(self):
        """The scrape configuration of docs/metrics.md for TLS and a token, with a real Prometheus."""
        url = self.serve(*self.tls(), *self.token(), listen="0.0.0.0:0")
        document = (SOURCE / "docs/metrics.md").read_text()
        config = next(block for block in re.findall(r"```yaml\n(.*?)```", document, re.S) if "tls_config" in block)
        for old, new in (("HOST:9464", urllib.parse.urlsplit(url).netloc), ("/etc/prometheus/coldpath-ca.pem", str(self.work / "ca.pem")),
                         ("/etc/prometheus/coldpath.token", str(self.work / "token")), ("scrape_interval: 5s", "scrape_interval: 200ms")):
            self.assertIn(old, config)
            config = config.replace(old, new)
        with Prometheus(None, config=config) as prometheus:
            deadline = time.monotonic() + 60
            while not (found := prometheus.query("recorder_up")):
                self.assertLess(time.monotonic(), deadline, prometheus.log.read_text()[-2000:])
                time.sleep(0.2)
            self.assertEqual(found[0]["value"][1], "1")


if __name__ == "__main__":
    if not shutil.which("openssl") or not shutil.which("curl"):
        print("skipped: openssl or curl is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
