"""Why a decision is what it is, for people: the reasons in words, the rules tried, the gates (design §3)."""

from __future__ import annotations

from storehop.decide import device, link
from storehop.decide.crawler import LIST_DATE
from storehop.decide.decision import find_target
from storehop.decide.rules import RuleSet
from storehop.model import Click, Decision, Direct, Pass, Platform, Reason
from storehop.settings import Rule, Store

HELP = {
    Reason.NOT_A_CLICK: "the host is not one of an attribution link",
    Reason.IMPRESSION: "it is an impression or an engagement, no click",
    Reason.ALREADY_S2S: "it is a server-to-server click already",
    Reason.INVALID_LINK: "it is malformed, or names no app id",
    Reason.SHORT_LINK: "it is a OneLink short link: its parameters are on AppsFlyer's side",
    Reason.UNKNOWN_ONELINK: "the rules do not say which app this OneLink is for",
    Reason.NO_RULE: "no rule matches",
    Reason.RULE_OFF: "the rule is off, or answers no request that is addressed to an attribution host",
    Reason.NO_STORE: "the rule does not say which store has this app",
    Reason.NOT_GET: "it is no GET",
    Reason.PREFETCH: "the browser only prefetches",
    Reason.NOT_NAVIGATION: "it opens no page: an image, a beacon, a frame or a script sent it (Sec-Fetch-Mode, -Dest)",
    Reason.NO_USER_AGENT: "there is no usable User-Agent",
    Reason.BOT: "a crawler, a link preview or a program that poses as a phone sent it: by Sec-CH-UA, by storehop's "
    f"own patterns, or by the public list of {LIST_DATE}",
    Reason.WRONG_PLATFORM: "this device cannot use that store",
    Reason.SIGNED: "the link is signed, and more parameters would break the signature",
    Reason.OTHER_TARGET: "the link asks for another place than the store's page",
    Reason.DEEP_LINK: "the installed app should open (a rule may say deep_links: store)",
    Reason.RETARGETING: "it is a retargeting click (a rule may say deep_links: store)",
    Reason.CONSENT: "the rule lets it pass because of a signal of consent",
    Reason.TOO_LONG: "the S2S URL would be longer than 2,000 characters, or the store does not take so long a referrer",
    Reason.STOPPED: "the rule was stopped: storehop canary status says why, storehop canary resume lets it go on",
    Reason.NOT_SAMPLED: "it is outside the rule's percent",
    Reason.OBSERVED: "the rule only observes",
    Reason.S2S_DOWN: "AppsFlyer is not reachable, or too slow",
    Reason.OUTBOX_DOWN: "the click could not be stored in time",
    Reason.ERROR: "storehop failed on it, as the log says",
}
"""Why a click passes. Behind the first colon or bracket stands what can be left out where there is little room."""

PASSED = {
    Reason.NOT_A_CLICK: "an attribution link",
    Reason.IMPRESSION: "no impression",
    Reason.ALREADY_S2S: "not server-to-server yet",
    Reason.INVALID_LINK: "well-formed",
    Reason.SHORT_LINK: "no short link",
    Reason.UNKNOWN_ONELINK: "no unknown OneLink",
    Reason.NO_RULE: "a rule matches",
    Reason.RULE_OFF: "the rule is on",
    Reason.NO_STORE: "its store is known",
    Reason.NOT_GET: "a GET",
    Reason.PREFETCH: "no prefetch",
    Reason.NOT_NAVIGATION: "it opens a page",
    Reason.NO_USER_AGENT: "with a User-Agent",
    Reason.BOT: "no bot",
    Reason.WRONG_PLATFORM: "the device has that store",
    Reason.SIGNED: "not signed",
    Reason.OTHER_TARGET: "no other target than the store",
    Reason.DEEP_LINK: "no deep link",
    Reason.RETARGETING: "no retargeting",
    Reason.CONSENT: "no signal of consent against it",
    Reason.TOO_LONG: "short enough",
    Reason.STOPPED: "not stopped",
    Reason.NOT_SAMPLED: "within the rule's percent",
    Reason.OBSERVED: "not only observed",
}
"""What is so where a gate let a click through."""

STORE_NAMES = {
    Store.GOOGLE_PLAY: "Google Play",
    Store.APP_STORE: "the App Store",
    Store.HUAWEI_APPGALLERY: "Huawei AppGallery",
    Store.SAMSUNG_GALAXY_STORE: "the Galaxy Store",
    Store.XIAOMI_GETAPPS: "Xiaomi GetApps",
    Store.AMAZON_APPSTORE: "the Amazon Appstore",
    Store.CUSTOM: "the rule's own store",
    Store.AUTO: "that store",
}
_DEVICES = {Platform.ANDROID: "this Android device", Platform.IOS: "an iPhone or iPad"}

DELIVERY = (Reason.S2S_DOWN, Reason.OUTBOX_DOWN, Reason.ERROR)
"""The reasons that arise after all gates, so no decision has them."""
GATES = tuple(reason for reason in Reason if reason not in DELIVERY)
"""In the order in which a click meets them."""


def because(decision: Pass) -> str:
    """Why the click passes, in a sentence, with what led to it."""
    return f"{HELP[decision.reason]}: {decision.why}" if decision.why else HELP[decision.reason]


def in_short(decision: Pass) -> str:
    """As `because`, where there is little room."""
    if decision.reason is Reason.WRONG_PLATFORM:
        device, store = _DEVICES.get(decision.platform or Platform.OTHER), STORE_NAMES.get(decision.store or Store.AUTO)
        return f"{device} cannot use {store}" if device else "the device is neither Android nor iOS"
    return HELP[decision.reason].partition(": ")[0].partition(" (")[0]


def rules_tried(click: Click, rules: RuleSet) -> list[tuple[Rule, str | None]]:
    """Every rule up to the one that matches, each with its first condition that failed (None for the match)."""
    url = link.split(click.link)
    if url is None or not rules.is_click_host(url.host) or len(click.link) > link.MAX_LINK_CHARACTERS:
        return []
    target = find_target(url, device.read(click.headers.get("user-agent", "")).platform, rules)
    return [] if isinstance(target, Pass) else list(rules.trials(target))


def gates_passed(click: Click, decision: Decision) -> tuple[Reason, ...]:
    """The gates that let the click through, in their order. At the next gate the click passed."""
    if isinstance(decision, Direct) or decision.reason in DELIVERY:
        return GATES
    if decision.reason is Reason.TOO_LONG and len(click.link) > link.MAX_LINK_CHARACTERS:
        return GATES[: GATES.index(Reason.ALREADY_S2S)]  # such a link is not read any further
    return GATES[: GATES.index(decision.reason)]
