"""What User-Agent and client hints say about a device: the truth or nothing (design §3.3)."""

import pytest
from decide.clicks import DESKTOP, FIRE, IPAD, IPHONE, PIXEL, REDUCED
from hypothesis import given
from hypothesis import strategies as st

from storehop.decide import device
from storehop.model import Platform, Source

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"


def android(fields, browser="Chrome/95.0.4638.74 Mobile Safari/537.36"):
    return f"Mozilla/5.0 ({fields}) {BLINK} {browser}"


def iphone(os, rest):
    return f"Mozilla/5.0 (iPhone; CPU iPhone OS {os} like Mac OS X) {WEBKIT} {rest}"


@pytest.mark.parametrize(
    ("user_agent", "platform"),
    [
        pytest.param(PIXEL, Platform.ANDROID, id="Android"),
        pytest.param(REDUCED, Platform.ANDROID, id="reduced Android"),
        pytest.param(FIRE, Platform.ANDROID, id="Fire tablet"),
        pytest.param("Dalvik/2.1.0 (Linux; U; Android 13; SM-S918B Build/TP1A)", Platform.ANDROID, id="Android app"),
        pytest.param(IPHONE, Platform.IOS, id="iPhone"),
        pytest.param(IPAD, Platform.IOS, id="iPad"),
        pytest.param(DESKTOP, Platform.OTHER, id="Windows"),
        pytest.param(
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/17.5 Safari/605.1.15",
            Platform.OTHER,
            id="Mac, or an iPad that says so",
        ),
        pytest.param(f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} Chrome/139.0.0.0", Platform.OTHER, id="Linux"),
        pytest.param("", Platform.OTHER, id="empty"),
        pytest.param("?", Platform.OTHER, id="nonsense"),
        pytest.param(PIXEL + " " * 1024, Platform.OTHER, id="too long"),
        pytest.param(PIXEL + "\udcff", Platform.OTHER, id="no UTF-8"),
        pytest.param(PIXEL + "\x00", Platform.OTHER, id="control character"),
    ],
)
def test_the_platform_is_read_from_the_user_agent(user_agent, platform):
    """A User-Agent is Android's, iOS's or another's."""
    assert platform == device.read(user_agent).platform


@pytest.mark.parametrize(
    ("user_agent", "os_version", "model"),
    [
        pytest.param(PIXEL, "12", "Pixel 5", id="Chrome"),
        pytest.param(android("Linux; Android 8.1.0; SM-A115M"), "8.1.0", "SM-A115M", id="three numbers"),
        pytest.param(android("Linux; Android 13; SM-S918B Build/TP1A.220624.014; wv"), "13", "SM-S918B", id="web view"),
        pytest.param(android("Linux; Android 13; SAMSUNG SM-S918B"), "13", "SM-S918B", id="Samsung's prefix"),
        pytest.param("Dalvik/2.1.0 (Linux; U; Android 13; 2201117TY Build/TKQ1)", "13", "2201117TY", id="Dalvik"),
        pytest.param(
            android("Linux; U; Android 4.0.3; en-us; GT-I9100 Build/IML74K"), "4.0.3", "GT-I9100", id="locale"
        ),
        pytest.param(
            android("Linux; Android 12; HarmonyOS; NOH-AN00; HMSCore 6.3.0"), "12", "NOH-AN00", id="HarmonyOS"
        ),
        pytest.param("Mozilla/5.0 (Android 14; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0", "14", None, id="Firefox"),
        pytest.param(REDUCED, None, None, id="reduced"),
        pytest.param(android("Linux; Android 10; K; wv"), None, None, id="reduced web view"),
        pytest.param(android("Linux; Android 10; Pixel 3"), "10", "Pixel 3", id="a real Android 10"),
        pytest.param(android("Linux; Android 12"), "12", None, id="no model"),
        pytest.param(android("Linux; Android 12; "), "12", None, id="empty model"),
        pytest.param(android("Linux; Android 12; unknown"), "12", None, id="unknown model"),
        pytest.param(android(f"Linux; Android 12; {'x' * 65}"), "12", None, id="model of 65 characters"),
        pytest.param(android(f"Linux; Android 12; {'x' * 64}"), "12", "x" * 64, id="model of 64 characters"),
        pytest.param(android("Linux; Android 12; Pixél"), "12", None, id="model outside ASCII"),
        pytest.param(android("Linux; Android 1.2.3.4.5.6.7; A1"), None, "A1", id="version of 13 characters"),
        pytest.param(android("Linux; Android ١٢; Pixel 5"), None, "Pixel 5", id="version in other digits"),
        pytest.param(IPHONE, "17.5.1", "iphone", id="Safari 17"),
        pytest.param(IPAD, "16.6", "ipad", id="iPad"),
        pytest.param(iphone("18_6", "Version/18.6 Mobile/15E148 Safari/604.1"), "18.6", "iphone", id="Safari 18.6"),
        pytest.param(iphone("18_6", "Version/26.0 Mobile/15E148 Safari/604.1"), "26.0", "iphone", id="Safari 26"),
        pytest.param(iphone("18_7", "Version/26.1 Mobile/15E148 Safari/604.1"), "26.1", "iphone", id="Safari 26.1"),
        pytest.param(iphone("18_7", "Version/27.0 Mobile/15E148 Safari/604.1"), "27.0", "iphone", id="Safari 27"),
        pytest.param(iphone("17_5_1", "Mobile/15E148"), "17.5.1", "iphone", id="iOS web view"),
        pytest.param(iphone("17_7", "CriOS/138.0.7204.119 Mobile/15E148 Safari/604.1"), "17.7", "iphone", id="Chrome"),
        pytest.param(
            iphone("17_4_1", "Mobile/21E236 [FBAN/FBIOS;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.4.1;FBSS/3]"),
            "17.4.1",
            "iphone",
            id="Facebook on iOS",
        ),
        pytest.param("Game/7 CFNetwork/1410.0.3 Darwin/22.6.0", None, None, id="an app on iPhone or iPad"),
        pytest.param(
            f"Mozilla/5.0 (iPod touch; CPU iPhone OS 12_5 like Mac OS X) {WEBKIT} Version/12.1 Mobile/15E148",
            "12.5",
            None,
            id="iPod",
        ),
        pytest.param(DESKTOP, None, None, id="desktop"),
    ],
)
def test_the_user_agent_says_version_and_model_or_nothing(user_agent, os_version, model):
    """Version and model are what the User-Agent truly says; a frozen, reduced or unfit token is nothing."""
    found = device.read(user_agent)

    assert (os_version, model) == (found.os_version, found.model)


