"""What a decision costs in bytecode instructions: the same on every machine, for one version of Python.

Seen is every instruction of Python that `decide` runs, in our code and in libraries. Not seen is what happens inside
one instruction: a regular expression's search, hashing, a C function. `make bench` measures those, in seconds.

`make cost` prints the counts, and `make bench` prints them beside its figures. They are no test: another release of a
library of ours may change them, and no mistake of ours is in that.
"""

from __future__ import annotations

import gc
import sys
from ipaddress import ip_network
from threading import get_ident

from storehop.decide.address import Proxies
from storehop.decide.decision import decide
from storehop.decide.rules import Match, Patterns
from storehop.model import Click, Direct, Pass
from storehop.settings import Rule
from tests.support.clicks import ANDROID_LINK, IOS_LINK, IPHONE, PIXEL, REDUCED, click, rule_set

TOOL = 4
"""An id of sys.monitoring that no well-known tool has."""
EVENT = sys.monitoring.events.INSTRUCTION

_USUAL = (
    "&c=spring_sale&af_siteid=77&af_sub1=banner-320x50&af_c_id=918273&af_adset=broad&af_ad=blue&af_click_lookback=7d"
)
_SENT = {"Accept": "text/html", "Accept-Language": "en-US,en;q=0.9", "Cookie": "session=s1"}
_HINTS = {"Sec-CH-UA-Model": '"Pixel 8"', "Sec-CH-UA-Platform-Version": '"14.0.0"', "Sec-CH-UA-Mobile": "?1"}
_ID = "&advertising_id=38400000-8cf0-11bd-b23e-10b96e40000d"
_IDS = f"{_ID}&android_id=9774d56d682e549c"

CLICKS: dict[str, tuple[Click, type]] = {
    "android": (click(ANDROID_LINK + _USUAL, _SENT), Direct),
    "behind a proxy": (click(ANDROID_LINK + _USUAL, _SENT | {"X-Forwarded-For": "81.2.69.142"}, peer="::1"), Direct),
    "client hints": (click(ANDROID_LINK + _USUAL, _SENT | _HINTS, user_agent=REDUCED), Direct),
    "an advertising id": (click(ANDROID_LINK + _USUAL + _ID, _SENT), Direct),
    "device ids and macros": (click(ANDROID_LINK + _USUAL + _IDS + "&af_sub2={sub2}&af_ip=", _SENT), Direct),
    "ios": (click(IOS_LINK + _USUAL, _SENT, user_agent=IPHONE), Direct),
    "passes": (click(ANDROID_LINK.replace("networka", "other") + _USUAL, _SENT, user_agent=PIXEL), Pass),
}
"""Typical clicks, and what they become."""


def rules():
    """One rule by media source for every app; the machine itself is a trusted proxy."""
    proxies = Proxies(trusted=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
    match = Match(params=(("pid", Patterns.of(["networka_int"])),))
    return rule_set(Rule("games", partner="NetworkA"), match, proxies=proxies)


def instructions(clicked: Click, rule_set) -> int:
    """How many instructions one decision takes when caches are warm."""
    decide(clicked, rule_set)
    count = 0

    own = get_ident()

    def step(_code, _offset):
        nonlocal count
        count += get_ident() == own  # threads of whoever runs the tests count for themselves

    monitoring = sys.monitoring
    monitoring.use_tool_id(TOOL, "storehop cost")
    monitoring.register_callback(TOOL, EVENT, step)
    gc.disable()  # a collection would run whatever other tests leave to be finalised
    try:
        monitoring.set_events(TOOL, EVENT)
        decide(clicked, rule_set)
        monitoring.set_events(TOOL, 0)
    finally:
        gc.enable()
        monitoring.set_events(TOOL, 0)
        monitoring.register_callback(TOOL, EVENT, None)
        monitoring.free_tool_id(TOOL)
    return count


def count_all() -> dict[str, int]:
    """Instructions by the name of the click."""
    rule_set = rules()
    return {name: instructions(clicked, rule_set) for name, (clicked, _) in CLICKS.items()}


def in_words(costs: dict[str, int]) -> str:
    """One line for people: counts by the name of the click."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    figures = ", ".join(f"{count:,} {name}" for name, count in costs.items())
    return f"Decision by kind of click, in instructions of Python {version}: {figures}."


def main() -> None:
    sys.stdout.write(f"{in_words(count_all())}\n")


if __name__ == "__main__":
    main()
