"""What docs/guarantees.md and docs/security.md say is proved by tests: each test that they name exists, is run by ctest, and has the case that
stands behind "::"; each row of a table of promises names one, and in the threat model each paragraph that says "cannot" or "never".
That a test would really fail were its sentence untrue is for people to see."""

import json
import os
import pathlib
import re
import subprocess
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TESTS = SOURCE / "tests"
BUILD = pathlib.Path(os.environ["COLDPATH_BUILD"])
DOCUMENTS = {name: (SOURCE / "docs" / name).read_text() for name in ("guarantees.md", "security.md")}
NAMED = re.compile(r"`(?:tests/)?((?:\w+/)*)((?:test|fuzz)_\w+(?:\.py|\.c)?)(?:::(\w+))?`")
PROGRAMS = ("wal_sim", "simulate", "simulate_mutations")  # tests that are no file
PROMISE = re.compile(r"\bcannot\b|\bnever\b|\bNothing: not\b|not a byte")
FAIL_POINT = re.compile(r"`([a-z]+\.[a-z]+(?:-[a-z]+)?)`")


def tests_run():
    """(names of ctest's tests, what their commands are)."""
    listed = json.loads(subprocess.run(["ctest", "--test-dir", BUILD, "--show-only=json-v1"], capture_output=True, check=True, timeout=60).stdout)
    words = {word for test in listed["tests"] for word in test.get("command", ())}
    return {test["name"] for test in listed["tests"]}, words


class Promises(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.names, cls.words = tests_run()
        cls.programs = {pathlib.Path(word).name for word in cls.words}
        cls.objects = [entry.get("output", entry["command"]) for entry in json.loads((BUILD / "compile_commands.json").read_text())]

    def is_run(self, path):
        if path.suffix == ".py":
            return any(pathlib.Path(word) == path for word in self.words)
        source = path.relative_to(SOURCE)
        targets = [re.search(r"CMakeFiles/([\w-]+)\.dir/", entry)[1] for entry in self.objects if f"/{source.name}.o" in entry]
        return any(target in self.programs for target in targets)

    def test_each_that_is_named_is_run(self):
        found = 0
        for document, text in DOCUMENTS.items():
            for folder, name, case in NAMED.findall(text):
                with self.subTest(document=document, test=folder + name):
                    found += 1
                    if "." not in name:
                        self.assertTrue(name in self.names or (TESTS / "wal" / f"{name}.c").exists(), name)
                        continue
                    paths = [TESTS / folder / name] if folder else sorted(TESTS.glob(f"*/{name}"))
                    self.assertEqual(len(paths), 1, paths)
                    self.assertTrue(paths[0].exists(), paths[0])
                    self.assertTrue(self.is_run(paths[0]), f"{paths[0]} is no test of ctest's")
                    if case:
                        self.assertRegex(paths[0].read_text(), rf"(?m)^\s*(class|def|static void) {case}\b", paths[0])
        self.assertGreater(found, 100)
        for name in PROGRAMS:
            self.assertIn(name, self.names)

    def proves(self, text):
        return bool(NAMED.search(text)) or any(f"`{name}`" in text for name in PROGRAMS)

    def test_each_row_names_one(self):
        rows = 0
        for table in re.findall(r"(?:^\|.*\n)+", DOCUMENTS["guarantees.md"], re.M):
            head, _, *body = table.splitlines()
            if "proved by" not in head:
                continue
            for row in body:
                rows += 1
                with self.subTest(row=row[:80]):
                    self.assertTrue(self.proves(row.rsplit(" | ", 1)[1]), row)
        self.assertGreater(rows, 30)

    def test_each_cannot_names_one(self):
        body = DOCUMENTS["security.md"].split("## What a producer can do", 1)[1].split("## What is not there", 1)[0]
        promises = 0
        for part in re.split(r"\n\n|\n(?=- )", body):
            if PROMISE.search(part):
                promises += 1
                with self.subTest(part=part.strip()[:80]):
                    self.assertTrue(self.proves(part), part)
        self.assertGreater(promises, 8)

    def test_fail_points(self):
        """Those that the crash windows name."""
        known = set(re.findall(r'"([a-z]+\.[a-z-]+)"', (SOURCE / "base/failpoint.h").read_text()))
        windows = DOCUMENTS["guarantees.md"].split("## Crash windows", 1)[1].split("The one window", 1)[0]
        named = [point for row in windows.splitlines() if row.startswith("| ") for point in FAIL_POINT.findall(row.rsplit(" | ", 1)[1])]
        self.assertGreater(len(named), 10)
        self.assertEqual(set(named) - known, set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
