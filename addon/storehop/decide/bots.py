"""Our corrections of the public list of bots: data, each entry with its source and the day on which we checked it.

Patterns use the syntax common to Rust's `regex` and Python's `re`: no look-around, no back-references. `crawler`
builds one matcher from all of them. tests/decide/user_agents.yaml has an example of each.
"""

from __future__ import annotations

from typing import NamedTuple


class BotPattern(NamedTuple):
    """A pattern, the bots that it matches, and the source."""

    pattern: str
    what: str
    source: str
    date: str
    """The day on which the source said so, ISO 8601."""


class NarrowedPattern(NamedTuple):
    """A pattern of the public list that also matches people, and the pattern that we use instead; "" is none."""

    listed_pattern: str
    replacement: str
    people: str
    """The people that it matched."""
    source: str
    date: str


_GOOGLE = "developers.google.com/crawling/docs/crawlers-fetchers/overview-google-crawlers"
_USER_AGENTS = "npm user-agents 2.1.198"
_CRAWLERDETECT = "PyPI crawlerdetect 0.4.2, its devices"
_CRAWLERS = "PyPI crawlerdetect 0.4.2, its crawlers"
_MATOMO = "github.com/matomo-org/device-detector, Tests/fixtures/bots.yml"
_ISBOT = "github.com/omrilotan/isbot, fixtures/crawlers.yml"
_CHECKED_ON = "2026-11-27"

_CHROME = r"\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\) +Chrome/"
_SINCE_REDUCTION = r"(?:1[1-9]\d|[2-9]\d\d)\."
"""Chrome 110 and later: they no longer name the phone."""

POSING: tuple[BotPattern, ...] = (
    BotPattern(
        r"CriOS/\d+\.0\.0\.0",
        "Chrome for iOS writes its whole version: `N.0.0.0` is the preset of a scraping library. The pages that it "
        "opened saw navigator.platform `Linux x86_64`",
        f"{_USER_AGENTS}; chromium.googlesource.com, docs/ios/user_agent.md",
        _CHECKED_ON,
    ),
    BotPattern(
        r"OS 17_4_1 like Mac OS X\) AppleWebKit/605\.1\.15 \(KHTML, like Gecko\) CriOS/123\.0\.6312\.52 ",
        "one preset, old by two years: all ten pages that it opened saw navigator.platform `Linux x86_64`",
        _USER_AGENTS,
        _CHECKED_ON,
    ),
    BotPattern(
        r"Chrome/\d+\.0\.\d+\.\d{4,} Mobile Safari/537\.36$",
        "Bytespider's templates without its name: random numbers. A real Chrome's last one has at most three digits",
        f"{_USER_AGENTS}; PyPI fake-useragent 2.2.0; {_ISBOT}",
        _CHECKED_ON,
    ),
    BotPattern(
        r"\(iP(?:hone|ad|od)[^)]*" + _CHROME + r"[\d.]+ (?:Mobile(?:/\w+)? )?Safari/[\d.]+$",
        "No browser on iOS says Chrome and nothing else: it is CriOS there",
        f"{_USER_AGENTS}; chromium.googlesource.com, docs/ios/user_agent.md",
        _CHECKED_ON,
    ),
    BotPattern(
        r"Android 11(?:\.0)?; (?i:moto g power \(2022\))" + _CHROME + _SINCE_REDUCTION,
        "Lighthouse's phone, which runs in PageSpeed and many monitors, without its name since version 10",
        "github.com/GoogleChrome/lighthouse, pull 14384 and issue 15971",
        _CHECKED_ON,
    ),
    BotPattern(
        r"; (?:Nexus 5 Build/MRA58N|SM-G900P Build/LRX21T|Pixel 2 Build/OPD3\.170816\.012"
        r"|Pixel 2 XL Build/OPD1\.170816\.004|Nexus 5X Build/OPR4\.170623\.006|Nexus 6 Build/N6F26U"
        r"|Nexus 6P Build/OPP3\.170518\.006|Nexus 7 Build/MOB30X|Nexus 10 Build/MOB31T)" + _CHROME + _SINCE_REDUCTION,
        "The phones that Chrome's developer tools, Puppeteer and Playwright emulate: since Chrome 73 a Chrome on such "
        "a phone names no build",
        "github.com/ChromeDevTools/devtools-frontend, front_end/models/emulation/EmulatedDevices.ts; "
        "github.com/microsoft/playwright, deviceDescriptorsSource.json",
        _CHECKED_ON,
    ),
)
"""Programs that pose as phones without a name of their own."""

