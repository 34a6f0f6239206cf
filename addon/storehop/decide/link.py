"""Attribution links: read without changing a byte (design §3, appsflyer-clicks.md §3).

A link is split where a browser would split it and no further. Its bytes go on as they are: nothing is decoded and
encoded again. Decoded names and values serve for comparing only.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from storehop.decide.unfilled import is_absent, is_percent_macro

DEFAULT_PORTS = {"http": "80", "https": "443"}
MAX_LINK_CHARACTERS = 8192
"""A longer link is not parsed: it can never become an S2S call of 2,000 characters."""

_URL = re.compile(r"(?:(https?):)?//([^/\\]*)(.*)", re.IGNORECASE | re.DOTALL)
"""Of a link without query and fragment."""
_AUTHORITY = re.compile(r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)\.?(?::(\d*))?")
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
_VISIBLE = re.compile(r"[\x21-\x7e]*")
_NOT_VISIBLE = "it holds a space, a control character or a character outside ASCII: percent-encode it"
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ufffd\ud800-\udfff]")

APP_STORE_ID = re.compile(r"id\d{6,12}")
PACKAGE = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+", re.ASCII)
MAX_PACKAGE_CHARACTERS = 255
_CHANNEL = re.compile(r"[\w.-]{1,100}", re.ASCII)
_TEMPLATE = re.compile(r"[A-Za-z0-9]{4,10}")


class _Parts(NamedTuple):
    host: str
    """Lower case, without port and trailing dot."""
    path: str
    query: str
    invalid: str = ""
    app: str | None = None
    """The app id of a single-platform path, `/<app_id>` or `/<app_id>/`; None where it is malformed."""


class Link(_Parts):
    """The parts of an absolute http(s) link, as written. `invalid` says why we can't use the link; else it is ""."""

    @cached_property
    def params(self) -> tuple[tuple[str, str, str], ...]:
        """(decoded name, decoded value, segment as written) of each parameter, in order, with the empty segments."""
        return tuple([_param(segment) for segment in self.query.split("&")]) if self.query else ()

    @cached_property
    def values(self) -> dict[str, str]:
        """The decoded value of each name: the first real value, or where no value is real, the first one."""
        values: dict[str, str] = {}
        query = self.query
        if not query:
            return values
        segments = query.split("&")
        if "%" in query or "+" in query:
            for segment in segments:
                name, value, _ = _param(segment)
                values[name] = value
        else:
            for segment in segments:
                name, _, value = segment.partition("=")
                values[name] = value
        return values if len(values) == len(segments) else _first_values(self.params)

    @property
    def is_s2s(self) -> bool:
        """Whether somebody made a server-to-server click of it already."""
        return self.path.startswith("/v2.0/s2s/") or (
            "redirect" in self.values
            and any(name == "redirect" and value.lower() == "false" for name, value, _ in self.params)
        )

    def real(self, name: str) -> str | None:
        """The decoded value of `name`, or None where it is missing or counts as absent (design §3.2)."""
        value = self.values.get(name)
        return None if value is None or is_absent(value) else value


def _first_values(params: tuple[tuple[str, str, str], ...]) -> dict[str, str]:
    """As `Link.values`, where a name stands twice."""
    first: dict[str, str] = {}
    is_real: dict[str, bool] = {}  # each value is judged once, however often its name stands in the link
    for name, value, _ in params:
        if name not in first:
            first[name] = value
            continue
        if name not in is_real:
            is_real[name] = not is_absent(first[name])
        if not is_real[name] and not is_absent(value):
            first[name], is_real[name] = value, True
    return first


def _param(segment: str) -> tuple[str, str, str]:
    name, _, value = segment.partition("=")
    if "%" in segment or "+" in segment:
        return decoded(name), decoded(value), segment
    return name, value, segment


def decoded(raw: str) -> str:
    """The value as a server reads it: percent-decoded once as UTF-8, `+` is a space; bad UTF-8 is U+FFFD.

    A macro between percent signs stays as it is written.
    """
    if "%" not in raw and "+" not in raw:
        return raw
    return raw if is_percent_macro(raw) else unquote_plus(raw)


def encoded(value: str) -> str:
    """The value as it stands in a URL: percent-encoded once as UTF-8, a space is `%20` (RFC 3986 §2.3)."""
    if _UNRESERVED.fullmatch(value):
        return value
    return _encoded(value) if may_be_cached(value) else quote(value, safe="")


MAX_CACHED_CHARACTERS = 512
"""A longer text stays out of the caches."""


def may_be_cached(text: str) -> bool:
    """Whether a cache may hold this text. Strangers choose the text; they must not choose how much memory it takes."""
    return len(text) <= MAX_CACHED_CHARACTERS and text.isascii()


@lru_cache(maxsize=8192)
def _encoded(value: str) -> str:
    """Cached, since a few thousand User-Agents make most of the encoding."""
    return quote(value, safe="")


def is_clean(value: str) -> bool:
    """Whether a header may repeat this text: it has no control character and no broken UTF-8."""
    return _UNFIT.search(value) is None


def split(text: str) -> Link | None:
    """The parts of a link; None where the text is no absolute or scheme-relative http(s) URL with a host name."""
    url = text.partition("#")[0] if "#" in text else text
    before, _, query = url.partition("?")
    head = (_cached_head if may_be_cached(before) else _head)(before)
    if head is None:
        return None
    host, path, _, invalid, app = head
    return Link(host, path, query, invalid if _VISIBLE.fullmatch(text) else _NOT_VISIBLE, app)


def _head(text: str) -> _Parts | None:
    """A link's parts but for its query."""
    url = _URL.fullmatch(text)
    if url is None:
        return None
    scheme, authority, path = url.groups()
    userinfo, at, host_port = authority.rpartition("@")
    server = _AUTHORITY.fullmatch(host_port.lower())
    if server is None:
        return None
    name, port = server.groups()
    return _Parts(name, path, "", _fault(scheme, port, has_userinfo=bool(at or userinfo)), app_id(path))


_cached_head = lru_cache(maxsize=8192)(_head)
"""Links to one app begin alike."""


def _fault(scheme: str | None, port: str | None, *, has_userinfo: bool) -> str:
    if has_userinfo:
        return "it holds a user name"
    if port and port != DEFAULT_PORTS[(scheme or "https").lower()]:
        return f"it names port {port}"
    return ""


def app_id(path: str) -> str | None:
    """The app id of a single-platform click path, `/<app_id>` or `/<app_id>/`; None where it is malformed."""
    app = path.removeprefix("/").removesuffix("/")
    return app if path.startswith("/") and is_app_id(app) else None


def is_app_id(text: str) -> bool:
    """Whether the text is `id` and 6 to 12 digits, a package name, or `package-channel` (appsflyer-clicks.md §3)."""
    if APP_STORE_ID.fullmatch(text):
        return True
    package, dash, channel = text.partition("-")
    if len(package) > MAX_PACKAGE_CHARACTERS:
        return False
    return PACKAGE.fullmatch(package) is not None and (not dash or _CHANNEL.fullmatch(channel) is not None)


def onelink_path(path: str) -> tuple[str, bool] | None:
    """(template, whether it is a short link) of a OneLink path; None where the path is not a OneLink's."""
    parts = path.strip("/").split("/")
    if not _TEMPLATE.fullmatch(parts[0]) or len(parts) > 2:  # noqa: PLR2004  template and short id
        return None
    return parts[0], len(parts) == 2  # noqa: PLR2004
