"""What a column without a name means, by its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address

from storehop.audit.readers.columns import Table
from storehop.audit.readers.links import attributed
from storehop.audit.readers.moments import seconds_of
from storehop.audit.readers.names import HEADER, Path

_USER_AGENT = re.compile(r"(?:Mozilla|Dalvik|okhttp|Opera|curl|Wget|[\w.-]{1,64})/\d", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*(?:[,;]|$)")
_HOST = re.compile(r"[A-Za-z0-9.-]+\.([A-Za-z0-9-]+)(?::\d+)?")
_METHODS = ("GET ", "HEAD ", "POST ", "OPTIONS ")


def guessed(table: Table, paths: Iterable[Path], known: Mapping[str, Path]) -> dict[str, Path]:
    """The meaning of each of these columns that can be told, without those that are known; the first of a kind."""
    found: dict[str, Path] = {}
    open_paths = [path for path in paths if path not in known.values()]
    for path in open_paths:
        if meaning := _meaning(table.values(path), {*known, *found}):
            found[meaning] = path
    if location := _location(table, open_paths, known.get("status")):
        found = {meaning: path for meaning, path in found.items() if path != location}
        found["location"] = location
    return found


def _meaning(values: Sequence[str], taken: Collection[str]) -> str | None:
    for meaning, fits in _FITS:
        if meaning not in taken and fit_most(values, fits):
            return meaning
    return None


def fit_most(values: Sequence[str], fits: Callable[[str], bool]) -> bool:
    """Whether half of these values or more are such; false where there is none."""
    return bool(values) and sum(map(fits, values)) * 2 >= len(values)


def is_address(value: str) -> bool:
    try:
        ip_address(value.strip())
    except ValueError:
        return False
    return True


def is_host(value: str) -> bool:
    """Whether it is a host's name, with or without a port."""
    name = _HOST.fullmatch(value)
    return name is not None and name[1].isalpha()


def is_request(value: str) -> bool:
    """Whether it is a request's first line."""
    return value.startswith(_METHODS)


def is_url(value: str) -> bool:
    """Whether it is absolute, of any scheme."""
    return "://" in value[:40]


def is_time(value: str) -> bool:
    """Whether it is a time, and no other number."""
    return len(value) >= len("1764496800") and seconds_of(value) is not None


_FITS = (
    ("request", is_request),
    ("ip", is_address),
    (f"{HEADER}x-forwarded-for", lambda value: all(map(is_address, value.split(",")))),
    (f"{HEADER}sec-ch-ua", lambda value: ";v=" in value),
    (f"{HEADER}sec-ch-ua-mobile", lambda value: value in {"?0", "?1"}),
    (f"{HEADER}referer", is_url),
    ("time", is_time),
    (f"{HEADER}accept-language", lambda value: _LANGUAGE.match(value) is not None),
    (f"{HEADER}user-agent", lambda value: not value.startswith("HTTP/") and _USER_AGENT.match(value) is not None),
    ("host", is_host),
)


def _location(table: Table, paths: Sequence[Path], status: Path | None) -> Path | None:
    """The column with the most attribution links; else one of URLs that stands with redirects alone."""
    count, best = max(((attributed(table.values(path)), path) for path in paths), default=(0, ()))
    if count:
        return best
    return next((path for path in paths if status and _is_of_redirects(table, path, status)), None)


def _is_of_redirects(table: Table, path: Path, status: Path) -> bool:
    urls = 0
    for row in table.rows:
        value = table.gets[path](row)
        if value in ("", "-", None):
            continue
        server, _, rest = value.partition("://")[2].partition("/")
        if not (server and rest) or table.gets[status](row)[:1] != "3":
            return False
        urls += 1
    return urls > 0
