"""What is asked: raw HTTP/1.1 requests with a place for a number, so that no two clicks are alike.

A click that comes again within ten seconds is a duplicate and cheap; 50 User-Agents and addresses take turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import count

PLACE = "@ID@"
"""Where a request's own id goes."""
ADDRESS = "@ADDRESS@"
"""Where an IPv6 address goes that no other request of its run has."""
STORE = b"https://play.google.com/"
ATTRIBUTION = b"https://app.appsflyer.com/"
ADS_HOST = "ads.network.example"
ATTRIBUTION_HOST = "app.appsflyer.com"
PLAIN_PATH = "/ad"

_MODELS = (
    "Pixel 5",
    "Pixel 7a",
    "SM-S918B",
    "SM-A536E",
    "SM-G991U",
    "M2101K6G",
    "CPH2371",
    "V2120",
    "XQ-CC54",
    "RMX3363",
)
_VERSIONS = ("10", "11", "12", "13", "14")

RULES = """
version: 1
partner: NetworkA
client_ip: {{trusted_proxies: [127.0.0.0/8]}}
delivery: {{endpoint: "http://127.0.0.1:{appsflyer}"}}
rules:
  - {{name: games, match: {{app: "com.example.*", pid: networka_int}}}}
"""
"""Everything is on: default durability, every device parameter, an S2S call for every click."""


class Kind(StrEnum):
    """What a request is for storehop."""

    PLAIN = "plain"
    """No click: the ad stack answers 200 with half a kilobyte."""
    ANSWER = "answer"
    """A click on an attribution host: no upstream is met."""
    REWRITE = "rewrite"
    """A click on the ad stack, which redirects it to an attribution link."""
    HOSTILE = "hostile"
    """As ANSWER, with header values that no other click has: of everything that a cache could keep."""


HOSTS = {
    Kind.PLAIN: ADS_HOST,
    Kind.ANSWER: ATTRIBUTION_HOST,
    Kind.REWRITE: ADS_HOST,
    Kind.HOSTILE: ATTRIBUTION_HOST,
}


def user_agents() -> list[str]:
    """50 distinct Android browsers that say their model."""
    return [
        f"Mozilla/5.0 (Linux; Android {version}; {model}) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{95 + number}.0.4638.16 Mobile Safari/537.36"
        for number, model in enumerate(_MODELS)
        for version in _VERSIONS
    ]


def link_path(click_id: str, app: str = "com.example.game") -> str:
    """Path and query of a usual attribution link."""
    return (
        f"/{app}?pid=networka_int&c=spring_sale&clickid={click_id}&af_siteid=77&af_sub1=banner-320x50"
        "&af_c_id=918273&af_adset=broad&af_ad=blue&af_click_lookback=7d"
    )


def headers(user_agent: str, number: int) -> dict[str, str]:
    """What a browser sends, through a load balancer that says where it is."""
    return {
        "User-Agent": user_agent,
        "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
        "Accept-Language": "en-US,en;q=0.9",
        "Accept-Encoding": "gzip, deflate",
        "X-Forwarded-For": f"81.2.69.{100 + number}",
        "Cookie": f"session=s{number}",
    }


def hostile_headers(number: int) -> dict[str, str]:
    """As of a phone, but each value is new: of a client that wants our memory."""
    return headers(
        f"Mozilla/5.0 (Linux; Android 12; {PLACE}) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{95 + number}.0.4638.16 Mobile Safari/537.36 {PLACE}",
        number,
    ) | {
        "Accept-Language": f"en-US,en;q=0.9,x-{PLACE};q=0.1",
        "X-Forwarded-For": f"{PLACE}, {ADDRESS}",
        "Sec-CH-UA": f'"{PLACE}";v="99"',
        "Sec-CH-UA-Model": f'"{PLACE}"',
        "Sec-CH-UA-Platform-Version": f'"12.{PLACE}"',
        "Cookie": f"session={PLACE}",
    }


def templates(kind: Kind) -> list[str]:
    """50 requests of this kind, each with PLACE in its query; hostile ones have PLACE and ADDRESS elsewhere, too."""
    path = f"{PLAIN_PATH}?slot=7&request={PLACE}" if kind is Kind.PLAIN else link_path(PLACE)
    return [
        _request(HOSTS[kind], path, hostile_headers(number) if kind is Kind.HOSTILE else headers(agent, number))
        for number, agent in enumerate(user_agents())
    ]


def _request(host: str, path: str, fields: dict[str, str]) -> str:
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields.items()))
    return "\r\n".join(lines) + "\r\n\r\n"


def requests(kind: Kind, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Endless (id, request); every id begins with the prefix."""
    shapes = templates(kind)
    for number in count():
        click_id = f"{prefix}{number}"
        request = shapes[number % len(shapes)].replace(PLACE, click_id)
        if kind is Kind.HOSTILE:
            request = request.replace(ADDRESS, f"2a00:1450::{number >> 16:x}:{number & 0xFFFF:x}")
        yield click_id, request.encode()
