"""Makes the function that turns a row of values into an exchange: once a recording, since it runs once a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from storehop.audit.exchange import Exchange
from storehop.audit.readers.links import as_clicked, link_in
from storehop.audit.readers.moments import seconds_of
from storehop.audit.readers.names import HEADER

type Row = Any
"""Nested JSON, or a list of columns."""
type Get = Callable[[Row], Any]
"""A value of a row, as it stands there."""
type Values = Sequence[Any]
"""A row's values of the columns that count."""
type Pick = Callable[[Row], Values]
type Build = Callable[[int, Row], Exchange]

_NUMBERS = {int, float}
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "nanoseconds": 1e9}
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_SCHEMES = {"http": "http", "ws": "http", "off": "http"}


def text_of(value: Any) -> str | None:
    """The text of a value; None where there is none, as with `-` and "". Of a list the first one counts."""
    if type(value) is str:
        return None if value in ("", "-") else value
    if type(value) is list:
        return text_of(value[0]) if value else None
    return str(value) if type(value) in _NUMBERS else None


def _joined(value: Any) -> str | None:
    """As `text_of`, but of a list of a header's values all count (RFC 9110 §5.3)."""
    if type(value) is list and len(value) > 1:
        return ", ".join(filter(None, map(text_of, value))) or None
    return text_of(value)


def builder(places: Mapping[str, Sequence[int]], pick: Pick, *, finds_links: bool = False) -> Build:
    """`places` are those of each meaning among what `pick` gives; of several the first that has a value counts.

    `finds_links`: the links are parameters of what was asked for.
    """
    headers = [
        (meaning.removeprefix(HEADER), found[0]) for meaning, found in places.items() if meaning.startswith(HEADER)
    ]
    time, method, status, ip = (_one(places, name) for name in ("time", "method", "status", "ip"))
    location, link, request_of, seconds = (
        _first(places, "location"),
        _first(places, "link"),
        _request_of(places),
        _seconds(places),
    )

    def build(place: int, row: Row) -> Exchange:
        values = pick(row)
        found = {}
        for name, at in headers:
            value = values[at]
            if type(value) is not str:
                value = _joined(value)
            if value and value != "-":
                found[name] = value
        asked, target, url = request_of(values)
        own = link_in(target) if finds_links else link(values)
        return Exchange(
            place,
            None if time is None else seconds_of(values[time]),
            asked if method is None else text_of(values[method]) or asked,
            url,
            found,
            "" if ip is None else address_of(values[ip]),
            None if status is None else _status(values[status]),
            location(values),
            None if own is None else as_clicked(own),
            seconds=None if seconds is None else seconds(values),
        )

    return build


def _one(places: Mapping[str, Sequence[int]], meaning: str) -> int | None:
    found = places.get(meaning)
    return found[0] if found else None


def _first(places: Mapping[str, Sequence[int]], *meanings: str) -> Callable[[Values], str | None]:
    """The text of the first of these columns that has one."""
    several = [at for meaning in meanings for at in places.get(meaning, ())]

    def one(values: Values) -> str | None:
        return text_of(values[several[0]])

    def first(values: Values) -> str | None:
        for at in several:
            if (text := text_of(values[at])) is not None:
                return text
        return None

    return one if len(several) == 1 else first


def _request_of(places: Mapping[str, Sequence[int]]) -> Callable[[Values], tuple[str, str, str | None]]:
    """(method, target as it was asked for, absolute URL or None) of a row."""
    whole, host = _first(places, "url", "uri"), _first(places, "host")
    request, scheme, query = (_one(places, name) for name in ("request", "scheme", "query"))

    def asked_for(values: Values) -> tuple[str, str, str | None]:
        target, method = whole(values), "GET"
        if target is None:
            if request is None:
                return method, "", None
            method, target = _request(text_of(values[request]))
            if target is None:
                return method, "", None
        if query is not None and "?" not in target and (asked := text_of(values[query])):
            target = f"{target}{'' if asked.startswith('?') else '?'}{asked}"
        return method, target, absolute(target, None if scheme is None else values[scheme], host(values))

    return asked_for


def _request(line: str | None) -> tuple[str, str | None]:
    """Method and target of a request's first line."""
    method, _, rest = (line or "").partition(" ")
    target = rest.rpartition(" HTTP/")[0] or rest
    return (method, target) if target and method.isalpha() else ("GET", None)


def absolute(target: str, scheme: Any, host: str | None) -> str | None:
    """The URL without a port that goes without saying; None where nobody knows the host."""
    if target.startswith(("/", "?")):
        if host is None:
            return None
        start = _SCHEMES.get(scheme, "https") if type(scheme) is str else "https"
        return f"{start}://{host.removesuffix(_DEFAULT_PORTS[start])}{target}"
    start, separator, rest = target.partition("://")
    port = _DEFAULT_PORTS.get(start.lower()) if separator else None
    if port is None:
        return None
    server, slash, path = rest.partition("/")
    return f"{start}://{server.removesuffix(port)}{slash}{path}"


def address_of(value: Any) -> str:
    """The address without its port; of a list the first one."""
    text = text_of(value)
    if text is None:
        return ""
    if "," in text:
        text = text.partition(",")[0].strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _status(value: Any) -> int | None:
    if type(value) is int:
        return value
    return int(value) if type(value) is str and len(value) == 3 and value.isdecimal() else None  # noqa: PLR2004


def _seconds(places: Mapping[str, Sequence[int]]) -> Callable[[Values], float | None] | None:
    return next((_lasting(places[meaning][0], unit) for meaning, unit in _UNITS.items() if meaning in places), None)


def _lasting(at: int, unit: float) -> Callable[[Values], float | None]:
    def seconds(values: Values) -> float | None:
        value = values[at]
        try:
            return float(value.removesuffix("s") if type(value) is str else value) / unit
        except (TypeError, ValueError, OverflowError):
            return None

    return seconds
