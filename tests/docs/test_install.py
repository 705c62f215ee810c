"""The documents' way from a clone to an installed recorder: ./quickstart; a build without tests, its .deb, its installation, a program
built against that; then /etc/coldpath, the units and what is typed about them, by the programs of the package; then tests in that tree.
Every command stands as in README and docs (documents.py).

The build is a real one, of its own flags; only objects that the build under test has already, of the same command line but for
fail points, and of which none depends on base/failpoint.h, are copied from there."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest
import urllib.request

from host import Host, wait_until
from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present

BUILD = build_dir()
COMPILER = """#!/bin/sh
# Stands before the compiler: an object that is known already is copied, and its dependencies are said as far as they matter here.
previous= output= deps=
for word; do
    case $previous in -o) output=$word ;; -MF) deps=$word ;; esac
    previous=$word
done
if [ -n "$deps" ] && [ -e "$KNOWN_OBJECTS/$output" ]; then
    cp "$KNOWN_OBJECTS/$output" "$output" && echo "$output: $previous" > "$deps"
else
    exec "$@"
fi
"""


def compile_commands(build, source, fail_points=False):
    """Object: how it is compiled, whatever directories it is in; and, unless told, whether with fail points."""
    known = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        # From the compiler on: what stands before it is a launcher.
        command = re.sub(r"^.*?(?=\S+ -D|\S+ -I)", "", entry["command"]).replace(str(build), "B").replace(str(source), "S")
        known[re.search(r" -o (\S+)", command)[1]] = command if fail_points else command.replace("-DCOLDPATH_FAILPOINTS ", "")
    return known


class Install(unittest.TestCase):
    """Its tests go by their numbers."""

    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)
        cls.host = Host(root="/root")
        cls.addClassCleanup(cls.host.remove)
        cls.root = cls.host.work / "root"
        cls.addClassCleanup(cls.stop_units)

    @classmethod
    def stop_units(cls):
        for path in cls.root.glob("*.pid"):
            os.kill(int(path.read_text()), 15)

    def know_objects(self):
        """What the build under test has, and is as good here."""
        host = self.host
        known = host.work / "objects"
        source = pathlib.Path(re.search(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.M)[1])
        theirs, ours = compile_commands(BUILD, source), compile_commands(host.there / "build", host.there)
        deps = {entry.split(":")[0]: entry for entry in subprocess.run(["ninja", "-C", BUILD, "-t", "deps"], capture_output=True, text=True,
                                                                       timeout=60, check=True).stdout.split("\n\n")}
        for name, command in ours.items():
            if theirs.get(name) == command and name in deps and "base/failpoint.h" not in deps[name] and (BUILD / name).exists():
                (known / name).parent.mkdir(parents=True, exist_ok=True)
                (known / name).symlink_to(BUILD / name)

    def test_1_build(self):
        host = self.host
        host.program("compiler", COMPILER)
        host.environment |= {"CMAKE_C_COMPILER_LAUNCHER": str(host.bin / "compiler"), "KNOWN_OBJECTS": str(host.work / "objects")}
        host.run("cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCOLDPATH_TESTS=OFF")
        self.know_objects()
        host.run("cmake --build build")
        host.run("cd build && cpack", said=r"coldpath_\d+\.\d+\.\d+_amd64\.deb")
        # Neither tests nor places where they kill the recorder.
        self.assertEqual([path.name for path in (host.there / "build/bin").iterdir() if path.name.startswith("test_")], [])
        self.assertNotEqual(subprocess.run([host.there / "build/bin/coldpathd", "--config", "/nonexistent"], capture_output=True, check=False, timeout=60,
                                           env=host.environment | {"COLDPATH_FAILPOINT": "list"}).returncode, 0)

    def test_2_quickstart(self):
        host = self.host
        host.program("apt-get", "#!/bin/sh\nexit 0\n")  # what is missing here was not asked for
        try:
            kept = host.shell(host.note("./quickstart", more="--seconds 1 --keep 2>&1"), COLDPATH_REGION_DIR="", COLDPATH_CONFIG="").stdout
            self.assertIn("Every row arrived, once.", kept)
            directory = next((host.there / "build/quickstart").iterdir())
            self.addCleanup(subprocess.run, [directory / "stop"], timeout=60, check=False)
            host.run("build/bin/coldpath query --config build/quickstart/…/coldpath.yaml 'SELECT count() FROM quotes'", swap={"…": directory.name},
                     said=r"\d+", COLDPATH_REGION_DIR="", COLDPATH_CONFIG="")
        finally:
            (host.bin / "apt-get").unlink()

    def test_3_library(self):
        """A program against what `cmake --install` has put below a DESTDIR."""
        host = self.host
        host.run("cmake --install build --prefix /usr/local", DESTDIR=str(host.work / "destination"))
        local = host.work / "destination/usr/local"
        self.assertTrue((local / "bin/coldpathd").exists())
        library = next(local.rglob("libcoldpath.so")).parent
        (host.there / "demo.yaml").write_text("namespace: demo\ntables: {quotes: {}}\n")
        host.shell(f"mkdir rows && PATH={local}/bin:$PATH && coldpath schema gen quotes --config demo.yaml > rows/quotes.h && "
                   f"coldpath init --config demo.yaml --no-tables && export PKG_CONFIG_PATH={library}/pkgconfig && "
                   "cc -I. docs/examples/put_quote.c -o put_quote $(pkg-config --cflags --libs coldpath)")
        self.assertEqual(host.shell("./put_quote", LD_LIBRARY_PATH=str(library)).stdout, "ok\n")

    def test_4_package(self):
        """From the .deb to a recorder under its unit."""
        host, root = self.host, self.root
        package = next((host.there / "build").glob("*.deb"))
        host.shell(f"dpkg-deb -x {package} {root}")
        host.moved |= {"/usr/share/coldpath": f"{root}/usr/share/coldpath"}
        host.environment |= {"PATH": f"{host.bin}:{root}/usr/bin:{os.environ['PATH']}", "UNIT_ROOT": str(root),
                             "UNIT_MOVED": ":".join(f"{name}={there}" for name, there in host.moved.items()),
                             "COLDPATH_CLICKHOUSE__URL": self.server.url, "COLDPATH_WAL__DIR": host.path("/var/lib/coldpath")}
        shutil.copy(pathlib.Path(__file__).with_name("systemctl.py"), host.bin / "systemctl")
        (host.bin / "systemctl").chmod(0o755)
        host.program("journalctl", '#!/bin/sh\nexec cat "$UNIT_ROOT/$2.service.log"\n')  # there is no journal: what the unit said
        host.run("install -d /etc/coldpath")
        host.run("cp /usr/share/coldpath/coldpath.yaml /etc/coldpath/")
        self.unit_user()
        host.run("systemctl enable --now coldpathd")
        host.run("journalctl -u coldpathd", said='msg="ready"')
        host.shell("printf '{\"symbol\":\"A\"}\\n' | coldpath put quotes")
        wait_until(lambda: self.server.query("SELECT count() FROM demo.quotes WHERE symbol = 'A'").strip() == "1", "the row")
        host.run("systemctl restart coldpathd")
        host.run("systemctl stop coldpathd")
        host.run("dpkg -i coldpath_0.1.0_amd64.deb", swap={"-i coldpath_0.1.0_amd64.deb": f"--dry-run --force-all -i {package}"})  # this host's stay
        host.shell(f"dpkg-deb -x {package} {root}")
        host.run("systemctl start coldpathd")
        host.shell("systemctl stop coldpathd")
        host.run("coldpath check && systemctl start coldpathd && coldpath status", said=r"recorder +running")
        self.assertRegex(host.shell("coldpath status", (0, 2)).stdout, "recorder +running")
        self.other_units()
        # What docker sends, too; the recorder ends well within the time that is given to it.
        host.note("docker stop")
        host.shell("systemctl stop coldpathd")
        host.run("journalctl -u coldpathd", said='msg="stopped".*clean=true')

    def test_5_tests_after_quickstart(self):
        """tests/run in the tree that was configured without tests: what they need besides is built in, too."""
        self.host.shell(". deploy/setup.sh && setup_configure release ON")
        commands = compile_commands(self.host.there / "build", self.host.there, fail_points=True)
        self.assertIn("-DCOLDPATH_FAILPOINTS ", commands["tests/recorder/CMakeFiles/test_lane.dir/test_lane.c.o"])
        self.assertTrue((self.host.there / "build/python").is_dir())

    def unit_user(self):
        """As the unit's user, who is nobody here; without root, and so without a choice, as whoever this is."""
        host = self.host
        swap = {"-u coldpath": "-u nobody"} if os.getuid() == 0 else {"runuser -u coldpath -- ": ""}
        host.run("runuser -u coldpath -- coldpath doctor", swap=swap, codes=(2, 69))  # there is no region yet
        host.shell("coldpath check", (0, 2))
        # The unit's stand-in runs as whoever this is, who has to own the region.
        host.run("runuser -u coldpath -- coldpath init", swap={"runuser -u coldpath -- ": ""})
        host.shell("coldpath doctor", (0, 2))

    def other_units(self):
        host = self.host
        host.environment["COLDPATH_MONITOR__LISTEN"] = "127.0.0.1:0"
        host.shell("systemctl start coldpath-monitor")
        log = self.root / "coldpath-monitor.service.log"
        address = wait_until(lambda: re.search(r"http://[\d.:]+", log.read_text()), "the monitor's address")[0]
        with urllib.request.urlopen(f"{address}/healthz", timeout=30) as answer:
            self.assertEqual(answer.status, 200)
        host.shell("systemctl stop coldpath-monitor")
        host.run("systemctl enable --now coldpath-maintain.timer")
        host.program("editor", '#!/bin/sh\nprintf "[Service]\\nExecStart=\\nExecStart=/usr/bin/coldpath maintain --yes --config '
                     '/etc/coldpath/coldpath.yaml --cluster main\\n" > "$1"\n')
        host.run("systemctl edit coldpath-maintain.service", EDITOR=str(host.bin / "editor"))
        if shutil.which("ssh"):  # -G: what it would do
            host.run("ssh -L 9464:127.0.0.1:9464 HOST", swap={"ssh": "ssh -G"}, said=r"localforward (\[?127.0.0.1\]?:)?9464")
        else:
            host.note("ssh -L 9464:127.0.0.1:9464 HOST")


if __name__ == "__main__":
    if not engine_present() or os.environ.get("COLDPATH_SANITIZE") or not all(map(shutil.which, ("cc", "cmake", "ninja", "dpkg-deb", "dpkg-shlibdeps"))):
        print("skipped: the embedded engine, or what builds and packages, is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2, failfast=True)
