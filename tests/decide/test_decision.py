"""The decision: every gate, their order, and the laws that hold for any click (design §3)."""

from collections import Counter
from dataclasses import replace
from ipaddress import ip_network
from itertools import combinations
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storehop.decide.address import Proxies
from storehop.decide.decision import decide
from storehop.decide.link import MAX_LINK_CHARACTERS, decoded, is_absent, is_clean
from storehop.decide.rules import Match, Patterns, RuleSet
from storehop.model import Click, Direct, Pass, Platform, Reason
from storehop.settings import Consent, Delivery, Limit, Mode, OneLink, Rule, Store
from tests.support.clicks import (
    ANDROID_LINK,
    CLICK_ID,
    DESKTOP,
    FIRE,
    IOS_LINK,
    IPHONE,
    ONELINK,
    PEER,
    PIXEL,
    REDUCED,
    click,
    rule_set,
    segments,
)

GAME = "https://app.appsflyer.com/com.example.game"
UNENCODED = "it holds a space, a control character or a character outside ASCII: percent-encode it"
CHANNEL_LINK = "https://app.appsflyer.com/com.example.game-xyz_store?pid=x"


def rules(**keys):
    return rule_set(Rule("games", **{"partner": "NetworkA", **keys}))


def link(query):
    return f"{ANDROID_LINK}&{query}"


def reason(found_click, found_rules=None):
    decision = decide(found_click, found_rules or rules())
    assert isinstance(decision, Pass), decision
    return decision.reason


NO_MATCH = Match(app=Patterns.of(["com.other"]))
HUAWEI = rules(store=Store.HUAWEI_APPGALLERY)
ALWAYS = (Consent(frozenset({Limit.PASS})),)


