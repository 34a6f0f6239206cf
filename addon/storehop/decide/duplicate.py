"""When two clicks are one: the same click again gets the same answer and no second S2S click (design §3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from storehop.decide import address
from storehop.decide.link import Link
from storehop.model import Click, Likeness
from storehop.settings import Rule

_ASKED_FOR = ("sec-ch-ua-model", "sec-ch-ua-platform-version")
"""Client hints that browsers send when they are asked, lower case."""
_HINT_DIGITS = 16
"""Of a hint's hash, hexadecimal."""
_UNKNOWN = Likeness(None, "")


def likeness(click: Click, link: Link, rule: Rule, client_ip: address.Address | None) -> Likeness:
    """By link, client address and User-Agent.

    A link with a real click id is one person's. Else hints tell two apart, and where the address is not known
    nothing says that two are one.
    """
    has_id = any(link.real(name) is not None for name in rule.click_id)
    if client_ip and (client_ip.is_loopback or address.is_public(client_ip)):
        who = str(client_ip)
    elif has_id:
        who = ""
    else:
        return _UNKNOWN
    key = _hash(f"{click.link}\n{who}\n{click.headers.get('user-agent', '')}")
    return Likeness(key, "" if has_id else _hints(click.headers))


def _hints(headers: Mapping[str, str]) -> str:
    """Each hint as a short hash of its own; one that is missing or empty is none."""
    said = [headers.get(name, "").strip() for name in _ASKED_FOR]
    hashes = [_hash(text).hex()[:_HINT_DIGITS] if text.strip('"') else "" for text in said]
    return ".".join(hashes) if any(hashes) else ""


def are_apart(first: str, second: str) -> bool:
    """Whether hints, as `Likeness` has them, tell two clicks apart: both carried one, and it differs."""
    pairs = zip(first.split("."), second.split("."), strict=False)
    return any(one and other and one != other for one, other in pairs)


def key_with_hints(same: Likeness) -> bytes | None:
    """The key among clicks that only hints tell apart; None where this one has no hints."""
    return None if same.key is None or not same.hints else _hash(f"{same.key.hex()}\n{same.hints}")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).digest()
