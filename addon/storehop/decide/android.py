"""What an Android device's User-Agent says of its version and build model: the truth or nothing (design §3.3).

A browser writes both into a comment: `(Linux; Android 13; SM-S918B Build/TP1A.220624.014; wv)`. Chrome says
`Android 10; K` on every phone since 110. Apps that write a form of their own follow no order: there, only the text
before `Build/` is the model.
"""

from __future__ import annotations

import re

from storehop.decide import user_agent as ua
from storehop.decide.unfilled import is_unfilled


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ANDROID = re.compile(r"(?:Android|Adr)[ /-]?(\d[\d.]*+)(?:-update\d)?")
_LOWEST_API_LEVEL = 19
"""From here on the number is an API level, as in `Android 33`. Android 18, the version, is expected in 2027."""
_REDUCED_VERSION = "10"
_BROWSERS = ("Mozilla", "Opera/", "UCWEB/", "Dalvik/")
_FIELDS_BEFORE_ANDROID = frozenset({"linux", "u", "arm", "arm_64", "midp-2.0"})
"""Fields that browsers write before `Android`. With any other field the form is unknown, and so is the model."""

_INSTAGRAM = re.compile(r"\b(?:Instagram|Barcelona) ?[\d.]++ ?Android ?\(\d++/([\d.]++)(?:; ?[^;]*+){3}; ?([^;]++);")
"""Instagram and Threads append version and model to a User-Agent that may be reduced."""
_TELEGRAM = "Telegram-Android/"
_TELEGRAM_FORM = re.compile(r"(\w++) ([^;]++); Android (\d[\d.]*+); SDK \d++; [A-Z]++")
"""Its comment `(Samsung SM-X115; Android 16; SDK 36; AVERAGE)` has maker, build model and version from Android."""
_SECOND_WORDS_OF_MAKERS = frozenset({"mobile", "mobility", "global", "technologies", "limited", "communications"})
"""Second words of makers' names, as in `Infinix Mobility`: with one, nobody can tell where the model begins."""

_PLAIN_CHROME = re.compile(
    r"\) ?AppleWebKit/537\.36 ?\(KHTML, ?like ?Gecko\) {0,4}Chrome/(\d{3,4})\.0\.0\.0(?: ?Mobile)? ?Safari/537\.36"
    r"(?:,gzip\(gfe\))*+\Z"
)
_FIRST_REDUCED_CHROME = 110
"""From this version on, a Chrome that writes `N.0.0.0` names no device. If a device is named, it is not Chrome's."""

_LANGUAGE = re.compile(r"[A-Za-z][a-z]{1,2}")
_LONE_LANGUAGE = re.compile(r"[A-Za-z][a-z]|fil")
_REGION = re.compile(r"[A-Za-z]{1,2}|001|150|419|[A-Za-z]{4}|[A-Za-z]{5,8}|")
"""A region, script or variant behind a language (RFC 5646 §2.1)."""
_EXTENSION_MARKS = frozenset("ux")
"""The letters that begin the extensions of a language tag (RFC 5646 §2.2.6)."""
_RANDOM_MODEL = re.compile(r"[A-Za-z0-9]{10}")
"""Avast, AVG and Tenta write ten random letters in place of the model, then `U` and a language."""
_OTHER_FIELD = re.compile(r"HarmonyOS.*|arm(?:_64)?|\W*|.*://.*", re.DOTALL)

