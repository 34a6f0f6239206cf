"""What mitmweb's list says of a click, in people's words: app and campaign first, since a list cuts what is long."""

from __future__ import annotations

from storehop.decide import link
from storehop.decide.explanation import STORE_NAMES, in_short
from storehop.decide.rules import RuleSet
from storehop.model import Click, Dead, DeadReason, Decision, Delivered, Direct, Fault, Pass, Reply, Settled

DIRECT, PASS, CALL = ":rocket:", ":fast_forward:", ":satellite:"
"""mitmproxy's names of the marks."""
MAX_CAMPAIGN_CHARACTERS = 60
_SIGNS = {DIRECT: "🚀", PASS: "⏩", CALL: "📡"}
_FAULTS = {
    Fault.CONNECT: "no connection",
    Fault.CONNECT_TIMEOUT: "no connection in time",
    Fault.TLS: "no TLS",
    Fault.READ_TIMEOUT: "no answer in time",
    Fault.RESET: "the connection broke",
    Fault.PROTOCOL: "no HTTP",
}
_GIVEN_UP = {
    DeadReason.REJECTED: "AppsFlyer refused it",
    DeadReason.REDIRECT_NOT_HONOURED: "AppsFlyer answered with a redirect",
    DeadReason.TOO_OLD: "it got too old",
    DeadReason.AMBIGUOUS: "AppsFlyer may have it",
    DeadReason.UNSENDABLE: "it makes no request",
}


def mark(decision: Decision) -> str:
    """Mitmproxy's name of it."""
    return DIRECT if isinstance(decision, Direct) else PASS


def of_click(click: Click, decision: Decision, news: str = "") -> str:
    """`🚀 com.example.game · spring · sent to Google Play · AppsFlyer has it (200, 34 ms) · rule games`.

    `news` is what happened since, such as `of_outcome` says.
    """
    if isinstance(decision, Pass):
        return _told(PASS, click, decision, f"left as it was: {in_short(decision)}", news)
    if decision.repeats:
        return _told(DIRECT, click, decision, "the same click again: the same answer, no S2S click of its own", news)
    return _told(DIRECT, click, decision, f"sent to {STORE_NAMES[decision.store]}", news, f"rule {decision.rule}")


def of_retry(click: Click, decision: Direct) -> str:
    """A browser's second request for the same click."""
    return _told(DIRECT, click, decision, "asked again by the browser, with client hints")


def of_call(click: Click, decision: Decision, rules: RuleSet, settled: Settled) -> str:
    """`📡 com.example.game · spring · S2S click K1 · AppsFlyer has it (200, 34 ms)`."""
    named = f"S2S click {click_id(click, decision, rules)}"
    attempt = f", attempt {settled.attempt}" if settled.attempt > 1 else ""
    return _told(CALL, click, decision, f"{named}{attempt}", of_outcome(settled))


def of_other(method: str, url: str) -> str:
    """Traffic that is no click."""
    return f"{method} {url}"


def of_outcome(settled: Settled) -> str:
    """What became of an attempt: `AppsFlyer has it (200, 34 ms)`."""
    outcome = settled.outcome
    fault = None if outcome is None or isinstance(outcome, Reply) else _FAULTS[outcome.fault]
    status = f"{outcome.status}" if isinstance(outcome, Reply) else None
    match settled.verdict:
        case Delivered():
            return f"AppsFlyer has it ({status}, {settled.age * 1000:.0f} ms)"
        case Dead(reason):
            return f"given up: {_GIVEN_UP[reason]} ({status or fault or 'not sent'})"
        case _ if outcome is None:
            return "put off: AppsFlyer gets it later"
        case _:
            return f"to be sent again: AppsFlyer has not got it yet ({status or fault})"


def click_id(click: Click, decision: Decision, rules: RuleSet) -> str:
    """The network's own id of the click; ours where the link has none."""
    url = link.split(click.link)
    names = next((rule.click_id for _, rule in rules.rules if rule.name == decision.rule), ())
    values = url.values if url else {}
    return next((values[name] for name in names if values.get(name)), click.id)


def _told(kind: str, click: Click, decision: Decision, *facts: str) -> str:
    url = link.split(click.link)
    campaign = url.values.get("c", "")[:MAX_CAMPAIGN_CHARACTERS] if url else ""
    return " · ".join([f"{_SIGNS[kind]} {decision.app or 'no app'}", *filter(None, (campaign, *facts))])
