"""Who may have a connection to the upstream: the rule, without a socket."""

import asyncio
from contextlib import suppress

import pytest

from storehop.host import places
from storehop.host.places import Places, Share
from tests.support.patience import SOON_S


class Streams:
    """Connections of one client that are wanted, each until it is let go."""

    def __init__(self, all_places, wanted):
        self.share = Share(all_places)
        self.have = 0
        self._ends = [asyncio.Event() for _ in range(wanted)]
        self.tasks = [asyncio.create_task(self._have(end)) for end in self._ends]

    async def _have(self, end):
        async with self.share:
            self.have += 1
            await end.wait()
        self.have -= 1

    def end(self, number):
        self._ends[number].set()

    async def finish(self):
        for end in self._ends:
            end.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def settle():
    """All that can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_extras_take_half_of_the_files_at_the_most():
    """Others wait, and the next client has its one all the same."""
    all_places = Places(lambda: 2, 20)
    greedy, late = Streams(all_places, 30), Streams(all_places, 3)
    await settle()
    had = greedy.have, late.have
    await asyncio.gather(greedy.finish(), late.finish())

    assert (11, 1) == had


@pytest.mark.parametrize(("clients", "expected"), [(1, 11), (9, 3), (10, 1), (12, 1)])
async def test_clients_come_before_extras(clients, expected):
    """Each client that is in may need two files."""
    streams = Streams(Places(lambda: clients, 20), 15)
    await settle()
    had = streams.have
    await streams.finish()

    assert expected == had


@pytest.mark.parametrize(("coming", "expected"), [(1, True), (7, True), (8, False)])
async def test_extras_leave_no_room_for_clients(coming, expected):
    """Here are 20 files, one client with its own two, and three extras."""
    all_places = Places(lambda: 1, 20)
    streams = Streams(all_places, 4)
    await settle()
    has_room = all_places.has_room(coming)
    await streams.finish()

    assert expected == has_room


async def test_a_place_that_is_free_goes_to_who_waited_longest():
    """Whoever's stream that is."""
    all_places = Places(lambda: 2, 8)
    first, second = Streams(all_places, 6), Streams(all_places, 2)
    await settle()
    had = first.have, second.have
    for number in range(2):
        first.end(number)
    await settle()
    then = first.have, second.have
    await asyncio.gather(first.finish(), second.finish())

    assert ((5, 1), (4, 2)) == (had, then)


async def test_a_client_gets_its_own_place_again():
    """However many others wait for an extra."""
    all_places = Places(lambda: 2, 4)
    first, second = Streams(all_places, 2), Streams(all_places, 2)
    await settle()
    had = first.have, second.have
    second.end(0)
    await settle()
    then = first.have, second.have, [task.done() for task in second.tasks]
    await asyncio.gather(first.finish(), second.finish())

    assert ((1, 1), (1, 1, [True, False])) == (had, then)


async def test_no_client_has_more_than_its_most(monkeypatch):
    """However many files there are."""
    monkeypatch.setattr(places, "MOST", 3)
    streams = Streams(Places(lambda: 1, 1000), 5)
    await settle()
    had = streams.have
    streams.end(0)
    await settle()
    then = streams.have
    await streams.finish()

    assert (3, 3) == (had, then)


async def test_a_client_that_leaves_makes_room():
    """Its two files are for others' streams."""
    clients = 4
    all_places = Places(lambda: clients, 8)
    streams = Streams(all_places, 3)
    await settle()
    had = streams.have
    clients = 3
    all_places.hand_out()
    await settle()
    then = streams.have
    await streams.finish()

    assert (1, 3) == (had, then)


@pytest.mark.parametrize("is_given", [False, True])
async def test_who_gives_up_keeps_no_place(is_given):
    """Also where its turn comes at that moment."""
    all_places = Places(lambda: 1, 2)
    streams = Streams(all_places, 3)
    await settle()
    if is_given:
        streams.end(0)
        await asyncio.sleep(0)
    streams.tasks[1].cancel()
    streams.end(0)
    await settle()
    had = streams.have
    with suppress(asyncio.CancelledError):
        await streams.tasks[1]
    async with asyncio.timeout(SOON_S):
        await streams.finish()

    assert (1, 0, True) == (had, streams.share.taken, all_places.has_room(0))
