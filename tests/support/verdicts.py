"""Is what was told of a phone true? By rules that need nobody who knows the phone; `corpora` counts by them.

A version is true where it stands in the User-Agent as the system's token, as a version that an app says, or as Safari's
major and minor number; a model where it stands there verbatim. Each is false all the same where one of the kinds below
holds: forms that are known to be frozen, reduced, invented or of something else. Nothing told is left out, never false.

The kinds are written anew here and not taken from the code that they judge.
"""

import re

from storehop.model import Platform

TRUE, LEFT_OUT, FALSE = "true", "left out", "false"

PLAIN = re.compile(r"like Gecko\) Chrome/(?:1[1-9]|[2-9]\d)\d\.0\.0\.0 (?:Mobile )?Safari/537\.36$")
"""Plain Chrome since 110, which writes neither version nor model: something else did."""
PRESET = re.compile(r"\bCriOS/\d+\.0\.0\.0|Chrome/\d+\.0\.\d+\.\d{4,} Mobile Safari/537\.36$")
"""Versions that no Chrome has: a scraper's preset and Bytespider's random numbers."""
ELSEWHERE = re.compile(
    r"like (?:Android|iPhone)\b|\bOpenHarmony\b|\bArkWeb/|\(Windows\b|Darwin/\S+ \((?:x86_64|i386|Power)", re.IGNORECASE
)
REDUCED = re.compile(r"Android 10; K[;)]")
API_LEVEL = 19
"""From here on, a number behind `Android` is an API level: version 19 is yet to come."""
NEVER_RELEASED = range(19, 26)
"""Major versions between iOS 18 and 26."""

TOKEN = re.compile(r"\bi?OS (\d+(?:[._]\d+)+);? like Mac OS X")
SAFARI = re.compile(r"\bVersion/(\d+)\.(\d+)")
APP_SAYS = re.compile(
    r"\bFBSV/(\d+(?:\.\d+)*)"
    r"|\(i\w+,\d+; (?:iOS|iPadOS) (\d+(?:_\d+)*);"
    r"|[(;] ?(?:iOS|iPhone OS|iPadOS) (\d+(?:[._]\d+)*)[;)]"
)
FROZEN = ("18.6", "18.7")
KNOWS_IOS_18 = re.compile(r"\b(?:CriOS|GSA)/|\bMobile/22[A-H]|\bVersion/18\.")
"""What shows that 18.6 and 18.7 are meant: Google's browsers, a build of iOS 18, its Safari."""

MAKERS = {"asus", "google", "honor", "htc", "huawei", "infinix", "itel", "lenovo", "lg", "lge", "motorola", "nokia"}
MAKERS |= {"oneplus", "oppo", "realme", "samsung", "sony", "tecno", "vivo", "xiaomi", "zte"}
WORDS = MAKERS | {"android", "arm64-v8a", "armeabi-v7a", "desktop", "generic", "java", "k", "linux", "mobile", "phone"}
WORDS |= {"smartphone", "tablet", "tv", "u", "unknown", "unspecified device", "wv"}
MAKER_FIRST = re.compile(
    r"(?:samsung (?:SM|GT)-|xiaomi (?:M2|2\d)\w{5}|oppo CPH\d|realme RMX\d|motorola XT\d|google Pixel \d|vivo V\d{4})",
    re.IGNORECASE,
)
LOCALE = re.compile(
    r"-*|-?[a-z]{2}|[a-z]{2,3}[-_](?:[A-Za-z]{2}|[A-Z][a-z]{3}(?:[-_][A-Z]{2})?|\d{3})?(?:_?#.*|-u-.*)?"
)
FIRMWARE = re.compile(r"/(?!\d+GB)|Build/|\bBuild\b|\bMIUI\b|://|HarmonyOS|\bOS\d|\bAndroid \d")
RANDOM = re.compile(r"; ([A-Za-z0-9]{10}); U; [a-z]{2}\)")


def plain(version):
    """With dots, and as iOS itself counts: 26_2_0 is 26.2."""
    parts = version.replace("_", ".").split(".")
    return ".".join(parts[:-1] if len(parts) == 3 and parts[2] == "0" else parts)


def major(version):
    return int(version.partition(".")[0])


def said_by_app(user_agent):
    return {plain("".join(groups)) for groups in APP_SAYS.findall(user_agent)}


def tokens(user_agent):
    return {plain(token) for token in TOKEN.findall(user_agent)}


