"""How far we agree with ua-parser about a device, and why we differ.

    make agreement                      # user_agents.yaml, against the ua-parser that is installed
    make agreement UAP_CORE=../uap-core # and the fixtures of a checkout of ua-parser/uap-core

A difference without a reason is listed at the end. user_agents.yaml has none: test_user_agents.py holds that.
"""

import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from crawleruseragents import is_crawler
from ruamel.yaml import YAML
from ua_parser import parse

from storehop.decide import device
from storehop.model import Platform

CORPUS = Path(__file__).parents[1] / "decide" / "user_agents.yaml"

GENERIC = {None, "K", "Smartphone", "Tablet", "Feature Phone", "Other", "Android", "iOS-Device", "Generic Smartphone"}
"""What ua-parser says for a model that it does not know."""

PLAIN_CHROME = re.compile(r"like ?Gecko\) *Chrome/\d{3}\.0\.0\.0 ?(?:Mobile ?)?Safari/537\.36(?:,gzip\(gfe\))?$")

FORM = re.compile(r"\((?:Linux|MIDP)[^)]*\b(?:Android|Adr)[ /]|\(Android \d|Instagram [\d.]+ Android \(\d+/")
"""How the browsers and web views of Android write the device."""

FROZEN = "we leave out what the browser froze (Android 10; K and its like)"
UNTOLD = "we leave out 18.6 and 18.7 where they may be iOS 26's frozen token"
DARWIN = "they guess it from the version of CFNetwork or Darwin"
VOID = "we leave out what another statement of the same User-Agent voids"
SAFARI = "we read Version/26 and later, or what an app says, they the frozen or first token"
APP = "we read what Facebook or Instagram says, they the token"
PLAIN = "we leave out what stands beside plain Chrome's N.0.0.0, which names no device"
LEVEL = "they take an API level for a version"
ZERO = "we call 26.2.0 26.2, as iOS does"
UPDATE = "they keep update1, which is no digit"
LOWER = "AppsFlyer's word is iphone or ipad, without the generation"
BRAND = "they cut the brand off the build model, or add it"
SPELLING = "they spell the build model with other spaces, dashes or capitals"
MARKETING = "they give a marketing name for the build model"
SUFFIX = "they keep or cut more behind the build model"
NO_FORM = "an app's or phone's own form, which we do not read"
RARE = "a rare form of the comment, where we say nothing rather than guess"
MORE = "we read more than they"
MISREAD = "they take a build's, a browser's or a carrier's name for the model"
UNEXPLAINED = "unexplained"


@dataclass
class Comparison:
    """Two opinions on many User-Agents, counted by why they differ."""

    title: str
    differences: Counter = field(default_factory=Counter)
    same: int = 0
    unexplained: list = field(default_factory=list)

    def add(self, user_agent, ours, theirs, why):
        if ours == theirs:
            self.same += 1
            return
        reason = why(user_agent, ours, theirs)
        self.differences[reason] += 1
        if reason == UNEXPLAINED:
            self.unexplained.append((ours, theirs, user_agent))

    def show(self):
        total = self.same + self.differences.total()
        print(f"{self.title}: {self.same} of {total} agree ({self.same / max(total, 1):.0%})")
        for reason, count in self.differences.most_common():
            print(f"  {count:5} {reason}")
        for ours, theirs, user_agent in self.unexplained:
            print(f"        we {ours!r}, they {theirs!r}: {user_agent}")


def why_version(user_agent, ours, theirs):
    if theirs == f"{ours}.0":
        return ZERO
    if "like Mac OS X" in user_agent or "Darwin/" in user_agent or "iOS" in user_agent:
        if ours is None:
            return why_untold_on_ios(user_agent, theirs)
        if re.search(r"FBSV/|; iOS \d", user_agent):
            return APP
        return SAFARI if "Version/" in user_agent else UNEXPLAINED
    if ours is None and re.fullmatch(r"19|[2-9]\d", theirs):
        return LEVEL
    if ours is None and PLAIN_CHROME.search(user_agent) and theirs != "10":
        return PLAIN
    if ours is None:
        return FROZEN if theirs == "10" else NO_FORM if not FORM.search(user_agent) else UNEXPLAINED
    if theirs is None:
        return MORE
    return UPDATE if theirs == f"{ours}.update1" else APP if "Instagram" in user_agent else UNEXPLAINED


def why_untold_on_ios(user_agent, theirs):
    if "like Mac OS X" not in user_agent:
        return DARWIN if "Darwin/" in user_agent else NO_FORM
    if theirs.startswith(("18.6", "18.7")):
        return UNTOLD
    return VOID if "Version/" in user_agent or len(set(re.findall(r"OS (\d+)[._]", user_agent))) > 1 else NO_FORM


