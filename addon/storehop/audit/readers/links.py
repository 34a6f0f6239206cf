"""AppsFlyer's links, told by their hosts: as values of a column, and as parameters of a request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

_HOSTS = ("appsflyer.com", "aflink.com", "onelink.me", "onelnk.com")
_STARTS = ("https://", "http://", "//")
_ABSOLUTE = ("https://", "http://")
_ENCODED = re.compile(r"(?:https?(?:%25)?%3a|(?:%25)?%2f(?:%25)?%2f)", re.IGNORECASE)


def is_attributed(text: str) -> bool:
    """Whether it names a host of AppsFlyer's."""
    lowered = text.lower()
    return any(host in lowered for host in _HOSTS)


def attributed(values: Iterable[str]) -> int:
    """How many values name a host of AppsFlyer's."""
    return sum(map(is_attributed, values))


def as_clicked(text: str) -> str:
    """The link of a column. Exports encode it as a whole, or leave its scheme out: no browser would follow that."""
    if text.startswith(_ABSOLUTE):
        return text
    for _ in range(2):
        if _ENCODED.match(text):
            text = unquote(text, errors="surrogateescape")
    if text.startswith("//"):
        return f"https:{text}"
    host = re.split(r"[/?#:]", text, maxsplit=1)[0].lower()
    return f"https://{text}" if host.endswith(_HOSTS) else text


def link_in(target: str) -> str | None:
    """The attribution link that is a parameter of what was asked for; None where none is.

    One that is not encoded goes on to the end, with its own parameters.
    """
    query = target.partition("?")[2]
    if not is_attributed(query):
        return None
    rest = query
    while rest:
        segment, _, following = rest.partition("&")
        value = segment.partition("=")[2]
        if value.startswith(_STARTS) and is_attributed(value):
            return rest.partition("=")[2]
        decoded = unquote(value, errors="surrogateescape")
        if decoded.startswith(_STARTS) and is_attributed(decoded):
            return decoded
        rest = following
    return None
