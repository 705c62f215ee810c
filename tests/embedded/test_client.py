"""Runs client.mjs, the vendor's own client @clickhouse/client, against coldpath-chdb.

The client is installed from tests/embedded/package-lock.json into the build tree, never into the source tree.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import chdb

HERE = pathlib.Path(__file__).resolve().parent


def install():
    """npm ci in <build>/npm-client, once per lock file; the directory with node_modules."""
    where = chdb.build_dir() / "npm-client"
    lock = (HERE / "package-lock.json").read_bytes()
    done = where / "installed"
    if not done.exists() or done.read_bytes() != lock:
        where.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, where)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=where, check=True)
        done.write_bytes(lock)
    shutil.copy(HERE / "client.mjs", where)  # Node looks for packages beside the file
    return where


def main():
    if not chdb.engine_present() or not shutil.which("node") or not shutil.which("npm"):
        print("skipped: the embedded engine, node or npm is not there")
        return chdb.SKIP
    where = install()
    with chdb.ChdbServer(user="writer", password="s3cret: ä") as server:
        env = os.environ | {"CHDB_URL": server.url, "CHDB_USER": server.user, "CHDB_PASSWORD": server.password}
        return subprocess.run(["node", where / "client.mjs"], env=env, timeout=120, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
