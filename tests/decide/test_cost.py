"""The decision stays as cheap as it is: counted in bytecode instructions, which no busy machine changes."""

import pytest

from storehop.decide.decision import decide
from tests.decide.cost import CLICKS, VERSION, baseline, instructions, rules
from tests.support.needs import missing

TOLERANCE = 1.2
RULES = rules()


@pytest.mark.parametrize("name", CLICKS)
def test_a_decision_costs_no_more_than_it_did(name):
    """At most 20 % more instructions than in the baseline of this Python."""
    known = baseline()
    if known is None:
        missing(f"tests/decide/cost.json has no baseline for Python {VERSION}: run `make cost` with it")
    clicked, _ = CLICKS[name]
    now = instructions(clicked, RULES)

    assert now <= known[name] * TOLERANCE, (
        f"deciding on {name!r} takes {now} instructions, {now / known[name] - 1:.0%} more than before ({known[name]}). "
        "If it has to: `make cost` with each Python that cost.json names, and say why in the commit."
    )


@pytest.mark.parametrize("name", CLICKS)
def test_a_click_of_the_cost_guard_becomes_what_it_stands_for(name):
    """What is counted is a whole decision: none of these clicks takes an early way out by mistake."""
    clicked, expected = CLICKS[name]

    assert expected is type(decide(clicked, RULES))


def test_counting_is_repeatable():
    """The same decision takes the same number of instructions again."""
    clicked, _ = CLICKS["android"]

    assert 1 == len({instructions(clicked, RULES) for _ in range(3)})
