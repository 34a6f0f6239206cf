"""What the User-Agent and the client hints say about the device: the truth or nothing (design §3.3).

Browsers freeze parts of the User-Agent: Chrome says `Android 10; K` on every phone, Safari 26 says iOS 18_6.
A frozen token is no fact, so it is left out. tests/decide/user_agents.yaml shows what is read from which User-Agent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import http_sf
from ua_parser import parse

from storehop.decide.crawler import is_crawler
from storehop.decide.link import is_clean
from storehop.model import Platform, Source

MAX_USER_AGENT = 1024
MAX_HEADER = 256
"""Characters of other headers that are worth reading."""
MAX_OS_VERSION = 12
MAX_MODEL = 64
"""Characters of af_os_version and af_model (appsflyer-clicks.md §2.4)."""

_VERSION = re.compile(r"\d+(?:\.\d+)*", re.ASCII)
_MODEL = re.compile(r"[\x20-\x7e]+")
_COMMENT = re.compile(r"\(([^()]*\b(?:Android|Adr)[ /-]?\d[^()]*(?:\([^()]*\)[^()]*)*)\)")
_ANDROID_FIELD = re.compile(r"(?:Android|Adr)[ /-]?(\d[\d.]*)(?:-update\d)?")
_UC_PROXY = "; Adr "  # what UC Browser says for Android when its proxies fetch the page
_FIRE = re.compile(r"(?:AFT|KF)[A-Z]{1,6}")
_INSTAGRAM = re.compile(r"\b(?:Instagram|Barcelona) [\d.]+ Android \(\d+/([\d.]+)(?:; [^;]*){3}; ([^;]+);")
"""Instagram and Threads name version and model themselves, beside a User-Agent that may be reduced."""

_LOCALE = re.compile(r"[a-z]{2}|-[a-z]{2}|[A-Za-z][a-z]{1,2}[-_](?:[A-Z][a-z]{3}[-_])?(?:[A-Za-z]{2}|\d{3})?(?:-#\w+)?")
_NO_FIELD = frozenset({"HarmonyOS", "arm", "arm_64"})
_BEFORE_ANDROID = frozenset({"linux", "u", "arm", "arm_64", "midp-2.0"})
"""What browsers write before `Android`. Where an app writes something else, its form is unknown, and so the model."""

_BUILD = re.compile(r"(?:^|\s+)(?:Build[/ ]|(?:MIUI|Sony)/).*", re.IGNORECASE)
_SAMSUNG = re.compile(r"SAMSUNG ([^/]+)(?:/.*)?")
"""Samsung Internet's way to write a model: `SAMSUNG SM-G975N/KSU3ASJG`, the firmware behind the slash."""

_NO_MODEL = frozenset({"", "k", "wv", "mobile", "mobile vr", "tablet", "unknown", "u"})
_NO_MODEL_PREFIX = ("rv:", "Linux", "HMSCore", "Opera", "Android", "SDK ")
_HIDDEN_ANDROID = "10"
_IPHONE = re.compile(r"iPhone(?! OS)")
_IOS_APP = re.compile(r"\bFBSV/([\d.]+)|\(i\w+\d,\d+; iOS ([\d_]+);")
"""Facebook's apps (`FBSV/17.4.1`) and Instagram (`(iPhone14,5; iOS 26_2; …`) name the version themselves."""

_SAFARI_VERSION = re.compile(r"\bVersion/(\d+(?:\.\d+)*)")
_LAST_UNFROZEN = (25,)  # before Safari 26, the token tells as much as Safari's version
_FROZEN_IOS = ("18.6", "18.7")
_NOT_FROZEN = re.compile(r"\b(?:Version|CriOS|GSA)/|\bMobile/22[A-H]")
"""Safari before 26, Google's browsers, which write the true version, and web views that name a build of iOS 18."""


@dataclass(frozen=True, slots=True)
class Device:
    """What one User-Agent string says. `os_version` and `model` are None where it says nothing true."""

    platform: Platform
    os_version: str | None
    model: str | None
    is_bot: bool
    has_google_play: bool
    """False for Amazon's Fire devices, which call themselves Android and have no Google Play."""
    is_web_view: bool = False
    is_fetched_by_maker: bool = False


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
    """Cached: a few thousand strings are most of a network's traffic, and reading one takes 20 µs."""
    seen = parse(user_agent)
    family = seen.os.family if seen.os else ""
    is_bot = is_crawler(user_agent) or (seen.device is not None and seen.device.family == "Spider")
    if family == "Android" or _UC_PROXY in user_agent:
        version, model = _android(user_agent)
        is_fire = bool(model and _FIRE.fullmatch(model)) or (seen.device is not None and seen.device.brand == "Amazon")
        return Device(Platform.ANDROID, version, model, is_bot, not is_fire)
    if family == "iOS" and seen.os is not None:
        patch = seen.os.patch if seen.os.patch != "0" else None  # iOS itself calls 26.2.0 26.2
        parts = (seen.os.major, seen.os.minor, patch)
        token = ".".join(part for part in parts if part)
        version = _ios_version(user_agent, token)
        return Device(Platform.IOS, version, _ios_model(user_agent), is_bot, has_google_play=False)
    return Device(Platform.OTHER, None, None, is_bot, has_google_play=False)


