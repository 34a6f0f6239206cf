"""What a dead worker had leased is due at once."""

from __future__ import annotations

from contextlib import closing
from threading import Event

import pytest

from storehop.deliver.clock import SystemClock
from storehop.deliver.outbox import NewCall, Outbox
from storehop.model import S2SCall
from storehop.workers import release as module
from storehop.workers.release import Releases, release

ORIGIN = "https://app.appsflyer.com"


@pytest.fixture
def outbox(tmp_path):
    """An outbox with a call that `dead` leased and one that `alive` leased, each for a minute."""
    file = tmp_path / "outbox.db"
    with closing(Outbox.open(file, SystemClock())) as opened, opened.transaction():
        for holder in ("dead", "alive"):
            call = S2SCall(holder, ORIGIN, "/x", ())
            opened.add_all([NewCall(call, ORIGIN, holder, 60.0)])
    return file


def due(outbox):
    """Ids of the calls that anybody may send now."""
    with closing(Outbox.open(outbox, SystemClock())) as opened, opened.transaction():
        return [claim.call.id for claim in opened.claim(10, "other", 60.0)]


def test_the_calls_of_a_holder_are_released(outbox):
    """Only those, and the answer says how many."""
    assert (1, ["dead"]) == (release(str(outbox), "dead"), due(outbox))


def test_an_outbox_may_be_named_by_its_url(outbox):
    """As in the options."""
    assert 1 == release(f"sqlite://{outbox}", "dead")


async def test_all_that_were_added_are_released(outbox):
    """One after the other, before the end."""
    releases = Releases(str(outbox))
    for holder in ("dead", "alive"):
        releases.add(holder)
    await releases.close()

    assert {"dead", "alive"} == set(due(outbox))


async def test_a_failure_is_logged_and_ends_nothing(outbox, monkeypatch, caplog):
    """The next holder's calls are released, whatever happened to the one before."""

    def fail_first(location, holder):
        if holder == "first":
            raise RuntimeError("nobody thought of this")
        return release(location, holder)

    monkeypatch.setattr(module, "release", fail_first)
    releases = Releases(str(outbox))
    for holder in ("first", "dead"):
        releases.add(holder)
    await releases.close()

    assert ("nobody thought of this" in caplog.text, ["dead"]) == (True, due(outbox))


async def test_too_many_holders_are_left_to_their_leases(outbox, monkeypatch, caplog):
    """Who adds one never waits."""
    gate = Event()
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    monkeypatch.setattr(module, "release", lambda *_: gate.wait())
    releases = Releases(str(outbox))
    for holder in ("under way", "waits", "one too many"):
        releases.add(holder)
    gate.set()
    await releases.close()

    assert "too many workers ended before it" in caplog.text
