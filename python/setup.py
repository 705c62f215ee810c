"""Builds the extension with the client library in it: the sources of the three lowest floors (base, schema, shm) are compiled
along, so that the wheel needs nothing but the C library. Works from a checkout, without a network:

    pip install ./python
"""
import pathlib
import re
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
FLOORS = ("base", "schema", "shm")
INCLUDES = [str(TOP), *(str(TOP / floor / "include") for floor in FLOORS)]
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-O2", "-fvisibility=hidden", "-fno-common", "-Wall", "-Wextra",
         f"-ffile-prefix-map={TOP}/=", "-Wno-write-strings"]


def floor_sources(floor):
    """The sources that the floor's CMakeLists.txt names."""
    text = (TOP / floor / "CMakeLists.txt").read_text()
    named = re.search(rf"cp_floor\({floor}\s+SOURCES\s+(.*?)\s*(?:STANDS_ON|\))", text, re.DOTALL)
    return [str(TOP / floor / name) for name in named.group(1).split()]


class BuildWithLibrary(build_ext):
    """Compiles the floors' sources first, and links the extension with their objects."""

    def build_extension(self, ext):
        if not (TOP / "shm/include/coldpath/coldpath.h").exists():
            sys.exit(f"coldpath: {TOP} is not a checkout of coldpath: the client library's sources are built along with the module")
        sources = [path for floor in FLOORS for path in floor_sources(floor)]
        ext.extra_objects = self.compiler.compile(sources, output_dir=self.build_temp, include_dirs=INCLUDES,
                                                  extra_postargs=["-fPIC", *FLAGS])
        super().build_extension(ext)


setup(
    ext_modules=[Extension("coldpath._coldpath", sorted(f"src/{path.name}" for path in (HERE / "src").glob("*.c")),
                           include_dirs=INCLUDES, extra_compile_args=FLAGS,
                           extra_link_args=["-Wl,--exclude-libs,ALL"])],
    cmdclass={"build_ext": BuildWithLibrary},
)
