"""The rules by which `make corpora` tells true from false."""

import pytest

from storehop.model import Platform
from tests.support.verdicts import FALSE, KINDS, LEFT_OUT, TRUE, judge, poses

BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


def android(fields, browser="Chrome/95.0.4638.74 Mobile Safari/537.36"):
    return f"Mozilla/5.0 ({fields}) {BLINK} {browser}"


def ios(token, rest, phone="iPhone"):
    return f"Mozilla/5.0 ({phone}; CPU iPhone OS {token} like Mac OS X) {WEBKIT} {rest}"


FALSE_ON_ANDROID = {
    "a version of Chrome that no Chrome has": (
        android("Linux; Android 6.0; Nexus 5", "Chrome/39.0.6361.1264 Mobile Safari/537.36"),
        "6.0",
        "Nexus 5",
    ),
    "a device that is neither Android nor iOS": (android("Linux; like Android 9; HD1900"), "9", "HD1900"),
    "beside plain Chrome's N.0.0.0": (
        android("Linux; Android 15; Pixel 9", "Chrome/151.0.0.0 Mobile Safari/537.36"),
        "15",
        "Pixel 9",
    ),
    "invented by UC Mini's proxies": ("UCWEB/2.0 UCMini/11.2 (Proxy; Android 7.1.1; DLI-TL20 )", "7.1.1", "DLI-TL20"),
    "an API level": (android("Linux; Android 33; SM-S911B"), "33", None),
    "frozen: Android 10 beside K": (android("Linux; Android 10; K", "Chrome/127.0.0.0 OPR/84.0"), "10", None),
    "a word or a maker alone": (android("Linux; Android 9; Phone"), None, "Phone"),
    "a locale": (android("Linux; Android 9; zh_CN_#Hans"), None, "zh_CN_#Hans"),
    "the maker before the model": (android("Linux; Android 9; samsung SM-A750F"), None, "samsung SM-A750F"),
    "firmware, another system or an address": (android("Linux; Android 9; A5/PPR1.180610.011"), None, "A5/PPR1.180610"),
    "UC's underscores for spaces": ("UCWEB/2.0 (MIDP-2.0; Adr 9; en-US; Redmi_Note_8)", None, "Redmi_Note_8"),
    "random letters": (android("Linux; Android 9; aB3dE6gH9j; U; en"), None, "aB3dE6gH9j"),
    "said nowhere": (android("Linux; Android 9; A5"), "4.0", "Pixel 5"),
}
FALSE_ON_IOS = {
    "a version of Chrome that no Chrome has": (ios("18_6", "CriOS/150.0.0.0 Mobile/15E148"), "18.6", "iphone"),
    "a device that is neither Android nor iOS": ("Game/7 (iPhone OS 9.0) Darwin/15.4.0 (x86_64)", "9.0", "iphone"),
    "never released": (ios("19_0", "Version/19.0"), "19.0", None),
    "guessed: from Darwin's or an app's version": ("Game/7 CFNetwork/1410.0.3 Darwin/22.6.0", "16", None),
    "frozen: 18.6 or 18.7": (ios("18_6", "Mobile/15E148"), "18.6", None),
    "Safari's third number": (ios("18_6", "Version/26.3.1 Mobile/15E148"), "26.3.1", None),
    "a constant of Firefox Focus": (ios("17_1_2", "FxiOS/152.0 Version/17.4 Mobile/15E148"), "17.1.2", None),
    "void: two statements that differ": (ios("17_1_2", "Version/26.4 Mobile/15E148"), "17.1.2", None),
    "an iPod": (ios("12_5", "Version/12.1", "iPod touch"), None, "iphone"),
    "an iPad that is called an iPhone": (ios("12_5", "Version/12.1", "iPad"), None, "iphone"),
    "said nowhere": (ios("12_5", "Mobile/15E148"), "13.1", "ipad"),
}
BROKEN = [
    pytest.param(user_agent, platform, what, value, why, id=f"{platform.value} {what}, {why}")
    for platform, kinds in ((Platform.ANDROID, FALSE_ON_ANDROID), (Platform.IOS, FALSE_ON_IOS))
    for why, (user_agent, *values) in kinds.items()
    for what, value in zip(("version", "model"), values, strict=True)
    if value
]


@pytest.mark.parametrize(("user_agent", "platform", "what", "value", "why"), BROKEN)
def test_each_kind_of_falsehood_is_told(user_agent, platform, what, value, why):
    """A value in a form that is known to be frozen, invented or of something else is false, and the kind is named."""
    assert (FALSE, why) == judge(user_agent, platform, what, value)


def test_each_kind_has_an_example():
    """The tables above try every kind."""
    tried = {(param.values[1], param.values[2], param.values[4]) for param in BROKEN}

    assert tried == {(*of, why) for of, kinds in KINDS.items() for why, _ in kinds}


@pytest.mark.parametrize(
    ("user_agent", "platform", "version", "model"),
    [
        pytest.param(android("Linux; Android 12; Pixel 5"), Platform.ANDROID, "12", "Pixel 5", id="Chrome"),
        pytest.param(
            android("Linux; Android 5.1; era_X Build/LMY47D"), Platform.ANDROID, "5.1", "era_X", id="like de_X"
        ),
        pytest.param(android("Linux; Android 9; A 2GB/32GB"), Platform.ANDROID, "9", "A 2GB/32GB", id="slash"),
        pytest.param(ios("17_5_1", "Version/17.5 Mobile/15E148"), Platform.IOS, "17.5.1", "iphone", id="Safari"),
        pytest.param(ios("18_7", "Version/26.3.1 Mobile/15E148"), Platform.IOS, "26.3", "iphone", id="Safari 26"),
        pytest.param(ios("18_6", "Version/18.6 Mobile/15E148"), Platform.IOS, "18.6", "iphone", id="Safari 18.6"),
        pytest.param(ios("26_2_0", "GSA/400.0 Mobile/15E148"), Platform.IOS, "26.2", "iphone", id="26.2.0"),
        pytest.param(ios("18_6", "Mobile/15E148 FBSV/26.1"), Platform.IOS, "26.1", "iphone", id="Facebook"),
        pytest.param("App/1 (iPhone8,1; iOS 11.0; gzip)", Platform.IOS, "11.0", "iphone", id="an app"),
    ],
)
def test_what_the_user_agent_says_is_true(user_agent, platform, version, model):
    """A version in the token, in an app's words or in Safari's major.minor, and a verbatim model, are true."""
    told = {"version": version, "model": model}

    assert [(TRUE, None)] * 2 == [judge(user_agent, platform, what, value) for what, value in told.items()]


def test_nothing_is_left_out_and_not_false():
    """Where nothing was told, nothing can be false."""
    assert (LEFT_OUT, None) == judge("anything", Platform.IOS, "version", None)


@pytest.mark.parametrize(
    ("user_agent", "platform", "is_program"),
    [
        (ios("18_6", ""), "iPhone", False),
        (ios("18_6", ""), "Linux x86_64", True),
        (android("Linux; Android 12; Pixel 5"), "Linux armv81", False),
        (android("Linux; Android 12; Pixel 5"), "Linux x86_64", True),
        (android("Linux; Android 12; Pixel 5"), "Win32", True),
        ("Mozilla/5.0 (Windows NT 10.0)", "Win32", False),
    ],
)
def test_a_program_is_told_by_what_its_page_saw(user_agent, platform, is_program):
    """A phone's User-Agent on a page that saw another platform is a program's."""
    assert is_program == poses(user_agent, platform)
