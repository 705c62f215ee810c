"""The documents about running it say what is so: verbs, options, files, metrics, alerts and messages that they name exist."""

import json
import pathlib
import re
import subprocess
import unittest

from tests.support.chdb import build_dir

SOURCE = pathlib.Path(__file__).resolve().parents[2]
OPERATIONS = (SOURCE / "docs/operations.md").read_text()
METRICS = (SOURCE / "docs/metrics.md").read_text()


def coldpath(*args):
    return subprocess.run([build_dir() / "bin/coldpath", *args], capture_output=True, text=True, timeout=60, check=True).stdout


class Operations(unittest.TestCase):
    def test_verbs(self):
        """Every `coldpath VERB ACTION`: the verb is there, and its help knows the action."""
        known = {verb["name"] for verb in json.loads(coldpath("help", "--json"))["verbs"]}
        named = re.findall(r"(?:^ {4}|`|-- )coldpath ([a-z]+)(?: ([a-z]+))?", OPERATIONS, re.M)
        self.assertGreater(len(named), 20)
        for verb, action in named:
            self.assertIn(verb, known)
            if action and verb in ("schema", "wal", "quarantine", "bench"):
                self.assertIn(action, coldpath(verb, "--help"), f"{verb} {action}")

    def test_metrics_and_alerts(self):
        reference = coldpath("monitor", "--reference")
        for name in set(re.findall(r"`(recorder_\w+)`", OPERATIONS)):
            self.assertIn(f"`{name}`", reference)
        alerts = (SOURCE / "deploy/alerts.yaml").read_text()
        for name in set(re.findall(r"\bColdpath[A-Z]\w+", OPERATIONS)):
            self.assertIn(f"alert: {name}\n", alerts)

    def test_reference_is_the_programs(self):
        self.assertTrue(METRICS.endswith(coldpath("monitor", "--reference")), "coldpath monitor --reference > the end of docs/metrics.md")

    def test_links(self):
        for text in (OPERATIONS, METRICS):
            for target in re.findall(r"\]\(([^)#]+)\)", text):
                self.assertTrue((SOURCE / "docs" / target).exists(), target)

    def test_log_lines(self):
        """Each warning and error of the recorder says what it is about and what to do, or what follows; none puts free text into quotes by hand."""
        seen = 0
        for folder in ("recorder", "flush", "wal", "ingest"):
            for path in (SOURCE / folder).rglob("*.c"):
                text = re.sub(r'"\s*\n\s*"', "", path.read_text())
                for call in re.findall(r"\bcp_log\(([^;]*)\);", text):
                    seen += 1
                    if 'error=\\"%s' in call:
                        self.assertIn("cp_strerror(", call, path)
                    if "CP_LOG_WARN" in call or "CP_LOG_ERROR" in call:
                        self.assertRegex(call, r'remedy=|consequence=|error=|meaning=|clean=|waiting_lsns=', path)
        self.assertGreater(seen, 45)

    def test_keys(self):
        shown = (SOURCE / "deploy/coldpath.yaml").read_text()
        for key in re.findall(r"`((?:region|recorder|wal|flush|monitor|clickhouse)\.[a-z_]+)`", OPERATIONS):
            self.assertRegex(shown, rf"(?m)^[ #]+{key.split('.')[1]}:", key)


if __name__ == "__main__":
    unittest.main(verbosity=2)