@pytest.mark.parametrize(
    ("expected", "found_click", "found_rules"),
    [
        pytest.param("not_a_click", click("https://shop.example/com.example.game"), None, id="not_a_click"),
        pytest.param("not_a_click", click("https://sdk.appsflyer.com/com.example.game"), None, id="not_a_click, SDK"),
        pytest.param("not_a_click", click("market://details?id=x"), None, id="not_a_click, another scheme"),
        pytest.param("not_a_click", click(""), None, id="not_a_click, nothing"),
        pytest.param("impression", click("https://impression.appsflyer.com/com.example.game"), None, id="impression"),
        pytest.param("impression", click("https://impressions.appsflyer.com/x"), None, id="impression, plural"),
        pytest.param("impression", click("https://impressions.onelink.me/AbC1"), None, id="impression, OneLink"),
        pytest.param(
            "impression",
            click("https://engagements.appsflyer.com/v1.0/c2s/click/app/roku/x?redirect=false"),
            None,
            id="impression, engagement",
        ),
        pytest.param("already_s2s", click(link("redirect=false")), None, id="already_s2s"),
        pytest.param(
            "already_s2s",
            click("https://app.appsflyer.com/v2.0/s2s/com.example.game?pid=x"),
            None,
            id="already_s2s, path",
        ),
        pytest.param(
            "already_s2s", click("https://brand.onelink.me/AbC1?redirect=false"), None, id="already_s2s, OneLink"
        ),
        pytest.param("invalid_link", click("https://app.appsflyer.com/?pid=x"), None, id="invalid_link, no app id"),
        pytest.param(
            "invalid_link", click("https://app.appsflyer.com/game?pid=x"), None, id="invalid_link, malformed id"
        ),
        pytest.param(
            "invalid_link", click("https://app.appsflyer.com\\com.example.game"), None, id="invalid_link, backslash"
        ),
        pytest.param("invalid_link", click(link("c=a b")), None, id="invalid_link, space"),
        pytest.param("invalid_link", click(link("c=a\r\nb")), None, id="invalid_link, line break"),
        pytest.param("invalid_link", click(link("c=\udcff")), None, id="invalid_link, no UTF-8"),
        pytest.param(
            "invalid_link", click("https://a@app.appsflyer.com/com.example.game"), None, id="invalid_link, user"
        ),
        pytest.param(
            "invalid_link", click("https://app.appsflyer.com:81/com.example.game"), None, id="invalid_link, port"
        ),
        pytest.param("invalid_link", click("https://brand.onelink.me/?pid=x"), None, id="invalid_link, OneLink"),
        pytest.param("short_link", click("https://brand.onelink.me/AbC1/2f9e"), None, id="short_link"),
        pytest.param(
            "short_link", click("https://other.onelink.me/zzzz/promo?pid=x"), None, id="short_link, any template"
        ),
        pytest.param(
            "unknown_onelink", click("https://brand.onelink.me/zzzz?pid=x"), None, id="unknown_onelink, template"
        ),
        pytest.param("unknown_onelink", click("https://other.onelink.me/AbC1?pid=x"), None, id="unknown_onelink, host"),
        pytest.param(
            "unknown_onelink",
            click("https://brand.onelink.me/AbC1", user_agent=IPHONE),
            replace(rules(), onelinks={("brand.onelink.me", "AbC1"): replace(ONELINK, ios=None)}),
            id="unknown_onelink, no app for this platform",
        ),
        pytest.param("no_rule", click(), RuleSet(), id="no_rule, none at all"),
        pytest.param("no_rule", click(), rule_set(match=NO_MATCH), id="no_rule, none matches"),
        pytest.param("rule_off", click(), rules(mode=Mode.OFF), id="rule_off"),
        pytest.param("no_store", click(CHANNEL_LINK), None, id="no_store, a channel and auto"),
        pytest.param("no_store", click(), rules(store=Store.APP_STORE), id="no_store, a package and app_store"),
        *[
            pytest.param("not_get", click(method=method), None, id=f"not_get, {method}")
            for method in ("HEAD", "POST", "OPTIONS", "PUT", "get")
        ],
        *[
            pytest.param("prefetch", click(headers={name: value}), None, id=f"prefetch, {name}: {value}")
            for name, value in (
                ("Sec-Purpose", "prefetch"),
                ("Sec-Purpose", "prefetch;prerender"),
                ("Sec-Purpose", "prefetch;anonymous-client-ip"),
                ("Purpose", "prefetch"),
                ("X-Moz", "prefetch"),
                ("X-Purpose", "preview"),
                ("X-Moz", " Prefetch"),
            )
        ],
        pytest.param("no_user_agent", click(user_agent=None), None, id="no_user_agent, missing"),
        pytest.param("no_user_agent", click(user_agent=""), None, id="no_user_agent, empty"),
        pytest.param("no_user_agent", click(user_agent="  "), None, id="no_user_agent, spaces"),
        pytest.param("no_user_agent", click(user_agent=f"{PIXEL}\x07"), None, id="no_user_agent, control character"),
        pytest.param("no_user_agent", click(user_agent=f"{PIXEL}\udcff"), None, id="no_user_agent, no UTF-8"),
        pytest.param("bot", click(user_agent="facebookexternalhit/1.1"), None, id="bot, link preview"),
        pytest.param(
            "bot", click(user_agent=f"{PIXEL} (compatible; Googlebot/2.1)"), None, id="bot, crawler as a phone"
        ),
        pytest.param("wrong_platform", click(user_agent=DESKTOP), None, id="wrong_platform, desktop"),
        pytest.param("wrong_platform", click(user_agent=IPHONE), None, id="wrong_platform, iPhone on Google Play"),
        pytest.param("wrong_platform", click(IOS_LINK), None, id="wrong_platform, Android on the App Store"),
        pytest.param("wrong_platform", click(IOS_LINK, user_agent=DESKTOP), None, id="wrong_platform, desktop on iOS"),
        pytest.param("wrong_platform", click(user_agent=FIRE), None, id="wrong_platform, Fire on Google Play"),
        pytest.param("wrong_platform", click(user_agent=IPHONE), HUAWEI, id="wrong_platform, iPhone on AppGallery"),
        pytest.param(
            "wrong_platform",
            click("https://brand.onelink.me/AbC1", user_agent=DESKTOP),
            None,
            id="wrong_platform, OneLink",
        ),
        pytest.param("signed", click(link("expires=1&signature=abc")), None, id="signed"),
        pytest.param("signed", click(link("signature=")), None, id="signed, empty"),
        *[
            pytest.param(
                "other_target", click(link(f"{name}=https%3A%2F%2Fx.example")), None, id=f"other_target, {name}"
            )
            for name in ("af_r", "af_android_url", "af_ios_url", "af_web_dp")
        ],
        pytest.param("other_target", click(link("af_r=&af_r=https://x.example")), None, id="other_target, second"),
        pytest.param("other_target", click(link("af_android_store_csl=a%20b")), None, id="other_target, listing"),
        pytest.param(
            "other_target",
            click(f"{IOS_LINK}&af_ios_store_cpp=x", user_agent=IPHONE),
            None,
            id="other_target, product page",
        ),
        pytest.param(
            "other_target", click(link("af_r=x")), rules(deep_links_to_store=True), id="other_target, deep_links"
        ),
        pytest.param("deep_link", click(link("af_dp=game%3A%2F%2Fopen")), None, id="deep_link, af_dp"),
        pytest.param("deep_link", click(link("af_force_deeplink=true")), None, id="deep_link, af_force_deeplink"),
        pytest.param("deep_link", click(link("af_deeplink=True")), None, id="deep_link, af_deeplink"),
        pytest.param("retargeting", click(link("is_retargeting=true")), None, id="retargeting"),
        pytest.param("retargeting", click(link("is_retargeting=TRUE")), None, id="retargeting, upper case"),
        pytest.param("too_long", click(link(f"c={'x' * 2000}")), None, id="too_long"),
        pytest.param("too_long", click(link(f"c={'x' * 100_000}")), None, id="too_long, 100 kB"),
        pytest.param(
            "too_long", click(link(f"c={'x' * MAX_LINK_CHARACTERS}&redirect=f")), None, id="too_long, not even read"
        ),
        pytest.param("too_long", click(link(f"af_ref={'x' * 501}")), HUAWEI, id="too_long, referrer of AppGallery"),
        pytest.param("consent", click(), rules(consent=ALWAYS), id="consent"),
        pytest.param("not_navigation", click(headers={"Sec-Fetch-Mode": "no-cors"}), None, id="a pixel"),
        pytest.param("not_navigation", click(headers={"Sec-Fetch-Mode": "cors"}), None, id="a script's fetch"),
        pytest.param("not_navigation", click(headers={"Sec-Fetch-Dest": "image"}), None, id="an image"),
        pytest.param("not_navigation", click(headers={"Sec-Fetch-Dest": "empty"}), None, id="a beacon"),
        pytest.param(
            "not_navigation",
            click(headers={"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}),
            None,
            id="a hidden frame",
        ),
        pytest.param("not_navigation", click(headers={"Sec-Fetch-Mode": "navigate, cors"}), None, id="two modes"),
        pytest.param("not_navigation", click(headers={"Sec-Fetch-Mode": ""}), None, id="an empty mode"),
        pytest.param("rule_off", replace(click(), at_answer=True), rules(answers=False), id="rule_off, answer"),
        pytest.param("not_sampled", click(), rules(percent=0), id="not_sampled"),
        pytest.param("observed", click(), rules(mode=Mode.OBSERVE), id="observed"),
        pytest.param("stopped", click(), replace(rules(), stopped=frozenset({"games"})), id="stopped"),
    ],
)
def test_a_click_passes_and_says_why(expected, found_click, found_rules):
    """Each reason to pass has its name."""
    assert expected == reason(found_click, found_rules)


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        pytest.param("af_r=&af_web_dp=", {}, id="no other target"),
        pytest.param("af_dp=&af_force_deeplink=false", {}, id="no deep link"),
        pytest.param("deep_link_value=spring&deep_link_sub1=x", {}, id="deferred deep link"),
        pytest.param("is_retargeting=false", {}, id="no retargeting"),
        pytest.param("redirect=true", {}, id="redirect=true"),
        pytest.param("expires=1790000000", {}, id="expires without signature"),
        pytest.param(
            "af_dp=game%3A%2F%2Fopen&af_force_deeplink=true", {"deep_links_to_store": True}, id="deep_links: store"
        ),
        pytest.param("is_retargeting=true", {"deep_links_to_store": True}, id="retargeting and deep_links: store"),
        pytest.param(f"af_ref={'x' * 500}", {"store": Store.HUAWEI_APPGALLERY}, id="500 characters for AppGallery"),
        pytest.param(f"af_ref={'x' * 501}", {}, id="501 characters for Google Play"),
        pytest.param("a=1", {"percent": 100.0}, id="100 per cent"),
    ],
)
def test_what_breaks_nothing_goes_direct(query, keys):
    """A parameter that asks for nothing that a store redirect would break does not keep a click from the store."""
    assert isinstance(decide(click(link(query)), rules(**keys)), Direct)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Purpose": "navigate"}, id="Purpose"),
        pytest.param({"Sec-Purpose": ""}, id="empty Sec-Purpose"),
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, id="navigation"),
        pytest.param({"X-Moz": "livebookmarks"}, id="X-Moz"),
    ],
)
def test_a_navigation_is_no_prefetch(headers):
    """Only a prefetch's own values make a prefetch."""
    assert isinstance(decide(click(headers=headers), rules()), Direct)


