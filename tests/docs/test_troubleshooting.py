"""docs/troubleshooting.md is complete and true: each warning and error that a program can log, each reason and note of `coldpath status`,
each alert and each code of the library stands in it, and no message that no source has; what is generated is as the program and the alert
rules have it.

    python3 tests/docs/test_troubleshooting.py --write      writes the generated parts anew"""

import pathlib
import re
import subprocess
import sys
import unittest

from tests.support.chdb import build_dir

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PAGE = SOURCE / "docs/troubleshooting.md"
FOLDERS = ("base", "schema", "shm", "ingest", "wal", "flush", "monitor", "recorder", "cli", "feeds", "embedded")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
FAIL = ("recorder/main.c", "fail")  # logs what it is given


def sources():
    """Of each file: its name, its text with strings of several parts in one."""
    for folder in FOLDERS:
        for path in sorted((SOURCE / folder).rglob("*.c")):
            text = re.sub(r'"\s*(?:PRI\w+)\s*"', "%", path.read_text())
            yield str(path.relative_to(SOURCE)), re.sub(r'"\s*\n\s*"', "", text)


def arguments(text, function):
    """The arguments of each call of a function."""
    for call in re.finditer(rf"\b{function}\(", text):
        depth, quoted, at, found = 1, False, call.end(), [""]
        while depth:
            c = text[at]
            if quoted and c == "\\":
                found[-1] += c
                at += 1
                c = text[at]
            elif c == '"':
                quoted = not quoted
            elif not quoted:
                depth += (c in "([{") - (c in ")]}")
            if c == "," and depth == 1 and not quoted:
                found.append("")
            elif depth:
                found[-1] += c
            at += 1
        yield [argument.strip() for argument in found]


def log_messages():
    """Each message that is logged as a warning or an error: where, and what."""
    for path, text in sources():
        for call in arguments(text, "cp_log"):
            if len(call) > 1 and re.search("CP_LOG_(WARN|ERROR)", call[0]):
                for message in STRING.findall(call[1]):
                    yield path, message
        if path == FAIL[0]:
            for call in arguments(text, FAIL[1]):
                for message in STRING.findall(call[0]):
                    yield path, message


def alerts():
    """The rules as a table."""
    lines = ["| alert | says | do |", "|---|---|---|"]
    rules = (SOURCE / "deploy/alerts.yaml").read_text()
    for name, summary, remedy in re.findall(r'- alert: (\w+)\n.*?summary: "(.*?)"\n\s+remedy: "(.*?)"\n', rules, re.S):
        summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", summary)
        summary = re.sub(r"\{\{ \$value[^}]*\}\}", "…", summary)
        remedy = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), remedy)
        lines.append(f"| {name} | {summary} | {remedy} |")
    return "\n".join(lines) + "\n"


def codes():
    return subprocess.run([build_dir() / "bin/coldpath", "errors", "--codes"], capture_output=True, text=True, timeout=60, check=True).stdout


class Troubleshooting(unittest.TestCase):
    maxDiff = None

    def rows(self, heading):
        """The first cells of a section's tables: what stands in backticks there."""
        page = PAGE.read_text()
        section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.S | re.M)[1]
        found = []
        for line in section.splitlines():
            if line.startswith("| `") and not line.startswith("| `msg` |"):
                cells = line.split(" | ")
                self.assertGreaterEqual(len(cells), 3, line)
                found += re.findall(r"`([^`]+)`", cells[0])
        self.assertEqual(len(found), len(set(found)), "each once")
        return found

    def test_log_lines(self):
        logged = {message for _, message in log_messages()}
        self.assertGreater(len(logged), 50)
        self.assertEqual(logged ^ set(self.rows("In the recorder's log")), set(), "logged and not there, or there and not logged")

    def test_reasons(self):
        text = dict(sources())["monitor/health.c"]
        formats = {"".join(STRING.findall(call[1])) for function in ("reason_add", "notice_add") for call in arguments(text, function)
                   if call[0] == "health"} - {"%s"}
        formats |= {"".join(STRING.findall(call[2])) for call in arguments(text, "snprintf") if call[0] == "found"}  # for a "%s"
        self.assertGreater(len(formats), 20)
        rows = self.rows("In coldpath status, /readyz and on the page")
        self.assertEqual([text for text in formats if not any(row in text for row in rows)], [], "no row has this reason")
        self.assertEqual([row for row in rows if not any(row in text for text in formats)], [], "no reason has this row's words")

    def test_messages_of_programs(self):
        everything = "\n".join(text for _, text in sources())
        rows = self.rows("In what the programs say")
        self.assertGreater(len(rows), 40)
        self.assertEqual([row for row in rows if row not in everything], [], "no source says so")

    def test_codes_of_the_library(self):
        names = STRING.findall(re.search(r"names\[\] = \{(.*?)\};", (SOURCE / "base/error.c").read_text(), re.S)[1])
        numbers = re.findall(r"^    (CP_\w+) = -?\d+", (SOURCE / "base/include/coldpath/error.h").read_text(), re.M)
        self.assertEqual(len(names), len(numbers))
        rows = re.findall(r"^\| `([^`]+)` \| (CP_\w+) \|", PAGE.read_text(), re.M)
        self.assertEqual(rows, list(zip(names, numbers)))

    def test_generated(self):
        self.assertEqual(PAGE.read_text(), generated(PAGE.read_text()), "python3 tests/docs/test_troubleshooting.py --write")


def generated(page):
    """The page with its generated parts as they have to be: they are its end."""
    head = page.split("\n## Alerts\n")[0]
    head = head[:head.index("`coldpath errors --codes` prints this.") + len("`coldpath errors --codes` prints this.")]
    return (f"{head}\n\n{codes()}\n## Alerts\n\nOf [`deploy/alerts.yaml`](../deploy/alerts.yaml); what is *slanted* is named by the alert, and stands "
            f"in capitals where it is to be typed.\n\n{alerts()}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(generated(PAGE.read_text()))
    else:
        unittest.main(verbosity=2)
