"""When the door opens: whoever waits at it is let in, whatever was said to the process meanwhile."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from storehop.host.opening import Opening


@pytest.mark.parametrize(
    ("is_told_to_end", "takes_over", "opens", "begins"),
    [
        (False, False, True, True),
        (False, True, True, True),
        (True, False, True, False),  # the kernel has let clients in already: they are not left to wait for the end
        (True, True, False, False),  # who served before goes on
    ],
)
async def test_a_process_that_serves(is_told_to_end, takes_over, opens, begins):
    """Says that it serves, unless it was told to end while it started."""
    loop, presence = Mock(), Mock(takes_over=takes_over)
    leaving, serving = SimpleNamespace(has_begun=is_told_to_end), SimpleNamespace(is_serving=True)
    await Opening(loop, serving, leaving, presence).running()

    assert (opens, begins) == (loop.door.open.called, presence.begin.called)


@pytest.mark.parametrize("is_told_to_end", [False, True])
async def test_a_worker(is_told_to_end):
    """Has a supervisor that speaks for it."""
    loop, leaving = Mock(), SimpleNamespace(has_begun=is_told_to_end)
    await Opening(loop, SimpleNamespace(is_serving=True), leaving, None).running()

    assert loop.door.open.called


async def test_one_that_could_not_start():
    """Lets nobody in."""
    loop = Mock()
    await Opening(loop, SimpleNamespace(is_serving=False), SimpleNamespace(has_begun=False), None).running()

    assert not loop.door.open.called
