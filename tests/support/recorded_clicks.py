"""Recorded traffic for tests and benchmarks: JSON lines, HAR and flow files of varied clicks, as many as asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from storehop.audit.exchange import Exchange
from tests.bench.traffic import user_agents
from tests.support.clicks import DESKTOP, IPAD, IPHONE, REDUCED

NOON = 1_795_780_800.0
"""Unix seconds of the first click: 27 November 2026."""
RULES = """\
version: 1
partner: NetworkA
client_ip: {trusted_proxies: [10.0.0.0/8]}
rules:
  - {name: games, match: {app: "com.example.*", pid: networka_int}}
  - {name: games-ios, match: {app: id123456789}}
"""
_PHONES = (*user_agents(), IPHONE, IPAD, REDUCED, DESKTOP)
_SECONDS = 86_400


def link(number: int) -> str:
    """An attribution link, each with its own click id; of 1,000 apps and 300 campaigns."""
    app = "id123456789" if number % 54 >= 50 else f"com.example.game{number * 7919 % 1000}"
    more = f"&advertising_id=38400000-8cf0-11bd-b23e-{number:012x}" if number % 3 == 0 else ""
    return (
        f"https://app.appsflyer.com/{app}?pid={'networka_int' if number % 20 else 'other_int'}"
        f"&c=campaign_{number * 31 % 300}&clickid={'{clickid}' if number % 1000 == 7 else f'K{number:x}'}"
        f"&af_siteid={number % 97}&af_sub1=banner-320x50&af_c_id=918273&af_adset=broad&af_ad=blue{more}"
    )


def clicks(number: int, *, first: int = 0) -> Iterator[Exchange]:
    """So many redirects of an ad stack, over a day."""
    for place in range(first, first + number):
        yield Exchange(
            place + 1,
            NOON + place * _SECONDS / number,
            url=f"https://ads.example/ad/{place}",
            headers={
                "user-agent": _PHONES[place % len(_PHONES)],
                "accept-language": "en-US,en;q=0.9",
                "x-forwarded-for": f"{81 + place // 65536 % 40}.{place // 256 % 256}.{place % 256}.7",
            },
            client_ip="10.0.0.1",
            status=302,
            location=link(place),
        )


def json_line(exchange: Exchange) -> str:
    """As a web server logs it that was told to."""
    at = datetime.fromtimestamp(exchange.at or 0, UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {
            "time": at,
            "remote_addr": exchange.client_ip,
            "request_method": exchange.method,
            "host": "ads.example",
            "request_uri": (exchange.url or "").removeprefix("https://ads.example"),
            "status": exchange.status,
            "sent_http_location": exchange.location,
            **{f"http_{name.replace('-', '_')}": value for name, value in exchange.headers.items()},
        }
    )


def write_json_lines(path: Path, exchanges: Iterable[Exchange]) -> Path:
    """A log of these."""
    with path.open("w") as file:
        file.writelines(f"{json_line(exchange)}\n" for exchange in exchanges)
    return path


def write_har(path: Path, exchanges: Iterable[Exchange]) -> Path:
    """As a browser writes it down."""
    entries = [
        {
            "startedDateTime": datetime.fromtimestamp(exchange.at or 0, UTC).isoformat(),
            "time": 12.5,
            "request": {
                "method": exchange.method,
                "url": exchange.url,
                "headers": [{"name": name, "value": value} for name, value in exchange.headers.items()],
            },
            "response": {
                "status": exchange.status,
                "redirectURL": exchange.location or "",
                "headers": [{"name": "Location", "value": exchange.location}] if exchange.location else [],
                "content": {"size": 0, "mimeType": "text/html"},
            },
        }
        for exchange in exchanges
    ]
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return path


def write_flows(path: Path, exchanges: Iterable[Exchange]) -> Path:
    """As mitmdump saves them, in front of an ad stack."""
    from mitmproxy import http  # noqa: PLC0415  it takes a while, and few ask for flows
    from mitmproxy.io import FlowWriter  # noqa: PLC0415
    from mitmproxy.proxy import mode_specs  # noqa: PLC0415
    from mitmproxy.test import tflow, tutils  # noqa: PLC0415

    flow = tflow.tflow(resp=tutils.tresp(content=b""))
    flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse("reverse:http://ads:8000")
    with path.open("wb") as file:
        writer = FlowWriter(file)
        for exchange in exchanges:
            flow.id = f"{exchange.place:032x}"
            flow.client_conn.peername = (exchange.client_ip, 5000)
            flow.request = http.Request.make("GET", exchange.url or "http://ads:8000/", headers=dict(exchange.headers))
            flow.request.timestamp_start = exchange.at or 0.0
            flow.response = http.Response.make(exchange.status or 302, headers={"Location": exchange.location or ""})
            flow.response.timestamp_start = flow.request.timestamp_start + 0.01
            writer.add(flow)
    return path


def as_bytes(exchanges: Iterable[Exchange]) -> bytes:
    """JSON lines, for stdin."""
    file = io.StringIO()
    file.writelines(f"{json_line(exchange)}\n" for exchange in exchanges)
    return file.getvalue().encode()
