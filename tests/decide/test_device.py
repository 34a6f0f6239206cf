"""What User-Agent and client hints say about a device: the truth or nothing (design §3.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.decide import device
from storehop.decide.link import MAX_CACHED_CHARACTERS
from storehop.model import Platform, Source
from tests.support.clicks import DESKTOP, FIRE, IPAD, IPHONE, PIXEL, REDUCED

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
        pytest.param("Mozilla/5.0 (X11; Linux x86_64; Quest Pro) OculusBrowser/32.1 Chrome/122.0", False, id="Quest"),
        pytest.param(android("Linux; Android 10; VIVE Focus 3", "Chrome/122.0 VR Safari/537.36"), False, id="VIVE"),
    ],
)
def test_amazons_devices_and_headsets_have_no_google_play(user_agent, has_it):
    """A Fire tablet and a headset call themselves Android and have no Google Play."""
    assert has_it == device.read(user_agent).has_google_play


MINI = "Opera/9.80 (Android; Opera Mini/36.2.2254/191.287; U; en) Presto/2.12.423 Version/12.16"
UC_PROXY = "UCWEB/2.0 (MIDP-2.0; U; Adr 9; en-US; SM-J701F) U2/1.0.0 UCBrowser/10.7.9.856 U2/1.0.0 Mobile"
UC_MINI = (
    "UCWEB/2.0 (Java; U; MIDP-2.0; Nokia203/20.37) U2/1.0.0 UCMini/11.2.0.1125 "
    "(SpeedMode; Proxy; Android 7.1.1; DLI-TL20 ) U2/1.0.0 Mobile"
)
UC_DIRECT = android(
    "Linux; U; Android 9; en-US; SM-J730F Build/PPR1", "Version/4.0 Chrome/78.0.3904.108 UCBrowser/13.4"
)
OPERA_DIRECT = android(
    "Linux; U; Android 10; SM-A205U Build/QP1A; wv", "Version/4.0 Chrome/92.0.4515.131 OPR/58.2.2254"
)
PUFFIN = android(
    "Linux; Android 4.1.2; cm_tenderloin Build/JZO54K; en-us", "Chrome/69.0.3497.81 Safari/537.36 Puffin/7.8"
)
SILK = android(
    "Linux; U; Android 4.0.3; en-us; KFTT Build/IML74K", "Silk/3.4 Mobile Safari/535.19 Silk-Accelerated=true"
)


@pytest.mark.parametrize(
    ("user_agent", "is_theirs"),
    [
        pytest.param(MINI, True, id="Opera Mini"),
        pytest.param("Opera/9.80 (iPhone; Opera Mini/8.0.0/37.6283; U; en) Presto/2.8.119", True, id="Mini on iPhone"),
        pytest.param(UC_PROXY, True, id="UC's proxies"),
        pytest.param(UC_MINI, True, id="UC Mini"),
        pytest.param(PUFFIN, True, id="Puffin"),
        pytest.param(SILK, True, id="Silk by Amazon's servers"),
        pytest.param(SILK.replace("=true", "=false"), False, id="Silk itself"),
        pytest.param(UC_DIRECT, False, id="UC Browser itself"),
        pytest.param(OPERA_DIRECT, False, id="Opera Mini's direct mode"),
        pytest.param(android("Linux; Android 10; K", "Chrome/127.0.0.0 Mobile OPR/84.0.0.0"), False, id="Opera"),
        pytest.param("Opera/9.80 (Android 4.1.2; Linux; Opera Mobi/ADR-13) Presto/2.11.355", False, id="Opera Mobile"),
        pytest.param(PIXEL, False, id="Chrome"),
        pytest.param(IPHONE, False, id="Safari"),
    ],
)
def test_browsers_whose_makers_servers_fetch_the_page_are_known(user_agent, is_theirs):
    """Opera Mini, UC's proxies, Puffin and their like come from their maker's servers; their direct modes do not."""
    assert is_theirs == device.read(user_agent).is_fetched_by_maker


@pytest.mark.parametrize(
    ("user_agent", "is_web_view"),
    [
        pytest.param(android("Linux; Android 13; SM-S918B Build/TP1A; wv", "Version/4.0 Chrome/119.0"), True, id="wv"),
        pytest.param(android("Linux; Android 10; K; wv", "Version/4.0 Chrome/143.0.0.0"), True, id="reduced"),
        pytest.param("Mozilla/5.0(Linux;Android15;SM-S928BBuild/AP3A;wv)AppleWebKit", True, id="lost spaces"),
        pytest.param(android("Linux; Android 4.4.4; XT1032 Build/KXB21", "Version/4.0 Chrome/33.0"), True, id="old"),
        pytest.param(android("Linux; Android 11", "Version/4.0 Chrome/126.0 DuckDuckGo/5"), True, id="DuckDuckGo"),
        pytest.param(
            android("Linux; Android 10; K", "Chrome/142.0.0.0 [FB_IAB/FB4A;FBAV/535.0;]"), True, id="Facebook"
        ),
        pytest.param(
            android("Linux; Android 10; K", "Chrome/142.0.0.0 musical_ly BytedanceWebview/d8"), True, id="TikTok"
        ),
        pytest.param(
            iphone("17_4_1", "Mobile/15E148 Instagram 410.0 (iPhone14,5; iOS 17_4_1; en)"), True, id="Instagram"
        ),
        pytest.param(PIXEL, False, id="Chrome"),
        pytest.param(android("Linux; Android 10; K", "SamsungBrowser/28.0 Chrome/130.0.0.0"), False, id="Samsung"),
        pytest.param(IPHONE, False, id="Safari"),
        pytest.param(DESKTOP, False, id="desktop"),
    ],
)
def test_an_apps_web_view_is_known(user_agent, is_web_view):
    """An app's own window, and browsers built on Android's WebView, are told from browsers."""
    assert is_web_view == device.read(user_agent).is_web_view


HEADLESS = '"HeadlessChrome";v="129", "Not=A?Brand";v="8", "Chromium";v="129"'


@pytest.mark.parametrize(
    ("headers", "is_bot"),
    [
        pytest.param({}, False, id="no brands"),
        pytest.param({"sec-ch-ua": '"Google Chrome";v="147", "Chromium";v="147"'}, False, id="Chrome"),
        pytest.param({"sec-ch-ua": '"Brave";v="147", "Chromium";v="147"'}, False, id="Brave"),
        pytest.param({"sec-ch-ua": ""}, False, id="empty"),
        pytest.param({"sec-ch-ua": HEADLESS}, True, id="headless"),
        pytest.param({"sec-ch-ua": HEADLESS.lower()}, True, id="headless in lower case"),
        pytest.param({"sec-ch-ua": '"HeadlessEdg";v="129"'}, True, id="headless Edge"),
        pytest.param({"sec-ch-ua": '"Lighthouse";v="12"'}, True, id="Lighthouse"),
    ],
)
def test_brands_of_a_program_are_a_bots(headers, is_bot):
    """A `Sec-CH-UA` that names HeadlessChrome or its like is a bot's, whatever the User-Agent claims."""
    assert is_bot == device.is_bot(device.read(REDUCED), headers)


