"""The cost of a decision that the benchmark prints is that of whole decisions."""

import pytest

from storehop.decide.decision import decide
from tests.bench.cost import CLICKS, instructions, rules

RULES = rules()


@pytest.mark.parametrize("name", CLICKS)
def test_a_click_becomes_what_it_stands_for(name):
    """None of these clicks takes an early way out by mistake."""
    clicked, expected = CLICKS[name]

    assert expected is type(decide(clicked, RULES))


def test_counting_is_repeatable():
    """The same decision takes the same number of instructions again."""
    clicked, _ = CLICKS["android"]

    assert 1 == len({instructions(clicked, RULES) for _ in range(3)})
