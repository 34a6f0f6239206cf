"""Attribution links: read without changing a byte (design §3, appsflyer-clicks.md §3).

A link is split where a browser would split it and no further: what is kept is never decoded and encoded
again. Names are decoded to be compared, values only where somebody asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from urllib.parse import quote, unquote_plus

from storehop.decide.unfilled import is_absent, is_percent_macro

DEFAULT_PORTS = {"http": "80", "https": "443"}
LONGEST_LINK = 8192
"""Characters. Above it nothing is parsed: such a link can never become an S2S call of 2,000."""

_URL = re.compile(r"(?:(https?):)?//([^/?#\\]*)([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)
_AUTHORITY = re.compile(r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)\.?(?::(\d*))?")
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
_VISIBLE = re.compile(r"[\x21-\x7e]*")
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ufffd\ud800-\udfff]")

APP_STORE_ID = re.compile(r"id\d{6,12}")
PACKAGE = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+", re.ASCII)
LONGEST_PACKAGE = 255
_CHANNEL = re.compile(r"[\w.-]{1,100}", re.ASCII)
_TEMPLATE = re.compile(r"[A-Za-z0-9]{4,10}")


@dataclass(frozen=True)
class Link:
    """An absolute http(s) link in its parts, as written. `invalid` says why it can't be used, or is empty."""

    host: str
    """Lower case, without port and trailing dot."""
    path: str
    query: str
    invalid: str = ""

    @cached_property
    def params(self) -> tuple[tuple[str, str, str], ...]:
        """Each parameter as (decoded name, decoded value, segment as written), in order; empty segments included."""
        return tuple([_param(segment) for segment in self.query.split("&")]) if self.query else ()

    @cached_property
    def values(self) -> dict[str, str]:
        """The decoded value of each name: of its first occurrence that is real, else of its first."""
        found = {name: value for name, value, _ in self.params}
        if len(found) == len(self.params):
            return found
        found.clear()  # a name stands twice
        real: dict[str, bool] = {}  # each value is judged once, however often its name stands in the link
        for name, value, _ in self.params:
            if name not in found:
                found[name] = value
                continue
            if name not in real:
                real[name] = not is_absent(found[name])
            if not real[name] and not is_absent(value):
                found[name], real[name] = value, True
        return found

    @property
    def is_s2s(self) -> bool:
        """Whether somebody made a server-to-server click of it already."""
        return self.path.startswith("/v2.0/s2s/") or (
            "redirect" in self.values
            and any(name == "redirect" and value.lower() == "false" for name, value, _ in self.params)
        )

    def real(self, name: str) -> str | None:
        """The decoded value of `name`, or None where it is missing or counts as absent (design §3.2)."""
        known = self._real
        if name not in known:
            value = self.values.get(name)
            known[name] = None if value is None or is_absent(value) else value
        return known[name]

    @cached_property
    def _real(self) -> dict[str, str | None]:
        """What `real` found: click ids are asked for several times."""
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
    return _encoded(value) if may_be_kept(value) else quote(value, safe="")


LONGEST_KEPT = 512
"""Characters."""


def may_be_kept(text: str) -> bool:
    """Whether a cache may hold this text: a stranger chooses it, and must not choose how much memory that takes."""
    return len(text) <= LONGEST_KEPT and text.isascii()


@lru_cache(maxsize=8192)
def _encoded(value: str) -> str:
    """Cached: a few thousand User-Agents are most of what needs encoding."""
    return quote(value, safe="")


def is_clean(value: str) -> bool:
    """No control character and no broken UTF-8: fit to be repeated in a header."""
    return _UNFIT.search(value) is None


def split(text: str) -> Link | None:
    """The link in its parts; None where it is no absolute or scheme-relative http(s) URL with a host name."""
    url = _URL.match(text)
    if url is None:
        return None
    scheme, authority, path, query = url.groups()
    userinfo, at, host_port = authority.rpartition("@")
    host = _AUTHORITY.fullmatch(host_port.lower())
    if host is None:
        return None
    name, port = host.groups()
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
    """`id` and 6 to 12 digits, or a package name, or `package-channel` (appsflyer-clicks.md §3)."""
    if APP_STORE_ID.fullmatch(text):
        return True
    package, dash, channel = text.partition("-")
    if len(package) > LONGEST_PACKAGE:
        return False
    return PACKAGE.fullmatch(package) is not None and (not dash or _CHANNEL.fullmatch(channel) is not None)


def onelink_path(path: str) -> tuple[str, bool] | None:
    """(template, is it a short link) of a OneLink path; None where it is neither."""
    parts = path.strip("/").split("/")
    if not _TEMPLATE.fullmatch(parts[0]) or len(parts) > 2:  # noqa: PLR2004  template and short id
        return None
    return parts[0], len(parts) == 2  # noqa: PLR2004