_MAKERS = _words(
    "alcatel asus blackview blu cubot doogee fairphone google hmd honor htc huawei infinix iqoo itel lava lenovo lg "
    "lge meizu microsoft motorola nokia nothing nubia oneplus oppo oukitel poco realme redmi samsung sharp sony tcl "
    "tecno ulefone umidigi vivo wiko xiaomi zte"
)
"""Makers and brands, lower case. A maker alone is no build model."""
_MAKER_FIRST = re.compile(
    r"samsung (?=(?:SM|GT|SC[HV]|SG[HP]|SPH|SH[VW])-)|xiaomi (?=(?:M2|2\d)[0-9A-Z]{5})|oppo (?=CPH\d)|vivo (?=V\d{4})"
    r"|realme (?=RMX\d)|oneplus (?=[A-Z]{2,3}\d{4})|motorola (?=XT\d|moto )|google (?=Pixel \d)|lge (?=L[GM]|VS\d)"
    r"|honor (?=[A-Z]{3}-(?:NX|AN|LX|N)\d)|(?:redmi|poco) (?=(?:M2|2\d)[0-9A-Z]{5})|sony (?=XQ-)|nothing (?=A0\d\d)",
    re.IGNORECASE,
)
"""A maker, and a build model behind it that does not begin with the maker's name."""

_AOSP_BUILD = re.compile(r"[A-Z]{3}\d{2}[A-Z]?|[A-Z0-9]{4}\.\d{6}\.\d{3}(?:\.[A-Z0-9]+)?", re.ASCII)
_STRAY_BEFORE, _STRAY_BEHIND = " ,=+", " ,="
"""Characters before and behind a model that do not belong to it."""
_MEMORY = re.compile(r"\dGB\b", re.ASCII)
_FIRMWARE = re.compile(
    r"Build/| Build | (?:MIUI|Sony)/| OS\d[\d.]*+ like Quest| V?\d\.\d\d\.\d{2,4}\.\d(?= Build| *\Z)|ro\.product\.",
    re.IGNORECASE,
)
"""The text that ends a build model: firmware (HTC: `HTC Desire HD 1.75.163.2`), PICO's system, a stray property."""
_PLACEHOLDER_MODELS = _words(
    "android generic mobile phone smartphone tablet tv desktop device default null none other java x86 x86_64 aarch64 "
    "armeabi armeabi-v7a arm64 arm64-v8a hmscore gmscore compatible model safari xxxx"
) | {"default string", "mobile vr", "unspecified device", "custom phone", "generic smartphone", "smart tv", "tv box"}
_NO_MODEL_PREFIX = (
    "rv:",
    "Generic ",
    "Full AOSP",
    "Linux",
    "HMSCore ",
    "GMSCore ",
    "Opera",
    "Android",
    "SDK ",
    "API ",
    "Windows",
    "Build",
)


def read(user_agent: str) -> tuple[str | None, str | None]:
    """(version, build model) of an Android device; None for each that the User-Agent does not truthfully give."""
    instagram = _INSTAGRAM.search(user_agent)
    if instagram:
        return ua.os_version(instagram[1]), ua.model(instagram[2])
    comments = ua.comments(user_agent)
    if _TELEGRAM in user_agent and (telegram := _telegram(comments)):
        return telegram
    if _hides_device(user_agent):
        return None, None
    for comment in comments:
        fields = ua.fields(comment)
        for place, field in enumerate(fields):
            if version := _ANDROID.fullmatch(field):
                return _device(user_agent, version[1], fields[:place], fields[place + 1 :])
    return None, None


def _hides_device(user_agent: str) -> bool:
    chrome = _PLAIN_CHROME.search(user_agent)
    return (chrome is not None and int(chrome[1]) >= _FIRST_REDUCED_CHROME and " Build/" not in user_agent) or (
        "UCMini/" in user_agent  # its proxies write a device at random
    )


def _telegram(comments: tuple[str, ...]) -> tuple[str | None, str | None] | None:
    for comment in comments:
        if hit := _TELEGRAM_FORM.fullmatch(comment):
            maker, model, version = hit.groups()
            first = model.partition(" ")[0].lower()
            is_sure = first not in _SECOND_WORDS_OF_MAKERS and maker.lower() not in _SECOND_WORDS_OF_MAKERS
            return ua.os_version(version), ua.model(model) if is_sure else None
    return None


