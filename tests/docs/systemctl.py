#!/usr/bin/env python3
"""systemctl for a host without an init system: what it is asked is done with the installed units, below $UNIT_ROOT.

    enable [--now] UNIT        the real systemctl, --root=, where it is there
    start, stop, restart UNIT  the unit's ExecStart= line with the unit's type: a notify unit is started when it has said READY=1, a
                               oneshot one when it has ended; a timer's service runs as if its time had come. stop: SIGTERM, and its end
    edit UNIT                  $EDITOR on a drop-in

systemd-analyze verify has to be content with a unit before anything is done. What a unit says goes to $UNIT_ROOT/UNIT.log."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(os.environ["UNIT_ROOT"])
UNITS = "usr/lib/systemd/system"
REAL = shutil.which("systemctl", path="/usr/bin:/bin")
WAIT_SECONDS = 60


def fail(text):
    sys.exit(f"systemctl: {text}")


def verify(unit):
    if not shutil.which("systemd-analyze"):
        return
    done = subprocess.run(["systemd-analyze", f"--root={ROOT}", "verify", "--man=no", unit], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines()  # of what a whole system has besides: nothing
            if unit in line and not re.search(r"\.target not found|/bin/kill is not executable", line)]
    if said:
        fail("\n".join(said))


def setting(unit, name):
    """The last one that holds, drop-ins included."""
    value = None
    for path in (ROOT / UNITS / unit, ROOT / "etc/systemd/system" / f"{unit}.d" / "override.conf"):
        if path.exists():
            for found in re.findall(rf"^{name}=(.*)$", path.read_text(), re.M):
                value = found or None
    return value


def command(unit):
    moved = [(name.split("=")[0], name.split("=")[1]) for name in os.environ["UNIT_MOVED"].split(":")]
    words = setting(unit, "ExecStart").split()
    for at, word in enumerate(words):
        for path, there in moved:
            words[at] = words[at].replace(path, there)
        if word.startswith("/usr/"):
            words[at] = f"{ROOT}{word}"
    return words


def pid_file(unit):
    return ROOT / f"{unit}.pid"


def start(unit):
    if unit.endswith(".timer"):
        unit = unit.replace(".timer", ".service")
        verify(unit)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"\0coldpath-unit-{os.getpid()}"
    listener.bind(name)
    listener.settimeout(WAIT_SECONDS)
    with open(ROOT / f"{unit}.log", "ab") as log:
        started = subprocess.Popen(command(unit), env=os.environ | {"NOTIFY_SOCKET": "@" + name[1:]}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    kind = setting(unit, "Type")
    if kind == "oneshot":
        if started.wait(WAIT_SECONDS) != 0:
            fail(f"{unit} ended with {started.returncode}; see its log")
        return
    if kind == "notify":
        try:
            while not listener.recv(4096).startswith(b"READY=1"):
                pass
        except TimeoutError:
            fail(f"{unit} has not said that it is ready")
    pid_file(unit).write_text(str(started.pid))


def running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def stop(unit):
    if not pid_file(unit).exists():
        return
    pid = int(pid_file(unit).read_text())
    if running(pid):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + WAIT_SECONDS
    while running(pid):
        if time.monotonic() > deadline:
            fail(f"{unit} does not end")
        time.sleep(0.02)
    pid_file(unit).unlink()


def edit(unit):
    drop_in = ROOT / "etc/systemd/system" / f"{unit}.d" / "override.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([os.environ["EDITOR"], drop_in], check=True)
    verify(unit)


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    verb, units = words[0], [unit if "." in unit else f"{unit}.service" for unit in words[1:]]
    for unit in units:
        if not (ROOT / UNITS / unit).exists():
            fail(f"no unit {unit}")
        verify(unit)
        if verb == "enable":
            if REAL and subprocess.run([REAL, f"--root={ROOT}", "enable", unit], check=False).returncode != 0:
                fail(f"{unit} cannot be enabled")
            if "--now" in sys.argv:
                start(unit)
        elif verb in ("stop", "restart"):
            stop(unit)
        if verb in ("start", "restart"):
            start(unit)
        if verb == "edit":
            edit(unit)
        if verb not in ("enable", "stop", "restart", "start", "edit"):
            fail(f"{verb}: not here")


if __name__ == "__main__":
    main()
