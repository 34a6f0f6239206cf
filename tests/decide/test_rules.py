"""Which rule a click meets: conditions, order, the index of exact app ids (design §4)."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.decide.link import split
from storehop.decide.rules import Facts, Match, Patterns, RuleSet
from storehop.model import Platform
from storehop.settings import Rule
from tests.support.clicks import ONELINK

FACTS = Facts(
    app="com.example.game",
    platform=Platform.ANDROID,
    link=split("https://app.appsflyer.com/com.example.game?pid=netx_int&c=a%20b&geo=&pid=other"),
)


def patterns(*texts):
    return Patterns.of(list(texts))


def rules(*matches):
    return RuleSet(tuple((match, Rule(f"rule-{place}")) for place, match in enumerate(matches)))


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        pytest.param(["com.example.game"], "com.example.game", id="exact"),
        pytest.param(["com.other", "com.example.game"], "com.example.game", id="one of several"),
        pytest.param(["com.example.*"], "com.example.game", id="star"),
        pytest.param(["com.example.gam?"], "com.example.game", id="question mark"),
        pytest.param(["com.example.g[ao]me"], "com.example.game", id="set"),
        pytest.param(["*"], "", id="star and nothing"),
        pytest.param(["com.other", "com.ex*"], "com.example.game", id="exact and glob"),
    ],
)
def test_a_pattern_matches(texts, value):
    """A pattern is an exact text or a glob, and one of several is enough."""
    assert patterns(*texts).match(value)


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        pytest.param(["com.example.game"], "com.example.game2", id="longer"),
        pytest.param(["com.example.*"], "org.com.example.game", id="not from the start"),
        pytest.param(["com.example.*.x"], "com.example.game.xy", id="not to the end"),
        pytest.param(["com.example.game"], "com.Example.game", id="case"),
        pytest.param(["com.example.*"], "comXexample.game", id="a dot is a dot"),
        pytest.param([], "com.example.game", id="no pattern"),
    ],
)
def test_a_pattern_misses(texts, value):
    """A pattern speaks of the whole value, and of its case."""
    assert not patterns(*texts).match(value)


@pytest.mark.parametrize(
    "match",
    [
        pytest.param(Match(), id="no condition"),
        pytest.param(Match(app=patterns("com.example.game")), id="app"),
        pytest.param(Match(app=patterns("com.*")), id="app glob"),
        pytest.param(Match(platform=frozenset({Platform.IOS, Platform.ANDROID})), id="platform"),
        pytest.param(Match(host=patterns("app.appsflyer.com")), id="host"),
        pytest.param(Match(host=patterns("*.appsflyer.com")), id="host glob"),
        pytest.param(Match(params=(("pid", patterns("netx_int")),)), id="parameter"),
        pytest.param(Match(params=(("c", patterns("a b")),)), id="decoded parameter"),
        pytest.param(Match(params=(("geo", patterns("*")),)), id="empty parameter"),
    ],
)
def test_a_rule_matches_when_its_conditions_hold(match):
    """A condition on app, platform, host or a parameter's decoded value holds for a click that meets it."""
    assert match.failed_condition(FACTS) is None


@pytest.mark.parametrize(
    ("match", "key"),
    [
        pytest.param(Match(app=patterns("com.other")), "app", id="app"),
        pytest.param(Match(app=patterns()), "app", id="an empty list of apps"),
        pytest.param(Match(platform=frozenset({Platform.IOS})), "platform", id="platform"),
        pytest.param(Match(host=patterns("app.aflink.com")), "host", id="host"),
        pytest.param(Match(params=(("pid", patterns("netx_int")), ("c", patterns("x")))), "c", id="parameter"),
        pytest.param(Match(params=(("pid", patterns("other")),)), "pid", id="a second value of a parameter"),
        pytest.param(Match(params=(("af_sub1", patterns("*")),)), "af_sub1", id="missing parameter"),
        pytest.param(Match(app=patterns("com.*"), host=patterns("x")), "host", id="one of two conditions"),
    ],
)
def test_a_rule_says_which_condition_missed(match, key):
    """All conditions must hold, and the first one that does not is named by its key."""
    assert key == match.failed_condition(FACTS)


@pytest.mark.parametrize(
    ("matches", "name"),
    [
        pytest.param([Match(), Match()], "rule-0", id="general"),
        pytest.param([Match(app=patterns("com.example.game")), Match()], "rule-0", id="exact before general"),
        pytest.param([Match(), Match(app=patterns("com.example.game"))], "rule-0", id="general before exact"),
        pytest.param(
            [Match(app=patterns("com.*")), Match(app=patterns("com.example.game"))], "rule-0", id="glob first"
        ),
        pytest.param([Match(app=patterns("com.other")), Match()], "rule-1", id="another app's rule skipped"),
        pytest.param([Match(host=patterns("x")), Match(app=patterns("com.example.game"))], "rule-1", id="host missed"),
        pytest.param([Match(app=patterns("com.other", "com.ex*"))], "rule-0", id="exact and glob in one rule"),
    ],
)
def test_the_first_match_wins(matches, name):
    """The first rule in the file's order decides, whether it names exact apps, globs or none."""
    assert name == rules(*matches).find(FACTS).name