MISSING: tuple[BotPattern, ...] = (
    BotPattern(
        r"\+ ?https?://(?:[^w]|w[^w]|www\.[^k])",
        "`(+https://…)`: where to read about the robot. K-Meleon, a browser, names `http://www.kangaroo…`",
        _CRAWLERDETECT,
        _CHECKED_ON,
    ),
    BotPattern(r"Safari/[\d.]+ https?://", "the same, at the end and without a plus", _MATOMO, _CHECKED_ON),
    BotPattern(
        r"(?:Android|iPhone|iPad|iPod).*(?:Safari|Firefox)/[\d.]+ \(compatible; (?:[^G]|G[^o]|Google[ -]|Google[A-Z])",
        "a second comment with a name: no phone's browser has one; `(compatible; Google)` is a device to crawlerdetect",
        _GOOGLE,
        _CHECKED_ON,
    ),
    BotPattern(r"\bGoogle-[A-Z]|\b[A-Z][A-Za-z]+-Google\b", "Google's fetchers for its products", _GOOGLE, _CHECKED_ON),
    BotPattern(
        r"like Gecko; (?:Google|compatible)", "Google's fetchers of old, within the comment", _MATOMO, _CHECKED_ON
    ),
    BotPattern(
        r"\(Google[Bb]ot\)|compatible; GoogleSites", "Google", "github.com/browscap/browscap, tests", _CHECKED_ON
    ),
    BotPattern(r"Calypso AppCrawler", "Google tries apps with it, and opens their links", _GOOGLE, "2026-11-20"),
    BotPattern(r"GoogleMessages/", "the link preview of Android's messenger", _GOOGLE, "2026-11-20"),
    BotPattern(
        r"\b[Cc]loud[Ff]lare[A-Z-]",
        "Cloudflare's observatory, health checks and prefetches",
        "developers.cloudflare.com/fundamentals/reference/cloudflare-site-crawling",
        _CHECKED_ON,
    ),
    BotPattern(
        r"(?i:(?:datadog|dynatrace|elastic|new ?relic|ruxit|splunk)[ /]?synthetics?\b)|\bSyntheticsAgent/",
        "synthetic monitors. The word alone may be an app's name",
        _ISBOT,
        _CHECKED_ON,
    ),
    BotPattern(r"KHTML, ?link Gecko", "a template with a slip of the pen", _CRAWLERS, _CHECKED_ON),
    BotPattern(
        r"Neustar WPM|YottaaMonitor|(?:Android|iPhone|iPad).*\bKTXN|GomezAgent|DejaClick|AlertSite|; Rigor\)"
        r"|SpeedCurve|DebugBear|Dareboost|\bPTST[ /]|GTmetrix|WebPageTest|pageburst|Uptrends|NewRelicPinger|\bk6/\d"
        r"|\bwimb_monitor\b",
        "monitors that open pages as phones",
        f"{_CRAWLERS}; {_ISBOT}",
        _CHECKED_ON,
    ),
    BotPattern(
        r"GeoEdge|\bConfiant|DoubleVerify|doubleverify|ias-va/|IAS[ -][Cc]rawler|BrandVerity|pixalate|adscanner"
        r"|\bAd[ -]?[Rr]eview|evaliant$|Yahoo Ad monitoring|CJNetworkQuality|IAB-Tech-Lab",
        "reviewers and verifiers of ads",
        f"{_CRAWLERS}; github.com/matomo-org/device-detector, regexes/bots.yml",
        _CHECKED_ON,
    ),
    BotPattern(
        r"compatible; \w+/[\d.]+ - https?://", "where to read about the robot, without a plus", _CRAWLERS, _CHECKED_ON
    ),
    BotPattern(r"^Thumbor/|^Anonymous, ", "an image fetcher and a proxy that repeat a phone's", _ISBOT, _CHECKED_ON),
    BotPattern(
        r"\bConvertify\b|mixed-content-scan|screenshot-generator|qcloudcdn|TinEye/",
        "site converters, scanners, screenshots and content networks",
        f"{_MATOMO}; {_ISBOT}; {_CRAWLERS}",
        _CHECKED_ON,
    ),
    BotPattern(
        r"^AndroidDownloadManager/|^(?i:swcd) |^NetworkingExtension/|^GoSpotCheck|^Dolphin http client",
        "parts of a phone's system that fetch without a person",
        f"{_CRAWLERS}; {_ISBOT}",
        _CHECKED_ON,
    ),
    BotPattern(
        r"^(?:Dart|GuzzleHttp|PostmanRuntime|RestSharp|insomnia|node|reqwest|Ruby|undici)\b",
        "libraries and tools",
        "their own documentation",
        "2026-11-20",
    ),
)
"""Bots that the public list lacks."""

