"""What the User-Agent and the client hints say about the device: the truth or nothing (design §3.3).

Browsers freeze parts of the User-Agent: Chrome says `Android 10; K` on every phone, Safari 26 says iOS 18_6.
A frozen token is no fact, so we leave it out. tests/decide/user_agents.yaml has User-Agents with what we read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import NamedTuple

from ua_parser import Parser, Result, load_lazy_builtins

from storehop.decide import android, hints, ios
from storehop.decide import user_agent as ua
from storehop.decide.crawler import is_crawler
from storehop.decide.link import is_clean, may_be_cached
from storehop.model import Platform, Source

MAX_HEADER_CHARACTERS = hints.MAX_HEADER_CHARACTERS
MAX_USER_AGENT_CHARACTERS = 1024

_LIKE_A_PHONE = ("like Android", "like iPhone", "like iPad", "OpenHarmony", "ArkWeb/")
"""Devices that are no phone: a Nintendo, a Librem, a Windows phone, an e-book reader, HarmonyOS without Android."""
_NEVER_A_PHONE = ("HbbTV/", "NetCast", "SmartTvA/", "Symbian", "webOS", "Sailfish")
"""Televisions and old systems that name Android or an iPhone so that pages work."""
_WINDOWS = re.compile(r"[^()]{0,64}\((?:[^();]{0,32}; )?Windows\b")
"""`Mozilla/5.0 (Windows IoT 10.0; Android 6.0.1; …`."""
_MAC = re.compile(r"\bDarwin/[\d.]++ \((?:x86_64|i386|Power|i?Mac)|\ASafari/?[\d.]++ CFNetwork/")
_ANDROID_IN_A_NAME = re.compile(r"_Android|Android_")
"""`4K_Android_TV_V01`: a television whose product name has Android in it."""
_ANDROID = re.compile(r"(?<!_)Android(?!_)")
_HEADSET = (
    *("OculusBrowser/", "PicoBrowser/", "Mobile VR", "VR Safari", "; Quest ", "; Quest)", "; Pico ", "; PICO "),
)
"""Quest, PICO and other headsets. They run Android, whatever they call it, without Google Play."""
_FIRE = re.compile(r"(?:AFT|KF)[A-Z]{1,6}")

_WEB_VIEW = (
    *(
        "; wv)",
        ";wv)",
        "; wv;",
        "; wv ",
        "Version/4.0 Chrome/",
        "FB_IAB",
        "FBAN/",
        "FBAV/",
        "Instagram ",
        "Barcelona ",
        "Snapchat/",
    ),
    *("BytedanceWebview", "MicroMessenger/", " Line/", "KAKAOTALK", "NAVER(inapp", "LinkedInApp", "TwitterAndroid"),
    *("Telegram-Android/", "GSA/", "[Pinterest/"),
)
_FETCHED_BY_MAKER = (
    *("; Adr ", "U2/1.0.0 UC", "Puffin/", "Silk-Accelerated=true", "googleweblight", "S40OviBrowser/", "NokiaXpress"),
    *(" BOLT/", "Skyfire/"),
)
"""Browsers whose maker's servers fetch the page. Opera Mini and UC are told apart in `_is_fetched_by_maker`."""


def _has(user_agent: str, parts: tuple[str, ...]) -> bool:
    return any(map(user_agent.__contains__, parts))


@dataclass(frozen=True, slots=True)
class Device:
    """What one User-Agent says. `os_version` and `model` are None where it says nothing true."""

    platform: Platform
    os_version: str | None
    model: str | None
    is_bot: bool
    has_google_play: bool
    """False for Amazon's Fire devices, Meta's Portal and headsets, which are Android and have no Google Play."""
    is_web_view: bool = False
    """An app's own window, or a browser built on Android's WebView: it may not open `market://`."""
    is_fetched_by_maker: bool = False
    """The servers of Opera Mini, UC Browser or Puffin fetch the page: the peer's address is not the user's."""
    is_text: bool = True
    """Whether our call can repeat the User-Agent: there is one, without control characters and broken UTF-8."""


_UNKNOWN = Device(Platform.OTHER, None, None, is_bot=False, has_google_play=False)
_NO_TEXT = replace(_UNKNOWN, is_text=False)


def read(user_agent: str) -> Device:
    """Reads a User-Agent. One that is no text, or too long for any S2S call, gives a device with nothing in it."""
    if may_be_cached(user_agent):
        return _cached(user_agent)
    return _read(user_agent) if len(user_agent) <= MAX_USER_AGENT_CHARACTERS else _unknown(user_agent)


def warm_up() -> None:
    """Builds the parsers, which takes a third of a second, before the first click needs them."""
    _read("Mozilla/5.0 (Linux; Android 12; Pixel 5)")


@cache
def _parser() -> Parser:
    """Without the patterns of browsers, a fifth of all: nobody asks for them."""
    _, systems, devices = load_lazy_builtins()
    return Parser.from_matchers(([], systems, devices))


