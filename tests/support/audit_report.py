"""A report as an audit of a usual day comes to it: the figures of one place are those of another."""

from __future__ import annotations

import math
from dataclasses import replace

from storehop.audit.report import OTHERS, Change, Configured, Counts, Gate, Input, Report, Sample

MIDNIGHT = 1_764_115_200
"""26 November 2025, UTC."""

_APPS = (
    # app, clicks, share direct, shares of referrer, device id, IP, User-Agent, OS version, model
    ("com.example.game", 412_806, 0.934, (1.0, 0.612, 1.0, 1.0, 1.0, 0.871)),
    ("id123456789", 231_544, 0.911, (0.0, 0.187, 1.0, 1.0, 0.998, 0.0)),
    ("com.example.farm", 140_220, 0.887, (1.0, 0.583, 0.994, 1.0, 1.0, 0.842)),
    ("com.example.puzzle.classic", 77_310, 0.902, (1.0, 0.664, 1.0, 1.0, 1.0, 0.903)),
    ("id987654321", 39_127, 0.874, (0.0, 0.203, 1.0, 1.0, 0.997, 0.0)),
    ("com.example.taxi", 18_402, 0.041, (1.0, 0.498, 1.0, 1.0, 1.0, 0.861)),
    (OTHERS, 10_703, 0.0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
)
_DIGEST = "b1946ac92492d2347c6235b4d2611184a1c3f0e2d5b697887766554433221100"
_SIGNALS = ("referrer", "device_id", "ip", "user_agent", "os_version", "model")
_REASONS = {
    "com.example.game": {"bot": 0.41, "wrong_platform": 0.33, "not_get": 0.16, "too_long": 0.1},
    "id123456789": {"wrong_platform": 0.52, "bot": 0.37, "not_get": 0.11},
    "com.example.farm": {"retargeting": 0.58, "bot": 0.27, "wrong_platform": 0.15},
    "com.example.puzzle.classic": {"bot": 0.49, "wrong_platform": 0.36, "prefetch": 0.15},
    "id987654321": {"wrong_platform": 0.61, "bot": 0.39},
    "com.example.taxi": {"deep_link": 0.93, "bot": 0.05, "wrong_platform": 0.02},
    OTHERS: {"no_rule": 1.0},
}
_LINK = "https://app.appsflyer.com/{app}?pid=networka_int&c={campaign}&clickid=#{token}&advertising_id=#{ident}&af_siteid=4711"


def _counts(clicks: int, share: float, signals: tuple[float, ...], reasons: dict[str, float]) -> Counts:
    direct = int(clicks * share)
    left = clicks - direct
    spread = {reason: int(left * part) for reason, part in reasons.items()}
    spread[max(reasons, key=reasons.__getitem__)] += left - sum(spread.values())
    known = {key: int(direct * part) for key, part in zip(_SIGNALS, signals, strict=True)}
    rest = direct - max(known["referrer"], known["device_id"])
    return Counts(clicks, direct, spread, known, rest)


def _sum(groups: list[Counts]) -> Counts:
    whole = Counts()
    for one in groups:
        whole.clicks += one.clicks
        whole.direct += one.direct
        whole.ip_and_user_agent_only += one.ip_and_user_agent_only
        for mine, its in ((whole.reasons, one.reasons), (whole.signals, one.signals), (whole.drift, one.drift)):
            for key, n in its.items():
                mine[key] = mine.get(key, 0) + n
    return whole


def _sample(line: int, words: str, app: str = "com.example.game", campaign: str = "spring_2025") -> Sample:
    token, ident = f"{line * 2654435761 % 2**32:08x}", f"{line * 40503 % 2**32:08x}"
    return Sample(f"access.log:{line:,}", _LINK.format(app=app, campaign=campaign, token=token, ident=ident), words)


def _direct(line: int, device: str, app: str) -> Sample:
    one = _sample(line, "", app)
    on_ios = app.startswith("id")
    store, keys = (
        ("the App Store", "IP, User-Agent, OS version") if on_ios else ("Google Play", "referrer, IP, User-Agent")
    )
    place = (
        f"https://apps.apple.com/us/app/{app}"
        if on_ios
        else f"https://play.google.com/store/apps/details?id={app}&referrer=NetworkA_%23{line:08x}"
    )
    return replace(
        one,
        words=f"{device}: goes to {store}; AppsFlyer can match on {keys}",
        app=app,
        location=place,
        call=f"{one.link}&af_ip=203.0.113.0/24&af_ua=#{line * 97:08x}&redirect=false",
    )


def _samples() -> dict[str, list[Sample]]:
    return {
        "direct": [
            _direct(17, "Android 14, Pixel 8", "com.example.game"),
            _direct(40_118, "iOS 17.6", "id123456789"),
            _direct(912_007, "Android 13, SM-A536B", "com.example.farm"),
        ],
        "bot": [
            _sample(204, "A link preview asked for it: its User-Agent says WhatsApp/2.23."),
            _sample(8_311, "A crawler asked for it: its User-Agent says Googlebot/2.1."),
            _sample(77_912, "A program that poses as a phone sent it: Sec-CH-UA says HeadlessChrome."),
        ],
        "wrong_platform": [
            _sample(1_022, "The device is neither Android nor iOS, so it has no use for Google Play."),
            _sample(5_410, "An iPhone cannot use Google Play."),
            _sample(31_000, "This Android device cannot use the App Store.", "id123456789"),
        ],
        "retargeting": [_sample(7_003, "The link has is_retargeting=true.", "com.example.farm", "comeback_nov")],
        "deep_link": [
            _sample(9_144, "The link has af_dp: the installed app should open.", "com.example.taxi", "rides")
        ],
        "no_rule": [_sample(2_260, "No rule names this app.", "com.example.other")],
        "not_get": [_sample(66_100, "It came by HEAD.")],
        "too_long": [_sample(412, "The call would have 2,311 characters; AppsFlyer takes 2,000.")],
        "prefetch": [_sample(903_117, "The browser says Sec-Purpose: prefetch.", "com.example.puzzle.classic")],
        "never_filled_in": [_sample(5_512, "The link has af_sub1={sub_id}.")],
        "private_addresses": [_sample(18, "The client's address is in 10.0.0.0/24.", "com.example.farm")],
        "repeated_click_ids": [_sample(730_004, "Line 729,981 has the same click id.")],
        "page_redirects": [_sample(88_210, "The page has a meta refresh of 0 seconds to this link.")],
        "other_country": [_sample(611_820, "AppsFlyer led to the German App Store; the rule says us.", "id987654321")],
    }


def _slots(clicks: int, direct: int) -> list[tuple[int, int, int]]:
    """A day of 144 slots: quiet at night, most in the evening."""
    weights = [
        1.1 - math.cos((i - 24) / 144 * 2 * math.pi) + 0.55 * math.exp(-(((i - 122) / 9) ** 2)) for i in range(144)
    ]
    weights = [weight * (1 + 0.03 * math.sin(i * 1.7) + 0.03 * math.sin(i * 0.61)) for i, weight in enumerate(weights)]
    whole = sum(weights)
    return [
        (MIDNIGHT + 600 * i, int(clicks * weight / whole), int(direct * weight / whole))
        for i, weight in enumerate(weights)
    ]


def usual_report() -> Report:
    """A day of a team with two stores, one app whose links open it, and a network that forgets a macro."""
    apps = {app: _counts(clicks, share, signals, _REASONS[app]) for app, clicks, share, signals in _APPS}
    apps["com.example.game"].drift = {"same": 84, "not_comparable": 3}
    apps["id123456789"].drift = {"same": 41}
    apps["id987654321"].drift = {"same": 17, "other_country": 2}
    android = _sum([one for app, one in apps.items() if app.startswith("com.")])
    ios = _sum([one for app, one in apps.items() if app.startswith("id")])
    whole = _sum(list(apps.values()))
    direct = whole.direct
    shares = (0.38, 0.27, 0.18, 0.11, 0.06)
    names = ("spring_2025", "brand_always_on", "comeback_nov", "rides", "test_de")
    campaigns = {
        name: _counts(int(whole.clicks * part), whole.direct / whole.clicks, (1.0,) * 6, {"bot": 0.6, "deep_link": 0.4})
        for name, part in zip(names, shares, strict=True)
    }
    return Report(
        version="0.1.0",
        made_at=MIDNIGHT + 122_400,
        rules_path="/etc/storehop/storehop.yaml",
        rules_digest=_DIGEST,
        inputs=[
            Input(
                "access.log.gz",
                "nginx",
                "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                MIDNIGHT + 3,
                MIDNIGHT + 86_398,
                1_204_118,
                37,
                (
                    "5,120: it is no JSON: the line ends within a string",
                    "88,034: it is no JSON: the line is empty",
                ),
                cannot_tell=("client hints and fetch metadata",),
                knows=("time", "link", "user_agent", "language", "client_ip"),
            ),
            Input(
                "phones.har",
                "HAR",
                "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                MIDNIGHT + 36_000,
                MIDNIGHT + 38_460,
                1_911,
                0,
                cannot_tell=("the clients' addresses: af_ip is missing here, and live it will not be",),
                knows=("time", "link", "user_agent", "language", "client_hints", "hops", "bodies"),
            ),
        ],
        exchanges=1_205_992,
        further_hops=147,
        not_clicks=1_205_992 - 147 - whole.clicks,
        unreadable=37,
        clicks=whole.clicks,
        direct=direct,
        reasons=whole.reasons,
        rules={"games-android": android, "games-ios": ios},
        apps=apps,
        campaigns=campaigns,
        sources={"networka_int": whole},
        signals=whole.signals,
        ip_and_user_agent_only=whole.ip_and_user_agent_only,
        parameters={
            "clickid": {"link": direct - 1_204, "generated": 1_204},
            "advertising_id": {"link": int(direct * 0.42)},
            "idfa": {"link": int(direct * 0.06)},
            "af_ip": {"address": direct - 841},
            "af_ua": {"header": direct},
            "af_lang": {"header": int(direct * 0.981), "omitted": 412},
            "af_os_version": {"user_agent": int(direct * 0.999)},
            "af_model": {"user_agent": int(direct * 0.31), "hint": int(direct * 0.27)},
            "af_ref": {"generated": int(direct * 0.7)},
            "af_siteid": {"link": direct},
            "redirect": {"generated": direct},
        },
        never_filled_in={"af_sub1": 9_316, "af_adset": 402},
        never_filled_in_clicks=9_534,
        longest_url=1_644,
        repeated_click_ids=2_118,
        missing_click_ids=1_204,
        private_addresses=841,
        other_networks={"Adjust": 14_092, "Branch": 3_310},
        page_redirects=612,
        peak_calls_per_second=38,
        p99_calls_per_second=24,
        calls_in_an_outage=3_214,
        slot_seconds=600,
        per_minute=_slots(whole.clicks, direct),
        drift=_sum(list(apps.values())).drift,
        drift_examples=[
            Sample(
                "phones.har:411",
                "https://app.appsflyer.com/id987654321?pid=networka_int&c=test_de&clickid=#5d0f2a11",
                "AppsFlyer led to apps.apple.com/de/app/id987654321, we to apps.apple.com/us/app/id987654321.",
            )
        ],
        harmless={
            "mt=8: the App Store ignores it": 58,
            "the country's letter case: stores read it either way": 41,
            "af_tranid in the referrer: AppsFlyer makes a new one for each click": 84,
        },
        not_comparable={"AppsFlyer answered with a page": 3},
        hops=144,
        hop_ms_median=187.4,
        configured=Configured(
            whole.clicks,
            int(direct * 0.0098),
            1_733,
            {**whole.reasons, "not_sampled": direct - int(direct * 0.0098) - 1_733},
        ),
        samples=_samples(),
        gates=[
            Gate("direct", ">=", direct / whole.clicks, 0.80, holds=True),
            Gate("ip", ">=", whole.signals["ip"] / direct, 0.99, holds=True),
            Gate("never_filled_in", "<=", 9_534 / direct, 0.02, holds=True),
            Gate("unreadable", "<=", 37 / 1_206_029, 0.001, holds=True),
            Gate("drift", "==", 2.0, 0.0, holds=False),
        ],
        baseline="audit-2025-11-19.json",
        baseline_digest=_DIGEST,
        changes=[
            Change("app com.example.farm: direct", 0.921, 0.887),
            Change("app com.example.game: device_id", 0.634, 0.612),
        ],
        new_parameters=["af_channel"],
        cannot_tell=[
            "client hints and fetch metadata: live there may be more models and versions (access.log.gz)",
            "the clients' addresses: af_ip is missing here, and live it will not be (phones.har)",
        ],
    )
