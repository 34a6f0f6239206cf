"""What the link itself says of the parameters that are ours to add, and whether it counts (design §3.2).

A real value wins over ours. What nobody filled in, what is no address or no User-Agent, and a stranger's word about
what leaves from our servers do not count.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from storehop.decide import address
from storehop.decide.link import Link, is_clean
from storehop.decide.unfilled import is_absent, is_unfilled, is_unfilled_referrer
from storehop.settings import Enrich

OURS = ("af_ref", *(name.value for name in Enrich))
"""What we add to a link that does not say it."""
_NAMES = frozenset(OURS)
_NEVER_A_STRANGERS = frozenset({"af_ip", "af_ua"})
"""What leaves from our servers as a header: no stranger's link chooses it (design §2)."""
_ENCODED_MARK = re.compile(r"%(?:25){0,4}(?:2F|28|29|3B)", re.IGNORECASE)
"""A `/`, a parenthesis or a semicolon of a User-Agent that is still encoded."""
_FORM_ENCODED = re.compile(r"[\w.]+/[\w.]+\+\(")
"""`Mozilla/5.0+(`: its spaces are still those of a form."""
_DEPTH = 4
"""How many times over a User-Agent may be encoded and is still seen to be one."""
NEVER_FILLED_IN = "never filled in"
EMPTY = "empty or zeroed"
NO_TEXT = "no text"


class Said(NamedTuple):
    """What the link says: its value, or why it does not count."""

    value: str | None
    why: str


def own_words(link: Link, *, is_believed: bool) -> dict[str, Said]:
    """The link's own words by name, for those of our parameters that it has. Most links have none."""
    if _NAMES.isdisjoint(link.values):
        return {}
    found = {}
    for name in OURS:
        if name not in link.values:
            continue
        why = _unreal(name, link.values[name])
        if not why and not is_believed and name in _NEVER_A_STRANGERS:
            why = "a stranger's word"
        found[name] = Said(None if why else link.values[name], why)
    return found


def real_value(link: Link, name: str) -> str | None:
    """The link's own value of a parameter of ours, decoded, where it counts."""
    value = link.values.get(name)
    return None if value is None or _unreal(name, value) else value


def _unreal(name: str, value: str) -> str:
    """Why this value of ours counts as if the link did not have it (design §3.2), or ""."""
    if is_unfilled_referrer(value) if name == "af_ref" else is_unfilled(value):
        return NEVER_FILLED_IN
    if is_absent(value):
        return EMPTY
    if not is_clean(value):
        return NO_TEXT
    if name == "af_ip" and address.sayable(value) is None:
        return "no single public address"
    return "encoded twice" if name == "af_ua" and _is_encoded_twice(value) else ""


def _is_encoded_twice(user_agent: str) -> bool:
    """Whether this reads like a User-Agent only once it is decoded again: then it has spaces or a `/` at last.

    An app's own name may hold percent-codes, `My%20App/7 CFNetwork/1410`, but no encoded marks of a User-Agent.
    """
    if _ENCODED_MARK.search(user_agent):
        return True
    if " " in user_agent:
        return False
    if _FORM_ENCODED.match(user_agent):
        return True
    text = user_agent
    for _ in range(_DEPTH):
        text = unquote(text)
    return " " in text or ("/" in text and "/" not in user_agent)
