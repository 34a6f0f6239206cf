"""The outbox's bad days: full, read-only, locked, corrupt. Clicks pass, and storing resumes by itself (design §6)."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from tests.support.clients import Answer, get
from tests.support.needs import need_mount
from tests.support.patience import SOON_S
from tests.support.processes import Host, free_port, start_sidecar
from tests.support.scenes import RULES, link_of, new_id, play, write_rules
from tests.support.standins import AppsFlyer

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

    def spoil(self) -> None:
        pass

    def mend(self) -> None:
        pass


PLACES = {"full": Full, "read-only": ReadOnly, "locked": Locked, "corrupt": Corrupt}


@dataclass(slots=True)
class Story:
    """What users and operators saw."""

    first: Answer | None
    """A click while the fault was new."""
    others: list[Answer]
    """Clicks while the fault was known."""
    ready: Answer
    ready_after: Answer
    after: Answer
    arrived: str
    """Click id of the one S2S call that came after the outbox was mended."""
    wanted: str
    log: str
    place: Place


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=PLACES)
async def story(request, tmp_path_factory, ads) -> AsyncIterator[Story]:
    folder = tmp_path_factory.mktemp(request.param)
    place = PLACES[request.param](folder / "outbox")
    place.prepare()
    appsflyer = AppsFlyer()
    await appsflyer.start()
    admin = free_port()
    rules = write_rules(folder, RULES, appsflyer)
    options = ("--outbox", place.folder / "outbox.db", "--admin", f"127.0.0.1:{admin}")
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder, *options)
    try:
        yield await _live(host, admin, ads, appsflyer, place)
    finally:
        await host.process.stop()
        await appsflyer.stop()
        place.leave()


async def _live(host: Host, admin: int, ads, appsflyer: AppsFlyer, place: Place) -> Story:
    async def click(click_id: str) -> Answer:
        return await get(host.port, ads.redirect(link_of(click_id)))

    is_corrupt = isinstance(place, Corrupt)
    if isinstance(place, Full | Locked):
        await _ready(admin, lambda ready: ready.status == 200)
    place.spoil()
    first = None if is_corrupt else await click(new_id())
    await host.log.saw(PROBLEM)
    ready = await get(admin, "/readyz")
    others = [] if is_corrupt else [await _later(admin, click) for _ in range(20)]
    place.mend()
    ready_after = await _ready(admin, lambda ready: ready.status == 200)
    wanted = new_id()
    after = await click(wanted)
    arrived = dict((await appsflyer.next_click()).params)["clickid"]
    return Story(first, others, ready, ready_after, after, arrived, wanted, host.log.text, place)


async def _later(admin: int, click: Callable[[str], Awaitable[Answer]]) -> Answer:
    """A click a moment later: all of them together outlast several looks at the outbox."""
    await asyncio.sleep(0.15)
    assert (await get(admin, "/readyz")).status == 503
    return await click(new_id())


async def _ready(admin: int, holds: Callable[[Answer], bool]) -> Answer:
    """Asks /readyz until the answer is the wanted one; a look at the outbox comes every second."""
    async with asyncio.timeout(SOON_S):
        while not holds(answer := await get(admin, "/readyz")):
            await asyncio.sleep(0.1)
    return answer


def test_clicks_pass(story):
    """While nothing can be stored, users get the original link."""
    answers = [answer for answer in (story.first, *story.others) if answer]

    assert ["https://app.appsflyer.com"] * len(answers) == [answer.location[:25] for answer in answers]


def test_readiness_names_the_outbox(story):
    """/readyz is 503 and says that it is the outbox, unless the fault was over at once."""
    if story.ready.status == 200:
        assert isinstance(story.place, Corrupt)
    else:
        assert (503, b"outbox: ") == (story.ready.status, story.ready.body[:8])


def test_the_log_says_it_once(story):
    """One line for the fault, however many clicks pass by it."""
    assert story.log.count(PROBLEM) == 1


def test_storing_resumes_without_a_restart(story):
    """When the disk is back, clicks go direct again."""
    assert play(story.wanted) == story.after.location


def test_nothing_that_passed_was_sent(story):
    """The first S2S call that AppsFlyer sees is that of the first direct click."""
    assert story.wanted == story.arrived


def test_nothing_is_deleted(story):
    """A corrupt file is set aside whole."""
    asides = [file.read_bytes() for file in story.place.folder.glob("outbox.db.corrupt-*")]

    assert ([JUNK] if isinstance(story.place, Corrupt) else []) == asides
