"""The examples in docs/examples are built as a user would build them, and run; the rows are in the region afterwards."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import BUILD, Place

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = SOURCE / "docs/examples"


@pytest.fixture
def demo(monkeypatch, tmp_path):
    place = Place({"quotes": {"ring_size": "1MiB"}}, "demo")
    monkeypatch.setenv("COLDPATH_REGION_DIR", str(place.work / "region"))
    monkeypatch.chdir(tmp_path)
    yield place
    place.remove()


def generate(demo, kind, name):
    pathlib.Path("rows").mkdir(exist_ok=True)
    pathlib.Path("rows", name).write_text(demo.run("schema", "gen", "quotes", "--as", kind))


def build_and_run(compiler, *args):
    includes = [f"-I{SOURCE / floor / 'include'}" for floor in ("base", "schema", "shm")]
    sanitize = os.environ.get("COLDPATH_SANITIZE")
    subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-I.", *includes, *args, "-o", "example", f"-L{BUILD / 'lib'}", "-lcoldpath",
                    f"-Wl,-rpath,{BUILD / 'lib'}", *([f"-fsanitize={sanitize}"] if sanitize else [])], check=True,
                   env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"})
    done = subprocess.run(["./example"], capture_output=True, text=True, check=False,
                          env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"})
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_documented(demo):
    """docs/python.md's program, as it stands there."""
    program, = re.findall(r"```python\n(.*?)```", (SOURCE / "docs/python.md").read_text(), re.S)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert demo.rows("quotes") == 1


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_c(demo):
    generate(demo, "c", "quotes.h")
    build_and_run("cc", str(EXAMPLES / "put_quote.c"))
    assert demo.rows("quotes") == 1


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_cpp(demo):
    generate(demo, "c", "quotes.h")
    generate(demo, "c++", "quotes.hpp")
    build_and_run("g++", "-std=c++20", "-Wshadow", "-Wconversion", str(EXAMPLES / "put_quote.cpp"))
    assert demo.rows("quotes") == 1


CHECK_CPP = r"""
#include <coldpath/coldpath.hpp>
#include <cassert>
#include <cstdlib>
#include <iostream>
#include "rows/quotes.hpp"
using quote = coldpath::rows::quotes_row_builder<64>;
int main(int, char **argv)
{
    try { coldpath::table<quote> none("/dev/shm/there-is-no-such-region"); return 2; }
    catch (const coldpath::error &e) { assert(e.code() == CP_E_ABSENT); }
    coldpath::table<quote> first("demo");
    coldpath::table<quote> quotes(std::move(first));
    quote q;
    q.put_symbol("BTCUSDT");
    int put = 0;
    while (quotes.put(q)) put++;
    assert(quotes.stats().rows == static_cast<std::uint64_t>(put) && put > 1000 && !quotes.recorder_alive());
    assert(!quotes.put_wait(q, std::chrono::milliseconds(1)) && !quotes.wait(CP_DELIVERED, std::chrono::milliseconds(1)));
    assert(std::system(argv[0] ? "sh replace" : "") == 0);
    assert(!quotes.put(q) && quotes.stats().rows == static_cast<std::uint64_t>(put));   /* attached anew, and as full */
    std::cout << "ok\n";
}
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_cpp_header(demo, tmp_path):
    generate(demo, "c", "quotes.h")
    generate(demo, "c++", "quotes.hpp")
    pathlib.Path("check.cpp").write_text(CHECK_CPP)
    (tmp_path / "replace").write_text(f"exec {BUILD}/bin/coldpath init --no-tables --config {demo.config} >&2\n")
    demo.settings["tables"]["trades"] = {}
    import json
    demo.config.write_text(json.dumps(demo.settings))
    build_and_run("g++", "-std=c++20", "check.cpp")


@pytest.mark.parametrize("name, says, rows", [
    ("put_quote.py", "table quotes has no column 'symbl'; did you mean 'symbol'?\n1\n", 1),
    ("feed_asyncio.py", "1000\n", 1000), ("feed_processes.py", "4 tasks\n", 1000)])
def test_python(demo, name, says, rows):
    done = subprocess.run([sys.executable, "-B", EXAMPLES / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, says), done.stderr
    assert demo.rows("quotes") == rows
