"""What mitmweb's list says of a click."""

from dataclasses import replace

import pytest

from storehop.decide.rules import Match, RuleSet
from storehop.host import comments
from storehop.model import Dead, DeadReason, Delivered, Failure, Fault, Pass, Platform, Reason, Reply, RetryIn, Settled
from storehop.settings import Rule, Store
from tests.support.observed import CALL, CLICK, DIRECT

CAMPAIGN = replace(CLICK, link="https://app.appsflyer.com/com.x.y?pid=x&c=big%20sale&subid=K1")


def test_app_and_campaign_come_first():
    """A list cuts what stands behind them."""
    assert comments.of_click(CAMPAIGN, DIRECT).startswith("🚀 com.x.y · big sale · sent to Google Play")


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (
            Pass(Reason.BOT),
            "no app · left as it was: a crawler, a link preview or a program that poses as a phone sent it",
        ),
        (Pass(Reason.NOT_NAVIGATION), "no app · left as it was: it opens no page"),
        (Pass(Reason.S2S_DOWN, app="com.x.y"), "com.x.y · left as it was: AppsFlyer is not reachable, or too slow"),
        (
            Pass(Reason.WRONG_PLATFORM, app="com.x.y", platform=Platform.OTHER, store=Store.GOOGLE_PLAY),
            "com.x.y · left as it was: the device is neither Android nor iOS",
        ),
        (
            Pass(Reason.WRONG_PLATFORM, app="com.x.y", platform=Platform.IOS, store=Store.GOOGLE_PLAY),
            "com.x.y · left as it was: an iPhone or iPad cannot use Google Play",
        ),
        (replace(DIRECT, repeats="c0"), "com.x.y · the same click again: the same answer, no S2S click of its own"),
    ],
)
def test_a_reason_is_put_in_words(decision, words):
    """Short ones: no code words, no options to set."""
    assert words == comments.of_click(CLICK, decision).partition(" ")[2]


@pytest.mark.parametrize(
    ("outcome", "verdict", "words"),
    [
        (Reply(200), Delivered(), "AppsFlyer has it (200, 34 ms)"),
        (Reply(503), RetryIn(1.0), "to be sent again: AppsFlyer has not got it yet (503)"),
        (
            Failure(Fault.CONNECT, maybe_sent=False),
            RetryIn(1.0),
            "to be sent again: AppsFlyer has not got it yet (no connection)",
        ),
        (None, RetryIn(0.0, is_spent=False), "put off: AppsFlyer gets it later"),
        (Reply(404), Dead(DeadReason.REJECTED), "given up: AppsFlyer refused it (404)"),
        (None, Dead(DeadReason.TOO_OLD), "given up: it got too old (not sent)"),
    ],
)
def test_an_attempt_is_put_in_words(outcome, verdict, words):
    """Each end that it can have."""
    assert words == comments.of_outcome(Settled(CALL, outcome, verdict, 1, 0.034))


@pytest.mark.parametrize(
    ("names", "named"), [(("clickid", "subid"), "K1"), (("clickid",), "c1")], ids=["the link's", "ours"]
)
def test_a_call_names_its_click(names, named):
    """By the network's id as the rule finds it, or by ours where the link has none."""
    rules = RuleSet(((Match(), Rule("games", click_id=names)),))
    settled = Settled(CALL, Reply(200), Delivered(), 2, 0.034)

    told = f"📡 com.x.y · big sale · S2S click {named}, attempt 2 · AppsFlyer has it (200, 34 ms)"
    assert told == comments.of_call(CAMPAIGN, DIRECT, rules, settled)
