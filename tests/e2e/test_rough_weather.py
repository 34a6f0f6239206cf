"""Scenes in which nothing is broken for good: connections that close, answers that fail, disks and locks that are busy.

`make reliability` plays them for minutes (STOREHOP_LONG=1), the suite for seconds; the settings are the defaults.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest_asyncio

from tests.support.clients import get
from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Clicks, Load, pending, report, to_appsflyer, until
from tests.support.needs import need_mount
from tests.support.patience import SOON_S
from tests.support.processes import start_sidecar

IS_LONG = os.environ.get("STOREHOP_LONG") == "1"
RULES = """
version: 1
partner: NetworkA
delivery: {{endpoint: "http://127.0.0.1:{port}"{more}}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


@dataclass(slots=True)
class Scene:
    """What users got, and what AppsFlyer."""

    clicks: Clicks
    appsflyer: FaultyAppsFlyer
    pending: int
    dead: int
    log: str

    @property
    def lost(self) -> set[str]:
        """Sent to the store, and never counted."""
        return self.clicks.direct - set(self.appsflyer.accepted)

    @property
    def ghosts(self) -> set[str]:
        """Passed, and sent all the same."""
        return self.clicks.passed & set(self.appsflyer.accepted)

    @property
    def twice(self) -> int:
        return sum(times - 1 for times in self.appsflyer.accepted.values())


@asynccontextmanager
async def stage(folder, ads, *extra, more=""):
    """A sidecar with an AppsFlyer and a load of its own: (host, appsflyer, load, end)."""
    appsflyer = FaultyAppsFlyer()
    await appsflyer.start()
    rules = folder.parent / f"{folder.name}.yaml"
    rules.write_text(RULES.format(port=appsflyer.port, more=more))
    ads.routes["*"] = to_appsflyer
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder, *extra)
    load = Load(f"{folder.name}-")
    try:
        yield host, appsflyer, load
    finally:
        await host.process.stop()
        await appsflyer.stop()


async def play(host, load, seconds, rate, connections=8):
    """So many clicks a second, for so long."""
    running = asyncio.create_task(load.run(host.port, connections=connections, rate=rate))
    await asyncio.sleep(seconds)
    load.stop()
    await running


async def curtain(what, folder, host, appsflyer, load, faults):
    """Waits until all is delivered, and reports."""
    appsflyer.fault = None
    await until(lambda: pending(folder) == 0, 2 * SOON_S)
    scene = Scene(load.clicks, appsflyer, pending(folder), pending(folder, dead=True), host.log.text)
    report(
        what,
        clicks=load.clicks.answered,
        faults=faults,
        direct=len(load.clicks.direct),
        lost=len(scene.lost),
        twice=scene.twice,
        dead=scene.dead,
        passed=len(load.clicks.passed),
        slowest=f"{load.clicks.slowest * 1000:.0f}ms",
    )
    return scene


def assert_nothing_lost(scene):
    """No click is lost, none is sent that passed, none is dead; and users saw no error."""
    assert (set(), set(), 0, 0) == (scene.lost, scene.ghosts, scene.pending, scene.dead)
    assert ([], set()) == (scene.clicks.wrong, scene.clicks.cut)


# connections


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["rst", "fin"])
async def stale(request, tmp_path_factory, ads):
    """AppsFlyer closes every kept connection in the moment in which it is used again."""
    folder = tmp_path_factory.mktemp(f"stale-{request.param}")
    async with stage(folder, ads) as (host, appsflyer, load):
        appsflyer.fault = request.param
        await play(host, load, 60 if IS_LONG else 4, 100)
        return await curtain(f"kept connections close ({request.param})", folder, host, appsflyer, load, "each of them")


def test_connections_that_close_lose_no_click(stale):
    """Each call goes over a fresh one at once."""
    assert_nothing_lost(stale)


def test_connections_that_close_let_no_click_pass(stale):
    """They are no sign that AppsFlyer is down."""
    assert set() == stale.clicks.passed


def test_connections_that_close_count_no_click_twice(stale):
    """The server had not read it."""
    assert stale.twice == 0


# answers, a tenth of them 503


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def flaky(tmp_path_factory, ads):
    """A steady tenth of the answers is 503."""
    folder = tmp_path_factory.mktemp("flaky")
    async with stage(folder, ads) as (host, appsflyer, load):
        appsflyer.fault = "flaky"
        await play(host, load, 180 if IS_LONG else 8, 500 if IS_LONG else 100, 16)
        return await curtain("a tenth of the answers is 503", folder, host, appsflyer, load, "10 % of the answers")


