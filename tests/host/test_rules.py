"""Rules that are read again while clicks come in."""

from __future__ import annotations

import asyncio

import pytest

from storehop.host import rules as module
from storehop.host.rules import LiveRules
from storehop.rulefile.stamp import is_current

RULES = "version: 1\npartner: NetworkA\nrules: [{name: games, match: {}}]\n"
SOON = 60.0
"""Seconds in which whatever a test waits for has happened."""
ENOUGH = 3
"""Looks at the files in which whatever is wrong with looking shows."""


class Watched:
    """Live rules whose reading fails in our own code from now on."""

    def __init__(self, live, monkeypatch):
        self.live = live
        self.done = asyncio.Queue()
        self.reads = self.looks = 0
        monkeypatch.setattr(module, "INTERVAL", 0.01)
        monkeypatch.setattr(module, "read", self._read)
        monkeypatch.setattr(module, "is_current", self._look)

    def _read(self, _path):
        self.reads += 1
        raise ZeroDivisionError

    def _look(self, seen):
        self.looks += 1
        return is_current(seen)

    async def told(self):
        """What was made of the next change."""
        return await asyncio.wait_for(self.done.get(), SOON)

    async def looked(self):
        """Returns when the files have been looked at a few more times."""
        enough = self.looks + ENOUGH
        async with asyncio.timeout(SOON):
            while self.looks < enough:
                await asyncio.sleep(0.01)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
async def watched(file, monkeypatch):
    live = LiveRules.start(file)
    watched = Watched(live, monkeypatch)
    live.watch(watched.done.put_nowait)
    yield watched
    live.stop()


async def test_a_change_that_can_not_be_read_by_our_own_fault_is_told_of(file, watched):
    """It counts as a failed reload, and the last good rules stay."""
    before = watched.live.current
    file.write_text(RULES + "# changed\n")

    assert (None, before) == (await watched.told(), watched.live.current)


async def test_it_is_read_once_for_each_change(file, watched):
    """Not again every second."""
    file.write_text(RULES + "# changed\n")
    await watched.told()
    await watched.looked()

    assert watched.reads == 1


async def test_the_next_change_is_read(file, watched):
    """Nothing has to be started anew."""
    for number in range(2):
        file.write_text(f"{RULES}{'# changed' * number}\n")
        await watched.told()

    assert watched.reads == 2
