"""The man pages name every verb with every option, every metric and every key; mandoc's format holds (groff has no warnings)."""

import json
import pathlib
import re
import shutil
import subprocess
import unittest

import support

PAGES = support.BIN.parent / "share/man"
SOURCE = pathlib.Path(__file__).resolve().parents[2]


@unittest.skipUnless((PAGES / "coldpath.1").exists(), "built without scdoc")
class Man(unittest.TestCase):
    def page(self, name):
        return (PAGES / name).read_text().replace("\\-", "-").replace("\\&", "")

    def test_verbs(self):
        text = self.page("coldpath.1")
        for verb in json.loads(subprocess.run([support.BIN / "coldpath", "help", "--json"], capture_output=True, check=True).stdout)["verbs"]:
            self.assertIn(f"  {verb['name']} ", text)

    def test_options(self):
        """Of each verb, in its part of the page; those of all verbs stand in a part of their own."""
        text = self.page("coldpath.1")
        for verb in json.loads(subprocess.run([support.BIN / "coldpath", "help", "--json"], capture_output=True, check=True).stdout)["verbs"]:
            part = re.search(rf'^\.SS coldpath {verb["name"]}\n(.*?)(?=^\.S[SH] )', text, re.S | re.M)
            self.assertTrue(part, verb["name"])
            options = set(support.options(verb["name"]))
            self.assertEqual([option for option in options - {"--config", "--region", "--json", "--help", "--usage"} if option not in part[1]], [])
            self.assertLessEqual({"--config", "--region", "--json"}, options)
        for option in ("--config", "--region", "--json", "--help"):
            self.assertIn(option, text)

    def test_metrics(self):
        text = self.page("coldpath-metrics.7")
        reference = subprocess.run([support.BIN / "coldpath", "monitor", "--reference"], capture_output=True, text=True, check=True).stdout
        names = [line.split("`")[1] for line in reference.splitlines()[2:]]
        self.assertGreater(len(names), 40)
        for name in names:
            self.assertIn(name, text)

    def test_keys(self):
        text = self.page("coldpath.yaml.5")
        for line in (SOURCE / "deploy/coldpath.yaml").read_text().splitlines():
            if ":" in line and not line.startswith("#"):
                self.assertIn(line.split(":")[0].strip(" #"), text)

    @unittest.skipUnless(shutil.which("man"), "man is not there")
    def test_format(self):
        for page in PAGES.glob("*.[1-8]"):
            done = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", "MANPAGER": "cat"})
            self.assertEqual(done.stderr, "", page)


if __name__ == "__main__":
    unittest.main()
