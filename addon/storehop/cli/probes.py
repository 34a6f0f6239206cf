"""What a probe asks AppsFlyer: links of a file, made clicks of a test media source (design §11). Pure.

A probe's link has the team's own `pid`. It says nothing of a person and nothing of a network's click: ids and costs
are dropped. What would not show where AppsFlyer leads, or would count for somebody else, is not asked at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from storehop.decide.decision import decide
from storehop.decide.device_ids import DEVICE_IDS
from storehop.decide.explanation import HELP
from storehop.decide.link import Link, encoded, split
from storehop.decide.own_words import OURS
from storehop.decide.rules import RuleSet
from storehop.model import Click, Direct, Platform, Reason

TEST_PID = re.compile(r"[A-Za-z0-9_.-]{1,50}")
"""A media source's name that needs no encoding and that every version of AppsFlyer's limits takes."""
_ANDROID = "Mozilla/5.0 (Linux; {}) AppleWebKit/537.36 (KHTML, like Gecko) {} Mobile Safari/537.36"
_APPLE = "Mozilla/5.0 ({} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) {} Mobile/15E148 Safari/604.1"
PHONES = {
    Platform.ANDROID: (
        _ANDROID.format("Android 10; K", "Chrome/143.0.0.0"),
        _ANDROID.format("Android 10; K", "SamsungBrowser/28.0 Chrome/130.0.0.0"),
        _ANDROID.format("Android 12; Pixel 5", "Chrome/95.0.4638.74"),
    ),
    Platform.IOS: (
        _APPLE.format("iPhone; CPU iPhone OS 18_7", "Version/26.1"),
        _APPLE.format("iPhone; CPU iPhone OS 17_5_1", "Version/17.5"),
        _APPLE.format("iPad; CPU OS 16_6", "Version/16.6"),
    ),
}
"""User-Agents that phones in use send: a link of an app gets one after the other. None is a bot's."""
_DROPPED = DEVICE_IDS | {"android_id", "sha1_android_id", "md5_android_id", "clickid", "af_tranid", *OURS}
_DROPPED_BEGINNINGS = ("af_sub", "af_cost_")


class Skipped(NamedTuple):
    """A line that is not asked about."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Probe:
    """One click that AppsFlyer would count."""

    line: int
    """Of the file, from 1."""
    app: str
    platform: Platform
    url: str
    """What is asked for."""
    user_agent: str
    ours: str
    """Where storehop would send the user of the link as it stands in the file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a probe would do."""

    probes: tuple[Probe, ...]
    skipped: tuple[Skipped, ...]


class PidInUseError(Exception):
    """The test media source stands in the links: its clicks would count as a partner's."""


def plan(lines: Iterable[str], rules: RuleSet, pid: str, per_app: int) -> Plan:
    """At most `per_app` probes for each app and platform, in the order of the lines. Raises PidInUseError."""
    whole = rules.at_their_most()
    taken: Counter[tuple[str, Platform]] = Counter()
    probes: list[Probe] = []
    skipped: list[Skipped] = []
    for number, text in _links(lines):
        link = split(text)
        if link and link.values.get("pid") == pid:
            raise PidInUseError(number)
        found = list(_of_link(number, text, link, whole, pid, taken))
        for one in found:
            if isinstance(one, Skipped):
                skipped.append(one)
            elif taken[one.app, one.platform] < per_app:
                taken[one.app, one.platform] += 1
                probes.append(one)
            else:
                skipped.append(Skipped(number, f"there are {per_app} links of this app and platform before it"))
    return Plan(tuple(probes), tuple(skipped))


def _links(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """A link a line; empty lines and those that begin with `#` are for people."""
    for number, line in enumerate(lines, 1):
        if (text := line.strip()) and not text.startswith("#"):
            yield number, text


def _of_link(
    number: int, text: str, link: Link | None, whole: RuleSet, pid: str, taken: Counter[tuple[str, Platform]]
) -> Iterator[Probe | Skipped]:
    """A probe for each platform whose phones would go direct; else why there is none."""
    if link is None or not whole.is_click_host(link.host):
        yield Skipped(number, "it is no link of AppsFlyer's that the rules know")
        return
    reasons: dict[Reason, None] = {}
    is_asked = False
    for platform, phones in PHONES.items():
        decision = decide(Click("", "GET", text, {"user-agent": phones[0]}, ""), whole)
        if isinstance(decision, Direct):
            is_asked = True
            user_agent = phones[taken[decision.app, platform] % len(phones)]
            rule = next(rule for _, rule in whole.rules if rule.name == decision.rule)
            url = f"https://{link.host}{link.path}?{_query(link, rule.click_id, pid)}"
            yield Probe(number, decision.app, platform, url, user_agent, decision.location)
        elif decision.reason is not Reason.WRONG_PLATFORM:
            reasons[decision.reason] = None
    if not is_asked:
        why = "; ".join(f"{reason}: {HELP[reason]}" for reason in reasons)
        yield Skipped(number, f"storehop lets it pass: {why or Reason.WRONG_PLATFORM}")


def _query(link: Link, click_ids: Iterable[str], pid: str) -> str:
    """The link's parameters as they are, but for those that name a person, a click or a cost; with our `pid`."""
    dropped = _DROPPED | {"pid", *click_ids}
    kept = [
        segment
        for name, _, segment in link.params
        if segment and name not in dropped and not name.startswith(_DROPPED_BEGINNINGS)
    ]
    return "&".join((f"pid={encoded(pid)}", *kept))
