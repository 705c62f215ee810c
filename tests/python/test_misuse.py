"""What a program may do to a handle in the middle of a put, by Python code that a value or a key runs: change the row, fork, wait,
close; and what happens when the region's files are deleted, or the process changes its directory. Nothing of it may crash,
write where another process writes, or count a row as put that is not."""
import datetime
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

import coldpath


class Acts:
    """A whole number that does something when it is read."""

    def __init__(self, action):
        self.action = action

    def __index__(self):
        self.action()
        return 1


@pytest.fixture
def every(place):
    with coldpath.attach(place.path) as region, region.table("every") as table:
        yield table


def test_a_list_that_is_emptied_while_it_is_put(every):
    row = [Acts(lambda: row.clear())] + [bytes([i]) * 3 for i in range(len(every.columns) - 1)]
    with pytest.raises(RuntimeError, match="changed while it was read"):
        every.put_many([row])
    assert every.stats()["put"] == 0


def test_a_key_that_empties_the_row(every):
    class Key(str):
        def __hash__(self):
            row.clear()
            return str.__hash__(self)

        def __eq__(self, other):
            return str.__eq__(self, other)

    row = {}
    row[Key("text")] = "v" * 50
    with pytest.raises(RuntimeError, match="changed while it was read"):
        every.put(row)
    assert every.stats()["put"] == 0


def test_a_signal_handler_that_forks_in_the_middle_of_a_wait(every):
    every.put({"i8": 1})
    children = []
    before = signal.signal(signal.SIGALRM, lambda *_: children.append(os.fork()))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        answer = every.wait_delivered(1)
        while not children:  # the host was slow
            answer = every.wait_delivered(0.1)
    finally:
        if children == [0]:
            os._exit(0 if answer is True and every.stats()["attached"] is False else 1)
        signal.signal(signal.SIGALRM, before)
    assert answer is False
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0, "in the child nothing had been put"


@pytest.mark.parametrize("shared", [False, True])
def test_fork_in_the_middle_of_a_row(place, shared):
    """The parent's row goes on and is put; the child's is not, and the child can put others."""
    table = coldpath.attach(place.path).table("every", shared=shared)
    children = []
    try:
        put = table.put({"text": "a" * 100, "i8": Acts(lambda: children.append(os.fork())), "low": "b" * 100, "i16": 5})
    except RuntimeError as error:
        put = error
    if children == [0]:
        good = isinstance(put, RuntimeError) and "in the child the row is not put" in str(put) and table.put({"i8": 2})
        os._exit(0 if good and table.stats()["slot"] == 1 and table.stats()["rows"] == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert put is True and table.stats()["rows"] == 1
    table.close()
    assert place.rows("every") == 2


def test_wait_in_the_middle_of_a_row(place):
    """The wait finds that the region was replaced; the row under construction stays where it is."""
    table = coldpath.attach(place.path).table("every")
    table.put({})

    def wait():
        place.settings["tables"]["trades"] = {}
        place.init()
        table.wait_delivered(0.1)

    with pytest.raises(coldpath.Error, match="was replaced"):
        table.put({"i8": Acts(wait)})
    assert table.put({"i8": 1}) and place.rows("every") == 2 == table.stats()["put"]


def test_closed_while_another_thread_waits(place):
    table = coldpath.attach(place.path).table("needed", shared=True)
    table.put({"at": 1})
    ends = []

    def wait():
        try:
            ends.append(table.wait_delivered(60))
        except coldpath.ClosedError as error:
            ends.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.05)
    table.close()
    place.settings["tables"]["trades"] = {}
    place.init()
    waiter.join()
    assert isinstance(ends[0], coldpath.ClosedError)
    with pytest.raises(coldpath.ClosedError):
        table.put({"at": 1})


def test_region_that_was_deleted(place):
    """Rows put into files that nobody has any more are lost, but not more than a ring's."""
    table = coldpath.attach(place.path).table("needed")
    table.put({"at": 0})
    shutil.rmtree(place.path)
    with pytest.raises(coldpath.Error, match="no longer followed"):
        table.wait_delivered(60)
    assert table.put({"at": 0}) is False
    while table.put({"at": 0}):
        pass
    place.init()
    deadline = time.monotonic() + 30
    while not table.put({"at": 1}):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert place.rows("needed") == 1


def test_region_that_was_deleted_while_nobody_waits(place):
    table = coldpath.attach(place.path).table("needed")
    shutil.rmtree(place.path)
    place.init()
    deadline = time.monotonic() + 30
    epoch = table.stats()["epoch"]
    while table.stats()["epoch"] == epoch:
        assert time.monotonic() < deadline
        table.put({"at": 1})
    assert place.rows("needed") == 1 == table.stats()["rows"]


def test_a_relative_path_is_kept(place, monkeypatch):
    monkeypatch.chdir(place.work)
    region = coldpath.attach("region/test")
    monkeypatch.chdir("/")
    assert region.table("needed").put({"at": 1})


def test_sub_interpreter_is_refused(place):
    code = f"""
import sys, _xxsubinterpreters as interpreters
other = interpreters.create()
interpreters.run_string(other, "import sys; sys.path = {sys.path!r}\\nimport coldpath\\ncoldpath.attach({place.path!r})")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "No module named '_xxsubinterpreters'" in done.stderr:
        pytest.skip("this Python has none")
    assert done.returncode == 1 and ("main interpreter" in done.stderr or "subinterpreters" in done.stderr), done.stderr


@pytest.mark.parametrize("count", [-1, 1000, 10**30])
def test_a_datetime_with_a_nanosecond_that_is_none(every, count):
    odd = type("Odd", (datetime.datetime,), {"nanosecond": count})(2026, 1, 1)
    with pytest.raises((coldpath.ColumnValueError, OverflowError), match="nanosecond|too large"):
        every.put({"at9": odd})
    assert every.stats()["put"] == 0
