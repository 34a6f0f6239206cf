"""What the User-Agent and the client hints say about the device: the truth or nothing (design §3.3).

Browsers freeze parts of the User-Agent: Chrome says `Android 10; K` on every phone, Safari 26 says iOS 18_6.
A frozen token is no fact, so it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import http_sf
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from ua_parser import parse

from storehop.decide.link import is_clean
from storehop.model import Platform, Source

MAX_USER_AGENT = 1024
MAX_HEADER = 256
"""Characters of other headers that are worth reading."""
MAX_OS_VERSION = 12
MAX_MODEL = 64
"""Characters of af_os_version and af_model (appsflyer-clicks.md §2.4)."""

_CRAWLER = re.compile("|".join(entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA))
_VERSION = re.compile(r"\d+(?:\.\d+)*", re.ASCII)
_MODEL = re.compile(r"[\x20-\x7e]+")
_SAFARI_VERSION = re.compile(r"\bVersion/(\d+(?:\.\d+)*)")
_FACEBOOK_VERSION = re.compile(r"\bFBSV/(\d+(?:\.\d+)*)")
_COMMENT = re.compile(r"\(([^()]*\bAndroid[ /-]?\d[^()]*(?:\([^()]*\)[^()]*)*)\)")
_ANDROID_FIELD = re.compile(r"Android[ /-]?\d[\d.]*")
_LOCALE = re.compile(r"[a-z]{2}(?:[-_][A-Za-z]{2})?")
_BUILD = re.compile(r"\s+(?:Build|MIUI)/.*")
_NO_MODEL = frozenset({"", "k", "wv", "mobile", "tablet", "unknown", "u"})
_NO_MODEL_PREFIX = ("rv:", "Linux", "HMSCore", "Opera", "Android")
_IPHONE = re.compile(r"iPhone(?! OS)")
_FROZEN_IOS = ("18.6", "18.7")
_SAFARI_UNFROZEN = 26


@dataclass(frozen=True, slots=True)
class Device:
    """What one User-Agent string says. `os_version` and `model` are None where it says nothing true."""

    platform: Platform
    os_version: str | None
    model: str | None
    is_bot: bool
    has_google_play: bool
    """False for Amazon's Fire devices, which call themselves Android and have no Google Play."""


_UNKNOWN = Device(Platform.OTHER, None, None, is_bot=False, has_google_play=False)


def read(user_agent: str) -> Device:
    """Reads a User-Agent. One that is no text, or too long for any S2S call, says nothing."""
    if len(user_agent) > MAX_USER_AGENT or not is_clean(user_agent):
        return _UNKNOWN
    return _read(user_agent)


def warm_up() -> None:
    """Builds the parsers, which takes a third of a second, before the first click needs them."""
    _read("Mozilla/5.0 (Linux; Android 12; Pixel 5)")


@lru_cache(maxsize=8192)
def _read(user_agent: str) -> Device:
    """Cached: a few thousand strings are most of a network's traffic, and reading one takes a millisecond."""
    seen = parse(user_agent)
    family = seen.os.family if seen.os else ""
    is_bot = bool(_CRAWLER.search(user_agent)) or (seen.device is not None and seen.device.family == "Spider")
    if family == "Android":
        version, model = _android(user_agent)
        is_fire = seen.device is not None and seen.device.brand == "Amazon"
        return Device(Platform.ANDROID, version, model, is_bot, not is_fire)
    if family == "iOS" and seen.os is not None:
        parts = (seen.os.major, seen.os.minor, seen.os.patch)
        token = ".".join(part for part in parts if part)
        version = _ios_version(user_agent, token)
        return Device(Platform.IOS, version, _ios_model(user_agent), is_bot, has_google_play=False)
    return Device(Platform.OTHER, None, None, is_bot, has_google_play=False)


def _android(user_agent: str) -> tuple[str | None, str | None]:
    """(version, build model) from the comment `(Linux; Android 13; SM-S918B Build/…)`."""
    comment = _COMMENT.search(user_agent)
    if comment is None:
        return None, None
    fields = [field.strip() for field in comment[1].split(";")]
    at = next((i for i, field in enumerate(fields) if _ANDROID_FIELD.fullmatch(field)), None)
    if at is None:
        return None, None
    version = fields[at].removeprefix("Android").lstrip(" /-")
    rest = [field for field in fields[at + 1 :] if field != "HarmonyOS" and not _LOCALE.fullmatch(field)]
    if version == "10" and rest and rest[0] == "K":
        return None, None
    return _os_version(version), _build_model(rest[0]) if rest else None


