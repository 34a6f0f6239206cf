"""Repeat taps: whose they are, and what they say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.canary import repeats
from storehop.canary.figures import ODDS
from storehop.canary.repeats import Arm, Harm, Tapping, Trials, log_ratio


def test_a_repeat_is_its_first_tap_s():
    """The second tap may be in the other arm: its click has another id."""
    tapping, trials = Tapping(), Trials()
    tapping.tap("a", trials, Arm.DIRECT, 0)
    tapping.tap("a", trials, Arm.CONTROL, 5)
    assert (trials.taps.trials, trials.taps.repeats) == ([1, 0], [1, 0])


def test_a_trial_has_one_repeat():
    """Who taps ten times is one who did not get there."""
    tapping, trials = Tapping(), Trials()
    for second in range(0, 50, 5):
        tapping.tap("a", trials, Arm.CONTROL, second)
    assert (trials.taps.trials, trials.taps.repeats, trials.open) == ([0, 1], [0, 1], [0, 0])


def test_what_comes_at_once_is_no_repeat():
    """A double tap, or a browser's own retry: it says nothing of the store's page."""
    tapping, trials = Tapping(), Trials()
    tapping.tap("a", trials, Arm.DIRECT, 0)
    tapping.tap("a", trials, Arm.DIRECT, 0.5)
    assert trials.taps.repeats == [0, 0]
    assert trials.open == [1, 0]


def test_a_minute_later_a_tap_is_a_first_one():
    """And the trial of before has lapsed."""
    tapping, trials = Tapping(), Trials()
    tapping.tap("a", trials, Arm.DIRECT, 0)
    tapping.tap("a", trials, Arm.CONTROL, 60)
    assert (trials.taps.trials, trials.taps.repeats, trials.open) == ([1, 1], [0, 0], [0, 1])


def test_memory_is_bounded(monkeypatch):
    """The oldest trial makes room."""
    monkeypatch.setattr(repeats, "MAX_TRIALS", 3)
    tapping, trials = Tapping(), Trials()
    for person in range(10):
        tapping.tap(person, trials, Arm.DIRECT, 0)
    tapping.tap(0, trials, Arm.DIRECT, 5)
    tapping.tap(9, trials, Arm.DIRECT, 5)
    assert trials.taps.trials == [11, 0]
    assert trials.taps.repeats == [1, 0]
    assert len(tapping._trials) == len(tapping._by_age) == 3


@given(st.floats(0.001, 0.999), st.sampled_from(ODDS))
def test_no_harm_speaks_against_harm(share, odds):
    """The expected log ratio is below 0 where repeats are drawn from open trials alike, above 0 under these odds."""
    direct, control = (log_ratio(arm, odds, share) for arm in Arm)
    harmed = odds * share / (odds * share + 1 - share)
    assert share * math.exp(direct) + (1 - share) * math.exp(control) == pytest.approx(1)
    assert share * direct + (1 - share) * control <= 1e-12
    assert harmed * direct + (1 - harmed) * control >= -1e-12


def test_without_a_control_arm_nothing_is_said():
    """At 100 % each repeat is a direct one's, whatever is wrong."""
    assert [log_ratio(Arm.DIRECT, odds, 1.0) for odds in ODDS] == pytest.approx([0.0] * len(ODDS))


def test_levels_do_not_sink_below_nothing():
    """What spoke against harm for days does not delay an alarm."""
    harm = Harm()
    harm.hear({"a": [0.0] * 3})
    harm.hear({"a": [-5000.0] * 3})
    harm.hear({"a": [-4990.0] * 3})
    assert harm.level == 10


def test_processes_add_up():
    """Evidence that is spread over eight of them is the same evidence."""
    harm = Harm()
    harm.hear({n: [0.0] * 3 for n in range(8)})
    harm.hear({n: [3.0, 0.0, 0.0] for n in range(8)})
    assert harm.level == 24


def test_a_process_s_end_is_no_evidence():
    """Nor is its begin, nor that it counts anew."""
    harm = Harm()
    harm.hear({"a": [-50.0] * 3, "b": [-60.0] * 3})
    harm.hear({"b": [-60.0] * 3, "c": [30.0] * 3})
    harm.hear({"a": [-50.0] * 3, ("b", "anew"): [0.0] * 3, "c": [30.0] * 3})
    assert harm.level == 0