ORDER = [
    pytest.param(
        "already_s2s", "invalid_link", click("https://app.appsflyer.com/?redirect=false"), None, id="s2s, invalid"
    ),
    pytest.param("invalid_link", "no_rule", click("https://app.appsflyer.com/x"), RuleSet(), id="invalid, no rule"),
    pytest.param("no_rule", "not_get", click(method="POST"), RuleSet(), id="no rule, not GET"),
    pytest.param("rule_off", "no_store", click(CHANNEL_LINK), rules(mode=Mode.OFF), id="off, no store"),
    pytest.param("no_store", "not_get", click(CHANNEL_LINK, method="POST"), None, id="no store, not GET"),
    pytest.param(
        "not_get", "prefetch", click(headers={"Purpose": "prefetch"}, method="HEAD"), None, id="HEAD, prefetch"
    ),
    pytest.param(
        "prefetch", "bot", click(headers={"Purpose": "prefetch"}, user_agent="curl/8"), None, id="prefetch, bot"
    ),
    pytest.param("bot", "wrong_platform", click(user_agent="Googlebot/2.1"), None, id="bot, platform"),
    pytest.param(
        "prefetch",
        "not_navigation",
        click(headers={"Purpose": "prefetch", "Sec-Fetch-Dest": "image"}),
        None,
        id="prefetch, pixel",
    ),
    pytest.param(
        "not_navigation",
        "no_user_agent",
        click(headers={"Sec-Fetch-Dest": "image"}, user_agent=None),
        None,
        id="pixel, User-Agent",
    ),
    pytest.param(
        "wrong_platform", "signed", click(link("signature=x"), user_agent=DESKTOP), None, id="platform, signed"
    ),
    pytest.param("signed", "other_target", click(link("af_r=x&signature=x")), None, id="signed, other target"),
    pytest.param("other_target", "deep_link", click(link("af_dp=x&af_r=x")), None, id="other target, deep link"),
    pytest.param(
        "deep_link", "retargeting", click(link("is_retargeting=true&af_dp=x")), None, id="deep link, retargeting"
    ),
    pytest.param(
        "retargeting", "too_long", click(link(f"is_retargeting=true&c={'x' * 2000}")), None, id="retargeting, long"
    ),
    pytest.param(
        "retargeting", "consent", click(link("is_retargeting=true")), rules(consent=ALWAYS), id="retargeting, consent"
    ),
    pytest.param(
        "other_target", "consent", click(link("af_android_store_csl=a%20b")), rules(consent=ALWAYS), id="page, consent"
    ),
    pytest.param("consent", "too_long", click(link(f"c={'x' * 2000}")), rules(consent=ALWAYS), id="consent, too long"),
    pytest.param("consent", "not_sampled", click(), rules(percent=0, consent=ALWAYS), id="consent, not sampled"),
    pytest.param("consent", "observed", click(), rules(mode=Mode.OBSERVE, consent=ALWAYS), id="consent, observed"),
    pytest.param(
        "too_long", "not_sampled", click(link(f"c={'x' * 2000}")), rules(percent=0), id="too long, not sampled"
    ),
    pytest.param(
        "too_long",
        "stopped",
        click(link(f"c={'x' * 2000}")),
        replace(rules(), stopped=frozenset({"games"})),
        id="too long, stopped",
    ),
    pytest.param(
        "stopped",
        "not_sampled",
        click(),
        replace(rules(percent=0), stopped=frozenset({"games"})),
        id="stopped, not sampled",
    ),
    pytest.param("not_sampled", "observed", click(), rules(percent=0, mode=Mode.OBSERVE), id="not sampled, observed"),
]