def _build_model(field: str) -> str | None:
    model = _BUILD.sub("", field).removeprefix("SAMSUNG ").strip()
    if model.lower() in _NO_MODEL or model.startswith(_NO_MODEL_PREFIX) or len(model) > MAX_MODEL:
        return None
    return model if _MODEL.fullmatch(model) else None


def _ios_model(user_agent: str) -> str | None:
    if "iPad" in user_agent:
        return "ipad"
    return "iphone" if _IPHONE.search(user_agent) else None  # an iPod, or an app that does not say


def _ios_version(user_agent: str, token: str) -> str | None:
    safari = _SAFARI_VERSION.search(user_agent)
    if safari and int(safari[1].split(".")[0][:3]) >= _SAFARI_UNFROZEN:
        return _os_version(safari[1])
    facebook = _FACEBOOK_VERSION.search(user_agent)
    if facebook:
        return _os_version(facebook[1])
    if safari is None and token.startswith(_FROZEN_IOS):
        return None  # an app's web view on iOS 26 says 18_6 too, and nothing in it tells the two apart
    return _os_version(token)


def _os_version(text: str) -> str | None:
    text = text.rstrip(".")
    return text if _VERSION.fullmatch(text) and len(text) <= MAX_OS_VERSION else None


@dataclass(frozen=True, slots=True)
class Fact:
    """A value about the device and where it came from, or why there is none."""

    value: str | None
    source: Source
    why: str


def os_version(device: Device, headers: Mapping[str, str]) -> Fact:
    """`af_os_version`: the client hint (`14.0.0` is `14`), else the User-Agent (design §3.3)."""
    hint = _hint(headers, "sec-ch-ua-platform-version") if device.platform is Platform.ANDROID else None
    version = _os_version(re.sub(r"(?:\.0)+$", "", hint)) if hint else None
    if version:
        return Fact(version, Source.HINT, "Sec-CH-UA-Platform-Version")
    return _from_user_agent(device.os_version)


def model(device: Device, headers: Mapping[str, str]) -> Fact:
    """`af_model`: the client hint, else the build model in the User-Agent; `iphone` or `ipad` (design §3.3)."""
    hint = _hint(headers, "sec-ch-ua-model") if device.platform is Platform.ANDROID else None
    name = _build_model(hint) if hint else None
    if name:
        return Fact(name, Source.HINT, "Sec-CH-UA-Model")
    return _from_user_agent(device.model)


def _from_user_agent(value: str | None) -> Fact:
    if value:
        return Fact(value, Source.USER_AGENT, "User-Agent")
    return Fact(None, Source.OMITTED, "the User-Agent does not say it, and no client hint came")


@lru_cache(maxsize=8192)
def _string_item(raw: str) -> str | None:
    try:
        item = http_sf.parse(raw.encode(), tltype="item")
    except ValueError:  # UnicodeEncodeError is one too
        return None
    value = item[0] if isinstance(item, tuple) else None
    return value if isinstance(value, str) else None


def _hint(headers: Mapping[str, str], name: str) -> str | None:
    """A client hint's string (RFC 8941 §3.3.3), or None where it is missing, empty or malformed."""
    raw = headers.get(name)
    return _string_item(raw) if raw and len(raw) <= MAX_HEADER else None


_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:-[A-Za-z]{4})?(?:-([A-Za-z]{2}|[0-9]{3}))?")


def language(headers: Mapping[str, str]) -> Fact:
    """`af_lang`: the first language of Accept-Language as `en` or `en-US` (RFC 9110 §12.5.4)."""
    first = headers.get("accept-language", "").partition(",")[0].partition(";")[0].strip()
    tag = _LANGUAGE.fullmatch(first)
    if tag is None:
        return Fact(None, Source.OMITTED, "no language in Accept-Language")
    region = f"-{tag[2].upper()}" if tag[2] else ""
    return Fact(tag[1].lower() + region, Source.HEADER, "Accept-Language")
