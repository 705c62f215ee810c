"""Debian's clickhouse-server (18.16), started by hand with everything it writes in a directory of the test's own. It is used as
tests.support.chdb.ChdbServer is. Users: recorder, who may do everything (password "right"), and reader, who may only read
(password "right" too)."""

import os
import socket
import subprocess
import time

from tests.support.chdb import START_SECONDS, ChdbServer

PROGRAM = "/usr/sbin/clickhouse-server"  # Debian's place; the vendor's packages use another

CONFIG = """<?xml version="1.0"?>
<yandex>
  <logger><level>information</level><log>{dir}/server.log</log><errorlog>{dir}/server.err.log</errorlog></logger>
  <http_port>{http}</http_port>
  <tcp_port>{tcp}</tcp_port>
  <listen_host>127.0.0.1</listen_host>
  <keep_alive_timeout>3</keep_alive_timeout>
  <path>{data}/</path>
  <tmp_path>{data}/tmp/</tmp_path>
  <users_config>{dir}/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
</yandex>
"""
USERS = """<?xml version="1.0"?>
<yandex>
  <profiles>
    <default>{settings}</default>
    <readonly><readonly>1</readonly></readonly>
  </profiles>
  <users>
    <recorder>
      <password>right</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
    </recorder>
    <reader>
      <password>right</password><networks><ip>127.0.0.1</ip></networks><profile>readonly</profile><quota>default</quota>
    </reader>
  </users>
  <quotas><default/></quotas>
</yandex>
"""
SETTINGS = "<allow_experimental_low_cardinality_type>1</allow_experimental_low_cardinality_type>"


def server_present():
    return os.access(PROGRAM, os.X_OK)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class RealServer(ChdbServer):
    """One running clickhouse-server; stop() ends it and removes what it wrote, end() only ends it."""

    def __init__(self, path=None):
        super().__init__(path=path, user="recorder", password="right")
        self.port = free_port()
        self.path.mkdir(parents=True, exist_ok=True)
        (self.work / "config.xml").write_text(CONFIG.format(dir=self.work, data=self.path, http=self.port, tcp=free_port()))
        (self.work / "users.xml").write_text(USERS.format(settings=SETTINGS))

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, f"--config-file={self.work}/config.xml"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=self.work)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"clickhouse-server ended with {self.stop()}: {self.read_log()}")
            try:
                if self.request("GET", "/ping", timeout=5)[2] == b"Ok.\n":
                    return self
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"clickhouse-server did not answer within {START_SECONDS} s")