@pytest.mark.parametrize(("first", "second", "found_click", "found_rules"), ORDER)
def test_the_gates_stand_in_their_order(first, second, found_click, found_rules):
    """Where two reasons hold, the one that the design lists first is given."""
    listed = list(Reason)

    assert first == reason(found_click, found_rules)
    assert listed.index(first) < listed.index(second)


def test_the_reasons_are_a_closed_list():
    """The reasons are those of the design, in its order: dashboards depend on them."""
    expected = (
        "not_a_click impression already_s2s invalid_link short_link unknown_onelink no_rule rule_off no_store not_get "
        "prefetch not_navigation no_user_agent bot wrong_platform signed other_target deep_link retargeting consent "
        "too_long stopped not_sampled observed s2s_down outbox_down error"
    )

    assert expected.split() == list(Reason)


@pytest.mark.parametrize(
    ("found_click", "found_rules", "expected"),
    [
        pytest.param(click("https://x.example/"), None, Pass(Reason.NOT_A_CLICK), id="not a click"),
        pytest.param(
            click("https://app.appsflyer.com/x"),
            None,
            Pass(Reason.INVALID_LINK, platform=Platform.ANDROID),
            id="invalid link",
        ),
        pytest.param(
            click(link("c=a b")),
            None,
            Pass(Reason.INVALID_LINK, platform=Platform.ANDROID, why=UNENCODED),
            id="a raw space",
        ),
        pytest.param(
            click(link("c=\u00e9")),
            None,
            Pass(Reason.INVALID_LINK, platform=Platform.ANDROID, why=UNENCODED),
            id="not ASCII",
        ),
        pytest.param(
            click(), RuleSet(), Pass(Reason.NO_RULE, app="com.example.game", platform=Platform.ANDROID), id="no rule"
        ),
        pytest.param(
            click(link("af_r=x")),
            None,
            Pass(Reason.OTHER_TARGET, "games", "com.example.game", Platform.ANDROID, Store.GOOGLE_PLAY),
            id="other target",
        ),
        pytest.param(
            click(),
            rules(percent=0),
            Pass(Reason.NOT_SAMPLED, "games", "com.example.game", Platform.ANDROID, Store.GOOGLE_PLAY),
            id="not sampled",
        ),
    ],
)
def test_a_pass_says_what_was_known(found_click, found_rules, expected):
    """A pass carries the rule, app, platform and store as far as they were known."""
    assert expected == decide(found_click, found_rules or rules())


