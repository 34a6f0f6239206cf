"""Makes the function that turns a row of values into an exchange: once a recording, since it runs once a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from storehop.audit.exchange import Exchange
from storehop.audit.readers.moments import seconds_of
from storehop.audit.readers.names import HEADER

type Row = Any
"""Nested JSON, or a list of columns."""
type Get = Callable[[Row], Any]
"""A value of a row, as it stands there."""
type Build = Callable[[int, Row], Exchange]

_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "nanoseconds": 1e9}
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_SCHEMES = {"http": "http", "ws": "http", "off": "http"}


def text_of(value: Any) -> str | None:
    """The text of a value; None where there is none, as with `-` and "". Of a list the first one counts."""
    if type(value) is str:
        return None if value in ("", "-") else value
    if type(value) is list:
        return text_of(value[0]) if value else None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _joined(value: Any) -> str | None:
    """As `text_of`, but of a list of a header's values all count (RFC 9110 §5.3)."""
    if type(value) is list:
        return ", ".join(filter(None, map(text_of, value))) or None
    return text_of(value)


def _nothing(_row: Row) -> None:
    return None


def builder(gets: Mapping[str, Sequence[Get]]) -> Build:
    """`gets` are by meaning; of several the first that has a value counts."""

    def one(meaning: str) -> Get:
        return _first(gets.get(meaning, ()))

    headers = [
        (meaning.removeprefix(HEADER), _first(found)) for meaning, found in gets.items() if meaning.startswith(HEADER)
    ]
    time, method, status, ip = one("time"), one("method"), one("status"), one("ip")
    location, link, url_of, seconds = one("location"), one("link"), _url(gets), _seconds(gets)

    def build(place: int, row: Row) -> Exchange:
        found = {}
        for name, get in headers:
            value = get(row)
            if type(value) is not str:
                value = _joined(value)
            if value and value != "-":
                found[name] = value
        asked, url = url_of(row)
        return Exchange(
            place,
            seconds_of(time(row)),
            text_of(method(row)) or asked,
            url,
            found,
            address_of(ip(row)),
            _status(status(row)),
            text_of(location(row)),
            text_of(link(row)),
            seconds=seconds(row),
        )

    return build


def _first(gets: Sequence[Get]) -> Get:
    if len(gets) < 2:  # noqa: PLR2004
        return gets[0] if gets else _nothing

    def first(row: Row) -> Any:
        for get in gets:
            value = get(row)
            if value not in (None, "", "-", []):
                return value
        return None

    return first


def _url(gets: Mapping[str, Sequence[Get]]) -> Callable[[Row], tuple[str, str | None]]:
    """(method, absolute URL or None) of a row."""
    request, scheme, host = (_first(gets.get(name, ())) for name in ("request", "scheme", "host"))
    whole = _first([*gets.get("url", ()), *gets.get("uri", ())])
    query = gets.get("query")

    def url(row: Row) -> tuple[str, str | None]:
        target, method = text_of(whole(row)), "GET"
        if target is None:
            method, target = _request(text_of(request(row)))
        if target is None:
            return method, None
        if query and "?" not in target and (asked := text_of(query[0](row))):
            target = f"{target}{'' if asked.startswith('?') else '?'}{asked}"
        return method, absolute(target, scheme(row), text_of(host(row)))

    return url


def _request(line: str | None) -> tuple[str, str | None]:
    """Method and target of a request's first line."""
    method, _, rest = (line or "").partition(" ")
    target = rest.rpartition(" HTTP/")[0] or rest
    return (method, target) if target and method.isalpha() else ("GET", None)


def absolute(target: str, scheme: Any, host: str | None) -> str | None:
    """The URL without a port that goes without saying; None where nobody knows the host."""
    if target[:4].lower() != "http" or "://" not in target[:8]:
        if not host or not target.startswith(("/", "?")):
            return None
        target = f"{_SCHEMES.get(scheme, 'https') if type(scheme) is str else 'https'}://{host}{target}"
    start, _, rest = target.partition("://")
    port = _DEFAULT_PORTS.get(start, ":443")
    if port in rest:
        server, slash, path = rest.partition("/")
        return f"{start}://{server.removesuffix(port)}{slash}{path}"
    return target


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


def _seconds(gets: Mapping[str, Sequence[Get]]) -> Callable[[Row], float | None]:
    for meaning, unit in _UNITS.items():
        if meaning in gets:
            return _lasting(gets[meaning][0], unit)
    return _nothing


def _lasting(get: Get, unit: float) -> Callable[[Row], float | None]:
    def seconds(row: Row) -> float | None:
        value = get(row)
        try:
            return float(value.removesuffix("s") if type(value) is str else value) / unit
        except (TypeError, ValueError, OverflowError):
            return None

    return seconds
