"""Clicks, User-Agents and rules for tests. A click is a person's, on an Android phone, unless told otherwise."""

from storehop.decide.rules import Match, RuleSet
from storehop.model import Click, Decision, Direct
from storehop.settings import OneLink, Rule

CLICK_ID = "0191d8a4-7c00-7000-8000-0123456789ab"
PEER = "93.184.216.34"
"""A public address: those of the documentation networks are reserved, and so never sent."""

PIXEL = (
    "Mozilla/5.0 (Linux; Android 12; Pixel 5) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/95.0.4638.74 Mobile Safari/537.36"
)
REDUCED = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/16.6 Mobile/15E148 Safari/604.1"
)
DESKTOP = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36"
)
FIRE = (
    "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Silk/108.3.10 like Chrome/108.0.5359.160 Safari/537.36"
)

ANDROID_LINK = "https://app.appsflyer.com/com.example.game?pid=networka_int&clickid=K1"
IOS_LINK = "https://app.appsflyer.com/id123456789?pid=networka_int&clickid=K1"
ONELINK = OneLink("brand.onelink.me", "AbC1", "com.example.game", "id123456789")


def click(link=ANDROID_LINK, headers=None, *, method="GET", peer=PEER, user_agent=PIXEL):
    """A click on `link`. A header that is None is not sent."""
    given = {"User-Agent": user_agent, **(headers or {})}
    sent = {name.lower(): value for name, value in given.items() if value is not None}
    return Click(CLICK_ID, method, link, sent, peer)


def rule_set(rule=None, match=Match(), **settings):  # noqa: B008  frozen
    """One rule that matches every click, and the OneLink template that the design shows."""
    rule = rule or Rule("games", partner="NetworkA")
    onelinks = {(ONELINK.host, ONELINK.template): ONELINK}
    return RuleSet(((match, rule),), onelinks=onelinks, **settings)


def segments(decision: Decision):
    """The raw query segments of a direct decision's S2S URL, in order."""
    assert isinstance(decision, Direct), decision
    return decision.call.url.partition("?")[2].split("&")


def params(decision: Decision):
    """The raw parameters of a direct decision's S2S URL by name; a name that stands twice is an error."""
    pairs = [segment.partition("=")[::2] for segment in segments(decision)]
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), names
    return dict(pairs)
