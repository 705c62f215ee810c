"""A host for the documents' commands: a clone with a build, /etc/coldpath, /var/lib/coldpath and /dev/shm/coldpath, each below a
directory of the test's own; a shell that runs commands there, and keeps those that go on in the background by their ids."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from documents import SOURCE, all_commands
from tests.support.chdb import build_dir, engine_library

WAIT_SECONDS = 120


class Background:
    """A program that goes on until it is stopped; what it says is in a file."""

    def __init__(self, command, log, **options):
        self.log = log
        with open(log, "ab") as output:
            # exec: the shell's process is the program's.
            self.process = subprocess.Popen(["bash", "-c", f"exec env {command}"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)

    def wait_said(self, pattern):
        found = wait_until(lambda: re.search(pattern, self.said()) or self.process.poll() is not None, f"{pattern} in {self.log}")
        if found is True:
            raise AssertionError(f"it ended with {self.process.returncode}\n{self.said()}")
        return found

    def said(self):
        return self.log.read_text(errors="replace")

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)


def wait_until(condition, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"in vain, for {WAIT_SECONDS} s: {what}")


class Host:
    """executed: what of the documents was run here."""

    def __init__(self, build=None, root=""):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-docs-"))
        self.work.chmod(0o755)  # also for other users that commands are run as
        self.shm = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-docs-", dir="/dev/shm"))
        self.shm.chmod(0o755)
        self.there = self.work / "clone"
        shutil.copytree(SOURCE, self.there, symlinks=True, ignore=shutil.ignore_patterns("build", "build-*", ".git", "__pycache__", ".cache"))
        if build:
            (self.there / "build").symlink_to(build)
        self.moved = {"/dev/shm/coldpath": f"{self.shm}/coldpath", "/etc/coldpath": f"{self.work}{root}/etc/coldpath",
                      "/var/lib/coldpath": f"{self.work}/lib/coldpath"}
        self.bin = self.work / "bin"  # what stands before the host's own programs
        self.bin.mkdir()
        self.program("python3", f'#!/bin/sh\nexec {sys.executable} -B "$@"\n')
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("COLDPATH_")} | {
            "PATH": f"{self.bin}:{build_dir() / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1",
            "COLDPATH_REGION_DIR": self.moved["/dev/shm/coldpath"], "COLDPATH_CONFIG": f"{self.path('/etc/coldpath')}/coldpath.yaml"}
        if engine_library():
            self.environment["COLDPATH_CHDB_LIB"] = engine_library()
        self.running = []
        self.executed = set()
        self.documented = {}  # command: the documents that have it
        for command in all_commands():
            self.documented.setdefault(command.text, set()).add(command.document)

    def note(self, command, more="", swap=None):
        """That a documented command is executed; it as it is run: with what stands for something replaced, and options added."""
        if command not in self.documented:
            raise AssertionError(f"no document has: {command}")
        self.executed.add(command)
        for old, new in (swap or {}).items():
            if old not in command:
                raise AssertionError(f"no {old} in: {command}")
            command = command.replace(old, new)
        return f"{command} {more}".rstrip()

    def run(self, command, more="", swap=None, codes=(0,), said="", **variables):
        """Runs a documented command to its end: with one of these exit codes, and saying so. Its standard output."""
        done = self.shell(self.note(command, more, swap), codes, **variables)
        if said and not re.search(said, done.stdout + done.stderr):
            raise AssertionError(f"{command}: not {said!r}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def start(self, command, more="", swap=None, said=None, **variables):
        """Starts a documented command that goes on; waits until it has said so."""
        started = self.background(self.note(command, more, swap), **variables)
        if said:
            started.wait_said(said)
        return started

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def path(self, name):
        return self.moved[name]

    def here(self, text):
        """A command with this host's directories."""
        for path, moved in self.moved.items():
            text = text.replace(path, moved)
        return text

    def shell(self, command, codes=(0,), **variables):
        done = subprocess.run(["bash", "-euc", self.here(command)], cwd=self.there, env=self.environment | variables, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
        if done.returncode not in codes:
            raise AssertionError(f"{command}: exit {done.returncode}, not {codes}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def background(self, command, **variables):
        started = Background(self.here(command), self.work / f"background-{len(self.running)}.log", cwd=self.there,
                             env=self.environment | variables)
        self.running.append(started)
        return started

    def remove(self):
        for started in self.running:
            if started.process.poll() is None:
                started.process.kill()
                started.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.shm, ignore_errors=True)
