"""Admission: what is accepted can be sent in time (design §6)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.deliver.policy import MAX_UNDER_WAY, MAX_WAIT_S, Load, refusal
from storehop.model import Reason

IDLE = Load(waiting=0, due=0, call_s=0.02, concurrency=64, recovery_rate=50.0, under_way=0)


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (IDLE, None),
        (replace(IDLE, waiting=1000), None),
        (replace(IDLE, waiting=64 * 5 * 50), None),
        (replace(IDLE, waiting=64 * 5 * 50 + 1), Reason.S2S_DOWN),
        (replace(IDLE, call_s=5.0, waiting=64), None),
        (replace(IDLE, call_s=5.0, waiting=65), Reason.S2S_DOWN),
        (replace(IDLE, under_way=MAX_UNDER_WAY), Reason.OUTBOX_DOWN),
    ],
)
def test_a_new_call_is_refused_where_it_would_wait_too_long(load, reason):
    """More than MAX_WAIT_S until it is sent, or too many calls under way."""
    assert reason == refusal(load)


def test_due_calls_count():
    """A call that waits for its next attempt needs a slot, as a new one does."""
    assert Reason.S2S_DOWN == refusal(replace(IDLE, call_s=5.0, waiting=60, due=5))


def test_a_backlog_counts_no_more_than_recovery_sends():
    """After an outage the slots that recovery leaves free are for new clicks."""
    assert refusal(replace(IDLE, due=1_000_000)) is None


@given(waiting=st.integers(0, 10**6), due=st.integers(0, 10**6), call_s=st.floats(0, 60), more=st.integers(0, 10**6))
def test_more_load_never_admits_more(waiting, due, call_s, more):
    """Whoever is refused stays refused when still more calls wait."""
    load = replace(IDLE, waiting=waiting, due=due, call_s=call_s)

    assert refusal(load) is None or refusal(replace(load, waiting=waiting + more)) is not None


def test_the_longest_wait_is_far_below_a_click_s_age():
    """A click that is accepted is sent while it is worth something."""
    assert MAX_WAIT_S < 120 / 10