def test_a_direct_decision_says_everything():
    """A direct decision carries rule, app, platform, store, referrer and location."""
    decision = decide(click(), rules())

    expected = ("games", "com.example.game", "android", "google_play", "NetworkA_K1")
    found = (decision.rule, decision.app, decision.platform, decision.store, decision.referrer)
    assert expected == found
    assert decision.location.endswith("details?id=com.example.game&referrer=NetworkA_K1")


@pytest.mark.parametrize(
    ("user_agent", "start"),
    [
        (PIXEL, "https://play.google.com/store/apps/details?id=com.example.game"),
        (IPHONE, "https://apps.apple.com/app/id1"),
    ],
    ids=["Android", "iOS"],
)
def test_a_onelink_goes_to_the_app_of_the_device(user_agent, start):
    """A mapped OneLink goes to the store of the app that the rules name for the device's platform."""
    decision = decide(click("https://brand.onelink.me/AbC1?pid=x", user_agent=user_agent), rules())

    assert start == decision.location[: len(start)]


def test_a_branded_onelink_is_met():
    """A OneLink on a branded domain that the rules name is a click."""
    branded = OneLink("click.brand.example", "AbC1", "com.example.game", None)
    known = replace(rules(), onelinks={(branded.host, branded.template): branded})

    assert isinstance(decide(click("https://click.brand.example/AbC1?pid=x"), known), Direct)


