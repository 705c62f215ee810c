"""pip's build backend: makes the wheel with nothing but a C compiler and the running Python, so that `pip install ./python` works
without a network on any CPython, also on those that come without setuptools (3.12 and later).

    <checkout>/base, schema, shm ──► objects ─┐
    python/src ─────────────────────────────┴─► _coldpath.….so ─┐
    python/coldpath/*.py, *.pyi, py.typed ──────────────────────┴─► coldpath-….whl

The client library is compiled along: the wheel needs nothing but the C library. Nothing is written into the checkout. CC, CFLAGS
and LDFLAGS are heeded.
"""
import base64
import concurrent.futures
import hashlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
FLOORS = ("base", "schema", "shm")
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-DNDEBUG", "-O2", "-fPIC", "-fvisibility=hidden", "-fno-common", "-Wall", "-Wextra",
         "-Wno-write-strings", f"-ffile-prefix-map={TOP}/=", f"-I{TOP}", *(f"-I{TOP / floor / 'include'}" for floor in FLOORS)]
EARLIEST = (1980, 1, 1, 0, 0, 0)  # of every member, so that the same sources make the same wheel


def compiler():
    """$CC, or what this Python was built with, where that is here."""
    for words in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"):
        if words and shutil.which(shlex.split(words)[0]):
            return shlex.split(words)
    sys.exit("coldpath: there is no C compiler: apt-get install gcc, or say which with CC")


def sources():
    """Ours, and of the three lowest floors those that their CMakeLists.txt name."""
    if not (TOP / "shm/include/coldpath/coldpath.h").exists():
        sys.exit(f"coldpath: {TOP} is not a checkout of coldpath: the client library's sources are built along with the module")
    found = sorted((HERE / "src").glob("*.c"))
    for floor in FLOORS:
        text = (TOP / floor / "CMakeLists.txt").read_text()
        named = re.search(rf"cp_floor\({floor}\s+SOURCES\s+(.*?)\s*(?:STANDS_ON|\))", text, re.DOTALL)
        found += [TOP / floor / name for name in named.group(1).split()]
    return found


def run(command):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(f"coldpath: this failed, see above: {shlex.join(str(word) for word in command)}")


def extension_make(library):
    cc = compiler()
    include = sysconfig.get_path("include")
    if not os.path.exists(os.path.join(include, "Python.h")):
        sys.exit(f"coldpath: {include} has no Python.h: apt-get install python3-dev, or another Python's headers")
    flags = [*FLAGS, f"-I{include}", *shlex.split(os.environ.get("CFLAGS", ""))]
    with tempfile.TemporaryDirectory(prefix="coldpath-wheel-") as work:
        steps = [(path, os.path.join(work, f"{number}.o")) for number, path in enumerate(sources())]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda step: run([*cc, *flags, "-c", step[0], "-o", step[1]]), steps))
        run([*cc, "-shared", *(step[1] for step in steps), "-o", library, "-Wl,--exclude-libs,ALL", "-Wl,--strip-debug",
             *shlex.split(os.environ.get("LDFLAGS", "")), "-lm"])


def project():
    """The fields of [project] in pyproject.toml; Python 3.10 has no reader for it."""
    text = (HERE / "pyproject.toml").read_text()
    return dict(re.findall(r'^(name|version|description|requires-python) = "(.*)"$', text, re.MULTILINE))


def tag():
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return f"{version}-{version}{sys.abiflags}-{re.sub('[-.]', '_', sysconfig.get_platform())}"


class Wheel:
    """A wheel being written: members and the record of them."""

    def __init__(self, path):
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.record = []

    def add(self, name, data, mode=0o644):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(data)}")
        member = zipfile.ZipInfo(name, EARLIEST)
        member.external_attr = (0o100000 | mode) << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        self.zip.writestr(member, data)

    def close(self, folder):
        name = f"{folder}/RECORD"
        self.zip.writestr(zipfile.ZipInfo(name, EARLIEST), "\n".join([*self.record, f"{name},,", ""]))
        self.zip.close()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):  # pylint: disable=unused-argument
    """What pip calls (PEP 517)."""
    fields = project()
    base = f"{fields['name']}-{fields['version']}"
    name = f"{base}-{tag()}.whl"
    with tempfile.TemporaryDirectory(prefix="coldpath-wheel-") as work:
        library = pathlib.Path(work) / f"_coldpath{sysconfig.get_config_var('EXT_SUFFIX')}"
        extension_make(library)
        wheel = Wheel(os.path.join(wheel_directory, name))
        for path in sorted([*(HERE / "coldpath").glob("*.py"), *(HERE / "coldpath").glob("*.pyi"), HERE / "coldpath/py.typed"]):
            wheel.add(f"coldpath/{path.name}", path.read_bytes())
        wheel.add(f"coldpath/{library.name}", library.read_bytes(), 0o755)
        wheel.add(f"{base}.dist-info/METADATA", (f"Metadata-Version: 2.1\nName: {fields['name']}\nVersion: {fields['version']}\n"
                                                 f"Summary: {fields['description']}\n"
                                                 f"Requires-Python: {fields['requires-python']}\n").encode())
        wheel.add(f"{base}.dist-info/WHEEL", (f"Wheel-Version: 1.0\nGenerator: coldpath\nRoot-Is-Purelib: false\n"
                                              f"Tag: {tag()}\n").encode())
        wheel.close(f"{base}.dist-info")
    return name
