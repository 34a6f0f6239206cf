"""Places for calls: as many as there are, and in turn."""

import asyncio
from contextlib import suppress

import pytest

from storehop.deliver.slots import Slots


@pytest.fixture
def slots():
    """Two, both taken."""
    made = Slots(2)
    assert [True, True] == [made.take(), made.take()]
    return made


async def waiting(slots, count):
    """Tasks that wait for a slot each, in this order."""
    tasks = [asyncio.create_task(slots.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_no_more_are_taken_than_there_are(slots):
    """Who comes now has to wait."""
    assert not slots.take()


async def test_a_slot_goes_to_whoever_has_waited_longest(slots):
    """And to nobody who comes in between."""
    first, second = await waiting(slots, 2)
    slots.release()

    assert not slots.take()
    await first
    assert not second.done()
    second.cancel()


async def test_a_slot_that_nobody_waits_for_is_free(slots):
    """Whoever comes next takes it at once."""
    slots.release()

    assert slots.take()


@pytest.mark.parametrize("is_released_first", [True, False])
async def test_a_slot_is_not_lost_with_who_waited_for_it(slots, is_released_first):
    """Cancelled before its turn or at it: the next one has the slot."""
    first, second = await waiting(slots, 2)
    if is_released_first:
        slots.release()
        first.cancel()
    else:
        first.cancel()
        await asyncio.sleep(0)
        slots.release()
    with suppress(asyncio.CancelledError):
        await first

    await asyncio.wait_for(second, 60)