def test_requests_that_are_no_navigation_say_so_in_every_browser_that_says_anything():
    """A person's navigation goes direct, and so does one of a browser that says nothing of its kind."""
    told = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"}

    assert all(isinstance(decide(click(headers=headers), rules()), Direct) for headers in (told, {}))


def test_percent_is_stable_per_click():
    """The same click falls on the same side every time, also when it gets a new id."""
    for number in range(50):
        first = click(link(f"c={number}"))
        again = replace(first, id="0191d8a4-7c00-7000-8000-000000000000")

        assert type(decide(first, rules(percent=50))) is type(decide(again, rules(percent=50)))


def test_a_growing_percent_keeps_its_clicks():
    """A click that goes direct at a lower percent goes direct at a higher one."""
    for number in range(200):
        found = [decide(click(link(f"c={number}")), rules(percent=percent)) for percent in (20, 60)]

        assert not isinstance(found[0], Direct) or isinstance(found[1], Direct)


# Laws. Most of what is generated could go direct, and a little of everything makes a click pass.

OURS = ("af_ref", "af_ip", "af_ua", "af_lang", "af_os_version", "af_model")
IDS = tuple(
    f"{hashed}{name}"
    for hashed in ("", "sha1_", "md5_")
    for name in ("advertising_id", "android_id", "idfa", "idfv", "oaid", "imei", "fire_advertising_id")
)
NAMES = ("pid", "c", "clickid", "af_siteid", "af_sub1", "af_channel", "x", "", "%61f_ip", "af%5Fua", "C", *OURS, *IDS)
VALUES = (
    "",
    "a%20b+c",
    "{x}",
    "%7Bx%7D",
    "[x]",
    "%23x%23",
    "null",
    "00000000-0000-0000-0000-000000000000",
    "38400000-8cf0-11bd-b23e-10b96e40000d",
    "9774d56d682e549c",
    "%0d%0aSet-Cookie:%20a=b",
    "%zz%",
    "%ff%fe",
    "%C3%A9%E2%80%A8",
    "8.8.8.8",
    "2606%3A4700%3A%3A1",
    quote(PIXEL, safe=""),
    quote(IPHONE, safe=""),
    "x" * 300,
    "%252F=;,'\"<>\\^`|",
)
PAIRS = [f"{name}={value}" for name in NAMES for value in VALUES]
ODD = [
    "&",
    "redirect=true",
    "redirect=",
    "re%64irect=x",
    "flag",
    "=",
    "af_android_store_csl=summer",
    "deep_link_value=%2F",
]
STOP = [
    "redirect=false",
    "signature=x",
    "af_r=https%3A%2F%2Fx",
    "af_dp=x%3A%2F%2F",
    "is_retargeting=true",
    "c=é",
    "c=\udcff",
    "c=a b",
    "c=" + "y" * 1300,
]
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=12)
LONG = ["", "&"] * 300 + [f"&x={'y' * length}" for length in range(1350, 1650)]
"""Some fill the S2S URL up to where parameters are shed, or beyond."""
KNOWN = st.lists(st.sampled_from(PAIRS * 2 + ODD * 20 + STOP * 3), max_size=8).map("&".join)
QUERIES = st.builds("{}&{}{}".format, KNOWN, VISIBLE, st.sampled_from(LONG))
MEETINGS = st.sampled_from(
    [(GAME, PIXEL), ("https://app.appsflyer.com/id123456789", IPHONE)] * 6
    + [
        (GAME, REDUCED),
        (GAME, f"{PIXEL} é€"),
        ("http://app.aflink.com/com.example.game-store_x/", PIXEL),
        ("//brand.onelink.me/AbC1", IPHONE),
        ("https://app.appsflyer.com:443/com.huawei.game", REDUCED),
        (GAME, DESKTOP),
        (GAME, ""),
        (GAME, f"{PIXEL}\r\nX: y"),
        (GAME, "\udcff"),
        ("https://app.appsflyer.com\\com.example.game", PIXEL),
        ("https://app.appsflyer.com/", PIXEL),
        ("https://x.example/com.example.game", PIXEL),
    ],
)
TEXTS = [
    "en-US,en;q=0.9",
    "8.8.8.8, 93.184.216.34",
    "*",
    "é",
    "a\r\nX-Evil: 1",
    "\udcff\x00",
    '"14.0.0"',
    '"SM-S918B"',
    '"',
    "x" * 3000,
]
NAMED = ["accept-language", "sec-ch-ua-model", "sec-ch-ua-platform-version", "x-forwarded-for", "cookie"]
HEADERS = st.sampled_from(
    [{}] + [{one: a, other: b} for one, other in combinations(NAMED, 2) for a in TEXTS for b in TEXTS],
)
LAW_RULES = RuleSet(
    rules=(
        (Match(app=Patterns.of(["com.huawei.*"])), Rule("huawei", store=Store.HUAWEI_APPGALLERY, partner="NetworkA")),
        (
            Match(app=Patterns.of(["*-*"])),
            Rule("channel", store=Store.GOOGLE_PLAY, partner="NetworkA", market_link=True),
        ),
        (Match(), Rule("all", partner="NetworkA", country="us")),
    ),
    onelinks={(ONELINK.host, ONELINK.template): ONELINK},
    proxies=Proxies((ip_network("10.0.0.0/8"),)),
    delivery=Delivery(),
)


