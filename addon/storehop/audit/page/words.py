"""The page's words for names that people do not know: reasons, signals, gates, kinds of drift, sources."""

from __future__ import annotations

from storehop.decide.drift import Kind
from storehop.decide.explanation import HELP
from storehop.model import Source
from storehop.observe.coverage import NAMES, Signal

_BRACKET = " (a rule may say "
_REASONS = {
    reason.value: words.partition(_BRACKET)[0].partition(": ")[0].partition(" (")[0] for reason, words in HELP.items()
}
_RULES_MAY_SAY = {
    reason.value: words.partition(_BRACKET)[2].removesuffix(")") for reason, words in HELP.items() if _BRACKET in words
}
_SIGNALS = {signal.value: words for signal, words in NAMES.items()}
SIGNALS = tuple(signal.value for signal in Signal)

GATES = {
    "direct": "Clicks that go straight to the store",
    "ip": "Direct clicks that AppsFlyer can match on the IP",
    "referrer": "Direct clicks that AppsFlyer can match on the install referrer",
    "unreadable": "Lines that could not be read",
    "never_filled_in": "Direct clicks with a value that nobody filled in",
    "private_addresses": "Direct clicks that seem to come from a private address",
    "drift": "Clicks that AppsFlyer led elsewhere than storehop would",
}
COUNTS = frozenset({"drift"})
"""Gates whose figure is a number of clicks, not a share."""
OPERATORS = {
    ">=": "at\N{NO-BREAK SPACE}least",
    "<=": "at\N{NO-BREAK SPACE}most",
    "==": "exactly",
    ">": "more than",
    "<": "less than",
}

_KINDS = {
    Kind.SAME: ("The same page of the same store", ""),
    Kind.OTHER_APP: (
        "AppsFlyer leads to another app",
        "Set the rule's store or app to what AppsFlyer leads to, or let this app pass until somebody can say why.",
    ),
    Kind.OTHER_STORE: (
        "AppsFlyer leads to another store",
        "Set the rule's store, or let this app pass until somebody can say why.",
    ),
    Kind.OTHER_COUNTRY: (
        "AppsFlyer leads to the store of another country",
        "Set the rule's country to the one that AppsFlyer uses, or leave it out.",
    ),
    Kind.OTHER_LISTING: (
        "AppsFlyer leads to another store page of the app (a custom listing)",
        "Give the rule this listing, or let the campaign pass.",
    ),
    Kind.OPENS_APP: (
        "AppsFlyer opens the installed app",
        "These clicks are retargeting or deep links: let them pass.",
    ),
    Kind.WEB_PAGE: (
        "AppsFlyer leads to a web page",
        "The link asks for a page, not for the store: let it pass.",
    ),
    Kind.NOT_COMPARABLE: (
        "AppsFlyer answered with a page of its own, so there is nothing to compare",
        "",
    ),
}
KINDS = tuple(kind.value for kind in Kind)
DRIFT = frozenset(kind.value for kind in Kind if kind.is_drift)

_SOURCES = {
    Source.LINK: "the link",
    Source.HEADER: "a request header",
    Source.HINT: "a client hint of the browser",
    Source.USER_AGENT: "the User-Agent",
    Source.ADDRESS: "the client's address",
    Source.GENERATED: "storehop",
    Source.OMITTED: "left out",
}


def reason(key: str) -> str:
    """Why clicks pass, as the beginning of a line. A reason of another version keeps its name."""
    return sentence(_REASONS.get(key, key))


def reason_within(key: str) -> str:
    """As `reason`, within a line."""
    return _REASONS.get(key, key)


def a_rule_may_say(key: str) -> str:
    """The setting by which clicks with this reason go direct too; empty where there is none."""
    return _RULES_MAY_SAY.get(key, "")


def signal(key: str) -> str:
    return sentence(_SIGNALS.get(key, key))


def gate(key: str) -> str:
    return GATES.get(key, key)


def kind(key: str) -> str:
    return _KINDS[Kind(key)][0] if key in KINDS else key


def kind_advice(key: str) -> str:
    """What to do about such drift; empty where there is nothing."""
    return _KINDS[Kind(key)][1] if key in KINDS else ""


def source(key: str) -> str:
    """Where a parameter's value comes from."""
    return _SOURCES[Source(key)] if key in tuple(Source) else key


def sentence(words: str) -> str:
    """With a capital letter."""
    return words[:1].upper() + words[1:]