def _device(user_agent: str, version_text: str, before: list[str], after: list[str]) -> tuple[str | None, str | None]:
    version = ua.os_version(version_text)
    if version and ua.major(version) >= _LOWEST_API_LEVEL:
        version = None
    is_browser = user_agent.startswith(_BROWSERS)
    is_usual_form = is_browser and all(field.lower() in _FIELDS_BEFORE_ANDROID for field in before)
    model = _model(after, is_uc_proxy=user_agent.startswith("UCWEB/")) if is_usual_form or _names_build(after) else None
    if model is None and version == _REDUCED_VERSION:
        return None, None  # Chrome writes 10 on every phone, Firefox on a phone whose user wants privacy
    return version, model


def _names_build(fields: list[str]) -> bool:
    return any("Build/" in field for field in fields)


def _model(fields: list[str], *, is_uc_proxy: bool) -> str | None:
    if len(fields) == 3 and fields[1] == "U" and _RANDOM_MODEL.fullmatch(fields[0]):  # noqa: PLR2004  three fields
        return None
    rest = [field for field in fields if not _OTHER_FIELD.fullmatch(field) and not _is_locale(field)]
    if len(rest) > 1 and rest[0].lower() in _MAKERS:
        del rest[0]
    if not rest or (is_uc_proxy and "_" in rest[0]):
        return None  # UC's proxies write spaces as underscores
    return _model_in(rest[0])


def _is_locale(field: str) -> bool:
    """Java's `Locale.toString()` and its relatives: `de`, `en-us`, `zh_HK_#Hant`, `en_US_#u-mu-celsius`, `-tr`."""
    locale, hash_mark, _ = field.partition("#")
    language, *rest = locale.rstrip(",").replace("_", "-").split("-")
    rest = rest[: next((place for place, part in enumerate(rest) if part in _EXTENSION_MARKS), len(rest))]
    if not rest and not hash_mark and "-" not in locale:
        return _LONE_LANGUAGE.fullmatch(language) is not None
    return (not language or bool(_LANGUAGE.fullmatch(language))) and all(map(_REGION.fullmatch, rest))


def _model_in(field: str) -> str | None:
    """The build model in a field that may also hold the maker (before it) and the firmware (behind it)."""
    name = _before_firmware(field)
    if is_unfilled(field) or is_unfilled(name):
        return None
    if name.startswith("SAMSUNG "):  # Samsung Internet's way, firmware behind the slash: `SAMSUNG SM-G975N/KSU3ASJG`
        name = name[len("SAMSUNG ") :].partition("/")[0]
    if maker := _MAKER_FIRST.match(name):
        name = name[maker.end() :]
    name = _without_repeated_maker(name)
    name, slash, behind = name.partition("/")
    if slash and _MEMORY.search(name):
        name += slash + behind  # `SH65 2GB/32GB 4800mAh GMS`
    elif slash and not _AOSP_BUILD.fullmatch(behind):
        return None
    lower = name.lower().strip()
    if lower in _PLACEHOLDER_MODELS or lower in _MAKERS or "\\" in name or _is_locale(name.strip()):
        return None
    return None if name.startswith(_NO_MODEL_PREFIX) else ua.model(name.lstrip(_STRAY_BEFORE).rstrip(_STRAY_BEHIND))


def _without_repeated_maker(name: str) -> str:
    """`vivo vivo 1906` without the first word: the build model itself begins with the maker."""
    maker, _, rest = name.partition(" ")
    return rest if maker.lower() in _MAKERS and rest.lower().startswith(maker.lower()) else name


def _before_firmware(field: str) -> str:
    """The field up to its firmware: `SM-S918B Build/TP1A`, `SCH-I829 Build JZO54K`, `MI 2 MIUI/3.5.17`."""
    firmware = _FIRMWARE.search(field)
    return field[: firmware.start()] if firmware else field.removesuffix(" Build")