@pytest.mark.parametrize(
    "user_agent",
    [
        pytest.param("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", id="Facebook"),
        pytest.param("Twitterbot/1.0", id="Twitter"),
        pytest.param("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", id="Slack"),
        pytest.param("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", id="Discord"),
        pytest.param("LinkedInBot/1.0 (compatible; Mozilla/5.0)", id="LinkedIn"),
        pytest.param("TelegramBot (like TwitterBot)", id="Telegram"),
        pytest.param("WhatsApp/2.23.20.0 A", id="WhatsApp"),
        pytest.param("Mozilla/5.0 (Windows NT 6.1) SkypeUriPreview Preview/0.5", id="Skype"),
        pytest.param(f"Mozilla/5.0 (Macintosh) {WEBKIT} Applebot/0.1", id="Apple"),
        pytest.param(
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) {WEBKIT} Safari/601.2.4 facebookexternalhit/1.1 "
            "Facebot Twitterbot/1.0",
            id="iMessage",
        ),
        pytest.param(
            android("Linux; Android 6.0.1; Nexus 5X Build/MMB29P") + " (compatible; Googlebot/2.1; +http://g.co)",
            id="Googlebot on Android",
        ),
        pytest.param(
            iphone("14_7_1", "Version/14.1.2 Mobile/15E148 Safari/604.1")
            + " (compatible; AdsBot-Google-Mobile; +http://www.google.com/mobile/adsbot.html)",
            id="AdsBot on iPhone",
        ),
        pytest.param(f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} HeadlessChrome/139.0.0.0", id="headless Chrome"),
        pytest.param("okhttp/4.9.3", id="okhttp"),
        pytest.param("python-requests/2.32", id="script"),
        pytest.param("curl/8.5.0", id="curl"),
    ],
)
def test_a_crawler_is_a_bot(user_agent):
    """Crawlers, ad reviewers, link previews and scripts are no persons."""
    assert device.read(user_agent).is_bot


@pytest.mark.parametrize(
    "user_agent",
    [
        pytest.param(PIXEL, id="Chrome"),
        pytest.param(REDUCED, id="reduced Chrome"),
        pytest.param(IPHONE, id="Safari"),
        pytest.param(FIRE, id="Silk"),
        pytest.param(android("Linux; Android 9; CUBOT_NOTE_S"), id="a phone called Cubot"),
        pytest.param(
            android("Linux; Android 13; SM-A536B Build/TP1A; wv", "Chrome/119.0.0.0 [FB_IAB/FB4A;FBAV/443.0;]"),
            id="Facebook's browser",
        ),
    ],
)
def test_a_person_is_no_bot(user_agent):
    """Browsers and apps that people use are no bots."""
    assert not device.read(user_agent).is_bot


@pytest.mark.parametrize(
    ("user_agent", "has_it"),
    [
        pytest.param(PIXEL, True, id="Pixel"),
        pytest.param(FIRE, False, id="Fire"),
        pytest.param(IPHONE, False, id="iOS"),
    ],
)
def test_amazons_devices_have_no_google_play(user_agent, has_it):
    """A Fire tablet calls itself Android and has no Google Play."""
    assert has_it == device.read(user_agent).has_google_play


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        pytest.param('"14.0.0"', "14", id="14.0.0"),
        pytest.param('"8.1.0"', "8.1", id="8.1.0"),
        pytest.param('"10"', "10", id="10"),
        pytest.param('"15.0.1"', "15.0.1", id="15.0.1"),
    ],
)
def test_the_version_hint_comes_first(hint, value):
    """`Sec-CH-UA-Platform-Version` goes before the User-Agent, without its trailing `.0`."""
    expected = device.Fact(value, Source.HINT, "Sec-CH-UA-Platform-Version")

    assert expected == device.os_version(device.read(PIXEL), {"sec-ch-ua-platform-version": hint})


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        pytest.param('"SM-S918B"', "SM-S918B", id="as it is"),
        pytest.param('"Pixel 8 Pro"', "Pixel 8 Pro", id="spaces"),
        pytest.param('"a\\"b"', 'a"b', id="escaped quote"),
        pytest.param('"Pixel 8";x=1', "Pixel 8", id="parameter"),
    ],
)
def test_the_model_hint_comes_first(hint, value):
    """`Sec-CH-UA-Model` goes before the User-Agent, read as a structured field."""
    expected = device.Fact(value, Source.HINT, "Sec-CH-UA-Model")

    assert expected == device.model(device.read(PIXEL), {"sec-ch-ua-model": hint})


