"""`pip install ./python` as a user does it: from a checkout, which nothing is written into, into an environment of its own, without
a network, with Debian's Python and with the newest other CPython that is here ($COLDPATH_PYTHONS, paths with ":" between them, says
which others instead). What is installed needs nothing of the checkout or the build, and a row that it puts is in the region.

Ends with 77 where pip, venv, a compiler or Python's headers are absent.
"""
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from tests.support.chdb import SKIP, build_dir

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
NEEDED = ("import importlib.util as u, os, sys, sysconfig; sys.exit(sys.version_info < (3, 10) or not all(map(u.find_spec, ('pip', 'venv'))) "
          "or not os.path.exists(sysconfig.get_path('include') + '/Python.h'))")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "COLDPATH_", "LD_PRELOAD"))}
CLEAN["PYTHONDONTWRITEBYTECODE"] = "1"

USE = """
import coldpath, coldpath.ch_writer, importlib.metadata, sys
assert coldpath.__file__.startswith(sys.prefix), coldpath.__file__
table = coldpath.attach("demo").table("quotes")
assert table.put({"recv_ts": 1, "symbol": "BTCUSDT", "bid_px": "61800.20"})
print(importlib.metadata.version("coldpath"), table.stats()["put"])
"""


def run(*args, cwd=None, **environment):
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, cwd=cwd, env=CLEAN | environment, timeout=300,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{args[:4]}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def usable(python):
    return subprocess.run([python, "-c", NEEDED], env=CLEAN, capture_output=True, check=False).returncode == 0


def other_pythons():
    """Those that were asked for, or the newest that is not of Debian's version."""
    if "COLDPATH_PYTHONS" in os.environ:
        return os.environ["COLDPATH_PYTHONS"].split(":")
    found = {}
    for minor in range(10, 14):
        name = f"3.{minor}"
        places = [shutil.which(f"python{name}"), *glob.glob(os.path.expanduser(f"~/.pyenv/versions/{name}.*/bin/python3"))]
        found[name] = next(filter(None, (place for place in places if place and usable(place))), None)
    found.pop(run(PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip(), None)
    return [place for place in found.values() if place][-1:]


class Pip(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-pip-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        for folder in ("python", "base", "schema", "shm"):  # a copy: pip builds in the tree
            shutil.copytree(SOURCE / folder, self.work / "checkout" / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def install(self, python):
        run(python, "-m", "venv", "--without-pip", self.work / "venv")
        self.python = self.work / "venv/bin/python3"
        return run(python, "-m", "pip", "--disable-pip-version-check", "--python", self.python, "install", "--no-index", "./python",
                   cwd=self.work / "checkout", HOME=str(self.work))

    def files(self):
        return sorted(str(path) for path in (self.work / "checkout").rglob("*"))

    def test_install(self):
        before = self.files()
        self.install(PYTHON)
        self.assertEqual(self.files(), before)
        self.use()

    def test_install_with_another_python(self):
        others = other_pythons()
        if not others:
            self.skipTest("there is no other")
        for python in others:
            with self.subTest(python=python):
                self.setUp()
                self.install(python)
                self.use()

    def use(self):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as region:
            config = self.work / "demo.yaml"
            config.write_text(f"namespace: demo\nregion: {{dir: {region}}}\ntables: {{quotes: {{}}}}\n")
            run(build_dir() / "bin/coldpath", "init", "--no-tables", "--config", config)
            shutil.rmtree(self.work / "checkout")
            self.assertRegex(run(self.python, "-c", USE, cwd=self.work, COLDPATH_REGION_DIR=region), r"^\d+\.\d+\.\d+ 1\n$")
        packages = pathlib.Path(run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip())
        installed = {path.name for path in (packages / "coldpath").iterdir()}
        self.assertLessEqual({"__init__.py", "__init__.pyi", "py.typed", "ch_writer.py"}, installed)
        library, = (packages / "coldpath").glob("_coldpath*.so")
        needed = re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", library))
        self.assertLessEqual(set(needed), {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"})

    def test_outside_a_checkout(self):
        """Says what is missing, instead of a compiler's words."""
        shutil.rmtree(self.work / "checkout/shm")
        with self.assertRaisesRegex(AssertionError, "not a checkout of coldpath"):
            self.install(PYTHON)


if __name__ == "__main__":
    here = all(shutil.which(tool) for tool in ("cc", "objdump"))
    if not here or not usable(PYTHON):
        sys.exit(SKIP)
    unittest.main(verbosity=2)
