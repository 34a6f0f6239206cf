"""Attribution links: read without changing a byte (design §3, appsflyer-clicks.md §3).

A link is split where a browser would split it and no further. Its bytes go on as they are: nothing is decoded and
encoded again. Decoded names and values serve for comparing only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from urllib.parse import quote, unquote_plus

from storehop.decide.unfilled import is_absent, is_percent_macro

DEFAULT_PORTS = {"http": "80", "https": "443"}
MAX_LINK_CHARACTERS = 8192
"""A longer link is not parsed: it can never become an S2S call of 2,000 characters."""

_URL = re.compile(r"(?:(https?):)?//([^/?#\\]*)([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)
_AUTHORITY = re.compile(r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)\.?(?::(\d*))?")
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
_VISIBLE = re.compile(r"[\x21-\x7e]*")
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ufffd\ud800-\udfff]")

APP_STORE_ID = re.compile(r"id\d{6,12}")
PACKAGE = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+", re.ASCII)
MAX_PACKAGE_CHARACTERS = 255
_CHANNEL = re.compile(r"[\w.-]{1,100}", re.ASCII)
_TEMPLATE = re.compile(r"[A-Za-z0-9]{4,10}")


@dataclass(frozen=True)
class Link:
    """The parts of an absolute http(s) link, as written. `invalid` says why we can't use the link; else it is ""."""

    host: str
    """Lower case, without port and trailing dot."""
    path: str
    query: str
    invalid: str = ""

    @cached_property
    def params(self) -> tuple[tuple[str, str, str], ...]:
        """(decoded name, decoded value, segment as written) of each parameter, in order, with the empty segments."""
        return tuple([_param(segment) for segment in self.query.split("&")]) if self.query else ()

    @cached_property
    def values(self) -> dict[str, str]:
        """The decoded value of each name: the first real value, or where no value is real, the first one."""
        first = {name: value for name, value, _ in self.params}
        if len(first) == len(self.params):
            return first
        first.clear()  # a name stands twice
        is_real: dict[str, bool] = {}  # each value is judged once, however often its name stands in the link
        for name, value, _ in self.params:
            if name not in first:
                first[name] = value
                continue
            if name not in is_real:
                is_real[name] = not is_absent(first[name])
            if not is_real[name] and not is_absent(value):
                first[name], is_real[name] = value, True
        return first

    @property
    def is_s2s(self) -> bool:
        """Whether somebody made a server-to-server click of it already."""
        return self.path.startswith("/v2.0/s2s/") or (
            "redirect" in self.values
            and any(name == "redirect" and value.lower() == "false" for name, value, _ in self.params)
        )

    def real(self, name: str) -> str | None:
        """The decoded value of `name`, or None where it is missing or counts as absent (design §3.2)."""
        real_values = self._real_values
        if name not in real_values:
            value = self.values.get(name)
            real_values[name] = None if value is None or is_absent(value) else value
        return real_values[name]

    @cached_property
    def _real_values(self) -> dict[str, str | None]:
        """The results of `real`: a decision asks for click ids several times."""
        return {}


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
    url = _URL.match(text)
    if url is None:
        return None
    scheme, authority, path, query = url.groups()
    userinfo, at, host_port = authority.rpartition("@")
    server = _AUTHORITY.fullmatch(host_port.lower())
    if server is None:
        return None
    name, port = server.groups()
    return Link(
        host=name,
        path=path,
        query=query or "",
        invalid=_fault(text, scheme, port, has_userinfo=bool(at or userinfo)),
    )


def _fault(text: str, scheme: str | None, port: str | None, *, has_userinfo: bool) -> str:
    if not _VISIBLE.fullmatch(text):
        return "it holds a space, a control character or a character outside ASCII: percent-encode it"
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
