"""Takes personal data out of what an audit shows: its report is mailed.

Ids become a short hash under a key of this run: equal ids look equal within a report, and nobody can try ids out on
it. Addresses keep their network (/24, /48), User-Agents what they say of the device. What is not known to be harmless
and looks like an id is taken for one.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from ipaddress import IPv4Address, ip_network
from urllib.parse import unquote_plus

from storehop.decide import address, device, link
from storehop.decide.device_ids import DEVICE_IDS
from storehop.decide.unfilled import is_unfilled

MAX_SHOWN_CHARACTERS = 2_000
"""Of any text in a report."""
MAX_PLAIN_CHARACTERS = 40
"""A longer value looks like an id."""
_PERSONAL = DEVICE_IDS | {"clickid", "click_id", "af_ref", "af_tranid", "af_web_id", "mac", "referrer"}
_NAMES = frozenset({
    "pid", "c", "af_c_id", "af_siteid", "af_sub_siteid", "af_adset", "af_adset_id", "af_ad", "af_ad_id", "af_ad_type",
    "af_channel", "af_prt", "af_keywords", "af_os_version", "af_model", "af_lang", "af_android_store_csl", "id",
    "is_retargeting", "redirect", "af_reengagement_window", "af_click_lookback", "af_viewthrough_lookback", "listing",
    "af_ios_store_cpp", "ppid",
})  # fmt: skip
"""Parameters that name a campaign, an app or a setting, however long their numbers are."""
_LINKS = frozenset({"af_dp", "af_r", "af_web_dp", "af_android_url", "af_ios_url", "af_ios_fallback", "deep_link_value"})
_USER_AGENTS = frozenset({"af_ua", "ua"})
_PLAIN = re.compile(r"[{}\[\]<>%$#@_. ~-]*(?:(?:[A-Za-z]{1,15}[0-9]{0,2}|[0-9]{1,4})(?:[{}\[\]<>%$#_. ~-]+|\Z))*")
"""Words, and short numbers between them: `summer-sale_v2`, `{sub1}`, `1080`."""
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:])[0-9A-Fa-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![0-9A-Za-z:])")
_WORD = re.compile(r"[^\s/?&=,;|\"'()<>\[\]{}]+")
_UUID = re.compile(r"[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}")
_LONG_HEX = re.compile(r"[0-9A-Fa-f]{16,}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}):(//)?")
_KEY_BYTES = 16
_MAX_ENCODINGS = 3


class Redactor:
    """`shows_ids`: nothing is taken out, only cut. `key` is for tests."""

    def __init__(self, *, shows_ids: bool = False, click_ids: frozenset[str] = frozenset(), key: bytes = b"") -> None:
        self._shows_ids = shows_ids
        self._personal = _PERSONAL | click_ids
        self._key = key or os.urandom(_KEY_BYTES)

    def name(self, text: str) -> str:
        """Of a campaign, a source, a parameter: its numbers are its own, addresses and ids within it are not."""
        shown = _cut(text)
        if self._shows_ids:
            return shown
        plain = _unquoted(shown)
        found = _WORD.sub(self._word, _IPV6.sub(_network, _IPV4.sub(_network, plain)))
        return shown if found == plain else found

    def device(self, user_agent: str) -> str:
        """What a User-Agent says, in a few words."""
        if self._shows_ids:
            return _cut(user_agent)
        if not user_agent:
            return "no User-Agent"
        read = device.read(user_agent)
        words = (read.platform.value, read.os_version or "", read.model or "", "(bot)" if read.is_bot else "")
        return self.name(" ".join(filter(None, words)))

    def link(self, text: str) -> str:
        """A URL, parameter by parameter. What is no URL at all becomes a hash."""
        if self._shows_ids:
            return _cut(text)
        url = link.split(text[: link.MAX_LINK_CHARACTERS])
        if url is None:
            return self._mark(text)
        scheme = "http" if text[:5].lower() == "http:" else "https"
        path = "/".join(self._segment(segment) for segment in url.path.split("/"))
        query = "&".join(self._parameter(*param) for param in url.params)
        return _cut(f"{scheme}://{self.name(url.host)}{path}{'?' if query else ''}{query}")

    def _segment(self, segment: str) -> str:
        if link.is_app_id(segment):
            return segment
        return segment if _is_plain(link.decoded(segment)) else self._mark(segment)

    def _parameter(self, name: str, value: str, written: str) -> str:
        if not _is_plain(name) or self.name(name) != name:
            return self._mark(written)
        shown = self._value(name.lower(), value)
        return written if shown == value else f"{name}={shown}"

    def _value(self, name: str, value: str) -> str:
        if not value:
            return value
        if name in self._personal:
            return value if is_unfilled(value) and _is_plain(value) else self._mark(value)
        if name in _USER_AGENTS:
            return f"({self.device(value)})"
        plain = _unquoted(value)
        if name in _NAMES:
            return self.name(plain)
        if (found := address.parse(plain)) is not None:
            return _network_of(found)
        if name in _LINKS and (scheme := _SCHEME.match(value)):
            url = link.split(value)
            return f"{scheme[0]}{self.name(url.host) if url else ''}/…"
        return self.name(plain) if _is_plain(plain) else self._mark(value)

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        return self._mark(word) if "@" in word or _UUID.search(word) or _LONG_HEX.search(word) else word

    def _mark(self, text: str) -> str:
        return f"id-{blake2b(text.encode(errors='surrogatepass'), digest_size=4, key=self._key).hexdigest()}"


def _cut(text: str) -> str:
    """At most MAX_SHOWN_CHARACTERS, without control characters and broken UTF-8."""
    cut = text[:MAX_SHOWN_CHARACTERS]
    return cut if cut.isprintable() else "".join(char if char.isprintable() else "�" for char in cut)


def _unquoted(value: str) -> str:
    """A value that was percent-encoded once too often is read as it was meant."""
    for _ in range(_MAX_ENCODINGS):
        before, value = value, unquote_plus(value)
        if value == before:
            break
    return value


def _is_plain(text: str) -> bool:
    return len(text) <= MAX_PLAIN_CHARACTERS and _PLAIN.fullmatch(text) is not None


def _network(found: re.Match[str]) -> str:
    parsed = address.parse(found[0])
    return found[0] if parsed is None else _network_of(parsed)


def _network_of(parsed: address.Address) -> str:
    return str(ip_network((parsed, 24 if isinstance(parsed, IPv4Address) else 48), strict=False))
