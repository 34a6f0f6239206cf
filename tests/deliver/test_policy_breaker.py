"""The circuit breaker (design §6)."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from storehop.deliver.policy import BREAKER_FAILURES, PROBE_PAUSE_S, Breaker


def opened(now=0.0):
    breaker = Breaker()
    for _ in range(BREAKER_FAILURES):
        breaker.record(now, healthy=False)
    return breaker


def test_it_starts_closed():
    """A host that nobody called is taken for healthy."""
    assert Breaker().admit(0.0)


def test_it_opens_after_failures_in_a_row():
    """The last of BREAKER_FAILURES failures in a row opens it."""
    breaker = Breaker()
    states = []
    for _ in range(BREAKER_FAILURES):
        breaker.record(0.0, healthy=False)
        states.append(breaker.is_open)

    assert [False] * (BREAKER_FAILURES - 1) + [True] == states


def test_a_success_in_between_keeps_it_closed():
    """Only failures in a row count."""
    breaker = Breaker()
    for _ in range(3 * BREAKER_FAILURES):
        breaker.record(0.0, healthy=False)
        breaker.record(0.0, healthy=True)

    assert not breaker.is_open


def test_an_open_one_admits_nobody():
    """Until the cooldown is over nothing is sent."""
    assert not opened().admit(PROBE_PAUSE_S - 0.01)


def test_one_probe_is_admitted_after_the_cooldown():
    """Half-open is a trickle: one call, then the next cooldown."""
    breaker = opened()

    assert [True, False, False] == [breaker.admit(PROBE_PAUSE_S) for _ in range(3)]


def test_looking_takes_no_place():
    """may_send can be asked without becoming the probe."""
    breaker = opened()
    breaker.may_send(PROBE_PAUSE_S)

    assert breaker.admit(PROBE_PAUSE_S)


def test_a_successful_probe_closes_it():
    """One success and everything flows again."""
    breaker = opened()
    breaker.admit(PROBE_PAUSE_S)
    breaker.record(PROBE_PAUSE_S, healthy=True)

    assert not breaker.is_open


def test_a_failed_probe_keeps_it_open_for_another_cooldown():
    """After a failed probe the next one comes a cooldown later."""
    breaker = opened()
    breaker.admit(PROBE_PAUSE_S)
    breaker.record(PROBE_PAUSE_S + 1, healthy=False)

    assert not breaker.admit(2 * PROBE_PAUSE_S + 0.9)


@given(steps=st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["fail", "admit"])), max_size=200))
def test_while_it_only_fails_probes_keep_their_distance(steps):
    """Whatever the order of events, two admissions of an open breaker lie a cooldown apart."""
    breaker, now, admitted = opened(), 0.0, []
    for wait, what in steps:
        now += wait
        if what == "fail":
            breaker.record(now, healthy=False)
        elif breaker.admit(now):
            admitted.append(now)

    assert all(later - earlier >= PROBE_PAUSE_S for earlier, later in pairwise(admitted))


def test_it_remembers_since_when_it_is_open():
    """A failed probe does not begin the outage anew."""
    breaker = opened(100.0)
    breaker.record(200.0, healthy=False)

    assert breaker.open_since == 100.0
