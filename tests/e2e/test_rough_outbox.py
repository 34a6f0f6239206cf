"""The outbox in rough weather: others read it, its disk is full, the holder of its lock is stopped.

`make reliability` plays it for minutes, the suite for seconds. The settings are the defaults but where it is said.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from storehop.deliver.sqlite.engine import MIN_WAL_BYTES
from tests.support.clients import Answer, get
from tests.support.load import until
from tests.support.needs import need_mount
from tests.support.patience import IS_LONG, SOON_S
from tests.support.processes import free_port, worker_pids
from tests.support.tally import Tally, milliseconds
from tests.support.weather import stage

MEGABYTE = 2**20
A_LOOK_BYTES = 16 * MEGABYTE
"""The log's size is looked at once a second, on a busy machine later: so much may come to it until then."""


# a reader from outside


@dataclass(slots=True)
class Read:
    """What a reader does that holds a transaction open, and what is when it has gone."""

    tally: Tally
    file_bytes: int
    log_bytes: int
    grown_bytes: int
    """By how much the log has grown while clicks passed."""
    meanwhile: Answer
    """/readyz?strict before it goes."""
    afterwards: Answer
    """/readyz?strict once storing has resumed."""
    healed: bool
    """Whether clicks went direct again, without a restart."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def read(tmp_path_factory, ads):
    """Somebody reads an outbox of 16 MB for as long as the log needs to grow to its bound, and longer."""
    folder, admin = tmp_path_factory.mktemp("read"), free_port()
    file, log = folder / "outbox.db", folder / "outbox.db-wal"
    options = ("--admin", f"127.0.0.1:{admin}")
    async with stage(folder, ads, *options, more=", max_outbox: 16MB") as scene, scene.playing(300 if IS_LONG else 50):
        await scene.more_direct(20)
        with reading(file):
            if not IS_LONG:
                await asyncio.to_thread(fill_log, file)
            await until(lambda: len(scene.clicks.passed) > 50, 3 * SOON_S)
            at_first = log.stat().st_size
            await asyncio.sleep(60 if IS_LONG else 2)
            sizes = (file.stat().st_size, log.stat().st_size, log.stat().st_size - at_first)
            meanwhile = await get(admin, "/readyz?strict")
        healed = await scene.more_direct(50)
        afterwards = await get(admin, "/readyz?strict")
        scene.load.stop()
        tally = await scene.tally()
    tally.report("a reader holds a transaction open on an outbox of 16 MB, until the log is full and longer")
    return Read(tally, *sizes, meanwhile, afterwards, healed)


@contextmanager
def reading(file: Path):
    """A transaction that sees the outbox as it is now, to its end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchone()
        yield


def fill_log(file: Path) -> None:
    """What minutes of load do, in a second: one row is written anew, until the log is as large as it may be."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=SOON_S)) as writer:
        for _ in range(MIN_WAL_BYTES // MEGABYTE + 1):
            writer.execute("INSERT OR REPLACE INTO marks (name, text) VALUES ('a test', ?)", ("x" * MEGABYTE,))
        writer.execute("DELETE FROM marks WHERE name = 'a test'")


def test_a_reader_loses_no_click(read):
    """Whatever passes meanwhile."""
    read.tally.assert_nothing_lost()


def test_a_reader_grows_neither_file_nor_log_without_end(read):
    """The file stays within max_outbox, the log within 64 MB and what comes between two looks at it."""
    assert read.file_bytes <= 16 * MEGABYTE
    assert read.log_bytes <= MIN_WAL_BYTES + A_LOOK_BYTES


def test_a_reader_grows_the_log_no_more_while_clicks_pass(read):
    """But for the verdicts on calls that were under way."""
    assert read.grown_bytes <= MEGABYTE


def test_readiness_says_that_somebody_reads(read):
    """While clicks pass because of it."""
    assert (503, True) == (read.meanwhile.status, b"a reader from outside holds it open" in read.meanwhile.body)


def test_it_heals_when_the_reader_has_gone(read):
    """Without a restart clicks go direct again, and /readyz?strict says so."""
    assert (True, 200) == (read.healed, read.afterwards.status)


# a full disk


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(tmp_path_factory, ads):
    """Two workers, an AppsFlyer that takes a second, and a disk that is full for longer than a lease."""
    folder, seconds = tmp_path_factory.mktemp("full"), 20 if IS_LONG else 8
    need_mount(folder, "12m")  # the write-ahead log grows to 4 MB before SQLite empties it
    try:
        async with stage(folder, ads, "--workers", "2") as scene:
            scene.appsflyer.fault = "slow"
            async with scene.playing(50):
                await scene.more_direct(100)
                with filled(folder):
                    await asyncio.sleep(seconds)
                await scene.more_direct(100)
            tally = await scene.tally()
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: ASYNC221  the scene is over
    tally.report(f"the disk is full for {seconds} s, two workers, an AppsFlyer that takes a second, 50 clicks a second")
    return tally


@contextmanager
def filled(folder: Path):
    """No room is left on its disk."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(1024))
    yield
    (folder / "filler").unlink()


