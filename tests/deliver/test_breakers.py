"""The log lines of the breakers: which origin, why, and for how long."""

import pytest

from storehop.deliver import breakers as module
from storehop.deliver.breakers import Breakers
from storehop.model import Failure, Fault, Reply

ORIGIN = "https://af.test"


@pytest.fixture
def now(monkeypatch):
    """Moves the clock."""
    time = [1000.0]
    monkeypatch.setattr(module, "uptime", lambda: time[0])
    return time


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Failure(Fault.CONNECT, maybe_sent=False), "it can't be connected to"),
        (Failure(Fault.TLS, maybe_sent=False, cause="expired"), "its certificate or TLS is refused: expired"),
        (Failure(Fault.CONNECT_TIMEOUT, maybe_sent=False), "it can't be connected to in time"),
        (Failure(Fault.TLS, maybe_sent=False), "its certificate or TLS is refused"),
        (Failure(Fault.READ_TIMEOUT, maybe_sent=True), "it does not answer in time"),
        (Failure(Fault.RESET, maybe_sent=True), "it closes connections without an answer"),
        (Failure(Fault.PROTOCOL, maybe_sent=True), "what it answers is no HTTP"),
        (Reply(503), "it answers 503"),
    ],
)
def test_the_cause_is_said_in_words(outcome, cause, now, caplog):
    """Once, when the breaker opens."""
    breakers = Breakers()
    for _ in range(9):
        breakers.record(ORIGIN, outcome)

    assert [f"breaker open: {ORIGIN} fails ({cause}): new clicks pass, stored ones wait"] == caplog.messages


def test_the_end_says_how_long_it_was(now, caplog):
    """From the failure that opened it, whatever failed after that."""
    breakers = Breakers()
    for _ in range(5):
        breakers.record(ORIGIN, Reply(500))
    now[0] += 60.0
    breakers.record(ORIGIN, Reply(500))
    now[0] += 3.0
    breakers.record(ORIGIN, Reply(200))

    assert f"breaker closed: {ORIGIN} is back after 63.0 s" == caplog.messages[-1]


def test_the_open_ones_are_named(now):
    """For the metrics, and for who claims stored calls."""
    breakers = Breakers()
    for _ in range(5):
        breakers.record(ORIGIN, Reply(500))
        breakers.record("https://other.test", Reply(200))

    assert (ORIGIN,) == breakers.open


def test_how_long_it_has_failed_is_from_the_first_failure_to_the_last(now):
    """While nothing is sent nobody knows whether it fails still."""
    breakers, fails = Breakers(), Reply(503)
    assert breakers.failed_s(ORIGIN, 60) == 0
    for _ in range(5):
        breakers.record(ORIGIN, fails)
    now[0] += 20
    assert breakers.failed_s(ORIGIN, 60) == 0
    breakers.record(ORIGIN, fails)
    now[0] += 500
    assert breakers.failed_s(ORIGIN, 600) == 20
    breakers.record(ORIGIN, Reply(200))
    assert breakers.failed_s(ORIGIN, 600) == 0


def test_only_the_last_seconds_are_asked_about(now):
    """Of a step that began while it failed already."""
    breakers, fails = Breakers(), Reply(503)
    for _ in range(5):
        breakers.record(ORIGIN, fails)
    now[0] += 100
    breakers.record(ORIGIN, fails)
    now[0] += 1
    assert [breakers.failed_s(ORIGIN, within) for within in (200, 41, 1, 0.5)] == [100, 40, 0, 0]
