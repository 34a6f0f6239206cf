"""What a batch gave is handed over on the loop, to futures and to functions."""

import asyncio

from storehop.deliver.operations import Marks
from storehop.deliver.tickets import Listener, OutboxError, Ticket, hand_over


def heard(hear, result=True):
    ticket = Ticket(Marks(), Listener(hear))
    ticket.result = result
    return ticket


def test_a_listener_hears_the_result():
    """With no turn of the loop in between."""
    results = []
    hand_over([heard(results.append, result) for result in (True, False)])

    assert [True, False] == results


async def test_a_listener_s_mistake_holds_up_no_other(caplog):
    """Clicks of the same batch wait for their answers."""
    future = asyncio.get_running_loop().create_future()
    hand_over([heard(lambda _: 1 / 0), Ticket(Marks(), future)])

    assert future.done()
    assert "failed in our own code" in caplog.text


def test_a_listener_hears_of_no_refusal(caplog):
    """A verdict is never refused: who sees this has made a mistake."""
    ticket = heard(lambda _: None)
    ticket.error = OutboxError("closed")
    hand_over([ticket])

    assert ["a verdict was refused"] == caplog.messages