def test_a_flaky_appsflyer_loses_no_click(flaky):
    """Nothing dies of old age: what failed is sent again when it is time, and is not paced as a recovery is."""
    assert_nothing_lost(flaky)


def test_a_flaky_appsflyer_lets_no_click_pass(flaky):
    """What is accepted can be sent in time, retries counted in."""
    assert set() == flaky.clicks.passed


# a reader from outside


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def read_by_others(tmp_path_factory, ads):
    """Somebody holds a transaction open on the outbox, in the long form for as long as the log grows to its bound."""
    folder = tmp_path_factory.mktemp("reader")
    async with stage(folder, ads, more=", max_outbox: 16MB") as (host, appsflyer, load):
        await get(host.port, "/com.example.game?pid=x&clickid=first")
        reader = sqlite3.connect(folder / "outbox.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchall()
        await play(host, load, 150 if IS_LONG else 4, 300 if IS_LONG else 50, 16)
        largest = (folder / "outbox.db-wal").stat().st_size
        reader.close()
        healing = Load("healed-")
        await until(lambda: (folder / "outbox.db-wal").stat().st_size < 64 * 2**20, SOON_S)
        await play(host, healing, 3, 20)
        load.clicks.direct |= healing.clicks.direct
        scene = await curtain("a reader holds the outbox open", folder, host, appsflyer, load, "1 reader")
    return scene, largest, healing


def test_a_reader_loses_no_click(read_by_others):
    """Whatever passes meanwhile."""
    assert_nothing_lost(read_by_others[0])


def test_a_reader_can_not_grow_the_log_without_end(read_by_others):
    """The write-ahead log stays within its bound, and a second's commits."""
    assert read_by_others[1] < 80 * 2**20


def test_it_heals_when_the_reader_goes(read_by_others):
    """Without a restart clicks go direct again."""
    assert read_by_others[2].clicks.direct


# disks and locks


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full_for_long(tmp_path_factory, ads):
    """Two workers, an AppsFlyer that takes a second, and a disk that is full for longer than a lease."""
    folder = tmp_path_factory.mktemp("full-for-long")
    need_mount(folder, "16m")
    try:
        async with stage(folder, ads, "--workers", "2") as (host, appsflyer, load):
            appsflyer.fault = "slow"
            running = asyncio.create_task(load.run(host.port, connections=8, rate=50))
            await until(lambda: len(load.clicks.direct) > 100, SOON_S)
            with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(1024))
            await asyncio.sleep(20 if IS_LONG else 9)
            (folder / "filler").unlink()
            answered = load.clicks.answered
            await until(lambda: load.clicks.answered > answered + 100, SOON_S)
            load.stop()
            await running
            return await curtain("the disk is full, two workers", folder, host, appsflyer, load, "1 full disk")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: ASYNC221  the scene is over


def test_a_full_disk_loses_no_click(full_for_long):
    """Clicks pass while it is full."""
    assert_nothing_lost(full_for_long)
    assert full_for_long.clicks.passed


def test_a_full_disk_counts_no_click_twice(full_for_long):
    """Verdicts that it held up are written before anybody claims what lapsed meanwhile."""
    assert full_for_long.twice == 0


HOLDS = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stopped_holder(tmp_path_factory, ads):
    """A process has the outbox's lock, and is stopped."""
    folder = tmp_path_factory.mktemp("stopped-holder")
    async with stage(folder, ads) as (host, appsflyer, load):
        running = asyncio.create_task(load.run(host.port, connections=4, rate=50))
        await until(lambda: len(load.clicks.direct) > 50, SOON_S)
        holder = subprocess.Popen(  # noqa: ASYNC220  it starts at once
            [sys.executable, "-c", HOLDS, folder / "outbox.db-turn"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with holder:
            await asyncio.to_thread(holder.stdout.readline)
            holder.send_signal(signal.SIGSTOP)
            await asyncio.sleep(8 if IS_LONG else 4)
            holder.kill()
        direct = len(load.clicks.direct)
        await until(lambda: len(load.clicks.direct) > direct + 20, SOON_S)
        load.stop()
        await running
        return await curtain("the lock's holder is stopped", folder, host, appsflyer, load, "1 stopped process")


def test_a_stopped_holder_of_the_lock_loses_no_click(stopped_holder):
    """And it heals when that one is gone."""
    assert_nothing_lost(stopped_holder)
    assert stopped_holder.clicks.passed


def test_a_stopped_holder_of_the_lock_holds_no_user_up(stopped_holder):
    """Clicks pass after a second, and then at once."""
    assert stopped_holder.clicks.slowest < 3
