"""Where nobody knows what became of a batch: the engine did it, and its answer was lost."""

import logging

import pytest

from storehop.deliver.engine import UnknownError
from storehop.deliver.operations import Answer, Settle
from storehop.deliver.tickets import OutboxError
from storehop.model import Delivered, S2SCall

LEASE_S = 6.0
ANSWER = Answer(b"click", "c1 - https://play", 10.0)


def call(name="c1"):
    return S2SCall(name, "https://af.test", f"/{name}", (), "games")


@pytest.fixture
def lost(engine):
    """The next batch is done, and its answer is lost."""

    def lose():
        run = engine.run

        def run_once(batch):
            run(batch)
            engine.run = run
            raise UnknownError("no answer")

        engine.run = run_once

    return lose


async def test_a_click_whose_storing_is_open_passes(lost, outbox):
    """It may be stored or not."""
    lost()

    with pytest.raises(OutboxError, match="no answer"):
        await outbox.accept(call(), LEASE_S)


async def test_a_click_whose_storing_is_open_is_withdrawn(lost, outbox):
    """Nobody sends it: the user got the old redirect."""
    lost()
    with pytest.raises(OutboxError):
        await outbox.accept(call(), LEASE_S)
    await outbox.check()

    assert [] == await outbox.stored()


async def test_the_same_click_passes_as_well_then(lost, outbox, other):
    """Its answer in the outbox says so, to other processes, too."""
    lost()
    with pytest.raises(OutboxError):
        await outbox.accept(call(), LEASE_S, answer=ANSWER)
    await outbox.check()

    assert "outbox_down" == await other.recall(ANSWER.key)


async def test_what_was_not_stored_needs_no_withdrawal(engine, outbox):
    """Withdrawing it does no harm."""
    engine.error = UnknownError("no answer")
    with pytest.raises(OutboxError):
        await outbox.accept(call(), LEASE_S)
    engine.error = None
    await outbox.check()

    assert "c1" == (await outbox.accept(call(), LEASE_S)).call.id


async def test_a_verdict_whose_writing_is_open_is_written_again(lost, engine, outbox, caplog):
    """That it is there already is no news for people."""
    claim = await outbox.accept(call(), LEASE_S)
    lost()
    with caplog.at_level(logging.WARNING):
        await outbox.settle(claim, Delivered(), "200")
        await outbox.check()

    settled = [one for batch in engine.batches for one in batch if isinstance(one, Settle)]
    assert (2, False) == (len(settled), "lease" in caplog.text)


async def test_what_the_engine_refuses_is_known_before_a_click(engine, outbox):
    """/readyz says so, and no click has to find it out."""
    engine._engine._max_bytes = 1
    await outbox.sweep(120)

    assert "it is full: max_outbox is reached" == outbox.fault
