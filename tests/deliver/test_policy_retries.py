"""The retry table (design §6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.deliver.policy import BACKOFF_S, Moment, is_healthy, judge, retry_after
from storehop.model import Dead, DeadReason, Delivered, Failure, Fault, Reply, RetryIn

WALL = 1_700_000_000.0


def moment(attempt=1, left_s=120.0, jitter=0.5):
    return Moment(attempt, left_s, WALL, jitter)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_delivered(status):
    """Any 2xx means that AppsFlyer took the click."""
    assert Delivered() == judge(Reply(status), moment(), retry_ambiguous=True)


@pytest.mark.parametrize("status", [301, 302, 307, 399])
def test_3xx_is_dead(status):
    """A redirect means that redirect=false was not honoured: following it would count the click twice."""
    assert Dead(DeadReason.REDIRECT_NOT_HONOURED) == judge(Reply(status), moment(), retry_ambiguous=True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 499])
def test_other_4xx_is_dead(status):
    """What AppsFlyer rejects once it will reject again."""
    assert Dead(DeadReason.REJECTED) == judge(Reply(status), moment(), retry_ambiguous=True)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_passing_trouble_is_tried_again(status):
    """408, 429 and 5xx say that another attempt may do better."""
    assert RetryIn(0.25) == judge(Reply(status), moment(), retry_ambiguous=True)


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_is_tried_again(fault):
    """By default a call that failed is sent again, even if it may have arrived."""
    assert RetryIn(0.25) == judge(Failure(fault, maybe_sent=True), moment(), retry_ambiguous=True)


def test_an_ambiguous_failure_is_dead_where_the_rules_say_so():
    """With retry_ambiguous off, a call that may have been counted is never sent again."""
    outcome = Failure(Fault.READ_TIMEOUT, maybe_sent=True)

    assert Dead(DeadReason.AMBIGUOUS) == judge(outcome, moment(), retry_ambiguous=False)


def test_a_failure_before_sending_is_tried_again_in_any_case():
    """A refused connection surely counted nothing."""
    outcome = Failure(Fault.CONNECT, maybe_sent=False)

    assert RetryIn(0.25) == judge(outcome, moment(), retry_ambiguous=False)


@pytest.mark.parametrize(("attempt", "wait"), [*enumerate(BACKOFF_S, start=1), (6, 30.0), (99, 30.0)])
def test_waits_grow(attempt, wait):
    """The waits are 0.25, 1, 3, 10, 30 s, and 30 s from then on."""
    assert RetryIn(wait) == judge(Reply(500), moment(attempt), retry_ambiguous=True)


@given(attempt=st.integers(1, 20), jitter=st.floats(0, 1))
def test_jitter_moves_a_wait_by_a_fifth(attempt, jitter):
    """Whatever the jitter, the wait stays within 20 % of its step."""
    verdict = judge(Reply(500), moment(attempt, jitter=jitter), retry_ambiguous=True)
    step = BACKOFF_S[min(attempt, len(BACKOFF_S)) - 1]

    assert 0.799 * step <= verdict.seconds <= 1.201 * step


def test_retry_after_makes_a_wait_longer():
    """A Retry-After beyond the step is waited for."""
    assert RetryIn(7.0) == judge(Reply(503, "7"), moment(), retry_ambiguous=True)


def test_retry_after_makes_no_wait_shorter():
    """A Retry-After below the step changes nothing."""
    assert RetryIn(3.0) == judge(Reply(503, "1"), moment(3), retry_ambiguous=True)


@given(attempt=st.integers(1, 50), left_s=st.floats(-10, 200), jitter=st.floats(0, 1))
def test_nothing_is_planned_beyond_its_age(attempt, left_s, jitter):
    """A verdict is a retry a second before the deadline at the latest, or death of old age."""
    verdict = judge(Reply(503), Moment(attempt, left_s, WALL, jitter), retry_ambiguous=True)

    assert verdict == Dead(DeadReason.TOO_OLD) or 0 <= verdict.seconds <= left_s - 1 + 1e-6


def test_a_long_step_is_cut_to_the_last_chance():
    """While there is time left, a click is tried once more."""
    assert RetryIn(19.0) == judge(Reply(503), moment(9, left_s=20.0), retry_ambiguous=True)


def test_a_retry_after_beyond_the_deadline_is_obeyed():
    """The call waits in the outbox, and gets too old there: nobody is asked before the time."""
    assert RetryIn(3600.0) == judge(Reply(503, "3600"), moment(), retry_ambiguous=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("1e3", 0.0),
        ("٣", 0.0),
        ("Tue, 99 Nov 2023 22:13:10 GMT", 0.0),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", 0.0),
        ("Tue, 14 Nov 2023 22:13:50 +9999999999999", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    """RFC 9110 §10.2.3: seconds, or an HTTP date; anything else asks for nothing."""
    assert seconds == retry_after(text, WALL)


@pytest.mark.parametrize(
    ("outcome", "healthy"),
    [
        (Reply(200), True),
        (Reply(302), True),
        (Reply(404), True),
        (Reply(408), False),
        (Reply(429), False),
        (Reply(500), False),
        (Failure(Fault.CONNECT, maybe_sent=False), False),
    ],
)
def test_what_counts_as_a_healthy_host(outcome, healthy):
    """A host that answers about the click works; one that is busy or broken does not."""
    assert healthy is is_healthy(outcome)