def test_a_full_disk_loses_no_click(full):
    """Clicks pass while it is full."""
    full.assert_nothing_lost()
    assert full.clicks.passed


def test_a_full_disk_counts_no_click_twice(full):
    """Verdicts that it held up are written before anybody claims what lapsed meanwhile."""
    assert not full.doubled


# a worker that holds the lock, and is stopped


@dataclass(slots=True)
class Stopped:
    """What users of the other worker got meanwhile."""

    tally: Tally
    slowest_s: float
    passed: int


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stopped(tmp_path_factory, ads):
    """One of two workers is stopped in a moment in which it has the outbox's lock."""
    folder, seconds = tmp_path_factory.mktemp("stopped"), 8 if IS_LONG else 4
    async with stage(folder, ads, "--workers", "2") as scene:
        await until(lambda: len(re.findall(r"worker \d is ready", scene.host.log.text)) == 2, SOON_S)
        async with scene.playing(50, 8), _later(scene):  # so that both workers have users
            await scene.more_direct(25)
            pid = await stop_a_holder(worker_pids(scene.host), folder / "outbox.db-turn")
            try:
                passed, scene.clicks.slowest_s = len(scene.clicks.passed), 0.0
                await asyncio.sleep(seconds)
                passed, slowest_s = len(scene.clicks.passed) - passed, scene.clicks.slowest_s
            finally:
                os.kill(pid, signal.SIGCONT)
            await scene.more_direct(50)
        tally = await scene.tally()
    slowest = f"{milliseconds(tally.clicks.slowest_s)}; the other worker's {milliseconds(slowest_s)}"
    tally.report(f"a worker of two is stopped for {seconds} s while it has the outbox's lock", slowest)
    return Stopped(tally, slowest_s, passed)


@asynccontextmanager
async def _later(scene):
    """More users, when the first ones click: of a burst one worker may accept all."""
    await scene.more_direct(25)
    async with scene.playing(50, 8):
        yield


async def stop_a_holder(pids: list[int], lock: Path) -> int:
    """Stops one of these processes while it has the lock. Returns which."""
    async with asyncio.timeout(SOON_S):
        while True:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
                await until(lambda pid=pid: state_of(pid) == "T", SOON_S)
                if holds(pid, lock):
                    return pid
                os.kill(pid, signal.SIGCONT)
                await asyncio.sleep(0.01)


def state_of(pid: int) -> str:
    """A process's state, by its letter."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def holds(pid: int, lock: Path) -> bool:
    """Whether the process has the lock; who waits for it stands behind an arrow."""
    inode = lock.stat().st_ino
    return re.search(rf"^\d+: FLOCK .* {pid} \S+:{inode} ", Path("/proc/locks").read_text(), re.MULTILINE) is not None


def test_a_stopped_holder_of_the_lock_loses_no_click(stopped):
    """And all is as before when it goes on."""
    stopped.tally.assert_nothing_lost()


def test_a_stopped_holder_of_the_lock_counts_no_click_twice(stopped):
    """Its verdicts are written before anybody claims what lapsed meanwhile."""
    assert not stopped.tally.doubled


def test_a_stopped_holder_of_the_lock_holds_up_no_user_of_the_others(stopped):
    """Their clicks pass after a second, and then at once."""
    assert (True, True) == (stopped.passed > 0, stopped.slowest_s < 3)
