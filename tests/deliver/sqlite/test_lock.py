"""Whose turn it is: in order, and never without a limit."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from storehop.deliver.engine import EngineError
from storehop.deliver.sqlite import lock as module
from storehop.deliver.sqlite.lock import WriteLock

SOON_S = 60.0
HOLDS = """
import sys, time
from pathlib import Path
from storehop.deliver.sqlite.lock import WriteLock
lock = WriteLock(Path(sys.argv[1]))
with lock:
    print("held", flush=True)
    sys.stdin.readline()
"""
BUSY = """
import sys, time
from pathlib import Path
from storehop.deliver.sqlite.lock import WriteLock
lock, longest, end = WriteLock(Path(sys.argv[1])), 0.0, time.monotonic() + 3
while time.monotonic() < end:
    begin = time.monotonic()
    with lock:
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.005)
print(longest)
"""


@pytest.fixture
def lock(path):
    made = WriteLock(path)
    yield made
    made.close()


@pytest.fixture
def holder(path):
    """Another process, which has the lock until it is told to go on."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child.stdout.readline()
    with child:
        yield child
        child.send_signal(signal.SIGCONT)
        child.kill()


def is_free(path):
    """Whether somebody else could have it now."""
    file = os.open(f"{path}-turn", os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(file)


def test_it_is_held_and_let_go(path, lock):
    """Others have it before and after."""
    with lock:
        inside = is_free(path)

    assert (False, True) == (inside, is_free(path))


@pytest.mark.process
def test_nobody_waits_without_a_limit(holder, lock, monkeypatch):
    """A holder that is stopped keeps the lock: others hear so within the patience."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    holder.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    with pytest.raises(EngineError, match="another process has held its lock"), lock:
        pass

    assert time.monotonic() - begin < SOON_S / 2


@pytest.mark.process
def test_it_heals_when_the_holder_goes_on(holder, lock, monkeypatch):
    """Whoever gave up keeps its place in the queue."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    with pytest.raises(EngineError), lock:
        pass
    monkeypatch.setattr(module, "PATIENCE_S", SOON_S)
    holder.communicate("\n", timeout=SOON_S)
    with lock:
        pass


@pytest.mark.process
def test_a_turn_that_nobody_wants_any_more_goes_on_at_once(path, holder, lock, monkeypatch):
    """Else it would hold up everybody until this process asks again."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    with pytest.raises(EngineError), lock:
        pass
    waiter = lock._waiter
    holder.communicate("\n", timeout=SOON_S)
    end = time.monotonic() + SOON_S
    while not waiter.has_ended and time.monotonic() < end:
        time.sleep(0.01)

    assert is_free(path)


@pytest.mark.process
def test_of_two_busy_processes_none_starves(path):
    """Each has its turn within the patience, however often the other asks."""
    children = [
        subprocess.Popen([sys.executable, "-c", BUSY, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    longest = [float(child.communicate(timeout=SOON_S)[0]) for child in children]

    assert max(longest) < module.PATIENCE_S


def test_no_thread_is_started_where_the_lock_is_free(lock):
    """The usual way costs one system call."""
    before = threading.active_count()
    with lock:
        during = threading.active_count()

    assert before == during


def replace_flock(monkeypatch, flock):
    """The module's own flock is this one; the tests keep the real one."""
    monkeypatch.setattr(module, "fcntl", SimpleNamespace(**{**vars(fcntl), "flock": flock}))


def is_waiter():
    return threading.current_thread().name == "storehop lock"


def test_a_lock_that_can_not_be_had_is_a_fault_of_the_engine(lock, monkeypatch):
    """As on a network file system: verdicts stay in mind until it is over."""

    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as broken:
        replace_flock(broken, fail)
        with pytest.raises(EngineError, match="its lock can't be had: No locks available"), lock:
            pass
    with lock:
        pass


def test_a_lack_of_threads_is_a_fault_of_the_engine(path, lock, monkeypatch):
    """Nobody can wait then."""

    def fail(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    other = WriteLock(path)
    with lock, pytest.raises(EngineError, match="can't start new thread"), other:
        pass
    other.close()


def test_a_wait_that_fails_takes_no_lock(path, lock, monkeypatch):
    """Whoever waited hears so, and may ask again."""

    def fail_in_waiter(file, how):
        if is_waiter():
            raise OSError(errno.EIO, "Input/output error")
        fcntl.flock(file, how)

    replace_flock(monkeypatch, fail_in_waiter)
    other = WriteLock(path)
    with lock, pytest.raises(EngineError, match="Input/output error"), other:
        pass
    with other:
        pass
    other.close()


def test_a_turn_that_nobody_wanted_takes_no_lock_away(path, lock, monkeypatch):
    """Its end is seen when it has let go: one file has one lock, whoever of the process takes it."""
    letting_go, go_on = threading.Event(), threading.Event()

    def slowly_let_go(file, how):
        if is_waiter() and how == fcntl.LOCK_UN:
            letting_go.set()
            go_on.wait(SOON_S)
        fcntl.flock(file, how)

    replace_flock(monkeypatch, slowly_let_go)
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    other = WriteLock(path)
    with lock, pytest.raises(EngineError), other:
        pass
    letting_go.wait(SOON_S)
    seen_too_early = other._waiter.has_ended
    go_on.set()
    monkeypatch.setattr(module, "PATIENCE_S", SOON_S)
    with other:
        assert (False, False) == (seen_too_early, is_free(path))
    other.close()
