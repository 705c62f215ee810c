"""Alert rules and dashboard: promtool runs every rule against series that fire it and series that do not; no rule is without
its two tests; and rules and dashboard name no metric that does not exist."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from tests.support.chdb import SKIP, build_dir

SOURCE = pathlib.Path(__file__).resolve().parents[2]
RULES = SOURCE / "deploy/alerts.yaml"
CASES = SOURCE / "tests/monitor/alerts_test.yaml"
METRIC = re.compile(r"\b(?:recorder|process)_[a-z0-9_]+")


def metric_names():
    """Every series name that /metrics can have."""
    table = subprocess.run([build_dir() / "bin/coldpath", "monitor", "--reference"], capture_output=True, text=True, check=True).stdout
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.M):
        names.add(name)
        if kind in ("histogram", "summary"):
            names |= {name + "_sum", name + "_count"} | ({name + "_bucket"} if kind == "histogram" else set())
    return names


class Alerts(unittest.TestCase):
    def promtool(self, *args, cwd=SOURCE):
        return subprocess.run(["promtool", *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)

    def test_rules(self):
        checked = self.promtool("check", "rules", RULES)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        tested = self.promtool("test", "rules", CASES)
        self.assertEqual(tested.returncode, 0, tested.stderr + tested.stdout)

    def test_every_rule_is_tested(self):
        rules = re.findall(r"- alert: (\w+)", RULES.read_text())
        cases = re.findall(r"- name: (.+)", CASES.read_text())
        self.assertEqual(sorted(cases), sorted([f"{rule} fires" for rule in rules] + [f"{rule} does not fire" for rule in rules]))
        for rule in RULES.read_text().split("- alert: ")[1:]:
            for part in ("severity:", "summary:", "remedy:"):
                self.assertIn(part, rule)

    def test_the_tests_can_fail(self):
        """Rules that never fire fail every "fires", rules that always do fail every "does not fire"."""
        rules = re.findall(r"- alert: (\w+)", RULES.read_text())
        for expression in ("vector(1) > 2", "vector(1)"):
            with tempfile.TemporaryDirectory() as work:
                for path in ("deploy", "tests/monitor"):
                    pathlib.Path(work, path).mkdir(parents=True)
                pathlib.Path(work, "deploy/alerts.yaml").write_text(
                    re.sub(r"^( +)expr: .*$", rf"\1expr: {expression}", RULES.read_text(), flags=re.M))
                shutil.copy(CASES, pathlib.Path(work, "tests/monitor"))
                tested = self.promtool("test", "rules", "alerts_test.yaml", cwd=pathlib.Path(work, "tests/monitor"))
            self.assertNotEqual(tested.returncode, 0)
            for rule in rules:
                self.assertIn(f'alertname=\\"{rule}\\"', tested.stderr + tested.stdout)

    def test_names_exist(self):
        known = metric_names()
        dashboard = json.loads((SOURCE / "deploy/grafana.json").read_text())
        texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        texts += [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
        texts += [note["expr"] for note in dashboard["annotations"]["list"]]
        texts += re.findall(r"^ +expr: (.*)$", RULES.read_text(), re.M)
        used = {name for text in texts for name in METRIC.findall(text)}
        self.assertGreater(len(used), 20)
        self.assertEqual(used - known, set())
        shown = {name for panel in dashboard["panels"] for target in panel["targets"] for name in METRIC.findall(target["expr"])}
        for part in ("mode", "sent_day_limit_bytes", "canary_lag_seconds", "canary_duration_seconds_bucket", "ledger_balanced", "dropped_rows_total"):
            self.assertIn("recorder_" + part, shown)

    def test_dashboard_queries_parse(self):
        """Prometheus's own parser reads every query of the dashboard, Grafana's variables filled in."""
        dashboard = json.loads((SOURCE / "deploy/grafana.json").read_text())
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        for name, value in (("$__rate_interval", "1m"), ("$__range", "1h"), ("$instance", ".*"), ("$table", ".*")):
            expressions = [expression.replace(name, value) for expression in expressions]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as rules:
            json.dump({"groups": [{"name": "g", "rules": [{"record": f"r:{i}", "expr": e} for i, e in enumerate(expressions)]}]}, rules)
            rules.flush()
            checked = self.promtool("check", "rules", "--lint=none", rules.name)
        self.assertEqual(checked.returncode, 0, checked.stderr)


if __name__ == "__main__":
    if not shutil.which("promtool"):
        print("skipped: promtool is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