def meet(meeting, query, headers, peer, method):
    start, user_agent = meeting
    return Click(CLICK_ID, method, f"{start}?{query}", {"user-agent": user_agent, **headers}, peer)


CLICKS = st.builds(
    meet,
    MEETINGS,
    QUERIES,
    HEADERS,
    st.sampled_from([PEER, PEER, "10.0.0.1", "2606:4700::1", ""]),
    st.sampled_from(["GET"] * 19 + ["POST"]),
)


def huge(filler):
    """A click with a query of 100 kB."""
    return click(f"{GAME}?{(filler * 100_000)[:100_000]}")


def kept(found_click, ours):
    """The link's segments, as a browser sends them, that nobody may touch: no name of ours, no device id."""
    query = found_click.link.partition("?")[2].partition("#")[0]
    for mark in '"<>':
        query = query.replace(mark, quote(mark))
    names = {*ours, *IDS, "redirect"}
    return [segment for segment in query.split("&") if query and decoded(segment.partition("=")[0]) not in names]


def check_urls(decision):
    assert decision.location.isascii()
    assert decision.call.url.isascii()
    assert not set("\r\n\x00 ") & set(decision.location + decision.call.url)
    assert len(decision.call.url) <= 2000


def check_headers(decision):
    sent = dict(decision.call.headers)
    query = {decoded(name): decoded(value) for name, _, value in (part.partition("=") for part in segments(decision))}

    assert len(sent) == len(decision.call.headers)
    assert all(is_clean(name + value) for name, value in sent.items())
    assert query["af_ua"] == sent["User-Agent"]
    assert query.get("af_ip") == sent.get("X-Forwarded-For", query.get("af_ip"))


