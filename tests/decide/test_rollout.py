"""The rollout: percent, mode and stops, which count last (design §3, §11)."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.decide.address import Proxies
from storehop.decide.decision import decide
from storehop.decide.rollout import Rollout
from storehop.decide.rules import EVERY_RULE, Match, Patterns, RuleSet
from storehop.model import Click, Direct, Reason
from storehop.settings import Mode, Rule
from tests.support.clicks import (
    ANDROID_LINK,
    CLICK_ID,
    DESKTOP,
    IOS_LINK,
    IPAD,
    IPHONE,
    PEER,
    PIXEL,
    REDUCED,
    click,
    rule_set,
)


def rules(**keys):
    return rule_set(Rule("games", **{"partner": "NetworkA", **keys}))


def link(query):
    return f"{ANDROID_LINK}&{query}"


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 90, 99, 100])
def test_percent_is_a_share_of_clicks(percent):
    """Of 2,000 clicks about `percent` in a hundred go direct."""
    found = [decide(click(link(f"c={number}")), rules(percent=percent)) for number in range(2000)]
    share = sum(isinstance(decision, Direct) for decision in found) / 20

    tolerance = 0 if percent in {0, 100} else 3.5
    assert percent == pytest.approx(share, abs=tolerance)


def test_percent_sends_the_same_people_to_the_same_side_for_ever():
    """A hundred clicks fall as they always fell: whoever changes the hash moves people between the arms of a test."""
    proxies = Proxies((ip_network("10.0.0.0/8"),))
    found = [decide(one, replace(rules(percent=50), proxies=proxies)) for one in map(_golden_click, range(100))]
    sides = "".join("d" if isinstance(decision, Direct) else "." for decision in found)

    expected = ".....dd.d.d...d.ddd..d..dd.ddd.d.dd.ddd.ddddddd..dd...d...ddd.d..d....dddd..d.d.d.d.d.ddd.d..d...d.."
    assert expected == sides


def _golden_click(number):
    user_agent = (PIXEL, IPHONE, REDUCED, IPAD, f"{PIXEL} \u00e9\U0001f600")[number % 5]
    peer = (PEER, "2606:2800:220:1::1", "10.0.0.1", "::ffff:93.184.216.35", "")[number // 5 % 5]
    said = (None, "81.2.69.142", "81.2.69.142, unix:", "10.0.0.9")[number % 4]
    base = IOS_LINK if user_agent in {IPHONE, IPAD} else ANDROID_LINK
    return click(f"{base}&c={number // 5}", {"X-Forwarded-For": said}, peer=peer, user_agent=user_agent)


LINKS = st.text("abcdefghij0123456789", max_size=12).map(lambda text: link(f"c={text}"))
PERCENTS = st.floats(0, 100) | st.integers(0, 100)


@given(LINKS, st.sampled_from([PIXEL, REDUCED]), st.ip_addresses().map(str), PERCENTS, PERCENTS)
def test_raising_percent_never_moves_a_click_out(one_link, user_agent, peer, percent, more):
    """A click that goes direct at some percent goes direct at any higher one (design §11)."""
    low, high = sorted((percent, more))
    one = click(one_link, user_agent=user_agent, peer=peer)
    sides = [isinstance(decide(one, rules(percent=share)), Direct) for share in (low, high)]

    assert sides != [True, False]


@pytest.mark.parametrize(
    ("stopped", "expected"),
    [
        pytest.param({"games"}, Reason.STOPPED, id="the rule"),
        pytest.param({EVERY_RULE}, Reason.STOPPED, id="every rule"),
        pytest.param({"others"}, None, id="another rule"),
        pytest.param(set(), None, id="none"),
    ],
)
def test_a_stopped_rule_lets_all_its_clicks_pass(stopped, expected):
    """A stop counts for the rule that it names, or for all."""
    decision = decide(click(), rules().with_stopped(frozenset(stopped)))

    assert expected == getattr(decision, "reason", None)


def test_rules_with_a_stop_are_the_same_rules():
    """Everything but the stop stays, the index of app ids included; the rules of before are unchanged."""
    before = rules()
    after = before.with_stopped(frozenset({"games"}))

    assert before == replace(after, stopped=frozenset())
    assert after.by_app is before.by_app
    assert frozenset() == before.stopped


RULES = st.builds(
    Rule,
    name=st.just(""),
    mode=st.sampled_from(Mode),
    percent=st.sampled_from([0.0, 30.0, 100.0]),
    answers=st.booleans(),
    partner=st.just("NetworkA"),
)
APPS = st.sampled_from(["com.example.game", "com.example.other", "id1234567890"])
MATCHES = st.frozensets(APPS).map(lambda apps: Match(app=Patterns.of(sorted(apps))) if apps else Match())
SETS = st.builds(
    lambda pairs, stopped: RuleSet(
        tuple((match, replace(rule, name=f"r{place}")) for place, (match, rule) in enumerate(pairs)), stopped=stopped
    ),
    st.lists(st.tuples(MATCHES, RULES), max_size=4),
    st.frozensets(st.sampled_from(["r0", "r1", "r2", EVERY_RULE]), max_size=2),
)
ANY_CLICKS = st.builds(
    lambda app, query, user_agent, method, at_answer: Click(
        CLICK_ID,
        method,
        f"https://app.appsflyer.com/{app}?pid=x&clickid={query}",
        {"user-agent": user_agent},
        PEER,
        at_answer,
    ),
    APPS,
    st.text("abc019&=%", max_size=8) | st.sampled_from(["1&af_dp=game%3A%2F%2Fx", "1&signature=x"]),
    st.sampled_from([PIXEL, IPHONE, DESKTOP, "Googlebot", ""]),
    st.sampled_from(["GET", "HEAD"]),
    st.booleans(),
)


@given(ANY_CLICKS, SETS)
def test_one_decision_gives_both_verdicts(one, found_rules):
    """What the rules do as they are follows from what they would do at their most: the audit decides once."""
    rollout = Rollout(found_rules)

    assert decide(one, found_rules) == rollout.as_configured(one, decide(one, rollout.whole))


def test_rules_at_their_most_cost_nothing_per_rule():
    """They are made on the event loop, while clicks wait: after each reload, and after each stop."""
    stopped = RuleSet(rules=((Match(), Rule("games", mode=Mode.OFF)),)).with_stopped(frozenset({"games"}))
    most = stopped.at_their_most()
    assert (most.rules is stopped.rules, most.by_app is stopped.by_app) == (True, True)
    assert Rollout(stopped).whole == most
