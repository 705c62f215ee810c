"""What README and docs say to type: every verb they name is one, takes the options that are written, and every configuration that they
show in full or in part is valid. (That the commands do what is said of them is for the tests of each; those of the README's blocks run in
test_readme.py.)"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from tests.support.chdb import build_dir

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md")), SOURCE / "deploy/alerts.yaml"]
COLDPATH = build_dir() / "bin/coldpath"
COMMAND = re.compile(r"(?<!is no )(?:^|(?<=[`(\s/]))coldpath ((?:[a-z]+)(?:[ \t]+[^\s`|)]+)*)", re.M)
PART = {"namespace": "namespace: demo\n", "tables": "tables: {quotes: {}}\n"}  # what a part of a configuration lacks


def help_of(words, cache={}):
    if words not in cache:
        done = subprocess.run([COLDPATH, *words, "--help"], capture_output=True, text=True, timeout=30, check=False)
        cache[words] = done.stdout if done.returncode == 0 else ""
    return cache[words]


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        listed = json.loads(subprocess.run([COLDPATH, "help", "--json"], capture_output=True, timeout=30, check=True).stdout)
        cls.verbs = {verb["name"] for verb in listed["verbs"]}

    def code(self, text):
        """What stands as code: in fences, indented, in backticks."""
        blocks = re.findall(r"```(?:sh|bash)?\n(.*?)```", text, re.S) + re.findall(r"^    (\S.*)$", text, re.M)
        return blocks + re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)

    def test_commands(self):
        """Each `coldpath VERB … --option`."""
        found = 0
        for document in DOCUMENTS:
            for block in self.code(document.read_text()):
                for command in COMMAND.findall(block if "\n" in block else re.split(r"  +(?=[a-z])|\s#", block)[0]):
                    words = command.split()
                    with self.subTest(document=document.name, command=command):
                        self.assertIn(words[0], self.verbs, command)
                    found += 1
                    for option in re.findall(r"(?<!\S)(--[a-z][a-z-]*)", command):
                        with self.subTest(document=document.name, command=command):
                            helps = help_of((words[0],)) + (help_of(tuple(words[:2])) if len(words) > 1 and words[1].isalpha() else "")
                            self.assertIn(option, helps, command)
        self.assertGreater(found, 100)

    def test_configurations(self):
        """Each block of YAML that is a configuration, or a part of one."""
        keys = set(json.loads(self.check("namespace: demo\ntables: {quotes: {}}\n", "--values", "--json").stdout)["values"])
        sections = {key.split(".")[0] for key in keys} | {"tables", "table_defaults"}
        found = 0
        for document in DOCUMENTS[:-1]:
            for block in re.findall(r"```yaml\n(.*?)```", document.read_text(), re.S):
                top = re.findall(r"^(\w+):", block, re.M)
                if not top or not set(top) <= sections:
                    continue
                found += 1
                text = "".join(part for key, part in PART.items() if key not in top) + block
                with self.subTest(document=document.name, block=block):
                    done = self.check(text)
                    said = [line for line in done.stderr.splitlines() if ": error: " in line and "password_file" not in line and "ca_file" not in line
                            and "there is no file" not in line]  # of files that are not here
                    self.assertEqual(said, [], done.stderr)
        self.assertGreater(found, 5)

    def check(self, text, *args):
        with tempfile.TemporaryDirectory(prefix="coldpath-documents-") as work:
            config = pathlib.Path(work, "coldpath.yaml")
            config.write_text(text)
            return subprocess.run([COLDPATH, "check", *args, "--config", config], capture_output=True, text=True, timeout=30, check=False,
                                  env=os.environ | {"COLDPATH_CONFIG": str(config)})


if __name__ == "__main__":
    unittest.main(verbosity=2)
