"""The limits of a canary: what is bad, what is bad luck, and what is too little data."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.canary.figures import CLASSES, Figures, Sums, Taps, class_of
from storehop.canary.limits import (
    CHANCE,
    REFUSED,
    Signal,
    State,
    is_beyond_chance,
    is_slower,
    judge,
    run_needed,
)
from storehop.canary.repeats import ALARM


def figures(minute=None, step=None, **others):
    """Of a rule whose minute is its whole step, unless it is said otherwise."""
    minute = Sums(**(minute or {}))
    return Figures(minute=minute, step=Sums(**step) if step else minute, **others)


def state(signal, found, harm=0.0):
    return next(one.state for one in judge(found, harm) if one.signal is signal)


def times(**counts):
    """Answer times: `ms_N=count`."""
    classes = [0] * CLASSES
    for name, count in counts.items():
        classes[class_of(int(name.removeprefix("ms_")) / 1000)] += count
    return classes


@pytest.mark.parametrize(
    ("signal", "minute", "expected"),
    [
        (Signal.S2S_REFUSED, {"ended": 99, "refused": 50}, State.TOO_FEW),
        (Signal.S2S_REFUSED, {"ended": 1000, "refused": 1}, State.OK),
        (Signal.S2S_REFUSED, {"ended": 1000, "refused": 13}, State.TOO_FEW),
        (Signal.S2S_REFUSED, {"ended": 1000, "refused": 40}, State.BAD),
        (Signal.S2S_LATE, {"calls": 199, "in_time": 100}, State.TOO_FEW),
        (Signal.S2S_LATE, {"calls": 3000, "in_time": 2997}, State.OK),
        (Signal.S2S_LATE, {"calls": 3000, "in_time": 2900}, State.BAD),
        (Signal.S2S_LATE, {"calls": 300, "in_time": 310}, State.OK),
        (Signal.S2S_DEAD, {"ended": 10, "dead": 4}, State.TOO_FEW),
        (Signal.S2S_DEAD, {"ended": 200, "dead": 8}, State.BAD),
        (Signal.S2S_DEAD, {"ended": 20_000, "dead": 12}, State.OK),
        (Signal.BREAKER_OPEN, {}, State.OK),
        (Signal.DRIFT, {}, State.OK),
    ],
)
def test_shares_of_a_minute(signal, minute, expected):
    """Above its limit and beyond chance a share is bad; below the least data, or within chance, it is too few."""
    assert state(signal, figures(minute)) is expected


def test_a_step_is_judged_as_well_as_its_minute():
    """A slow rule has too few calls in a minute, and enough in a day."""
    found = figures({"ended": 1, "refused": 0}, {"ended": 400, "refused": 20})
    assert state(Signal.S2S_REFUSED, found) is State.BAD


def test_three_refusals_in_a_row_are_bad_from_the_first_click_on():
    """There is no least data for them."""
    found = figures({"ended": 3, "refused": 3}, refused_at=[1.0, 2.0, 3.0])
    assert state(Signal.S2S_REFUSED, found) is State.BAD
    found = figures({"ended": 2, "refused": 2}, refused_at=[1.0, 2.0])
    assert state(Signal.S2S_REFUSED, found) is State.TOO_FEW


@pytest.mark.parametrize(
    ("a_minute", "refused_before", "needed"), [(3, 0, 3), (600, 0, 3), (6000, 0, 4), (60_000, 0, 4), (60, 0.009, 4)]
)
def test_where_runs_of_refusals_are_chance_it_takes_a_longer_one(a_minute, refused_before, needed):
    """A run is no chance where a healthy rule of this traffic has one in a thousand days."""
    before = {"ended": 100_000, "refused": int(100_000 * refused_before)}
    assert run_needed(figures({"ended": a_minute}, before)) == needed


@pytest.mark.parametrize(
    ("failed", "slices", "expected"),
    [
        (1000, [*[(250, 250)] * 4, *[(250, 0)] * 5], State.TOO_FEW),
        (2000, [*[(250, 250)] * 8, (250, 2)], State.TOO_FEW),
        (2000, [*[(250, 250)] * 8, (0, 0)], State.TOO_FEW),
        (2250, [(250, 250)] * 9, State.BAD),
        (2250, [(0, 0), *[(250, 250)] * 8], State.BAD),
        (150, [(250, 15)] * 9, State.BAD),
        (0, [(250, 0)] * 9, State.OK),
    ],
)
def test_clicks_must_fail_all_the_time(failed, slices, expected):
    """A hiccup of some seconds passes by itself: what is bad lasts for 45 seconds."""
    found = figures({"direct": 3000 - failed, "failed": failed}, slices=slices)
    assert state(Signal.CLICKS_FAIL, found) is expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, State.OK), (30, State.OK), (30.5, State.BAD)])
def test_a_breaker_may_be_open_for_half_a_minute(seconds, expected):
    """AppsFlyer fails for longer: bad."""
    assert state(Signal.BREAKER_OPEN, figures(open_s=seconds)) is expected


def test_another_app_or_store_is_bad_once():
    """One is enough."""
    assert state(Signal.DRIFT, figures(drifted=1)) is State.BAD


@pytest.mark.parametrize(
    ("direct", "control", "expected"),
    [
        ({"ms_5": 99, "ms_300": 100}, {"ms_1": 1000}, False),
        ({"ms_5": 1000}, {"ms_1": 1000}, False),
        ({"ms_5": 1000, "ms_150": 50}, {"ms_1": 1000}, True),
        ({"ms_5": 1000, "ms_150": 50}, {"ms_1": 1000, "ms_150": 50}, False),
        ({"ms_5": 1000, "ms_45": 50}, {"ms_1": 1000}, False),
        ({"ms_5": 1000, "ms_150": 12}, {"ms_1": 1000}, False),
        ({"ms_5": 1000, "ms_12000": 100}, {"ms_1": 1000, "ms_12000": 100}, False),
    ],
)
def test_slow_answers(direct, control, expected):
    """The 99th percentile of direct answers is 50 ms above control's, beyond chance."""
    assert is_slower(times(**direct), times(**control)) is expected


