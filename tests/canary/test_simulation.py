"""Days of clicks: a healthy rule is not stopped, and a store page that is broken is found.

The whole figures are `make canary-table`'s and those of rules/canary/README.md.
"""

import pytest

from tests.support.canary_days import Days, seconds_until_found
from tests.support.patience import in_full


@pytest.mark.parametrize("percent", [5, 50])
def test_a_healthy_day_is_not_stopped(percent):
    """All signals together, with refusals, late calls, hiccups, slow answers and the swing of day and night."""
    assert list(Days(seed=percent, percent=percent).run(0.5)) == []


@in_full
@pytest.mark.parametrize(("clicks", "percent"), [(100, 50), (100, 5), (5, 25), (1000, 50)])
@pytest.mark.parametrize("seed", range(20, 24))
def test_four_hundred_healthy_days_are_not_stopped(seed, clicks, percent):
    """A hundred for each kind of rule: below one false stop in a hundred days, with 95 % certainty."""
    assert list(Days(seed=seed, clicks=clicks, percent=percent).run(25)) == []


@pytest.mark.parametrize(
    ("percent", "factor", "within_s"),
    [(1, 3, 900), (5, 3, 180), (50, 3, 60), (5, 2, 600), (50, 2, 120), (50, 1.3, 900)],
)
def test_a_broken_store_page_is_found(percent, factor, within_s):
    """At a hundred clicks a second, by its repeat taps alone."""
    assert max(seconds_until_found(percent, factor, seed) for seed in range(3)) < within_s


@pytest.mark.parametrize(
    ("fault", "signal"),
    [({"refused": 0.05}, "s2s_refused"), ({"late": 0.05}, "s2s_late"), ({"dead": 0.02}, "s2s_dead")],
)
def test_a_fault_in_a_day_is_found(fault, signal):
    """Each by its own signal, within a minute."""
    seconds, found, _ = next(Days(seed=1, **fault).run(0.1))
    assert found == signal
    assert seconds <= 60
