"""A Prometheus of a test's own, which scrapes an address five times a second under the shipped alert rules.

    with Prometheus(address) as prometheus:
        prometheus.query("recorder_up")
        prometheus.alerts()["ColdpathRecorderDown"]     # pending or firing, with its annotations
"""

import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import urllib.parse
import urllib.request

RULES = pathlib.Path(__file__).resolve().parents[2] / "deploy/alerts.yaml"


def prometheus_present():
    return shutil.which("promtool") is not None and shutil.which("prometheus") is not None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """config: a whole configuration instead, as text."""

    def __init__(self, address, config=None):
        self.work = tempfile.TemporaryDirectory(prefix="coldpath-prometheus-")
        self.port = free_port()
        file = pathlib.Path(self.work.name, "prometheus.yml")
        file.write_text(config or json.dumps({
            "global": {"scrape_interval": "200ms", "evaluation_interval": "500ms"}, "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "coldpath", "static_configs": [{"targets": [address]}]}]}))
        self.log = pathlib.Path(self.work.name, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={self.work.name}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.work.cleanup()

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=5) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        try:
            return self.ask("query?" + urllib.parse.urlencode({"query": expression}))["result"]
        except OSError:  # it is still starting
            return []

    def alerts(self):
        """name -> alert; pending ones count: what they wait for is their `for`."""
        return {alert["labels"]["alertname"]: alert for alert in self.ask("alerts")["alerts"]}