def test_no_match_finds_no_rule():
    """A click that no rule matches meets none."""
    assert rules(Match(app=patterns("com.other")), Match(host=patterns("x"))).find(FACTS) is None


MATCHES = st.builds(
    Match,
    app=st.none() | st.lists(st.sampled_from(["com.a.b", "com.c.d", "com.*", "*.d"]), max_size=3).map(Patterns.of),
    platform=st.none() | st.just(frozenset({Platform.IOS})) | st.just(frozenset({Platform.ANDROID})),
)


@given(st.lists(MATCHES, max_size=8), st.sampled_from(["com.a.b", "com.c.d", "com.e.f", "org.d"]))
def test_the_index_finds_what_trying_every_rule_finds(matches, app):
    """For every set of rules the index finds the rule that a try of each in order finds."""
    found = rules(*matches).find(FACTS._replace(app=app))

    by_hand = (place for place, match in enumerate(matches) if match.failed_condition(FACTS._replace(app=app)) is None)
    assert next((f"rule-{place}" for place in by_hand), None) == (found.name if found else None)


@given(st.lists(MATCHES, max_size=8))
def test_trials_end_with_the_rule_that_is_found(matches):
    """The trials that `explain` shows are every rule in order up to the one that is found."""
    found = rules(*matches).find(FACTS)
    trials = list(rules(*matches).trials(FACTS))

    assert [f"rule-{place}" for place in range(len(trials))] == [rule.name for rule, _ in trials]
    assert [rule for rule, missed in trials if missed is None] == ([found] if found else [])
    assert found or len(trials) == len(matches)


@cache
def rules_by_app(count):
    """A rule for each of `count` exact app ids, then one for a glob."""
    named = [Match(app=patterns(f"com.example.a{number}")) for number in range(count)]
    return rules(*named, Match(app=patterns("com.other.*")))


@pytest.fixture
def tried(monkeypatch):
    """The conditions that were tried so far."""
    matches = []
    failed_condition = Match.failed_condition
    monkeypatch.setattr(
        Match, "failed_condition", lambda match, facts: matches.append(match) or failed_condition(match, facts)
    )
    return matches


@pytest.mark.parametrize("count", [10, 100_000])
@pytest.mark.parametrize("app", ["com.example.a7", "com.example.missing"], ids=["listed", "not listed"])
def test_100_000_app_ids_cost_what_ten_cost(app, count, tried):
    """Finding a rule tries one rule, whether ten or 100,000 others name an exact app id."""
    rules_by_app(count).find(FACTS._replace(app=app))

    expected = 1
    assert expected == len(tried)


def test_100_000_app_ids_of_one_rule_are_one_trial(tried):
    """A rule with 100,000 exact app ids is tried once, and another app's rule never."""
    many = Match(app=patterns(*(f"com.example.a{number}" for number in range(100_000))))
    rules(Match(app=patterns("com.other")), many).find(FACTS._replace(app="com.example.a99999"))

    assert [many] == tried


@pytest.mark.parametrize(
    "host",
    ["app.appsflyer.com", "app.aflink.com", "brand.onelink.me", "other.onelink.me", "go.onelnk.com", "x.y.onelink.me"],
)
def test_a_host_of_attribution_links_is_known(host):
    """The single-platform hosts and every host below onelink.me and onelnk.com take clicks."""
    assert RuleSet().is_click_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "appsflyer.com",
        "www.appsflyer.com",
        "sdk.appsflyer.com",
        "app.appsflyer.com.evil.example",
        "evilapp.appsflyer.com",
        "evilonelink.me",
        "onelink.me",
        "onelink.me.evil.example",
        "impression.appsflyer.com",
        "",
    ],
)
def test_another_host_takes_no_clicks(host):
    """Hosts are compared whole, or at a dot; an impression's host takes no clicks."""
    assert not RuleSet().is_click_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "impression.appsflyer.com",
        "impressions.appsflyer.com",
        "impressions.onelink.me",
        "engagements.appsflyer.com",
        "app.appsflyer.com",
    ],
)
def test_impressions_are_ours_to_decide_on(host):
    """A request to an impression or engagement host is attribution, to be passed with its reason."""
    assert RuleSet().is_attribution_host(host)


def test_a_branded_domain_is_a_onelink_host():
    """A host that the rules name for a OneLink template is a OneLink host."""
    branded = replace(ONELINK, host="click.brand.example")
    named = RuleSet(onelinks={(branded.host, branded.template): branded})

    assert named.is_onelink_host("click.brand.example")
    assert not RuleSet().is_onelink_host("click.brand.example")


def test_the_rules_name_the_hosts():
    """Hosts that the rules name take the place of the default ones."""
    named = RuleSet(hosts=frozenset({"track.example"}))

    assert named.is_click_host("track.example")
    assert not named.is_click_host("app.appsflyer.com")
