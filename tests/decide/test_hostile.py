"""Whatever a stranger writes into a link or a header, it is decided, in time in proportion to its length."""

import importlib
import pkgutil
from ipaddress import ip_network
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop import decide as package
from storehop.decide.address import Proxies
from storehop.decide.consent import consented_purposes
from storehop.decide.decision import decide
from storehop.decide.explanation import gates_passed, rules_tried
from storehop.decide.link import MAX_LINK_CHARACTERS
from storehop.decide.own_words import OURS
from storehop.decide.rules import Match, Patterns, RuleSet
from storehop.decide.s2s import DEVICE_IDS
from storehop.model import Click, Direct, Pass
from storehop.settings import Consent, Gdpr, Limit, Mode, Rule
from tests.support.attacks import CHARACTERS, Attack
from tests.support.clicks import ANDROID_LINK, CLICK_ID, IOS_LINK, IPHONE, PEER, PIXEL, click
from tests.support.linear import MOST_GROWTH, growth

FORWARDING = ("x-forwarded-for", "forwarded", "cloudfront-viewer-address")
PROXY = "10.0.0.1"
LIMITS = frozenset({Limit.OMIT_IDS, Limit.TRUNCATE_IP})
CASES = (
    Consent(LIMITS, gdpr=frozenset(Gdpr)),
    Consent(LIMITS, gdpr_consent_lacks=frozenset({1, 7})),
    Consent(LIMITS, us_privacy=True),
    Consent(LIMITS, gpp=True),
    Consent(LIMITS, gpc=True),
    Consent(LIMITS, params=tuple((name, glob) for name in ("npa", "c") for glob in Patterns.of(["*a*b*c*"]).globs)),
)


def rules(header="x-forwarded-for", consent=CASES, **keys):
    """Rules that look at all that rules can look at."""
    globs = Patterns.of(["*a*b*c*", "[!x]*", "*?=?*"])
    rule = Rule("games", partner="NetworkA", click_id=("clickid", "sub"), percent=99.9, consent=consent, **keys)
    proxies = Proxies((ip_network("10.0.0.0/8"),), header)
    return RuleSet(
        (
            (Match(params=(("pid", globs), ("af_sub1", globs))), rule),
            (Match(app=Patterns.of(["com.*.game", "id*"]), host=Patterns.of(["*.appsflyer.com"])), rule),
        ),
        proxies=proxies,
    )


RULES = {header: rules(header) for header in FORWARDING}


class Asked(dict):
    """Headers that remember which of them were asked for."""

    def __init__(self, headers):
        super().__init__(headers)
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)

    def __contains__(self, name):
        self.names.add(name)
        return super().__contains__(name)


def headers_asked_for():
    """The names of the headers that a decision looks at, by any of these rules, on both platforms."""
    found = set()
    for known, (link, user_agent) in product(RULES.values(), ((ANDROID_LINK, PIXEL), (IOS_LINK, IPHONE))):
        headers = Asked({"user-agent": user_agent})
        decide(Click(CLICK_ID, "GET", link, headers, PROXY), known)
        found |= headers.names
    return sorted(found)


CACHES = [
    value
    for module in pkgutil.iter_modules(package.__path__, "storehop.decide.")
    for value in vars(importlib.import_module(module.name)).values()
    if hasattr(value, "cache_clear") and value.cache_parameters()["maxsize"]
]
"""Of what clicks bring: each has a bound. What a process builds once, such as the parser of User-Agents, has none."""


def decide_anew(known, clicked):
    """Decides as if this click were the first one."""
    for cache in CACHES:
        cache.cache_clear()
    decide(clicked, known)


HEADER_UNITS = [
    *CHARACTERS,
    *map("".join, product('"\\,;=([:. ', repeat=2)),
    *map("".join, product('"\\,;', repeat=3)),
    "10.0.0.9,",
    "for=10.0.0.9,",
    'for="10.0.0.9";',
    "unknown, ",
    " Android 1",
    "(Android 1; ",
    "Build/ ",
    ".0",
    "en-US,",
    "1; iOS 1_",
    "Version/1.",
    "prefetch",
]
STARTS = ("", '"', "(Linux; Android 1", 'for="')
ENDS = ("", "\x00", '"')
HEADER_SIZE = 16_384
"""Characters, and four times as many: as long as a request's head may be."""
USER_AGENT_SIZE = 256
"""Characters, and four times as many: as long as a User-Agent may be that is read."""


