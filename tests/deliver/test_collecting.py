"""Clicks that come densely share commits; one that comes alone is stored at once."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from storehop.deliver import batcher
from storehop.deliver.operations import Accept
from storehop.model import S2SCall

LEASE_S = 6.0
SOON_S = 60.0


def call(name):
    return S2SCall(name, "https://af.test", f"/{name}", (), "games")


@pytest.fixture
def collecting(monkeypatch):
    """Instead of sleeping the thread waits until `go` is set."""
    made = SimpleNamespace(begun=threading.Event(), go=threading.Event())

    def sleep(_seconds):
        made.begun.set()
        made.go.wait(SOON_S)

    monkeypatch.setattr(batcher, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))
    return made


async def accept_together(engine, outbox, count):
    """So many clicks share a commit."""
    engine.close_gate()
    clicks = [asyncio.ensure_future(outbox.sweep(120))]
    assert await asyncio.to_thread(engine.waits.wait, SOON_S)
    clicks += [asyncio.ensure_future(outbox.accept(call(f"t{n}"), LEASE_S)) for n in range(count)]
    await asyncio.sleep(0)
    engine.open_gate()
    await asyncio.gather(*clicks)


async def test_clicks_that_come_densely_collect(engine, outbox, collecting):
    """Commits are what a click costs most: after some that shared one, more are soon to come."""
    await accept_together(engine, outbox, 3)
    assert await asyncio.to_thread(collecting.begun.wait, SOON_S)
    clicks = [asyncio.ensure_future(outbox.accept(call(f"c{n}"), LEASE_S)) for n in range(2)]
    await asyncio.sleep(0)
    collecting.go.set()
    await asyncio.gather(*clicks)

    assert [Accept, Accept] == [type(one) for one in engine.batches[-1]]


async def test_clicks_that_come_one_by_one_never_wait(engine, outbox, collecting):
    """At light load a click is stored as soon as it comes, and so are two."""
    await accept_together(engine, outbox, 2)
    for number in range(3):
        await outbox.accept(call(f"c{number}"), LEASE_S)

    assert not collecting.begun.is_set()


async def test_a_lone_click_ends_the_collecting(engine, outbox, collecting):
    """The next one is stored at once."""
    await accept_together(engine, outbox, 3)
    collecting.go.set()
    await outbox.accept(call("c1"), LEASE_S)
    collecting.begun.clear()
    await outbox.accept(call("c2"), LEASE_S)

    assert not collecting.begun.is_set()
