"""What a dead worker had leased is due at once."""

from __future__ import annotations

import fcntl

import pytest

from storehop.deliver.operations import Accept, ListCalls
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.model import S2SCall
from storehop.workers.release import Releases


@pytest.fixture
def outbox(tmp_path):
    """An outbox with a call that `dead` leased and one that `alive` leased, each for a minute."""
    file = tmp_path / "outbox.db"
    engine = SqliteEngine(file)
    engine.run(
        [
            Accept(S2SCall(holder, "https://app.appsflyer.com", "/x", ()), f"{holder}:1", 60.0)
            for holder in ("dead", "alive")
        ]
    )
    engine.close()
    return file


def states(outbox):
    engine = SqliteEngine(outbox)
    try:
        return {call.id: call.state for call in engine.run([ListCalls()])[0]}
    finally:
        engine.close()


async def test_the_calls_of_a_holder_are_released(outbox, caplog):
    """Only those, and the log says how many."""
    releases = Releases(SqliteEngine(outbox))
    releases.add("dead")
    await releases.close()

    assert {"dead": "due", "alive": "leased"} == states(outbox)
    assert ["1 clicks of a worker that ended are delivered by the others"] == caplog.messages


async def test_a_locked_outbox_holds_nobody_up(outbox, caplog):
    """Whoever adds a holder never waits, and the failure is said."""
    releases = Releases(SqliteEngine(outbox))
    with outbox.with_name("outbox.db-turn").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        releases.add("dead")
        await releases.close()

    assert "leased" == states(outbox)["dead"]
    assert "the clicks of a worker wait for their leases to end: another process has held its lock" in caplog.text