def check_parameters(found_click, decision):
    found = segments(decision)
    ours = [name for name in OURS if name != "af_ref" or name in {param.name for param in decision.params}]
    names = [decoded(segment.partition("=")[0]) for segment in found]
    untouched = kept(found_click, ours)

    assert found[-1] == "redirect=false"
    assert all(names.count(name) <= 1 for name in (*ours, "redirect") if name != "af_ref" or decision.referrer)
    assert untouched == [segment for segment in found[:-1] if decoded(segment.partition("=")[0]) not in {*ours, *IDS}]
    assert all(
        not is_absent(decoded(part.partition("=")[2])) for part, name in zip(found, names, strict=True) if name in IDS
    )
    assert "android_id" not in names


def test_the_laws_of_every_decision():
    """No click makes deciding raise, and whatever goes direct, a third of 10,000 at least, keeps every promise."""
    tally = Counter()
    examples = 100 * settings().max_examples  # fewer in a quick run

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(CLICKS)
    @example(huge("a=1&"))
    @example(huge("&"))
    @example(huge("%"))
    @example(huge("af_ip="))
    @example(huge("\udcff\x00é"))
    def law(found_click):
        decision = decide(found_click, LAW_RULES)
        tally[type(decision)] += 1
        if isinstance(decision, Direct):
            check_urls(decision)
            check_headers(decision)
            check_parameters(found_click, decision)

    law()
    assert tally[Direct] >= tally.total() / 3 >= examples / 3


ANY_HEADERS = st.dictionaries(
    st.sampled_from(["user-agent", "accept-language", "sec-ch-ua-model", "x-forwarded-for", "purpose"]),
    st.text(),
)


@given(st.text() | st.text().map(f"{GAME}?".__add__), ANY_HEADERS, st.text(), st.text())
def test_no_text_makes_deciding_raise(text, headers, peer, method):
    """Whatever stands in link, headers, address and method, it is decided, and nothing but a GET goes direct."""
    decision = decide(Click(CLICK_ID, method, text, headers, peer), LAW_RULES)

    assert isinstance(decision, Pass) or method == "GET"


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param(None, id="nothing"),
        pytest.param("81.2.69.142, unix:", id="nginx behind a Unix socket"),
        pytest.param("81.2.69.142, unknown", id="unknown"),
        pytest.param("130.176.2.2", id="another proxy alone"),
        pytest.param("81.2.69.142,", id="an empty entry"),
    ],
)
def test_a_proxys_own_address_is_never_told(chain):
    """Where trusted proxies do not say who clicked, the click goes direct, and says no address, theirs least of all."""
    trusting = replace(rules(), proxies=Proxies((ip_network("130.176.0.0/17"),)))
    decision = decide(click(headers={"X-Forwarded-For": chain}, peer="130.176.1.1"), trusting)

    assert "af_ip" not in decision.call.url
    assert "X-Forwarded-For" not in dict(decision.call.headers)
    assert decision.likeness.key is not None, "the link's click id makes it one person's"