def _android(user_agent: str) -> tuple[str | None, str | None]:
    """(version, build model) from the comment `(Linux; Android 13; SM-S918B Build/…)`, or from Instagram's own."""
    said = _INSTAGRAM.search(user_agent)
    if said:
        return _os_version(said[1]), _build_model(said[2])
    comment = _COMMENT.search(user_agent)
    if comment is None:
        return None, None
    fields = [field.strip() for field in comment[1].split(";")]
    at, found = next(
        ((i, hit) for i, field in enumerate(fields) if (hit := _ANDROID_FIELD.fullmatch(field))), (0, None)
    )
    if found is None:
        return None, None
    rest = (field for field in fields[at + 1 :] if field not in _NO_FIELD and not _LOCALE.fullmatch(field))
    is_browser = all(field.lower() in _BEFORE_ANDROID for field in fields[:at])
    model = _build_model(next(rest, "")) if is_browser else None
    if model is None and found[1] == _HIDDEN_ANDROID:
        return None, None  # Chrome says so of every phone, Firefox of those that want privacy
    return _os_version(found[1]), model


def _build_model(field: str) -> str | None:
    model = _SAMSUNG.sub(r"\1", _BUILD.sub("", field)).strip()
    if model.lower() in _NO_MODEL or model.startswith(_NO_MODEL_PREFIX) or len(model) > MAX_MODEL:
        return None
    return model if _MODEL.fullmatch(model) else None


def _ios_model(user_agent: str) -> str | None:
    if "iPad" in user_agent:
        return "ipad"
    return "iphone" if _IPHONE.search(user_agent) else None  # an iPod, or an app that does not say


def _ios_version(user_agent: str, token: str) -> str | None:
    said = _IOS_APP.search(user_agent)
    if said:
        return _os_version((said[1] or said[2]).replace("_", "."))
    safari = _SAFARI_VERSION.search(user_agent)
    if safari and _numbers(safari[1]) > max(_numbers(token), _LAST_UNFROZEN):
        return _os_version(safari[1])
    if token.startswith(_FROZEN_IOS) and not _NOT_FROZEN.search(user_agent):
        return None  # an app's web view on iOS 26 says 18_6 too, and nothing in it tells the two apart
    return _os_version(token)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def _os_version(text: str) -> str | None:
    text = text.rstrip(".")
    return text if _VERSION.fullmatch(text) and len(text) <= MAX_OS_VERSION else None


NOT_SAID = "the User-Agent does not say it, and no client hint came"
HINT_HEADERS = ("sec-ch-ua-platform-version", "sec-ch-ua-model")
"""Client hints that say something about the device, lower case."""


class Fact(NamedTuple):
    """A value about the device and where it came from, or why there is none."""

    value: str | None
    source: Source
    why: str


def os_version(device: Device, headers: Mapping[str, str]) -> Fact:
    """`af_os_version`: the client hint (`14.0.0` is `14`), else the User-Agent (design §3.3)."""
    hint = _hint(headers, HINT_HEADERS[0]) if device.platform is Platform.ANDROID else None
    version = _os_version(re.sub(r"(?:\.0)+$", "", hint)) if hint else None
    if version:
        return Fact(version, Source.HINT, "Sec-CH-UA-Platform-Version")
    return _from_user_agent(device.os_version)


def model(device: Device, headers: Mapping[str, str]) -> Fact:
    """`af_model`: the client hint, else the build model in the User-Agent; `iphone` or `ipad` (design §3.3)."""
    hint = _hint(headers, HINT_HEADERS[1]) if device.platform is Platform.ANDROID else None
    name = _build_model(hint) if hint else None
    if name:
        return Fact(name, Source.HINT, "Sec-CH-UA-Model")
    return _from_user_agent(device.model)


@lru_cache(maxsize=8192)
def _from_user_agent(value: str | None) -> Fact:
    if value:
        return Fact(value, Source.USER_AGENT, "User-Agent")
    return Fact(None, Source.OMITTED, NOT_SAID)


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
    header = headers.get("accept-language", "")
    return _language(header if len(header) <= MAX_HEADER else "")


@lru_cache(maxsize=2048)
def _language(header: str) -> Fact:
    first = header.partition(",")[0].partition(";")[0].strip()
    tag = _LANGUAGE.fullmatch(first)
    if tag is None:
        return Fact(None, Source.OMITTED, "no language in Accept-Language")
    region = f"-{tag[2].upper()}" if tag[2] else ""
    return Fact(tag[1].lower() + region, Source.HEADER, "Accept-Language")
