"""What is installed works where it is put: the library by pkg-config and by CMake, its exported symbols exactly those of the public
headers; the .deb installs, its unit's command line starts a recorder that tells systemd so, and it is removed without a trace."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import build_dir

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = build_dir()
PRIVATE_HEADERS = ("schema/table.h", "schema/row.h")  # for language bindings: exported, not installed
SANITIZED = bool(os.environ.get("COLDPATH_SANITIZE"))


def run(*command, **kwargs):
    kwargs.setdefault("timeout", 120)
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


class Symbols(unittest.TestCase):
    def test_exported_are_the_public_ones(self):
        library = next((BUILD / "lib").glob("libcoldpath.so.*.*"))
        exported = set(re.findall(r" T (\w+)@@COLDPATH_", run("nm", "-D", "--defined-only", library)))
        declared = set()
        for header in [*SOURCE.glob("*/include/coldpath/*.h"), *(SOURCE / name for name in PRIVATE_HEADERS)]:
            declared |= set(re.findall(r"^CP_PUBLIC\b[^;]*?\b(cp_\w+)\(", header.read_text(), re.M | re.S))
        self.assertEqual(exported - declared, set())
        self.assertEqual(declared - exported, set())

    def test_soname(self):
        library = next((BUILD / "lib").glob("libcoldpath.so.*.*"))
        self.assertIn("SONAME               libcoldpath.so.0", run("objdump", "-p", library))


@unittest.skipIf(SANITIZED, "of a build with sanitizers nothing is installed")
class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-install-"))
        run("cmake", "--install", BUILD, "--prefix", cls.work / "first")
        cls.prefix = cls.work / "moved"  # what is installed finds itself where it is
        cls.units = {path.name: path.read_text() for path in (cls.work / "first/lib/systemd/system").glob("*.service")}
        (cls.work / "first").rename(cls.prefix)
        cls.lib = next(cls.prefix.rglob("libcoldpath.so")).parent

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.work)

    def build_inputs(self):
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.work))
        (directory / "coldpath.yaml").write_text("namespace: demo\ntables: {quotes: {}}\n")
        (directory / "rows").mkdir()
        header = run(self.prefix / "bin/coldpath", "schema", "gen", "quotes", "--config", directory / "coldpath.yaml")
        (directory / "rows/quotes.h").write_text(header)
        shutil.copy(SOURCE / "docs/examples/put_quote.c", directory)
        return directory

    def put(self, directory, program):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as region:
            environment = os.environ | {"COLDPATH_REGION_DIR": region, "LD_LIBRARY_PATH": str(self.lib)}
            run(self.prefix / "bin/coldpath", "init", "--no-tables", "--config", directory / "coldpath.yaml", env=environment)
            self.assertEqual(run(program, env=environment), "ok\n")

    def test_pkg_config(self):
        directory = self.build_inputs()
        environment = os.environ | {"PKG_CONFIG_PATH": str(self.lib / "pkgconfig")}
        flags = run("pkg-config", "--cflags", "--libs", "coldpath", env=environment).split()
        run("cc", "-I.", "put_quote.c", "-o", "put_quote", *flags, cwd=directory)
        self.put(directory, directory / "put_quote")
        flags = run("pkg-config", "--cflags", "--libs", "--static", "coldpath", env=environment).split()
        static = [str(self.lib / "libcoldpath.a") if flag == "-lcoldpath" else flag for flag in flags]
        run("cc", "-I.", "put_quote.c", "-o", "put_static", *static, cwd=directory)
        self.put(directory, directory / "put_static")

    def test_cmake_package(self):
        directory = self.build_inputs()
        (directory / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.20)\nproject(user C)\nfind_package(coldpath 0.1 REQUIRED)\n"
            "foreach(kind coldpath coldpath_static)\n  add_executable(put_${kind} put_quote.c)\n"
            "  target_include_directories(put_${kind} PRIVATE .)\n  target_link_libraries(put_${kind} coldpath::${kind})\nendforeach()\n")
        run("cmake", "-S", directory, "-B", directory / "b", f"-DCMAKE_PREFIX_PATH={self.prefix}")
        run("cmake", "--build", directory / "b")
        for kind in ("coldpath", "coldpath_static"):
            self.put(directory, directory / "b" / f"put_{kind}")

    def test_units(self):
        """They start the programs that were installed with them."""
        self.assertEqual(set(self.units), {"coldpathd.service", "coldpath-monitor.service", "coldpath-maintain.service"})
        for name, unit in self.units.items():
            program = re.search(r"(?m)^ExecStart=(\S+) ", unit).group(1)
            self.assertEqual(program, str(self.work / "first/bin" / ("coldpathd" if name == "coldpathd.service" else "coldpath")))

    def test_nothing_of_the_build(self):
        """No installed text names the directory of the build or of the sources, and no program looks for libraries there."""
        for path in self.prefix.rglob("*"):
            if not path.is_file() or path.is_symlink():
                continue
            if path.read_bytes()[:4] == b"\x7fELF":
                self.assertNotIn(str(BUILD), run("objdump", "-p", path), path)
            elif path.suffix != ".a":
                text = path.read_text()
                self.assertFalse(str(BUILD) in text or str(SOURCE) + "/" in text, path)


@unittest.skipIf(SANITIZED or not shutil.which("dpkg") or not shutil.which("dpkg-shlibdeps"), "no Debian tools")
class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-package-"))
        run("cpack", "-B", cls.work, "--config", BUILD / "CPackConfig.cmake", cwd=BUILD)
        cls.deb = next(cls.work.glob("*.deb"))
        cls.root = cls.work / "root"
        for name in ("info", "updates", "triggers"):
            (cls.root / "var/lib/dpkg" / name).mkdir(parents=True)
        (cls.root / "var/lib/dpkg/status").touch()
        (cls.root / "usr/bin").mkdir(parents=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.work)

    def dpkg(self, *args):
        run("dpkg", f"--root={self.root}", "--force-depends", "--force-script-chrootless", "--force-not-root", "--log=/dev/null", *args)

    def files(self):
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*")
                      if not path.is_dir() and "var/lib/dpkg" not in str(path) and not str(path).startswith(str(self.root / "etc")))

    def unit(self, name):
        return (self.root / "usr/lib/systemd/system" / name).read_text()

    def start(self, command):
        """The unit's command line inside the root; the process, and the socket on which it reports."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(str(self.work / "notify"))
        listener.settimeout(30)
        words = [str(self.root) + word if word.startswith("/") else word for word in command.split()]
        environment = os.environ | {"NOTIFY_SOCKET": str(self.work / "notify"), "WATCHDOG_USEC": "400000"}
        with open(self.work / "log", "wb") as log:
            return subprocess.Popen(words, env=environment, stdout=log, stderr=log), listener

    def test_life(self):
        self.dpkg("--install", self.deb)
        for path in ("usr/bin/coldpathd", "usr/bin/coldpath", "usr/include/coldpath/coldpath.h", "usr/share/coldpath/coldpath.yaml",
                     "usr/share/coldpath/ddl/quotes.sql"):
            self.assertIn(path, self.files())
        self.contents()
        for name in ("coldpathd", "coldpath-monitor", "coldpath-maintain"):
            self.assertRegex(self.unit(f"{name}.service"), r"(?m)^ExecStart=/usr/bin/coldpathd? ")
        if shutil.which("systemd-analyze"):
            self.analyze()
        self.run_unit()
        self.dpkg("--purge", "coldpath")
        self.assertEqual(self.files(), [])

    def contents(self):
        """Programs that tests can kill are in no package but one that says so; and nothing of the tests is in any."""
        listed = subprocess.run([self.root / "usr/bin/coldpathd", "--config", "/nonexistent"], capture_output=True, text=True, timeout=30, check=False,
                                env=os.environ | {"COLDPATH_FAILPOINT": "list"})
        has_failpoints = listed.returncode == 0
        self.assertEqual(run("dpkg-deb", "--field", self.deb, "Version").strip().endswith("~test"), has_failpoints)
        files = self.files()
        self.assertEqual([path for path in files if re.match(r"usr/(s?bin|lib(exec)?)/(.*/)?(test_|peers|put_)", path)], [])
        for name in ("put_quote.c", "put_quote.py"):
            self.assertIn(f"usr/share/doc/coldpath/examples/{name}", files)
        for script in ("postinst", "prerm", "postrm"):
            run("sh", "-n", SOURCE / "deploy/debian" / script)

    def analyze(self):
        for name in ("coldpathd.service", "coldpath-monitor.service"):
            done = subprocess.run(["systemd-analyze", f"--root={self.root}", "verify", "--man=no", name], capture_output=True, text=True, timeout=60, check=False)
            said = [line for line in (done.stdout + done.stderr).splitlines()  # of what a whole system has besides: nothing
                    if name in line and not re.search(r"\.target not found|/bin/kill is not executable", line)]
            self.assertEqual(said, [])
            done = subprocess.run(["systemd-analyze", f"--root={self.root}", "security", "--offline=true", "--threshold=25", name],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-300:])
        for wanted in ("Type=notify", "RemoveIPC=no", "KillMode=mixed", "LimitMEMLOCK=", "WatchdogSec="):
            self.assertIn(wanted, self.unit("coldpathd.service"))
        self.assertNotRegex(self.unit("coldpathd.service"), r"(?m)^DynamicUser=")

    def run_unit(self):
        region = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm", prefix="coldpath-package-"))
        self.addCleanup(shutil.rmtree, region)
        config = self.root / "etc/coldpath/coldpath.yaml"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"namespace": "p", "region": {"dir": str(region)}, "clickhouse": {"url": "http://127.0.0.1:9"},
                                      "recorder": {"stop_timeout": "1s"}, "tables": {"quotes": {}}}))
        command = re.search(r"^ExecStart=(.*)$", self.unit("coldpathd.service"), re.M).group(1)
        process, listener = self.start(command)
        try:
            self.assertTrue(listener.recv(4096).startswith(b"READY=1\n"), (self.work / "log").read_text())
            beats = [listener.recv(4096) for _ in range(3)]
            self.assertEqual(beats, [b"WATCHDOG=1"] * 3)
            process.send_signal(signal.SIGTERM)
            while not listener.recv(4096).startswith(b"STOPPING=1\n"):
                pass
            self.assertEqual(process.wait(30), 0)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            listener.close()
            shutil.rmtree(config.parent)


class Watchdog(unittest.TestCase):
    def test_of_another_process(self):
        """A watchdog meant for another process is not answered."""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as region, tempfile.TemporaryDirectory() as work:
            config = pathlib.Path(work, "coldpath.yaml")
            config.write_text(json.dumps({"namespace": "p", "region": {"dir": region}, "clickhouse": {"url": "http://127.0.0.1:9"},
                                          "recorder": {"stop_timeout": "0s"}, "tables": {"quotes": {}}}))
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            listener.bind("\0coldpath-test-" + pathlib.Path(work).name)  # an abstract name
            listener.settimeout(30)
            environment = os.environ | {"NOTIFY_SOCKET": "@coldpath-test-" + pathlib.Path(work).name, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
            process = subprocess.Popen([BUILD / "bin/coldpathd", "--config", config], env=environment, stderr=subprocess.DEVNULL)
            try:
                self.assertTrue(listener.recv(4096).startswith(b"READY=1\n"))
                time.sleep(0.5)
                process.terminate()
                self.assertTrue(listener.recv(4096).startswith(b"STOPPING=1\n"))
                self.assertEqual(process.wait(30), 0)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                listener.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv, verbosity=2)
