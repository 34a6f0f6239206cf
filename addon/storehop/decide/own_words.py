"""The link's own words: its values for parameters that we would add, and whether they count (design §3.2).

A real value wins over ours. These do not count: a value that nobody filled in, an `af_ip` that is no public address,
an `af_ua` that is encoded twice, and a stranger's value for a header that our servers send.
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
"""The parameters that we add where the link lacks them."""
_NAMES = frozenset(OURS)
_SENT_AS_HEADERS = frozenset({"af_ip", "af_ua"})
"""Our call repeats these as headers, so a stranger's link must not choose them (design §2)."""
_ENCODED_MARK = re.compile(r"%(?:25){0,4}(?:2F|28|29|3B)", re.IGNORECASE)
"""A `/`, a parenthesis or a semicolon that is still percent-encoded."""
_FORM_ENCODED = re.compile(r"[\w.]+/[\w.]+\+\(")
"""`Mozilla/5.0+(`: its spaces are still form-encoded."""
_MAX_ENCODINGS = 4
"""A User-Agent that is encoded more often than this is no longer recognised as encoded."""
NEVER_FILLED_IN = "never filled in"
EMPTY = "empty or zeroed"
NO_TEXT = "no text"


class OwnWord(NamedTuple):
    """One value of the link. `value` is None where it does not count, and `why` says why."""

    value: str | None
    why: str


def own_words(link: Link, *, is_believed: bool) -> dict[str, OwnWord]:
    """The link's own word, by name, for each of our parameters that the link has. Most links have none."""
    if _NAMES.isdisjoint(link.values):
        return {}
    values = {}
    for name in OURS:
        if name not in link.values:
            continue
        why = _why_not_real(name, link.values[name])
        if not why and not is_believed and name in _SENT_AS_HEADERS:
            why = "a stranger's word"
        values[name] = OwnWord(None if why else link.values[name], why)
    return values


def real_value(link: Link, name: str) -> str | None:
    """The link's own value for one of our parameters, decoded; None where there is none that counts."""
    value = link.values.get(name)
    return None if value is None or _why_not_real(name, value) else value


def _why_not_real(name: str, value: str) -> str:
    """Why the link's value for this parameter does not count (design §3.2); "" where it counts."""
    if is_unfilled_referrer(value) if name == "af_ref" else is_unfilled(value):
        return NEVER_FILLED_IN
    if is_absent(value):
        return EMPTY
    if not is_clean(value):
        return NO_TEXT
    if name == "af_ip" and address.single_public_address(value) is None:
        return "no single public address"
    return "encoded twice" if name == "af_ua" and _is_encoded_twice(value) else ""


def _is_encoded_twice(user_agent: str) -> bool:
    """Whether this looks like a User-Agent, with spaces or a `/`, only after more decoding.

    An app's name may hold percent-codes, as in `My%20App/7 CFNetwork/1410`, but no encoded marks of a User-Agent.
    """
    if _ENCODED_MARK.search(user_agent):
        return True
    if " " in user_agent:
        return False
    if _FORM_ENCODED.match(user_agent):
        return True
    text = user_agent
    for _ in range(_MAX_ENCODINGS):
        text = unquote(text)
    return " " in text or ("/" in text and "/" not in user_agent)