def safari(user_agent):
    """Safari's major and minor number, which are those of iOS."""
    hit = SAFARI.search(user_agent)
    return f"{hit[1]}.{hit[2]}" if hit else None


def is_frozen(user_agent, version):
    hides = version.startswith(FROZEN) and not KNOWS_IOS_18.search(user_agent)
    return hides and not said_by_app(user_agent)


def is_third_number(user_agent, version):
    return version.count(".") > 1 and version not in tokens(user_agent) | said_by_app(user_agent)


def differs_from_safari(user_agent, version):
    theirs = safari(user_agent)
    if theirs is None or version in said_by_app(user_agent):
        return False
    return any(5 < major(token) != major(theirs) and major(token) != 18 for token in tokens(user_agent))


def android_says(user_agent, version):
    return re.search(rf"(?:Android|Adr)(?:[ /-]?| ?\(\d+/){re.escape(version)}(?![\d.]*\d)", user_agent)


def ios_says(user_agent, version):
    return version in tokens(user_agent) | said_by_app(user_agent) | {safari(user_agent)}


BOTH = (
    ("a version of Chrome that no Chrome has", lambda ua, _: PRESET.search(ua)),
    ("a device that is neither Android nor iOS", lambda ua, _: ELSEWHERE.search(ua)),
)
ANDROID = (
    *BOTH,
    ("beside plain Chrome's N.0.0.0", lambda ua, _: PLAIN.search(ua) and " Build/" not in ua),
    ("invented by UC Mini's proxies", lambda ua, _: "UCMini/" in ua),
)
ANDROID_VERSION = (
    *ANDROID,
    ("an API level", lambda _, version: major(version) >= API_LEVEL),
    ("frozen: Android 10 beside K", lambda ua, version: version == "10" and REDUCED.search(ua)),
    ("said nowhere", lambda ua, version: not android_says(ua, version)),
)
IOS_VERSION = (
    *BOTH,
    ("never released", lambda _, version: major(version) in NEVER_RELEASED),
    ("guessed: from Darwin's or an app's version", lambda ua, _: not tokens(ua) | said_by_app(ua)),
    ("frozen: 18.6 or 18.7", is_frozen),
    ("Safari's third number", is_third_number),
    ("a constant of Firefox Focus", lambda ua, _: "FxiOS/" in ua and "Version/" in ua),
    ("void: two statements that differ", differs_from_safari),
    ("said nowhere", lambda ua, version: not ios_says(ua, version)),
)
ANDROID_MODEL = (
    *ANDROID,
    ("a word or a maker alone", lambda _, model: model.lower() in WORDS),
    ("a locale", lambda _, model: LOCALE.fullmatch(model)),
    ("the maker before the model", lambda _, model: MAKER_FIRST.match(model)),
    ("firmware, another system or an address", lambda _, model: FIRMWARE.search(model)),
    ("UC's underscores for spaces", lambda ua, model: "_" in model and ua.startswith("UCWEB")),
    ("random letters", lambda ua, model: model in RANDOM.findall(ua)),
    ("said nowhere", lambda ua, model: model not in ua),
)
IOS_MODEL = (
    *BOTH,
    ("an iPod", lambda ua, model: model == "iphone" and re.search(r"[(/;] ?iPod", ua)),
    ("an iPad that is called an iPhone", lambda ua, model: model == "iphone" and re.search(r"[(/;] ?iPad", ua)),
    ("said nowhere", lambda ua, model: model not in ua.lower()),
)
KINDS = {
    (Platform.ANDROID, "version"): ANDROID_VERSION,
    (Platform.ANDROID, "model"): ANDROID_MODEL,
    (Platform.IOS, "version"): IOS_VERSION,
    (Platform.IOS, "model"): IOS_MODEL,
}


def judge(user_agent, platform, what, value):
    """(TRUE, LEFT_OUT or FALSE, the kind of what is false) of a "version" or "model" that was told."""
    if value is None:
        return LEFT_OUT, None
    why = next((name for name, holds in KINDS[platform, what] if holds(user_agent, value)), None)
    return (FALSE, why) if why else (TRUE, None)


def poses(user_agent, platform):
    """A program: the page that it opened saw a platform (`navigator.platform`) that such a phone does not have."""
    if "iPhone" in user_agent or "iPad" in user_agent:
        return platform not in {"iPhone", "iPad"}
    return "Android" in user_agent and ("x86" in platform or not platform.startswith("Linux"))
