"""What the script leaves in Redis, and what it makes of the server's clock."""

from __future__ import annotations

import json
import re

import pytest

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.deliver.redis.script import script
from storehop.model import Dead, DeadReason, Delivered, RetryIn
from tests.deliver.conformance.steps import accept, answer, call, claim, ids, one, states
from tests.support.patience import SOON_S, wait_until
from tests.support.redis_servers import RedisServer, shared_server

pytestmark = pytest.mark.process
HOUR_MS = 3_600_000
CALL_BYTES = int(re.search(r"CALL_BYTES = (\d+)", script().text)[1])


@pytest.fixture
def server():
    return shared_server("7.0")


@pytest.fixture
def engine(engine_at, server):
    return engine_at(server.url)


@pytest.fixture
def keys(server, outbox_name):
    """What the outbox has in Redis now."""
    return lambda: {key.partition(":")[2] for key in server.client().scan_iter(f"{{{outbox_name}}}:*")}


def test_an_empty_outbox_leaves_next_to_nothing(engine, keys):
    """Whatever went through it: its clock and its counters."""
    engine.run([accept(f"c{number}", f"a:{number}", 0.0, hold_s=number % 2) for number in range(9)])
    engine.run([op.Withdraw("c1", "a:1", None, "error"), op.Settle("c3", "a:3", Dead(DeadReason.REJECTED), "404")])
    engine.run([op.Settle("c5", "a:5", RetryIn(0.0), "503"), op.Amend(call("c7"), "b:1", 0.0), op.Probe()])
    engine.run([op.Purge(("c3",)), op.Mark("a", "b"), op.Unmark("a"), op.Release("a")])
    engine.run([op.Settle(it.call.id, it.lease, Delivered(), "200") for it in one(engine, claim(most=99))])
    engine.run([claim("b:9")])  # looks for due calls, finds none, forgets their origin

    assert {"state"} == keys()


def test_bytes_are_counted_to_the_last(engine, server, outbox_name):
    """What filled the outbox fills it no more: else it would be full for good one day."""
    client, state = server.client(), f"{{{outbox_name}}}:state"
    engine.run([accept(f"c{number}", f"a:{number}", hold_s=5.0) for number in range(6)])
    rejected = Dead(DeadReason.REJECTED)
    engine.run([op.Settle("c1", "a:1", rejected, "404"), op.Amend(call("c2", "https://b" * 99), "b:1", 6.0)])
    engine.run([op.Settle("c4", "a:4", rejected, "404"), op.Revive(("c4",))])
    pending, dead = (sum(_weights(client, outbox_name, is_dead=is_dead)) for is_dead in (False, True))

    assert [str(pending), str(dead)] == client.hmget(state, "pending", "dead")


def _weights(client, name, *, is_dead):
    for key in client.scan_iter(f"{{{name}}}:call:*"):
        row = client.hgetall(key)
        if ("reason" in row) == is_dead:
            yield len(row["body"].encode()) + CALL_BYTES


def test_answers_go_by_themselves(engine, server, outbox_name):
    """Also one whose call was withdrawn, and a retry's."""
    engine.run([accept("c1", answer=answer(), retry=answer(key=b"retry"))])
    engine.run([op.Withdraw("c1", "a:1", answer(), "outbox_down"), op.Remember(answer(key=b"other"))])
    client = server.client()

    lasting = {key: client.pttl(key) for key in client.scan_iter(f"{{{outbox_name}}}:answer:*")}

    assert 3 == len(lasting)
    assert all(0 < ms <= 10_000 for ms in lasting.values())


def test_an_answer_that_counts_no_more_does_not_count(engine, keys):
    """A click whose answer is for no time keeps none."""
    engine.run([op.Remember(op.Answer(b"click", "bot", 0.0))])

    assert not {key for key in keys() if key.startswith("answer")}


def test_the_oldest_dead_letters_make_room(engine_at, server):
    """Beyond half of max_outbox."""
    engine = engine_at(server.url, max_outbox=7 * (CALL_BYTES + 40))
    for number in range(6):
        engine.run([accept(f"c{number}", "a:1")])
        engine.run([op.Settle(f"c{number}", "a:1", Dead(DeadReason.REJECTED), "404")])
    swept = one(engine, op.Sweep(60.0, 9))

    assert (3, {"c3", "c4", "c5"}) == (swept.dropped, set(states(engine)))


def test_time_goes_on_while_the_clock_is_behind(engine, server, outbox_name):
    """Somebody has set it back by an hour: a lease lapses when it should."""
    engine.run([accept("c1", lease_s=0.05)])
    client, state = server.client(), f"{{{outbox_name}}}:state"
    client.hset(state, mapping={"seen": int(client.hget(state, "seen")) + HOUR_MS, "ahead": HOUR_MS})
    engine.run([accept("c2", "a:2", 0.05)])

    wait_until(lambda: ids(one(engine, claim(ids=("c2",)))), SOON_S, "that its lease lapses")


def test_what_comes_too_late_is_not_done(engine, server, outbox_name):
    """Its click has passed by then."""
    engine.run([op.Probe()])
    request = json.dumps({"run": [{"what": "mark", "name": "a", "text": "b"}], "writes": True, "deadline": 1})
    said = json.loads(server.client().evalsha(script().sha, 1, f"{{{outbox_name}}}", request))

    assert ("late", {}) == (said["refusal"], one(engine, op.Marks()))


def test_a_server_that_was_stopped_does_nothing_of_it_later(engine_at):
    """It finds the click in its socket when nobody waits for it any more."""
    with RedisServer() as server:
        engine = engine_at(server.url)
        engine.run([op.Probe()])
        server.stop()
        with pytest.raises(EngineError):
            engine.run([accept("c1")])
        server.cont()
        wait_until(server.answers, SOON_S, "that it goes on")

        assert {} == states(engine)
