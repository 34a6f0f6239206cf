"""An outbox that has no room for clicks: what it has goes on, and clicks are taken again as soon as there is room."""

from __future__ import annotations

import pytest

from storehop.deliver.outbox import Outbox
from storehop.deliver.tickets import OutboxError
from storehop.model import Delivered
from tests.deliver.conformance.steps import LEASE_S, call
from tests.support.redis_servers import RedisServer

pytestmark = pytest.mark.process
ROOM = 40_000
"""Bytes, for some forty calls."""


@pytest.fixture
def server():
    with RedisServer() as made:
        yield made


def fill_memory(server):
    """Somebody else's data has taken all."""
    server.config("maxmemory", int(server.info("memory")["used_memory"]) - 1)
    return lambda: server.config("maxmemory", 0)


async def accept_until_refused(outbox, prefix="c"):
    """The claims of what was stored, and why no more was."""
    claims = []
    while len(claims) < 1000:
        try:
            claims.append(await outbox.accept(call(f"{prefix}{len(claims)}"), LEASE_S))
        except OutboxError as error:
            return claims, str(error)
    raise AssertionError("it is never full")


async def test_max_outbox_is_reached(engine_at, server):
    """Verdicts make room; the bound counts for all hosts."""
    outbox, other = (Outbox(engine_at(server.url, max_outbox=ROOM), name) for name in ("one", "other"))
    claims, why = await accept_until_refused(outbox)
    none, _ = await accept_until_refused(other, "d")
    settled = [await outbox.settle(claim, Delivered(), "200") for claim in claims]
    await outbox.check()
    again = await outbox.accept(call("again"), LEASE_S)

    assert ("it is full: max_outbox is reached", [], {True}) == (why, none, set(settled))
    assert (True, "again") == (20 < len(claims) < 60, again.call.id)
    await outbox.close()
    await other.close()


async def test_maxmemory_is_reached(engine_at, server):
    """What is stored is claimed, extended and settled meanwhile; nothing of what is refused is there."""
    outbox = Outbox(engine_at(server.url), "one")
    claim = await outbox.accept(call("before"), 0.0)
    make_room = fill_memory(server)
    none, why = await accept_until_refused(outbox)
    (again,) = await outbox.claim(9, LEASE_S)
    extended = await outbox.extend(again, LEASE_S)
    stored = await outbox.stored()
    settled = await outbox.settle(extended, Delivered(), "200")
    make_room()
    await outbox.check()
    after = await outbox.accept(call("after"), LEASE_S)

    assert ("its memory is full: maxmemory is reached", [], ["before"]) == (why, none, [one.id for one in stored])
    assert (claim.call.id, True, "after") == (again.call.id, settled, after.call.id)
    await outbox.close()


@pytest.mark.parametrize(("policy", "expected"), [("allkeys-lru", "not allkeys-lru"), ("volatile-ttl", "volatile-ttl")])
async def test_a_policy_that_evicts_is_refused_while_it_runs(engine_at, server, policy, expected):
    """Before a click has to find out: the next look says it, and heals."""
    outbox = Outbox(engine_at(server.url), "one")
    await outbox.sweep(60.0)
    server.config("maxmemory-policy", policy)
    await outbox.sweep(60.0)
    fault = outbox.fault
    server.config("maxmemory-policy", "noeviction")
    await outbox.check()

    assert (True, None) == (expected in fault, outbox.fault)
    await outbox.close()
