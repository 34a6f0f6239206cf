"""Timers that many share."""

import asyncio

import pytest

from storehop.deliver.operations import Recall
from storehop.deliver.patience import Patience, Pause
from storehop.deliver.tickets import Ticket

SOON_S = 60.0
PAUSE_S = 0.05


class Ends:
    """When something ended, by the loop's clock."""

    def __init__(self):
        self.times = asyncio.Queue()

    def end(self, *_):
        self.times.put_nowait(asyncio.get_running_loop().time())

    async def next(self):
        return await asyncio.wait_for(self.times.get(), SOON_S)


@pytest.fixture
async def ends():
    return Ends()


def ticket():
    return Ticket(Recall(b"key"), asyncio.get_running_loop().create_future())


async def test_a_pause_that_is_begun_again_ends_later(ends):
    """Once, so long after the last begin."""
    pause = Pause(PAUSE_S, ends.end)
    pause.begin()
    await asyncio.sleep(PAUSE_S / 2)
    begin = asyncio.get_running_loop().time()
    pause.begin()
    seconds = await ends.next() - begin

    assert (True, True) == (seconds >= PAUSE_S * 0.99, ends.times.empty())


async def test_a_pause_can_be_begun_after_its_end(ends):
    """It has a timer again."""
    pause = Pause(0.0, ends.end)
    for _ in range(2):
        pause.begin()
        await ends.next()


async def test_each_ticket_has_its_own_end_by_one_timer(ends):
    """What came later is given up later."""
    patience = Patience(ends.end)
    begin = asyncio.get_running_loop().time()
    patience.add(ticket(), PAUSE_S)
    patience.add(ticket(), 2 * PAUSE_S)
    seconds = [await ends.next() - begin for _ in range(2)]

    assert [True, True] == [one >= 0.99 * end for one, end in zip(seconds, (PAUSE_S, 2 * PAUSE_S), strict=True)]


async def test_a_ticket_with_a_result_is_not_given_up(ends):
    """The timer goes by the next one that waits."""
    patience = Patience(ends.end)
    done, waiting = ticket(), ticket()
    patience.add(done, 0.0)
    patience.add(waiting, 0.0)
    done.waiter.set_result(None)
    await ends.next()
    await asyncio.sleep(0)

    assert ends.times.empty()