@pytest.mark.parametrize("platform", ["Windows", "macOS", "Linux", "Chrome OS", "Chromium OS", "iOS", "windows"])
def test_hints_of_another_platform_are_void(platform):
    """A `Sec-CH-UA-Platform` that names another known platform voids the hints beside it."""
    headers = {
        "sec-ch-ua-platform": f'"{platform}"',
        "sec-ch-ua-platform-version": '"15.0.0"',
        "sec-ch-ua-model": '"X"',
    }
    reader = device.read(REDUCED)

    assert [None, None] == [device.os_version(reader, headers).value, device.model(reader, headers).value]


@pytest.mark.parametrize(
    "platform", ['"Android"', '"android"', '"Unknown"', '""', "Android", '"HarmonyOS"', '"Windows']
)
def test_hints_of_no_other_platform_count(platform):
    """Android, an unknown or a malformed `Sec-CH-UA-Platform` contradicts nothing."""
    headers = {"sec-ch-ua-platform": platform, "sec-ch-ua-platform-version": '"15.0.0"', "sec-ch-ua-model": '"Pixel 9"'}
    reader = device.read(REDUCED)

    assert ["15", "Pixel 9"] == [device.os_version(reader, headers).value, device.model(reader, headers).value]


@pytest.mark.parametrize("fact", [device.os_version, device.model])
def test_every_header_that_is_looked_at_is_named(fact):
    """`HINT_HEADERS` has whatever `os_version` and `model` ask for: others keep what they say by these."""

    class Asked(dict):
        def get(self, name, default=None):
            assert name in device.HINT_HEADERS
            return super().get(name, default)

    fact(device.read(PIXEL), Asked(dict.fromkeys(device.HINT_HEADERS, '"x"')))


@pytest.mark.parametrize(
    "user_agent",
    [
        pytest.param(PIXEL + " " + "x" * MAX_CACHED_CHARACTERS, id="long"),
        pytest.param(PIXEL + " \N{PILE OF POO}", id="four bytes a character"),
    ],
)
def test_what_would_fill_the_memory_is_read_but_not_kept(user_agent):
    """A User-Agent above MAX_CACHED_CHARACTERS is read each time anew: the cache holds 4 MB at the most."""
    before = device._cached.cache_info()

    assert "Pixel 5" == device.read(user_agent).model
    assert before == device._cached.cache_info()


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
        "sec-ch-ua-platform": st.text(max_size=40),
        "sec-ch-ua": st.text(max_size=40),
        "accept-language": st.text(max_size=40),
    },
)


@given(st.text(max_size=60).map(lambda text: f"Mozilla/5.0 (Linux; Android 12; {text})") | st.text(), HEADERS)
def test_no_header_makes_reading_raise_or_a_value_unfit(user_agent, headers):
    """Whatever the headers hold, reading them raises nothing and finds nothing but printable ASCII."""
    reader = device.read(user_agent)
    values = [fact(reader, headers).value for fact in (device.os_version, device.model)]

    device.is_bot(reader, headers)
    values.append(device.language(headers).value)
    assert all(value is None or (value.isascii() and value.isprintable()) for value in values)
