"""One timer for all requests that wait for an answer, on both loops."""

import asyncio

from storehop.deliver.wire.connection import Patience
from tests.deliver.wire.standins import soon


class Waiting:
    """A connection whose request has so many seconds; `failed` is done when its time is over."""

    def __init__(self, seconds):
        loop = asyncio.get_running_loop()
        self.deadline = loop.time() + seconds
        self.failed = loop.create_future()
        self.fail = self.failed.set_result


async def test_each_fails_at_its_own_deadline():
    """However they come."""
    patience, late, early = Patience(), Waiting(60), Waiting(0.01)
    patience.add(late)
    patience.add(early)
    await soon(early.failed)
    patience.end()

    assert not late.failed.done()


async def test_one_may_come_while_the_time_of_another_is_over():
    """On uvloop there is no timer of less than half a millisecond: the handle does not know its time."""
    patience, over, new = Patience(), Waiting(0), Waiting(0.01)
    patience.add(over)
    patience.add(new)
    await soon(over.failed)
    await soon(new.failed)

    patience.end()


async def test_who_has_an_answer_waits_no_more():
    """The timer goes on to the next one."""
    patience, answered, other = Patience(), Waiting(0.01), Waiting(0.02)
    patience.add(answered)
    patience.add(other)
    patience.discard(answered)
    await soon(other.failed)
    patience.end()

    assert not answered.failed.done()
