"""setuptools as pip's build backend, taken from where it is installed: pip builds in an environment of its own and would
download setuptools into it, which fails on a machine without a network. With this `pip install ./python` works offline.
"""
import importlib.util
import sys
import sysconfig

if importlib.util.find_spec("setuptools") is None:
    sys.path += [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), "/usr/lib/python3/dist-packages"]
if importlib.util.find_spec("setuptools") is None:
    sys.exit("coldpath: setuptools and wheel are needed to build: apt-get install python3-setuptools python3-wheel, "
             "or pip install setuptools wheel")

from setuptools.build_meta import (build_editable, build_sdist, build_wheel,  # noqa: E402  (what pip calls)
                                   prepare_metadata_for_build_editable, prepare_metadata_for_build_wheel)

__all__ = ["build_editable", "build_sdist", "build_wheel", "prepare_metadata_for_build_editable",
           "prepare_metadata_for_build_wheel"]
