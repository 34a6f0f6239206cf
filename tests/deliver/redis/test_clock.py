"""The outbox's clock: its server's, which may be set; it never goes back."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from storehop.deliver.operations import Accept, Answer, ClaimDue, Recall, Sweep
from storehop.deliver.redis.engine import RedisEngine
from storehop.deliver.redis.place import Place
from storehop.model import S2SCall
from storehop.settings import Delivery
from tests.support.machine_faults import JumpingClock
from tests.support.patience import SOON_S, wait_until
from tests.support.redis_servers import RedisServer

pytestmark = pytest.mark.process
HOUR_S = 3600
LEASE_S = 1.0
ANSWER = Answer(b"a click", "https://play.google.com/", LEASE_S)


def engine_on(server: RedisServer) -> RedisEngine:
    return RedisEngine(Place.from_url(server.url), Delivery(outbox_replicas=0))


def accept(engine: RedisEngine, answer: Answer | None = None) -> str:
    """The id of a call whose lease ends in a second."""
    call = S2SCall(str(uuid4()), "https://app.appsflyer.com", "/", (), "games")
    engine.run([Accept(call, "here:1", LEASE_S, answer, None, 0.0)])
    return call.id


def claimed(engine: RedisEngine) -> list[str]:
    """The ids of what is due."""
    (leased,) = engine.run([ClaimDue(10, "there:1", LEASE_S)])
    return [one.call.id for one in leased]


def seen(server: RedisServer) -> float:
    """The outbox's clock at its last write, in milliseconds."""
    return float(server.client().hget("{storehop}:state", "seen"))


@pytest.fixture
def clock(tmp_path):
    return JumpingClock(tmp_path)


@pytest.fixture
def server(clock):
    with RedisServer(prefix=clock.prefix) as made:
        yield made


@pytest.fixture
def engine(server):
    made = engine_on(server)
    yield made
    made.close()


def test_a_lease_outlives_a_clock_that_is_set_back(engine, clock):
    """And ends in its time, not an hour later."""
    begin = time.monotonic()
    call_id = accept(engine)
    clock.jump(-HOUR_S)

    assert not claimed(engine) or time.monotonic() - begin > LEASE_S
    wait_until(lambda: claimed(engine) == [call_id], SOON_S, "a lease that ends")


def test_an_answer_outlives_a_clock_that_is_set_back(engine, clock):
    """And ends in its time, though the server would keep it for an hour more. Hosts sweep each second."""
    begin = time.monotonic()
    accept(engine, ANSWER)
    clock.jump(-HOUR_S)

    assert [ANSWER.text] == engine.run([Recall(ANSWER.key)]) or time.monotonic() - begin > LEASE_S
    wait_until(lambda: engine.run([Sweep(120.0, 10), Recall(ANSWER.key)])[1] is None, SOON_S, "an answer that ends")


def test_a_clock_that_is_set_forward_ends_leases_and_answers(engine, clock):
    """There is no other clock that would know better."""
    call_id = accept(engine, ANSWER)
    clock.jump(HOUR_S)

    assert [None] == engine.run([Recall(ANSWER.key)])
    assert [call_id] == claimed(engine)


def test_a_clock_that_is_set_forward_makes_calls_too_old(engine, clock):
    """By as much as it was set."""
    call_id = accept(engine)
    clock.jump(HOUR_S)

    (swept,) = engine.run([Sweep(120.0, 10)])

    assert (call_id,) == swept.expired


def test_a_clock_that_is_set_refuses_nothing(engine, clock):
    """A batch has a deadline by it; whoever is told that it came too late at once asks again."""
    for seconds in (HOUR_S, 0, -HOUR_S, 0):
        clock.jump(seconds)
        assert accept(engine)


@pytest.mark.parametrize("seconds", [-2, 2])
def test_the_next_primary_counts_on(server, engine, tmp_path, seconds):
    """Its clock is behind, or ahead: the outbox's goes on, and a lease that it has from before ends."""
    folder = tmp_path / "other"
    folder.mkdir()
    other_clock = JumpingClock(folder)
    other_clock.jump(seconds)
    with RedisServer(prefix=other_clock.prefix, replica_of=server.address) as replica:
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up", SOON_S, "a replica")
        call_id = accept(engine)
        before = seen(server)
        assert server.client().wait(1, 5000)
        replica.client().replicaof("NO", "ONE")
        other = engine_on(replica)
        try:
            wait_until(lambda: claimed(other) == [call_id], SOON_S, "a lease that ends")
        finally:
            other.close()

        assert before < seen(replica)
