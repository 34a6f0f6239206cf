"""The outbox's bad days: full, read-only, locked, corrupt. Clicks pass, and storing resumes by itself (design §6)."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import Answer, get
from tests.support.needs import need_mount
from tests.support.patience import SOON_S
from tests.support.processes import Host, free_port, start_sidecar
from tests.support.scenes import RULES, link_of, new_id, play, write_rules
from tests.support.standins import AdStack, AppsFlyer

PROBLEM = "can't be used, clicks pass"
JUNK = b"this was an outbox once " * 1000


class Place:
    """A folder for the outbox, and a way to break it and to mend it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Before the sidecar starts."""

    def spoil(self) -> None:
        raise NotImplementedError

    def mend(self) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        """After the sidecar has ended."""


class Mounted(Place):
    def prepare(self) -> None:
        self.folder.mkdir()
        need_mount(self.folder, "2m")

    def leave(self) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)


class Full(Mounted):
    def spoil(self) -> None:
        with suppress(OSError), (self.folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1024))

    def mend(self) -> None:
        (self.folder / "filler").unlink()


class ReadOnly(Mounted):
    """Read-only from the start: an open file would keep a mount writable."""

    def prepare(self) -> None:
        super().prepare()
        self.remount("ro")

    def spoil(self) -> None:
        pass

    def mend(self) -> None:
        self.remount("rw")


class Locked(Place):
    def spoil(self) -> None:
        self.other = sqlite3.connect(self.folder / "outbox.db", isolation_level=None)
        self.other.execute("BEGIN EXCLUSIVE")

    def mend(self) -> None:
        self.other.execute("ROLLBACK")
        self.other.close()


class Corrupt(Place):
    """Mends itself: the file is set aside."""

    def prepare(self) -> None:
        self.folder.mkdir()
        (self.folder / "outbox.db").write_bytes(JUNK)


PLACES = {"full": Full, "read-only": ReadOnly, "locked": Locked}
"""Faults that last until somebody mends them."""


@dataclass(slots=True)
class Sidecar:
    """A sidecar with its outbox in a place that may break."""

    host: Host
    admin: int
    ads: AdStack
    appsflyer: AppsFlyer
    place: Place

    async def click(self, click_id: str) -> Answer:
        return await get(self.host.port, self.ads.redirect(link_of(click_id)))


@dataclass(slots=True)
class End:
    """What is when the outbox can store again."""

    after: Answer
    arrived: str
    """Click id of the first S2S call that came."""
    wanted: str
    log: str
    place: Place


@dataclass(slots=True)
class Story:
    """What users and operators saw."""

    answers: list[Answer]
    """Clicks while nothing could be stored: the first while the fault was new."""
    ready: Answer
    """/readyz meanwhile."""
    strict: Answer
    """/readyz?strict meanwhile."""
    end: End


@asynccontextmanager
async def running(folder: Path, place: Place, ads: AdStack) -> AsyncIterator[Sidecar]:
    place.prepare()
    appsflyer = AppsFlyer()
    await appsflyer.start()
    admin = free_port()
    rules = write_rules(folder, RULES, appsflyer)
    options = ("--outbox", place.folder / "outbox.db", "--admin", f"127.0.0.1:{admin}")
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder, *options)
    try:
        yield Sidecar(host, admin, ads, appsflyer, place)
    finally:
        await host.process.stop()
        await appsflyer.stop()
        place.leave()


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=PLACES)
async def story(request, tmp_path_factory, ads) -> AsyncIterator[Story]:
    folder = tmp_path_factory.mktemp(request.param)
    place = PLACES[request.param](folder / "outbox")
    async with running(folder, place, ads) as sidecar:
        yield await _live(sidecar)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def corrupt(tmp_path_factory, ads) -> AsyncIterator[End]:
    folder = tmp_path_factory.mktemp("corrupt")
    async with running(folder, Corrupt(folder / "outbox"), ads) as sidecar:
        await sidecar.host.log.saw(PROBLEM)
        yield await _end(sidecar)


async def _live(sidecar: Sidecar) -> Story:
    if not isinstance(sidecar.place, ReadOnly):
        await _until_well(sidecar.admin)
    sidecar.place.spoil()
    first = await sidecar.click(new_id())
    await sidecar.host.log.saw(PROBLEM)
    ready, strict = await get(sidecar.admin, "/readyz"), await get(sidecar.admin, "/readyz?strict")
    others = [await _later(sidecar) for _ in range(20)]
    sidecar.place.mend()
    return Story([first, *others], ready, strict, await _end(sidecar))


async def _end(sidecar: Sidecar) -> End:
    await _until_well(sidecar.admin)
    wanted = new_id()
    after = await sidecar.click(wanted)
    arrived = dict((await sidecar.appsflyer.next_click()).params)["clickid"]
    return End(after, arrived, wanted, sidecar.host.log.text, sidecar.place)


async def _later(sidecar: Sidecar) -> Answer:
    """A click a moment later: all of them together outlast several looks at the outbox."""
    await asyncio.sleep(0.15)
    assert (await get(sidecar.admin, "/readyz?strict")).status == 503
    return await sidecar.click(new_id())


async def _until_well(admin: int) -> None:
    """Asks until nothing fails any more; a look at the outbox comes every second."""
    async with asyncio.timeout(SOON_S):
        while (await get(admin, "/readyz?strict")).status != 200:
            await asyncio.sleep(0.1)


@pytest.fixture
def end(story) -> End:
    return story.end


def test_clicks_pass(story):
    """While nothing can be stored, users get the original link."""
    assert ["https://app.appsflyer.com"] * 21 == [answer.location[:25] for answer in story.answers]


def test_readiness_names_the_outbox(story):
    """Users are answered, so that the host stays in service; the body says that it is the outbox."""
    assert (200, b"degraded: outbox: ") == (story.ready.status, story.ready.body[:18])


def test_strict_readiness_names_the_outbox(story):
    """For monitoring it is a fault."""
    assert (503, b"degraded: outbox: ") == (story.strict.status, story.strict.body[:18])


def test_the_log_says_it_once(end):
    """One line for the fault, however many clicks pass by it."""
    assert 1 == end.log.count(PROBLEM)


def test_storing_resumes_without_a_restart(end):
    """When the disk is back, clicks go direct again."""
    assert play(end.wanted) == end.after.location


def test_nothing_that_passed_was_sent(end):
    """The first S2S call that AppsFlyer sees is that of the first direct click."""
    assert end.wanted == end.arrived


def test_a_file_that_can_be_used_again_is_not_set_aside(end):
    """A full, read-only or locked place is no fault of the file: it is not taken for a corrupt one."""
    folder = end.place.folder

    assert (True, []) == ((folder / "outbox.db").exists(), list(folder.glob("outbox.db.corrupt-*")))


def test_a_corrupt_file_is_set_aside_whole(corrupt):
    """Nothing of it is deleted."""
    assert [JUNK] == [file.read_bytes() for file in corrupt.place.folder.glob("outbox.db.corrupt-*")]


def test_a_corrupt_file_is_logged_once(corrupt):
    """One line says that it could not be used."""
    assert 1 == corrupt.log.count(PROBLEM)


def test_clicks_go_direct_once_a_corrupt_file_is_set_aside(corrupt):
    """By itself, without a restart, and they are sent."""
    assert (play(corrupt.wanted), corrupt.wanted) == (corrupt.after.location, corrupt.arrived)
