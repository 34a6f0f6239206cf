"""Drift, live: a stock mitmdump as a forward proxy sees AppsFlyer answer the clicks that pass (design §11).

AppsFlyer is a stand-in: a script sends every connection there. It answers a click with the place that the click's own
`to` parameter names.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.processes import free_port, start_sidecar, start_stock
from tests.support.scenes import new_id, path_of
from tests.support.standins import AppsFlyer, response

APPSFLYER = "app.appsflyer.com"
ELSEWHERE = """
def server_connect(data):
    data.server.address = ("127.0.0.1", {port})
"""
APP, REST = "com.example.watched", "com.example.nobody"
KINDS = {
    "same": f"market://details/?id={APP}&referrer=af_tranid%3Dabc",
    "other_app": "market://details?id=com.example.other",
    "other_store": f"https://appgallery.cloud.huawei.com/appDetail?pkgName={APP}",
    "other_listing": f"https://play.google.com/store/apps/details?id={APP}&listing=spring",
    "opens_app": "examplegame://open?user=secret",
    "web_page": "https://www.example.com/landing?user=secret",
}


class Redirecting(AppsFlyer):
    """Answers with the place that the request's `to` names; without one with a page."""

    async def respond(self, request, _reader, writer):
        to = dict(request.params).get("to")
        writer.write(response("301 Moved", f"Location: {to}") if to else response("200 OK", body=b"an app opens"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def redirecting():
    server = Redirecting()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxy(tmp_path_factory, module_rules, redirecting):
    """A mitmdump in its default mode, and where its metrics are."""
    folder, admin = tmp_path_factory.mktemp("forward"), free_port()
    script = folder / "elsewhere.py"
    script.write_text(ELSEWHERE.format(port=redirecting.port))
    options = ("-s", script, "--set", f"storehop_admin=127.0.0.1:{admin}")
    host = await start_stock("mitmdump", "regular", module_rules, folder, *options)
    yield host, admin
    await host.process.stop()


async def click(proxy, to=None, app=APP):
    """A click that passes; what came of comparing it is logged or counted by now."""
    host, _ = proxy
    more = f"&to={quote(to, safe='')}" if to else ""
    return await get(host.port, f"http://{APPSFLYER}{path_of(new_id(), more, app)}", host=APPSFLYER)


async def drift_of(proxy):
    """(rule, kind) to its count."""
    text = (await get(proxy[1], "/metrics")).body.decode()
    found = re.findall(r'^storehop_drift_total\{kind="(\w+)",rule="([\w-]+)"\} (\S+)$', text, re.MULTILINE)
    return {(rule, kind): float(count) for kind, rule, count in found}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_counted(proxy, kind):
    """By rule; and the user gets what AppsFlyer answered."""
    before = (await drift_of(proxy)).get(("watched", kind), 0)
    answer = await click(proxy, KINDS[kind])

    assert (301, KINDS[kind]) == (answer.status, answer.location)
    assert 1 == (await drift_of(proxy))["watched", kind] - before


async def test_a_page_cannot_be_compared(proxy):
    """It may open the app."""
    await click(proxy)

    assert (await drift_of(proxy))["watched", "not_comparable"] >= 1


async def test_appsflyer_s_own_hop_cannot_be_compared(proxy):
    """Its next hop comes by itself."""
    before = (await drift_of(proxy)).get(("watched", "not_comparable"), 0)
    await click(proxy, "https://brand.onelink.me/AbC1?pid=x")

    assert 1 == (await drift_of(proxy))["watched", "not_comparable"] - before


async def test_a_click_outside_the_percent_is_compared(proxy):
    """As one whose rule only observes."""
    await click(proxy, f"market://details?id={REST}", REST)

    assert 1 == (await drift_of(proxy))["nobody", "same"]


async def test_what_passes_for_another_reason_is_not_compared(proxy):
    """AppsFlyer gets it in any case."""
    before = await drift_of(proxy)
    await click(proxy, "market://details?id=com.example.other", "com.example.off")

    assert before == await drift_of(proxy)


async def test_the_log_names_the_app_and_both_places(proxy):
    """Three times, without any value of a parameter."""
    app = "com.example.nobody"
    line = (
        f"drift: app {app}, rule nobody: web_page: AppsFlyer leads to https://www.example.com/landing, "
        f"storehop would lead to {app} in google_play"
    )
    for _ in range(5):
        await click(proxy, KINDS["web_page"], app)
    await click(proxy, KINDS["opens_app"], app)
    await proxy[0].log.saw(f"drift: app {app}, rule nobody: opens_app")

    assert (3, False) == (proxy[0].log.text.count(line), "secret" in proxy[0].log.text.replace("to=", ""))


async def test_a_reverse_proxy_sees_nothing(tmp_path, start, module_rules, redirecting):
    """The browser goes to AppsFlyer alone; who asks for AppsFlyer's host gets the upstream, which is not AppsFlyer."""
    admin = free_port()
    upstream = f"http://127.0.0.1:{redirecting.port}"
    host = await start(start_sidecar, upstream, module_rules, tmp_path, "--admin", f"127.0.0.1:{admin}")
    path = path_of(new_id(), f"&to={quote(KINDS['other_app'], safe='')}", APP)
    answer = await get(host.port, path, host=APPSFLYER)

    assert (301, {0.0}) == (answer.status, set((await drift_of((host, admin))).values()))