@pytest.mark.measures
@pytest.mark.parametrize("name", headers_asked_for())
def test_a_header_costs_time_in_proportion_to_its_length(name):
    """No header that a decision looks at makes it slow, up to the length of a whole request's head."""
    known = RULES.get(name, RULES["x-forwarded-for"])
    size = USER_AGENT_SIZE if name == "user-agent" else HEADER_SIZE

    def slow(text):
        def make(length):
            return click(headers={name: text.text(length), "Sec-GPC": "1"}, peer=PROXY)

        return growth(make, lambda clicked: decide_anew(known, clicked), size) > MOST_GROWTH

    texts = (Attack(*parts) for parts in product(STARTS, HEADER_UNITS, ENDS))
    assert [] == [text for text in texts if slow(text)]


NAMED = sorted(
    {*OURS, *DEVICE_IDS, "clickid", "sub", "pid", "c", "gdpr", "gdpr_consent", "us_privacy", "gpp", "gpp_sid"}
)
LINK_UNITS = [
    *CHARACTERS,
    *(
        "&",
        "a&",
        "&a=",
        "=&",
        "%",
        "%41",
        "%%",
        "%7B",
        "%25",
        "+",
        "{",
        "{a}",
        "${",
        "$(",
        "<a",
        "[",
        "__a",
        "_[",
        "_{",
    ),
    *("redirect&", "redirect=false&", "af_dp=&", "af_r=&", "%61=&", "/", "/a", "./", "a.", "a-", "a.a-"),
]
LINK_SIZE = MAX_LINK_CHARACTERS // 5
"""Characters, and four times as many: as long as a link may be that is read, with its start."""
PATHS = ("https://app.appsflyer.com/", ANDROID_LINK, f"{ANDROID_LINK}&af_sub1=", f"{ANDROID_LINK}&af_ref=NetworkA_")


def slow_links(texts):
    def slow(text):
        def work(clicked):
            decide_anew(RULES["x-forwarded-for"], clicked)

        return growth(lambda length: click(text.text(length), peer=PROXY), work, LINK_SIZE) > MOST_GROWTH

    return [text for text in texts if slow(text)]


@pytest.mark.measures
def test_a_link_costs_time_in_proportion_to_its_length():
    """No link makes a decision slow, whatever it is full of."""
    assert [] == slow_links(Attack(*parts) for parts in product(PATHS, LINK_UNITS, ("", "%", "!")))


class Twofold(Attack):
    """Half a long value, half a name again and again."""

    def text(self, size):
        value, again = (size // 2 // len(part) for part in (self.unit, self.end))
        return f"{self.start}{self.unit * value}{self.end * again}"


@pytest.mark.parametrize("name", NAMED)
def test_a_name_that_stands_again_and_again_behind_a_long_value_costs_no_more(name):
    """A long value that is no real one is not read anew for each time that its name stands in the link."""
    values = (f"{ANDROID_LINK}&{name}={first}" for first in ("", "{", "C", "${", "%7B", "0", "-"))
    units = ("a", "{", "0", "%41", "%7B")
    again = (f"&{name}", f"&{name}=", f"&{name}={{}}", f"&{name}=1")

    assert [] == slow_links(Twofold(*parts) for parts in product(values, units, again))


# No text makes anything raise.

ODD = st.sampled_from([*HEADER_UNITS, *LINK_UNITS, *(f"{name}=" for name in NAMED), "\r\n", "1" * 5_000, "٣"])
TEXT = st.text() | st.lists(ODD, max_size=8).map("".join)
LONG = st.builds(Attack.text, st.builds(Attack, TEXT, ODD, TEXT), st.sampled_from([8_192, 65_536]))
ANY = TEXT | LONG
LINKS = ANY | ANY.map(f"{ANDROID_LINK}&".__add__) | ANY.map(f"{IOS_LINK}&".__add__) | ANY.map(PATHS[0].__add__)
HEADERS = st.dictionaries(st.sampled_from(headers_asked_for()), ANY).map({"user-agent": PIXEL}.__or__)
MORE_RULES = [*RULES.values(), rules(consent=()), rules(mode=Mode.OBSERVE), rules(enrich=frozenset(), market_link=True)]


@given(LINKS, HEADERS, st.sampled_from([PROXY, PEER, ""]) | TEXT, st.sampled_from(MORE_RULES), st.booleans())
def test_whatever_is_said_is_decided_and_explained(link, headers, peer, known, is_believed):
    """Any link with any header, lone surrogates and 64 KB of them included, is decided and explained."""
    clicked = Click(CLICK_ID, "GET", link, headers, peer, is_believed=is_believed)
    decision = decide(clicked, known)

    assert isinstance(decision, Direct | Pass)
    assert gates_passed(clicked, decision) is not None
    assert rules_tried(clicked, known) is not None


@given(ANY)
def test_whatever_is_said_of_consent_is_read(text):
    """Any text is a TC string or none."""
    found = consented_purposes(text)

    assert found is None or found <= set(range(1, 25))