def test_slow_answers_say_of_how_many():
    """Not each answer is timed: who reads `too few` beside a thousand clicks sees how many were."""
    counts = {"direct": 1000, "control": 900, "direct_times": times(ms_5=90), "control_times": times(ms_1=80)}
    (found,) = (one for one in judge(figures(counts), 0.0) if one.signal is Signal.SLOW_ANSWERS)

    assert "99 % of 90 direct answers that were timed within 5 ms, of 80 of control's within " in found.figure


@pytest.mark.parametrize(
    ("trials", "harm", "expected"),
    [([499, 5000], 99, State.TOO_FEW), ([500, 500], ALARM - 1, State.OK), ([500, 500], ALARM + 1, State.BAD)],
)
def test_repeat_taps_need_their_data(trials, harm, expected):
    """Five hundred first taps in each arm."""
    assert state(Signal.REPEAT_TAPS, figures(taps=Taps(trials)), harm) is expected


@given(st.integers(1, 1000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_bound_is_above_the_binomial_tail(counts):
    """What is beyond chance is less probable than CHANCE, where the share is just at its limit."""
    bad, of = counts
    share = REFUSED.most
    if is_beyond_chance(bad, of, share):
        assert (
            sum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(bad, of + 1)) < CHANCE * 1.000001
        )


def test_a_stop_says_its_figures():
    """In words, with the limit, and no personal data."""
    found = judge(figures({"ended": 1000, "refused": 40}), 0.0)[0]
    assert found.why == (
        "40 of 1,000 (4.00%) calls refused, in the last minute; the limit is 5 in a row, or 1.0% of 100 or more"
    )


def test_signals_come_in_their_order():
    """Each has its finding, whatever was counted."""
    rng = random.Random(1)
    for found in (Figures(), figures({"ended": rng.randrange(9), "calls": 3})):
        assert [one.signal for one in judge(found, 0.0)] == list(Signal)
