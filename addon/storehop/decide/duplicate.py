"""When two clicks are one: the same click again gets the same answer and no second S2S click (design §3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from storehop.decide.address import Host
from storehop.decide.hints import HINTS_ON_REQUEST
from storehop.model import Click, Likeness

_HINT_HASH_DIGITS = 16
"""Hexadecimal digits that we keep of a hint's hash."""
_NO_LIKENESS = Likeness(None, "")


def likeness(click: Click, client: Host | None, *, has_id: bool) -> Likeness:
    """The likeness of a click: from its link, client address and User-Agent.

    A real click id belongs to one person (`has_id`). Without one, client hints tell two clicks apart; and without an
    address no two clicks are one.
    """
    if client and client.is_somebodys:
        who = client.text
    elif has_id:
        who = ""
    else:
        return _NO_LIKENESS
    key = _hash(f"{click.link}\n{who}\n{click.headers.get('user-agent', '')}")
    return Likeness(key, "" if has_id else _hints(click.headers))


def _hints(headers: Mapping[str, str]) -> str:
    """A short hash of each hint, joined by dots; "" for a hint that is missing or empty."""
    texts = [headers.get(name, "").strip() for name in HINTS_ON_REQUEST]
    hashes = [_hash(text).hex()[:_HINT_HASH_DIGITS] if text.strip('"') else "" for text in texts]
    return ".".join(hashes) if any(hashes) else ""


def are_apart(first: str, second: str) -> bool:
    """Whether two clicks carried the same hint with different values. Both arguments are a `Likeness.hints`."""
    pairs = zip(first.split("."), second.split("."), strict=False)
    return any(one and other and one != other for one, other in pairs)


def key_with_hints(click_likeness: Likeness) -> bytes | None:
    """A key that also holds the hints, for clicks that only hints tell apart; None where the click has no hints."""
    return (
        None
        if click_likeness.key is None or not click_likeness.hints
        else _hash(f"{click_likeness.key.hex()}\n{click_likeness.hints}")
    )


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).digest()
