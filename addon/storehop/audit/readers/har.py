"""Reads HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/), one entry after the other.

Browsers and debugging proxies write it. It names no client: `serverIPAddress` is the server's.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

from storehop.audit import pages
from storehop.audit.exchange import Exchange, Known, Unreadable
from storehop.audit.readers.json_parts import BrokenError, Parts
from storehop.decide import points

KNOWS = frozenset(Known) - {Known.CLIENT_IP}
MAX_ENTRY_CHARACTERS = 32 * 1024 * 1024
"""A longer entry is stepped over: it holds a film, and no click."""
_WAITS = ("blocked", "dns", "connect", "send", "wait")
"""Timings up to the answer's head, in milliseconds; -1 is unknown, and `ssl` is a part of `connect`."""
_HEAD = re.compile(
    rb'\s*+\{\s*+(?:"[^"\\]*+"\s*+:\s*+(?:"[^"\\]*+"|[a-z0-9.+-]++)\s*+,\s*+)*+"log"\s*+:\s*+\{', re.IGNORECASE
)
_BOM = b"\xef\xbb\xbf"
_FAULTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What a broken entry raises."""


def looks_like(head: bytes) -> bool:
    """Whether a file with this beginning is a HAR: an object with a `log` that is one."""
    return _HEAD.match(head.removeprefix(_BOM)) is not None


def read(stream: BinaryIO) -> Iterator[Exchange | Unreadable]:
    """All entries.

    Raises TruncatedError where the file ends within the log.
    """
    place = 0
    parts = Parts(stream)
    try:
        for text in _entries(parts):
            place += 1
            yield _read(place, text)
    except BrokenError as error:
        yield Unreadable(place + 1, f"no JSON at character {error.position}: what follows can't be read")


def _entries(parts: Parts) -> Iterator[str | None]:
    """The text of each entry of `log.entries`; None is one that is too long."""
    for name in parts.names():
        if name != "log" or not parts.is_next("{"):
            parts.value(0)
            continue
        for key in parts.names():
            if key == "entries" and parts.is_next("["):
                yield from parts.items(MAX_ENTRY_CHARACTERS)
            else:
                parts.value(0)


def _read(place: int, text: str | None) -> Exchange | Unreadable:
    if text is None:
        return Unreadable(place, f"the entry is longer than {MAX_ENTRY_CHARACTERS // 2**20} million characters")
    try:
        return _exchange(place, json.loads(text))
    except _FAULTS as error:
        return Unreadable(place, f"the entry is broken ({type(error).__name__})")


def _exchange(place: int, entry: Any) -> Exchange:
    request, response = entry["request"], entry.get("response") or {}
    headers = points.joined_headers(list(_lines(request.get("headers") or ())))
    authority = headers.pop(":authority", "")
    headers = {name: value for name, value in headers.items() if not name.startswith(":")}
    if authority and "host" not in headers:
        headers["host"] = authority
    answered = points.joined_headers(list(_lines(response.get("headers") or ())))
    return Exchange(
        place=place,
        at=_time(entry.get("startedDateTime")),
        method=str(request.get("method", "GET")).upper(),
        url=str(request["url"]).partition("#")[0],
        headers=headers,
        status=int(response.get("status") or 0) or None,
        location=answered.get("location") or str(response.get("redirectURL") or "") or None,
        is_forward=True,
        seconds=_seconds(entry),
        page_link=_page_link(answered, response.get("content") or {}),
        has_body=bool(request.get("postData")) or (request.get("bodySize") or 0) > 0,
    )


def _lines(headers: Iterable[Any]) -> Iterator[tuple[bytes, bytes]]:
    """Header lines as they went over the wire."""
    for header in headers:
        yield str(header["name"]).encode(errors="replace"), str(header.get("value", "")).encode(errors="replace")


def _time(text: Any) -> float | None:
    """Unix seconds; a time without a zone, which the format forbids, is UTC."""
    if not text:
        return None
    at = datetime.fromisoformat(str(text))
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _seconds(entry: Any) -> float | None:
    timings = entry.get("timings") or {}
    known = [float(timings[name]) for name in _WAITS if (timings.get(name) or -1) >= 0]
    if known:
        return sum(known) / 1000
    whole = entry.get("time")
    return float(whole) / 1000 if whole and whole > 0 else None


def _page_link(headers: points.Headers, content: Any) -> str | None:
    if "refresh" in headers and (link := pages.link_of_refresh(headers["refresh"])):
        return link
    kind = str(content.get("mimeType") or headers.get("content-type", ""))
    text = content.get("text")
    if not text or "html" not in kind.lower():
        return None
    if content.get("encoding") != "base64":
        return pages.link_of_page(text)
    whole_groups = text[: pages.MAX_PAGE_BYTES // 3 * 4]
    try:
        body = base64.b64decode(whole_groups)
    except binascii.Error:
        return None
    return pages.link_of_page(body.decode("utf-8", "replace"))