NARROWED: tuple[NarrowedPattern, ...] = (
    NarrowedPattern(
        r"AP3A\.240617\.008", "", "a build of Android 15: OPPO, OnePlus, realme", _CRAWLERDETECT, "2026-11-20"
    ),
    NarrowedPattern(r"MetaIAB Facebook", "", "Facebook's in-app browser", _USER_AGENTS, "2026-11-20"),
    NarrowedPattern(r"008\/", r"\b008/", "Opera Mini: `Opera Mini/4.4.39008/37.9178`", _CRAWLERDETECT, "2026-11-20"),
    NarrowedPattern(r"Butterfly", r"\bButterfly/", "a phone: `HTC Butterfly s`", _CRAWLERDETECT, "2026-11-20"),
    NarrowedPattern(r"Expanse", r"\bExpanse, a Palo Alto", "a phone: `Expanse`", _CRAWLERDETECT, "2026-11-20"),
    NarrowedPattern(r"Fever", r"\bFever/", "a tablet: `Fever_Plus`", _CRAWLERDETECT, "2026-11-20"),
    NarrowedPattern(r"Sogou", r"\bSogou[ -]", "a browser as well as a spider", _CRAWLERDETECT, "2026-11-20"),
    NarrowedPattern(r"Sonic", r"\bSonic/|RankSonic", "phones: `ViewSonic A8+`", _CRAWLERDETECT, "2026-11-20"),
    NarrowedPattern(
        r"Viber", r"^Viber", "Viber's in-app browser; its link preview starts with it", _CRAWLERDETECT, _CHECKED_ON
    ),
    NarrowedPattern(
        r"Blackboard", r"\bBlackboard Safeassign", "the learning app's web view", _CRAWLERDETECT, _CHECKED_ON
    ),
    NarrowedPattern(
        r"Freespoke\/",
        r"compatible; Freespoke/",
        "a browser on iOS",
        "github.com/matomo-org/device-detector, Tests/Parser/Client/fixtures/browser.yml",
        _CHECKED_ON,
    ),
    NarrowedPattern(
        r"Netvibes", r"^Netvibes", "the app's web view", "github.com/browscap/browscap, tests", _CHECKED_ON
    ),
    NarrowedPattern(
        r"RED\/", r"\bRED/", "WIRED's app: `WIRED/3.2.3`", "github.com/ua-parser/uap-core, tests", _CHECKED_ON
    ),
    NarrowedPattern(
        r"Synapse", r"^Synapse", "`(compatible; Synapse)`, a library on desktops", _CRAWLERDETECT, _CHECKED_ON
    ),
    NarrowedPattern(r"Magellan", r"^Magellan(?:/|$)", "`Magellan Agent`, a desktop's", _CRAWLERDETECT, _CHECKED_ON),
    NarrowedPattern(
        r"Catchpoint",
        r"^Catchpoint|(?:Android|iPhone|iPad).*Catchpoint",
        "a desktop that says so; on a phone it is the monitor",
        _CRAWLERDETECT,
        _CHECKED_ON,
    ),
    NarrowedPattern(
        r"splash Version\/", r"splash Version/\d\d", "a desktop with version 9", _CRAWLERDETECT, _CHECKED_ON
    ),
)
"""Patterns of the public list that match people."""

NO_SPIDER = r"^WinHTTP$|NetCast"
"""User-Agents that ua-parser calls spiders and crawlerdetect calls devices: a desktop's library, a television."""
