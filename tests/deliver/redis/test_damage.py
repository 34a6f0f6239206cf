"""What somebody has damaged, or what no server takes: it harms no other click, and nothing is sent that passed."""

from __future__ import annotations

import time

import pytest

from storehop.deliver import operations as op
from storehop.deliver.engine import FullError, UnknownError
from storehop.model import Dead, DeadReason, S2SCall
from tests.deliver.conformance.steps import accept, answer, claim, ids, is_refused, one, states
from tests.support.patience import SOON_S, wait_until
from tests.support.redis_servers import BINARIES, shared_server

pytestmark = pytest.mark.process


@pytest.fixture(params=BINARIES)
def server(request):
    return shared_server(request.param)


@pytest.fixture
def redis(server):
    return server.client()


@pytest.fixture
def engine(server, engine_at):
    return engine_at(server.url)


@pytest.fixture
def key(outbox_name):
    """The outbox's key of this name."""
    return lambda name: f"{{{outbox_name}}}:{name}"


def due(engine, *names):
    """Stores calls whose leases have lapsed."""
    engine.run([accept(name, f"a:{name}", 0.0) for name in names])
    wait_until(lambda: one(engine, op.Sweep(60.0, 9)).due == len(names), SOON_S, "that they are due")


def test_a_script_that_fails_halfway_leaves_it_open_what_is_stored(engine, redis, key):
    """So the clicks of its batch are withdrawn: some of them may be stored."""
    redis.set(key(f"answer:{b'click'.hex()}"), "what no script has written")

    with pytest.raises(UnknownError):
        engine.run([accept("c1"), accept("c2", "a:2", answer=answer())])

    assert "c1" in states(engine)


def test_a_script_that_is_not_allowed_all_leaves_it_open_too(engine_at, redis, server):
    """A user at the server may lack one command of many."""
    redis.acl_setuser("half", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all"], commands=["-set"])

    with pytest.raises(UnknownError):
        engine_at(server.url.replace("redis://", "redis://half:pw@")).run(
            [accept("c1"), accept("c2", "a:2", answer=answer())]
        )


@pytest.mark.parametrize(
    "click",
    [
        op.Accept(S2SCall("odd", "https://af.test", "/", (("User-Agent", "\udcff"),), "games"), "a:2", 6.0),
        accept("odd", "a:2", answer=answer("\udcff")),
    ],
    ids=["header", "answer"],
)
def test_a_click_that_is_no_unicode_is_a_fault_of_its_own(engine, click):
    """Not the server's: the others of its batch are stored when each is tried alone, and no click passes for it."""
    with pytest.raises(UnicodeEncodeError):
        engine.run([accept("c1"), click])

    assert not is_refused(engine, accept("c1"))


def test_text_comes_back_as_it_was(engine):
    """Whatever characters it has."""
    text = 'https://play/\0\x1f"\\\x7f\u2028é😀'
    headers = (("User-Agent", text),)
    stored = S2SCall(text, text, text, headers, text)
    engine.run([op.Accept(stored, text, 0.0, op.Answer(b"click", text, 9.0))])
    wait_until(lambda: one(engine, op.Sweep(60.0, 9)).due == 1, SOON_S, "that it is due")
    (leased,) = one(engine, claim())

    assert (stored, text) == (leased.call, one(engine, op.Recall(b"click")))


def test_a_probe_finds_out_that_max_outbox_is_reached(server, engine_at):
    """Else clicks would be let in again, and refused, each second."""
    engine = engine_at(server.url, max_outbox=1000)
    with pytest.raises(FullError):
        engine.run([accept("c1")])

    with pytest.raises(FullError):
        engine.run([op.Probe()])


def test_a_call_that_can_t_be_read_stops_no_other(engine, redis, key, caplog):
    """It may be of a newer storehop. It is not sent, and people hear of it."""
    due(engine, "c1", "c2")
    redis.hset(key("call:c1"), "body", "[]")
    results = engine.run([accept("c3"), claim()])

    assert ["c2"] == ids(results[1])
    assert ["click=c1 can't be read: it is left to others, and in the end to the dead letters"] == caplog.messages


def test_a_call_that_can_t_be_read_is_listed(engine, redis, key):
    """So that people can purge it."""
    due(engine, "c1", "c2")
    redis.hset(key("call:c1"), "body", "[]")

    assert {"c1", "c2"} == states(engine).keys()


def test_calls_that_somebody_has_deleted_are_forgotten(engine, redis, key):
    """They count as due no more, nobody looks at them again, and they fill nothing."""
    due(engine, "c1", "c2", "c3")
    engine.run([claim(most=1, lease_s=0.0)])
    redis.delete(*(key(f"call:c{number}") for number in (1, 2, 3)))
    time.sleep(0.01)
    engine.run([claim()])
    swept = one(engine, op.Sweep(60.0, 9))

    assert (0, 0) == (swept.pending, swept.due)
    assert "0" == redis.hget(key("state"), "pending")


def test_a_sweep_ends_though_a_dead_letter_is_alive(server, engine_at, redis, key):
    """Somebody has put it among the dead."""
    engine = engine_at(server.url, max_outbox=10_000)
    engine.run([accept("c1"), accept("c2", "a:2")])
    engine.run([op.Settle("c1", "a:1", Dead(DeadReason.REJECTED), None)])
    redis.zadd(key("dead"), {"c2": 1})
    redis.hset(key("state"), "dead", 9_000)
    engine.run([op.Sweep(60.0, 9)])

    assert {"c2": "leased"} == states(engine)
