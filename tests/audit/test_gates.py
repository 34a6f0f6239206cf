"""Gates: what they say, what they do not let through, and which texts are none."""

import pytest

from storehop.audit.exchange import Known
from storehop.audit.gates import NAMES, judge, parse
from storehop.audit.report import Input, Report

KNOWS = tuple(sorted(Known))


def report(*, knows=KNOWS, **figures):
    """100 clicks of which 80 are direct, from one recording."""
    found = Report(clicks=100, direct=80, signals={"ip": 60, "referrer": 40}, drift={"same": 5, "not_comparable": 2})
    found.inputs = [Input("a.log", "jsonl", "", None, None, 100, 0, knows=knows, clicks=100, direct=80)]
    for name, value in figures.items():
        setattr(found, name, value)
    return found


def gate(text, **figures):
    return judge(parse(text), report(**figures))


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("direct>=0.80", 0.8, True),
        ("direct>0.8", 0.8, False),
        ("direct == 0.8", 0.8, True),
        (" direct < 1 ", 0.8, True),
        ("ip>=0.75", 0.75, True),
        ("referrer>=0.51", 0.5, False),
        ("unreadable<=0.001", 0, True),
        ("never_filled_in<=0", 0, True),
        ("private_addresses<=0", 0, True),
        ("drift==0", 0, True),
    ],
)
def test_a_gate_compares_its_figure(text, value, holds):
    """Shares are of clicks; those of what AppsFlyer would get are of direct clicks."""
    found = gate(text)

    assert (value, holds) == (found.value, found.holds)


@pytest.mark.parametrize(
    ("text", "figures", "value"),
    [
        ("unreadable<=1", {"unreadable": 25}, 0.2),
        ("never_filled_in<=1", {"never_filled_in_clicks": 8}, 0.1),
        ("private_addresses<=1", {"private_addresses": 20}, 0.25),
        ("drift<=9", {"drift": {"same": 1, "other_app": 2, "opens_app": 1, "not_comparable": 7}}, 3),
    ],
)
def test_what_a_gate_counts(text, figures, value):
    """Unreadable lines could have been clicks; drift is a number of clicks."""
    assert value == gate(text, **figures).value


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("direct<=1", {"clicks": 0, "direct": 0}),
        ("unreadable<=1", {"clicks": 0, "direct": 0}),
        ("ip<=1", {"direct": 0}),
        ("never_filled_in<=1", {"direct": 0}),
        ("ip<=1", {"knows": ("link",), "signals": {}}),
        ("private_addresses<=1", {"knows": ("link",)}),
        ("drift==0", {"drift": {}}),
        ("drift==0", {"drift": {"not_comparable": 9}}),
    ],
)
def test_what_nobody_can_tell_does_not_hold(text, figures):
    """A limit on something that the recordings do not say is never met in silence."""
    found = gate(text, **figures)

    assert (None, False) == (found.value, found.holds)
    assert found.why


def test_a_recording_without_addresses_hides_no_private_ones():
    """Beside a HAR, private addresses are a share of the direct clicks whose addresses are known."""
    found = report(private_addresses=20)
    found.inputs.append(Input("a.har", "har", "", None, None, 900, 0, knows=("link",), clicks=900, direct=720))
    found.clicks, found.direct = 1000, 800

    assert judge(parse("private_addresses<=0.1"), found).value == 0.25


def test_addresses_within_the_links_count():
    """Where the log has no addresses but the links do, the gate tells their share."""
    assert gate("ip>=0.5", knows=("link",)).holds


@pytest.mark.parametrize(
    "text",
    ["foo>=1", "direct", "direct=0.8", "direct!=0.8", "direct>=", ">=0.8", "direct>=80", "direct>=x", "direct>=nan",
     "drift<=inf", "direct>=0.8>=0.7", "", "direct>=-0.1"],
)  # fmt: skip
def test_a_text_that_is_no_gate_says_what_one_is(text):
    """A wrong name or number is said, with what was expected."""
    with pytest.raises(ValueError, match=r"expected|there are|is no number|is a share"):
        parse(text)


def test_a_wrong_name_lists_the_names():
    """So that nobody has to look them up."""
    with pytest.raises(ValueError, match="unexpanded") as error:
        parse("unexpanded<=0.001")

    assert all(name in str(error.value) for name in NAMES)