def _read(user_agent: str) -> Device:
    if not is_clean(user_agent) or not user_agent.strip():
        return _unknown(user_agent)
    result = _parser().parse(user_agent)
    platform = _platform(user_agent, result)
    version = model = None
    if platform is Platform.ANDROID:
        version, model = android.read(user_agent)
    elif platform is Platform.IOS:
        version, model = ios.read(user_agent)
    return Device(
        platform,
        version,
        model,
        is_bot=is_crawler(user_agent, is_spider=result.device is not None and result.device.family == "Spider"),
        has_google_play=platform is Platform.ANDROID and _has_google_play(user_agent, model, result),
        is_web_view=platform is not Platform.OTHER and _has(user_agent, _WEB_VIEW),
        is_fetched_by_maker=_is_fetched_by_maker(user_agent),
    )


def _unknown(user_agent: str) -> Device:
    text = user_agent.strip()
    return _UNKNOWN if text and is_clean(text) else _NO_TEXT


_cached = lru_cache(maxsize=8192)(_read)
"""Reading a User-Agent takes 50 µs, and a few thousand of them make most of a network's traffic."""


def _platform(user_agent: str, result: Result) -> Platform:
    if _has(user_agent, _HEADSET):
        return Platform.ANDROID
    family = result.os.family if result.os else ""
    if family not in {"Android", "iOS"} and "; Adr " not in user_agent:
        return Platform.OTHER
    if _has(user_agent, (*_LIKE_A_PHONE, *_NEVER_A_PHONE)) or _WINDOWS.match(user_agent):
        return Platform.OTHER
    if family == "iOS":
        return Platform.OTHER if _MAC.search(user_agent) else Platform.IOS
    is_name_only = _ANDROID_IN_A_NAME.search(user_agent) and not _ANDROID.search(user_agent)
    return Platform.OTHER if is_name_only else Platform.ANDROID


def _has_google_play(user_agent: str, model: str | None, result: Result) -> bool:
    is_fire = bool(model and _FIRE.fullmatch(model)) or (result.device is not None and result.device.brand == "Amazon")
    return not is_fire and not _has(user_agent, (*_HEADSET, "; Portal"))


def _is_fetched_by_maker(user_agent: str) -> bool:
    if user_agent.startswith("UCWEB/") or _has(user_agent, _FETCHED_BY_MAKER):
        return True
    return user_agent.startswith("Opera/") and "Opera Mini/" in user_agent


def is_bot(device: Device, headers: Mapping[str, str]) -> bool:
    """Whether a program clicked: by its User-Agent, or by a `Sec-CH-UA` that still names the program."""
    return device.is_bot or hints.names_a_program(headers)


HINT_HEADERS = ("sec-ch-ua-platform-version", "sec-ch-ua-model", "sec-ch-ua-platform")
"""Every header that `os_version` and `model` look at, lower case."""


class Fact(NamedTuple):
    """A value about the device and where it came from, or why there is none."""

    value: str | None
    source: Source
    why: str


def os_version(device: Device, headers: Mapping[str, str]) -> Fact:
    """`af_os_version`: the client hint (`14.0.0` is `14`), else the User-Agent (design §3.3)."""
    hint = _hint(device, headers, HINT_HEADERS[0])
    version = ua.os_version(_without_zeros(hint)) if hint else None
    if version and version != "0":
        return Fact(version, Source.HINT, "Sec-CH-UA-Platform-Version")
    return _from_user_agent(device.os_version)


def model(device: Device, headers: Mapping[str, str]) -> Fact:
    """`af_model`: the client hint, else the build model in the User-Agent; `iphone` or `ipad` (design §3.3)."""
    hint = _hint(device, headers, HINT_HEADERS[1])
    name = ua.model(hint) if hint else None
    if name:
        return Fact(name, Source.HINT, "Sec-CH-UA-Model")
    return _from_user_agent(device.model)


def _hint(device: Device, headers: Mapping[str, str], name: str) -> str | None:
    if device.platform is not Platform.ANDROID or name not in headers or hints.contradict_android(headers):
        return None
    return hints.text(headers, name)


def _without_zeros(version: str) -> str:
    while version.endswith(".0"):
        version = version[:-2]
    return version


@lru_cache(maxsize=8192)
def _from_user_agent(value: str | None) -> Fact:
    if value:
        return Fact(value, Source.USER_AGENT, "User-Agent")
    return Fact(None, Source.OMITTED, hints.WHY_UNKNOWN)


_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:-[A-Za-z]{4})?(?:-([A-Za-z]{2}|[0-9]{3}))?")
_MAX_LANGUAGE_CHARACTERS = 35
"""Characters of a language tag that is worth reading (RFC 5646 §4.4.1)."""


def language(headers: Mapping[str, str]) -> Fact:
    """`af_lang`: the first language of Accept-Language as `en` or `en-US` (RFC 9110 §12.5.4)."""
    return language_of(headers.get("accept-language", ""))


def language_of(header: str) -> Fact:
    """As `language`, of the header's value."""
    first = header.partition(",")[0] if len(header) <= MAX_HEADER_CHARACTERS else ""
    if len(first) > _MAX_LANGUAGE_CHARACTERS:
        first = ""
    tag = _LANGUAGE.fullmatch(first.partition(";")[0].strip())
    if tag is None:
        return Fact(None, Source.OMITTED, "no language in Accept-Language")
    region = f"-{tag[2].upper()}" if tag[2] else ""
    return Fact(tag[1].lower() + region, Source.HEADER, "Accept-Language")
