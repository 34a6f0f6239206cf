"""How long the steps of a rollout take, and what they show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.canary.plan import Plan, rate_of_audit

RATES = st.floats(0.01, 1e6)


def report(**changes):
    inputs = [{"name": "log", "from": 1_780_000_000, "to": 1_780_003_600}]
    return {"rules": {"games": {"clicks": 3000, "direct": 2400}}, "inputs": inputs} | changes


def test_a_busy_rule_s_steps():
    """At 2,000 clicks a minute their least times are enough."""
    steps = Plan.of(2000).steps

    assert [(1, 30), (5, 30), (25, 120), (50, 720), (100, 0)] == [(step.percent, step.minutes) for step in steps]


def test_a_step_lasts_until_it_has_its_clicks():
    """At 400 a minute 1 % has 300 after 75 minutes, 5 % 3,000 after 150."""
    first, second, *_ = Plan.of(400).steps

    assert (75, 300, 150, 3000) == pytest.approx((first.minutes, first.clicks, second.minutes, second.clicks))


def test_none_bad_of_300_is_below_one_percent():
    """The rule of three."""
    first, second, *_ = Plan.of(400).steps

    assert (0.01, 0.001) == pytest.approx((first.bad_below, second.bad_below))


def test_what_is_at_risk_is_a_minute_of_the_share():
    """The canary stops a rule within that."""
    assert [20, 100, 500, 1000, 2000] == pytest.approx([step.at_risk for step in Plan.of(2000).steps])


def test_a_small_rule_starts_with_more():
    """And the next step has the clicks that the one of 5 % would have had."""
    plan = Plan.of(40)

    assert "at 40 clicks a minute 1 % needs 12.5 h: start with 10 %" == plan.advice
    assert [(10, 75), (25, 300), (50, 720), (100, 0)] == [(step.percent, step.minutes) for step in plan.steps]


def test_a_busy_rule_needs_no_advice():
    """It starts with 1 %."""
    assert Plan.of(2000).advice is None


def test_a_tiny_rule_shows_little():
    """It is said, with a figure."""
    assert "1 % needs 500.0 h, and 50 % more than two: so few clicks show little" in Plan.of(1).advice


@pytest.mark.parametrize(("rate", "percents"), [(2000, [1, 5]), (1000, [1]), (400, [])])
def test_what_fits_in_an_hour(rate, percents):
    """The steps that are done by then."""
    assert percents == [step.percent for step in Plan.of(rate).in_an_hour]


def test_installs_take_long_to_show():
    """A loss of 5 % at 2,000 clicks a minute: five hours of half of them."""
    assert 300 == pytest.approx(Plan.of(2000).minutes_to_show(300_000))


@given(RATES)
def test_shares_only_rise(rate):
    """From the first step to 100 %."""
    percents = [step.percent for step in Plan.of(rate).steps]

    assert percents == sorted(set(percents))
    assert 100 == percents[-1]


@given(RATES)
def test_the_first_step_shows_that_99_percent_are_good(rate):
    """Whatever the rate."""
    assert Plan.of(rate).steps[0].bad_below <= 0.01 + 1e-9


@pytest.mark.parametrize(
    "times",
    [
        {"from": 1_780_000_000, "to": 1_780_003_600},
        {"from": "2026-05-28T20:26:40Z", "to": "2026-05-28T21:26:40+00:00"},
        {"from": "2026-05-28T20:26:40", "to": "2026-05-28T21:26:40"},
    ],
)
def test_an_audit_says_the_rate(times):
    """Direct clicks over the time of all inputs, in either form."""
    assert 40 == pytest.approx(rate_of_audit(report(inputs=[times]), "games"))


def test_inputs_of_the_same_time_are_one_time():
    """Logs of two hosts."""
    assert 40 == pytest.approx(rate_of_audit(report(inputs=report()["inputs"] * 2), "games"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rules": {"apps": {"direct": 1}}}, "it has no rule games: it has apps"),
        ({"rules": {}}, "it has no rule games: it has none"),
        ({"rules": []}, "it has no rule games: it has none"),
        ({"inputs": []}, "does not say from when to when"),
        ({"inputs": [{"from": None, "to": None}]}, "does not say from when to when"),
        ({"inputs": [{"from": 5, "to": 5}]}, "does not say from when to when"),
        ({"rules": {"games": {"direct": 0}}}, "no click of rule games goes direct"),
    ],
)
def test_an_audit_that_can_not_say_the_rate_is_refused(changes, said):
    """With what is missing."""
    with pytest.raises(ValueError, match=said):
        rate_of_audit(report(**changes), "games")
