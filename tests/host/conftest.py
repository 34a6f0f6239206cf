"""Flows as mitmproxy has them, and a storehop that decides on them."""

from __future__ import annotations

import pytest
from mitmproxy import http
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from storehop.app import App, Settings
from storehop.observe.metrics import Metrics
from storehop.rulefile import live
from storehop.rulefile.live import LiveRules
from tests.support.clients import ANDROID, PUBLIC
from tests.support.standins import AppsFlyer

RULES = """
version: 1
partner: NetworkA
client_hints: {hints}
hints_wait: 2s
delivery: {{endpoint: "http://127.0.0.1:{port}", timeout: 60s}}
client_ip: {{trusted_proxies: [127.0.0.0/8]}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


@pytest.fixture
async def appsflyer():
    server = AppsFlyer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def hints_mode():
    """What the rules say of client hints."""
    return "accept"


@pytest.fixture
def rule_file(tmp_path, appsflyer, hints_mode, monkeypatch):
    monkeypatch.setattr(live, "LOOK_PAUSE_S", 0.02)
    file = tmp_path / "rules.yaml"
    file.write_text(RULES.format(port=appsflyer.port, hints=hints_mode))
    return file


@pytest.fixture
async def app(rule_file, tmp_path):
    """Without mitmproxy's options, and without admin endpoints."""
    app = App(LiveRules.start(rule_file), Settings(str(tmp_path / "outbox.db"), "off"), Metrics(), (), list)
    yield app
    await app.close()


@pytest.fixture
def browse():
    """Makes a flow: a phone's request by a reverse proxy, with what a trusted TLS proxy says of it."""

    def make(path="/ad", host="ads.example", mode="reverse:http://ads.example:8000", peer="127.0.0.1", **headers):
        flow = tflow.tflow()
        flow.client_conn.proxy_mode = ProxyMode.parse(mode)
        flow.client_conn.peername = (peer, 4711)
        flow.request = http.Request.make("GET", f"http://ads.example:8000{path}")
        fields = {"Host": host, "User-Agent": ANDROID, "X-Forwarded-For": PUBLIC, **headers}
        for name, value in fields.items():
            flow.request.headers[name.replace("_", "-")] = value
        return flow

    return make