def plain(text):
    return re.sub(r"[^a-z0-9]", "", text.lower())


def why_no_model(user_agent, theirs):
    if theirs in GENERIC:
        return FROZEN
    if PLAIN_CHROME.search(user_agent):
        return PLAIN
    return RARE if FORM.search(user_agent) else NO_FORM


def why_model(user_agent, ours, theirs):
    if ours in {"iphone", "ipad"}:
        return LOWER
    if ours is None:
        return why_no_model(user_agent, theirs)
    if theirs in GENERIC:
        return MORE
    if re.search(r"(?:Build|BUILD|\bMIUI)\b|Builo|ro\.product\.", theirs):
        return SUFFIX
    mine, other = plain(ours), plain(theirs)
    if mine == other:
        return SPELLING
    if mine.endswith(other) or other.endswith(mine):
        return BRAND
    if mine.startswith(other) or other.startswith(mine):
        return SUFFIX
    if other in mine:
        return BRAND
    if other not in plain(user_agent):
        return MARKETING
    _, _, after = user_agent.rpartition(ours)
    return MISREAD if other in plain(after) or user_agent.startswith("Instagram") else UNEXPLAINED


def corpus():
    """Every entry of user_agents.yaml."""
    return [entry for group in YAML(typ="safe").load(CORPUS).values() for entry in group]


def version_of(parts):
    return ".".join(str(part) for part in parts if part) or None


def compare_corpus():
    """What user_agents.yaml says, and what ua-parser does; for bots, what the crawler list does as it comes, too."""
    version, model, bot, listed = (
        Comparison(f"user_agents.yaml, {name}") for name in ("version", "model", "bot", "bot by the crawler list alone")
    )
    for entry in corpus():
        if "headers" in entry:
            continue  # what headers say is no matter for ua-parser
        user_agent, seen = entry["ua"], parse(entry["ua"])
        is_spider = seen.device is not None and seen.device.family == "Spider"
        is_bot = entry.get("bot", False)
        bot.add(user_agent, is_bot, is_spider, why_verdict)
        listed.add(user_agent, is_bot, is_crawler(user_agent), why_verdict)
        if entry.get("platform") is None:
            continue
        os = seen.os
        theirs = version_of([os.major, os.minor, os.patch]) if os and os.family in {"Android", "iOS"} else None
        version.add(user_agent, entry.get("os_version"), theirs, why_version)
        model.add(user_agent, entry.get("model"), seen.device and seen.device.model, why_model)
    return version, model, bot, listed


def why_verdict(_user_agent, is_bot, _theirs):
    return "they miss a bot" if is_bot else "they take a person for a bot"


def fixtures(checkout, name):
    return YAML(typ="safe").load(checkout / "tests" / name)["test_cases"]


def compare_fixtures(checkout):
    """(version, model, bot) of what `device.read` says and uap-core's fixtures do."""
    version = Comparison("uap-core test_os.yaml, version on Android and iOS")
    for case in fixtures(checkout, "test_os.yaml"):
        if case["family"] in {"Android", "iOS"}:
            theirs = version_of([case["major"], case["minor"], case["patch"]])
            version.add(
                case["user_agent_string"], device.read(case["user_agent_string"]).os_version, theirs, why_version
            )
    model = Comparison("uap-core test_device.yaml, model on Android and iOS")
    bot = Comparison("uap-core test_device.yaml, spider")
    for case in fixtures(checkout, "test_device.yaml"):
        found, is_spider = device.read(case["user_agent_string"]), case["family"] == "Spider"
        bot.add(case["user_agent_string"], found.is_bot, is_spider, lambda ua, *_: why_bot(ua))
        if found.platform is not Platform.OTHER and not is_spider:
            model.add(case["user_agent_string"], found.model, case["model"], why_model)
    return version, model, bot


def why_bot(user_agent):
    if user_agent.startswith("WhatsApp"):
        return "WhatsApp's own is a link preview to us"
    return "we know more programs" if not user_agent.startswith("Mozilla") else UNEXPLAINED


def main(arguments):
    print(f"{len(corpus())} User-Agents in user_agents.yaml, {sum('bot' in entry for entry in corpus())} of them bots")
    compared = compare_corpus()
    for checkout in arguments:
        compared += compare_fixtures(Path(checkout))
    for comparison in compared:
        comparison.show()


if __name__ == "__main__":
    main(sys.argv[1:])