BAD_HINTS = [
    pytest.param("", id="nothing"),
    pytest.param('""', id="empty string"),
    pytest.param("K8", id="token"),
    pytest.param("14", id="number"),
    pytest.param('"14', id="open quote"),
    pytest.param('"14", "15"', id="two values"),
    pytest.param('("14")', id="list"),
    pytest.param('"é"', id="not ASCII"),
    pytest.param('"\udcff"', id="no UTF-8"),
    pytest.param(f'"{"1" * 300}"', id="too long"),
]


@pytest.mark.parametrize("hint", BAD_HINTS)
def test_a_malformed_version_hint_says_nothing(hint):
    """A version hint that is no structured-field string, or empty, leaves the User-Agent's word."""
    expected = device.Fact("12", Source.USER_AGENT, "User-Agent")

    assert expected == device.os_version(device.read(PIXEL), {"sec-ch-ua-platform-version": hint})


@pytest.mark.parametrize("hint", [*BAD_HINTS, pytest.param('"K"', id="K"), pytest.param('"unknown"', id="unknown")])
def test_a_malformed_model_hint_says_nothing(hint):
    """A model hint that is malformed, empty, `K` or unknown leaves the User-Agent's word."""
    expected = device.Fact("Pixel 5", Source.USER_AGENT, "User-Agent")

    assert expected == device.model(device.read(PIXEL), {"sec-ch-ua-model": hint})


@pytest.mark.parametrize("fact", [device.os_version, device.model])
def test_a_reduced_user_agent_without_hints_says_nothing(fact):
    """`Android 10; K` is on every phone, so without hints version and model are omitted."""
    found = fact(device.read(REDUCED), {})

    assert found.value is None
    assert found.source is Source.OMITTED


@pytest.mark.parametrize(
    ("accepted", "value"),
    [
        pytest.param("en", "en", id="language"),
        pytest.param("en-US", "en-US", id="region"),
        pytest.param("en-us", "en-US", id="region in lower case"),
        pytest.param("EN", "en", id="language in upper case"),
        pytest.param("de;q=0.5, en;q=0.9", "de", id="the first, whatever its weight"),
        pytest.param("zh-Hant-TW,zh;q=0.9", "zh-TW", id="script"),
        pytest.param("fil-PH", "fil-PH", id="three letters"),
        pytest.param(" fr-CA , fr", "fr-CA", id="spaces"),
    ],
)
def test_the_language_is_the_first_accepted(accepted, value):
    """`af_lang` is the first language of Accept-Language, as `en` or `en-US`."""
    expected = device.Fact(value, Source.HEADER, "Accept-Language")

    assert expected == device.language({"accept-language": accepted})


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="missing"),
        pytest.param({"accept-language": ""}, id="empty"),
        pytest.param({"accept-language": "*"}, id="any"),
        pytest.param({"accept-language": "*, en"}, id="any first"),
        pytest.param({"accept-language": "en_US"}, id="underscore"),
        pytest.param({"accept-language": "e"}, id="one letter"),
        pytest.param({"accept-language": "english"}, id="word"),
        pytest.param({"accept-language": "en-\r\nX: y"}, id="line break"),
        pytest.param({"accept-language": "es-٤١٩"}, id="other digits"),
        pytest.param({"accept-language": "\udcff"}, id="no UTF-8"),
    ],
)
def test_a_malformed_language_is_omitted(headers):
    """A missing, malformed or `*` Accept-Language says no language."""
    found = device.language(headers)

    assert found.value is None
    assert found.source is Source.OMITTED


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "sec-ch-ua-model": st.text(max_size=40),
        "sec-ch-ua-platform-version": st.text(max_size=40),
        "accept-language": st.text(max_size=40),
    },
)


@given(st.text(max_size=60).map(lambda text: f"Mozilla/5.0 (Linux; Android 12; {text})") | st.text(), HEADERS)
def test_no_header_makes_reading_raise_or_a_value_unfit(user_agent, headers):
    """Whatever the headers hold, reading them raises nothing and finds nothing but printable ASCII."""
    reader = device.read(user_agent)
    values = [fact(reader, headers).value for fact in (device.os_version, device.model)]

    values.append(device.language(headers).value)
    assert all(value is None or (value.isascii() and value.isprintable()) for value in values)
