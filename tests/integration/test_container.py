"""What a container is made of, without its runtime: a root file system that cannot be written, no capability in any set, no new privileges,
and a /dev/shm of its own, of the size that containers have by default. There the recorder records, of both classes, and ends well; and one
whose /dev/shm is too small is told so by `coldpath doctor`. Needs root, who may make such a place."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present

SECONDS = 120
ROWS = 1000
# Mounts are of this shell's own. What is written to lies on a volume, as in a container.
PLACE = """set -eu
mount -t tmpfs -o size=$SHM_SIZE shm /dev/shm
mount --bind "$VOLUME" "$VOLUME"
mount -o remount,bind,ro /
! touch / "$OUTSIDE/file" 2>/dev/null
exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs sh -euc "$INSIDE"
"""
RECORD = """coldpath init
coldpathd & recorder=$!
coldpath put quotes < $VOLUME/rows.jsonl
coldpath put trades < $VOLUME/rows.jsonl
for try in $(seq 300); do coldpath flush --wait && break; sleep 0.1; done  # until it is there
grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb):' /proc/$recorder/status > $VOLUME/capabilities
coldpath status --json > $VOLUME/status.json
kill $recorder
wait $recorder
"""


def can_make_places():
    return os.geteuid() == 0 and all(map(shutil.which, ("unshare", "setpriv"))) and subprocess.run(
        ["unshare", "--mount", "sh", "-c", "mount -t tmpfs shm /dev/shm"], capture_output=True, check=False).returncode == 0


class Container(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-container-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.volume = self.work / "volume"
        self.volume.mkdir()
        self.config = {"namespace": "contained", "region": {"dir": "/dev/shm/coldpath"}, "clickhouse": {"url": self.server.url},
                       "wal": {"dir": str(self.volume / "wal"), "segment_size": "8MiB"}, "quarantine": {"dir": str(self.volume / "quarantine")},
                       "tables": {"quotes": {"ring_size": "8MiB"}, "trades": {"class": "critical", "wal_limit": "32MiB", "ring_size": "8MiB"}}}
        (self.volume / "rows.jsonl").write_text('{"symbol":"A"}\n' * ROWS)

    def inside(self, command, shm_size, codes=(0,)):
        (self.volume / "coldpath.yaml").write_text(json.dumps(self.config))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COLDPATH_")} | {
            "PATH": f"{build_dir() / 'bin'}:{os.environ['PATH']}", "COLDPATH_CONFIG": str(self.volume / "coldpath.yaml"), "SHM_SIZE": shm_size,
            "VOLUME": str(self.volume), "OUTSIDE": str(self.work), "INSIDE": command}
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", PLACE], env=environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)
        self.assertIn(done.returncode, codes, done.stdout + done.stderr)
        return done

    def test_records(self):
        said = self.inside(RECORD, "64m").stderr
        self.assertRegex(said, 'msg="stopped" .* clean=true')
        for name in ("quotes", "trades"):
            self.assertEqual(self.server.query(f"SELECT count() FROM contained.{name}").strip(), str(ROWS))
        status = json.loads((self.volume / "status.json").read_text())
        self.assertTrue(status["balanced"] and status["recorder"]["alive"], status)
        capabilities = (self.volume / "capabilities").read_text().split()[1::2]
        self.assertEqual((len(capabilities), set(capabilities)), (5, {"0" * 16}))
        self.assertEqual(list(self.work.iterdir()), [self.volume])

    def test_small_shared_memory(self):
        found = json.loads(self.inside("coldpath doctor --json", "8m", codes=(2,)).stdout)["checks"]
        room, = [check for check in found if check["check"] == "room" and "shared memory" in check["found"]]
        self.assertEqual(room["verdict"], "wrong")
        self.assertIn("--shm-size", room["remedy"])


if __name__ == "__main__":
    if not engine_present() or os.environ.get("COLDPATH_SANITIZE") or not can_make_places():
        print("skipped: the embedded engine is not there, or this may not mount")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
