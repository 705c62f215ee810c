"""Two namespaces, two users: each recorder and its producers work beside the other, and neither user can read, write, replace or
signal what is the other's: rings, control file, logs, password, processes. Also when everything is started under umask 0.

Needs root, to become two other users."""

import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOLPHIN, VIOLET, TRADING = 65534, 54321, 54322  # users, and a group that dolphin alone is in
TABLES = {"quotes": {"ring_size": "1MiB", "slots": 2, "flush": {"interval": "20ms"}},
          "trades": {"ring_size": "1MiB", "slots": 2, "class": "critical", "wal_limit": "64MiB", "flush": {"interval": "20ms"}}}


def trades(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "exch_ts": 1_700_000_000_000, "venue": "test",
                               "symbol": "A", "trade_id": n, "price": "1", "qty": "1", "buyer_is_maker": True}) + "\n"
                   for n in range(first, first + count)).encode()


class Namespace:
    """One namespace: its user, its files, its recorder."""

    def __init__(self, case, name, user, **region):
        self.case, self.name, self.user = case, name, user
        self.home = case.root / f"etc-{name}"
        self.home.mkdir(mode=0o755)
        self.secret = self.home / "password"
        self.secret.write_text(f"{name}-word\n")
        self.config = self.home / "coldpath.yaml"
        self.region = case.shm / name
        self.log_file = case.root / f"{name}.log"
        self.settings = {
            "namespace": name, "region": {"dir": str(case.shm)} | region, "wal": {"dir": str(case.wal), "segment_size": "8MiB"},
            "clickhouse": {"url": case.server.url, "user": "default", "password_file": str(self.secret), "database": name},
            "tables": TABLES}
        self.write()
        os.chown(self.secret, user, user)
        os.chmod(self.secret, 0o600)
        for directory in (case.shm / name, case.wal / name):  # their parents are root's
            directory.mkdir(mode=0o700)
            os.chown(directory, user, user)
        self.process = None

    def write(self):
        self.config.write_text(json.dumps(self.settings))

    def command(self, program, *args, user=None, groups=(), umask="077"):
        user = self.user if user is None else user
        groups = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
        return ["setpriv", "--reuid", str(user), "--regid", str(user), *groups, "sh", "-c", f'umask {umask}; exec "$@"', "sh",
                str(self.case.bin / program), *map(str, args)]

    def run(self, program, *args, check=False, **kwargs):
        popen = {key: kwargs.pop(key) for key in ("user", "groups", "umask") if key in kwargs}
        if "input" not in kwargs:
            kwargs["stdin"] = subprocess.DEVNULL
        done = subprocess.run(self.command(program, *args, **popen), capture_output=True, timeout=60, cwd="/", **kwargs)
        if check and done.returncode:
            raise AssertionError(f"{program} {args}: {done.returncode}\n{done.stderr.decode()}")
        return done

    def start(self, **kwargs):
        self.run("coldpath", "init", "--config", self.config, "--no-tables", check=True, **kwargs)
        said = self.log_file.read_text().count('msg="ready"') if self.log_file.exists() else 0
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.command("coldpathd", "--config", self.config, **kwargs), cwd="/",
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.case.addCleanup(self.stop)
        deadline = time.monotonic() + 30
        while self.log_file.read_text().count('msg="ready"') == said and time.monotonic() < deadline:
            self.case.assertIsNone(self.process.poll(), self.log_file.read_text())
            time.sleep(0.02)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def put(self, table="trades", **kwargs):
        return self.run("coldpath", "put", table, "--region", self.region, "--format", "JSONEachRow", "--timeout", "10s",
                        "--wait", input=trades(0, 100), **kwargs)

    def files(self):
        """Everything that is this namespace's alone."""
        log = self.case.wal / self.name
        return [self.secret, self.region, *sorted(self.region.rglob("*")), log, *sorted(log.rglob("*"))]


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Namespaces(unittest.TestCase):
    def setUp(self):
        # What other users can reach: the programs, and directories that are root's.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-namespaces-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        os.chmod(self.root, 0o755)
        self.bin = self.root / "bin"
        self.bin.mkdir(mode=0o755)
        for program in ("coldpath", "coldpathd"):
            shutil.copy(build_dir() / "bin" / program, self.bin)
        shutil.copytree(ROOT / "schema/ddl", self.root / "share/coldpath/ddl")
        for path in [self.root / "share", *(self.root / "share").rglob("*")]:
            os.chmod(path, 0o755)
        self.shm = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-test-", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, self.shm, ignore_errors=True)
        os.chmod(self.shm, 0o755)
        self.wal = self.root / "wal"
        self.wal.mkdir(mode=0o755)
        self.server = ChdbServer().start()
        self.addCleanup(self.server.stop)

    def make(self, name, user, **region):
        """A namespace, with its tables in ClickHouse; the server takes no password, so that any will do."""
        namespace = Namespace(self, name, user, **region)
        self.server.query(f"CREATE DATABASE {name}")
        for table in TABLES:
            self.server.query((ROOT / f"schema/ddl/{table}.sql").read_text(), database=name)
        namespace.settings["clickhouse"].pop("user")
        namespace.settings["clickhouse"].pop("password_file")
        namespace.write()
        return namespace

    def try_open(self, user, path, groups=()):
        """What user, in these groups, can do with path: "", or letters of r, w, d (remove or rename what is in its directory)."""
        script = ("import os,sys; p=sys.argv[1]; can=''\n"
                  "for letter, flag in (('r', os.O_RDONLY), ('w', os.O_WRONLY)):\n"
                  "    try: os.close(os.open(p, flag)); can += letter\n"
                  "    except IsADirectoryError: pass\n"
                  "    except PermissionError: pass\n"
                  "try: os.rename(p, p + '.moved'); can += 'd'\n"
                  "except PermissionError: pass\n"
                  "print(can)")
        groups = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
        done = subprocess.run(["setpriv", "--reuid", str(user), "--regid", str(user), *groups, "/usr/bin/python3", "-c", script, str(path)],
                              capture_output=True, cwd="/", timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode().strip()

    def assert_closed_to(self, user, namespace):
        paths = namespace.files()
        names = {path.name for path in paths}
        self.assertLessEqual({"control", "recorder.lock", "quotes.0.ring", "trades.1.ring", "password", "checkpoint"}, names)
        for path in paths:
            self.assertEqual(self.try_open(user, path), "", path)

    def assert_cannot_use(self, user, namespace):
        """The programs say so: a region that may not be looked at, a process that may not be signalled."""
        for args in (["put", "trades", "--region", namespace.region], ["status", "--region", namespace.region],
                     ["flush", "--region", namespace.region], ["reload", "--region", namespace.region],
                     ["wal", "ls", "--config", namespace.config]):
            done = namespace.run("coldpath", *args, user=user)
            self.assertEqual(done.returncode, 74, (args, done.stdout, done.stderr))
            self.assertIn(b"ermission denied", done.stderr)
        done = namespace.run("coldpathd", "--config", namespace.config, user=user)
        self.assertEqual(done.returncode, 74, done.stderr)
        self.assertIn(f"belongs to user {namespace.user}" if user == 0 else "ermission denied", done.stderr.decode())
        for secret in ("environ", "maps", "fd"):
            done = subprocess.run(["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "ls" if secret == "fd" else "cat",
                                   f"/proc/{namespace.process.pid}/{secret}"], capture_output=True, timeout=30)
            self.assertNotEqual(done.returncode, 0, secret)
        done = subprocess.run(["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "/usr/bin/python3", "-c",
                               f"import os; os.kill({namespace.process.pid}, 0)"], capture_output=True, timeout=30)
        self.assertIn(b"PermissionError" if user else b"", done.stderr)

    def account(self, namespace):
        return int(self.server.query(f"SELECT count() FROM {namespace.name}.trades"))

    def test_apart(self):
        dolphin, violet = self.make("dolphin", DOLPHIN), self.make("violet", VIOLET)
        for namespace in (dolphin, violet):
            namespace.start(umask="000")
        for one, other in ((dolphin, violet), (violet, dolphin)):
            self.assertEqual(one.put().returncode, 0)
            self.assert_closed_to(other.user, one)
            self.assert_cannot_use(other.user, one)
        self.assertEqual((self.account(dolphin), self.account(violet)), (100, 100))

    def test_modes_under_umask(self):
        """What is made has the modes it is to have, whatever the umask; and a changed region.mode reaches what is there."""
        for umask in ("000", "077"):
            name = f"dolphin{umask}"
            dolphin = self.make(name, DOLPHIN, mode="0660")
            dolphin.start(umask=umask)
            self.assertEqual(dolphin.put().returncode, 0)
            self.assertEqual(self.modes(dolphin), {"": 0o750, "control": 0o640, "errors": 0o640, "recorder.lock": 0o644, "recorder.socket": 0o600,
                                                    "replay.lock": 0o600, "ring": 0o660})
            dolphin.stop()
            dolphin.settings["region"]["mode"] = "0600"
            dolphin.write()
            dolphin.start(umask=umask)
            self.assertEqual(self.modes(dolphin), {"": 0o700, "control": 0o600, "errors": 0o600, "recorder.lock": 0o644, "recorder.socket": 0o600,
                                                    "replay.lock": 0o600, "ring": 0o600})
            for path in (self.wal / name).rglob("*"):
                self.assertEqual(path.stat().st_mode & 0o007, 0, path)
            self.assertEqual((self.wal / name).stat().st_mode & 0o777, 0o700)

    def modes(self, namespace):
        found = {"": stat.S_IMODE(namespace.region.stat().st_mode)}
        for path in namespace.region.iterdir():
            found["ring" if path.suffix == ".ring" else path.name] = stat.S_IMODE(path.stat().st_mode)
        return found

    def test_a_group_of_producers(self):
        """With mode 0660 and a group, its members put, and nobody else."""
        group = next((line.split(":") for line in pathlib.Path("/etc/group").read_text().splitlines()
                      if line.split(":")[2] not in ("0", str(DOLPHIN), str(VIOLET))), None)
        dolphin = self.make("dolphin", DOLPHIN, mode="0660", group=group[0])
        os.chown(dolphin.region, DOLPHIN, int(group[2]))
        with self.subTest("the recorder may give its files to its own groups only"):
            done = dolphin.run("coldpath", "init", "--config", dolphin.config, "--no-tables")
            self.assertNotEqual(done.returncode, 0)
        dolphin.start(groups=[group[2]], umask="000")
        producer = 54399
        self.assertEqual(dolphin.put(user=producer, groups=[group[2]]).returncode, 0)
        self.assertEqual(dolphin.put(user=VIOLET).returncode, 74)
        self.assertEqual(self.try_open(VIOLET, dolphin.region / "trades.0.ring"), "")
        self.assertEqual(self.account(dolphin), 100)
        # Nothing but its ring: who puts cannot pass for the recorder, nor reach its logs.
        logs = self.wal / dolphin.name
        for path, can in [(dolphin.region / "control", "r"), (dolphin.region / "errors", "r"), (dolphin.region / "recorder.lock", "r"),
                          (dolphin.region / "replay.lock", ""), (dolphin.region / "recorder.socket", ""),
                          (dolphin.region / "trades.0.ring", "rw"), (dolphin.region, "r"), (logs, ""), (logs / "trades/checkpoint", "")]:
            self.assertEqual(self.try_open(producer, path, [group[2]]), can, path)
        self.lock_held(dolphin, producer, group[2])

    def lock_held(self, dolphin, producer, group):
        """A producer may hold a read lock on the recorder's: the running one is not concerned; one that is then started names it."""
        script = ("import fcntl, os, struct, sys; fd = os.open(sys.argv[1], os.O_RDONLY)\n"
                  "try: fcntl.fcntl(fd, 37, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 1, 0))\n"  # F_OFD_SETLK
                  "except BlockingIOError: print('held', flush=True)\n"
                  "else: print('taken', flush=True)\n"
                  "sys.stdin.read()")

        def hold():
            process = subprocess.Popen(["setpriv", "--reuid", str(producer), "--regid", str(producer), "--groups", group, "/usr/bin/python3", "-c",
                                        script, str(dolphin.region / "recorder.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            return process, process.stdout.readline()

        def end(process):
            process.communicate(timeout=30)
        process, said = hold()
        self.assertEqual(said, b"held\n")  # the recorder has it
        end(process)
        self.assertEqual(dolphin.put(user=producer, groups=[group]).returncode, 0)
        dolphin.stop()
        process, said = hold()
        self.assertEqual(said, b"taken\n")
        done = dolphin.run("coldpathd", "--config", dolphin.config, groups=[group])
        self.assertEqual(done.returncode, 69, done.stderr)
        self.assertIn(b"another recorder runs", done.stderr)
        end(process)
        dolphin.start(groups=[group])
        self.assertEqual(dolphin.put(user=producer, groups=[group]).returncode, 0)

    def test_a_directory_of_somebody_else(self):
        """Whoever owns the directory could replace the control file: neither the recorder nor init works in it."""
        dolphin = self.make("dolphin", DOLPHIN)
        os.chown(dolphin.region, VIOLET, VIOLET)
        os.chmod(dolphin.region, 0o777)
        for user in (DOLPHIN, 0):
            done = dolphin.run("coldpath", "init", "--config", dolphin.config, "--no-tables", user=user)
            self.assertEqual(done.returncode, 74, done.stderr)
            self.assertIn(f"belongs to user {VIOLET}", done.stderr.decode())
        self.assertEqual(list(dolphin.region.iterdir()), [])
        os.chown(dolphin.region, 0, 0)
        done = dolphin.run("coldpath", "init", "--config", dolphin.config, "--no-tables")
        self.assertIn("everyone can replace files", done.stderr.decode())
        dolphin.region.rmdir()
        dolphin.region.symlink_to(self.root)
        self.assertNotEqual(dolphin.run("coldpath", "init", "--config", dolphin.config, "--no-tables", user=0).returncode, 0)


if __name__ == "__main__":
    if not engine_present() or os.geteuid() != 0:
        sys.exit(SKIP)
    unittest.main(verbosity=2)
