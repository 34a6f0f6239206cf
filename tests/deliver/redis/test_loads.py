"""What much in an outbox costs: one operation holds up the clicks of all hosts no longer than a moment."""

from __future__ import annotations

import threading
import time

import pytest

from storehop.deliver import operations as op
from tests.deliver.conformance.steps import accept, claim, is_refused, one
from tests.support.redis_servers import shared_server

pytestmark = pytest.mark.process

ALL = 2000


@pytest.fixture
def server():
    return shared_server("7.0")


@pytest.fixture
def engine(server, engine_at):
    """Much is due."""
    made = engine_at(server.url)
    for start in range(0, ALL, 100):
        made.run([accept(f"c{start + place}", f"a:{start + place}", 0.0) for place in range(100)])
    return made


def calls(server, command):
    """How often scripts and clients have called it."""
    return server.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


def test_a_release_goes_in_parts(server, engine):
    """However much is leased."""
    before = calls(server, "evalsha")

    assert ALL == one(engine, op.Release("a"))
    assert calls(server, "evalsha") - before >= ALL / 200


def test_a_claim_looks_at_a_part_of_what_is_due(server, engine):
    """Where nothing of it is overdue yet, too: recovery's next look comes soon."""
    for number in range(ALL // 500):
        engine.run([claim(f"b:{number}", most=1, only="https://nowhere.test")])  # finds out that it is due
    before = calls(server, "hmget")
    engine.run([claim("c:1", overdue_s=3600.0)])

    assert calls(server, "hmget") - before < 600


@pytest.mark.measures
def test_a_deadline_does_not_count_how_long_replicas_took_before(server, engine_at, monkeypatch):
    """Else a slow replica and a busy server together refuse what would be stored in time."""
    engine = engine_at(server.url)
    engine.run([op.Probe()])
    read = engine._primary._exchange
    monkeypatch.setattr(engine._primary, "_exchange", lambda *asked: (read(*asked), time.sleep(0.2))[0])
    engine.run([accept("c1")])
    server.stop()
    timer = threading.Timer(0.17, server.cont)
    timer.start()
    is_late = is_refused(engine, accept("c2"))
    timer.join()

    assert not is_late
