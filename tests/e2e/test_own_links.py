"""Clicks that are addressed to AppsFlyer itself and come to us: as its host, or on the way through a forward proxy.

AppsFlyer's own host and the upstream are unreachable throughout: an answer can only be ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.certificates import client_context
from tests.support.clients import (
    ANDROID,
    PUBLIC,
    get,
    get_by_connect,
    get_by_socks,
    get_http2,
    get_http2_by_connect,
    request,
    talk,
)
from tests.support.processes import Host, free_port, start_mitmdump, start_sidecar, start_stock
from tests.support.scenes import RULES, android_call, new_id, path_of, play, write_rules
from tests.support.standins import response

APPSFLYER = "app.appsflyer.com"
NOWHERE = """
def server_connect(data):
    if data.server.address[0] != "127.0.0.1":
        data.server.address = ("127.0.0.1", {port})
"""
"""A script that sends every connection that would leave this machine to a closed port."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A mitmdump in several forward modes at once, each with its port."""

    host: Host
    regular: int
    upstream: int
    socks: int

    def port(self, mode: str) -> int:
        return getattr(self, mode)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def forward(tmp_path_factory, module_rules, dead_port):
    folder = tmp_path_factory.mktemp("forward")
    script = folder / "nowhere.py"
    script.write_text(NOWHERE.format(port=dead_port))
    upstream, socks = free_port(), free_port()
    modes = ("--mode", f"upstream:http://127.0.0.1:{dead_port}@{upstream}", "--mode", f"socks5@{socks}")
    host = await start_stock("mitmdump", "regular", module_rules, folder, "-s", script, *modes)
    yield Forward(host, host.port, upstream, socks)
    await host.process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["sidecar", "mitmdump"])
async def reverse(request, tmp_path_factory, module_rules, dead_port, authority):
    """Reverse proxies that speak TLS too, before an ad stack that is down. Yields them and the CA to trust."""
    folder = tmp_path_factory.mktemp(request.param)
    upstream = f"http://127.0.0.1:{dead_port}"
    if request.param == "sidecar":
        host = await start_sidecar(upstream, module_rules, folder, "--tls-cert", authority.sign(APPSFLYER))
        ca = authority.ca
    else:
        host = await start_mitmdump(upstream, module_rules, folder)
        ca = host.ca
    yield host, ca
    await host.process.stop()


async def ask(reverse, target, name=APPSFLYER):
    """The answer to one request by TLS, which the sidecar speaks alone where it has a certificate."""
    host, ca = reverse
    return await talk(host.port, request(target, host=name, connection="close"), client_context(ca), APPSFLYER)


async def test_a_reverse_proxy_answers_for_appsflyer(reverse, appsflyer):
    """A click whose Host is AppsFlyer's gets our 302 though the ad stack is down."""
    click_id = new_id()

    answer = await ask(reverse, path_of(click_id))

    assert ("HTTP/1.1 302 Found", play(click_id)) == (answer.lines[0], answer.location)
    await appsflyer.next_click()


async def test_our_own_302_is_not_cached(reverse, appsflyer):
    """Our own 302 has Cache-Control no-store and no body."""
    answer = await ask(reverse, path_of(new_id()))

    assert (["no-store"], b"") == (answer.all("Cache-Control"), answer.body)
    await appsflyer.next_click()


async def test_the_host_may_name_a_port_and_capitals(reverse, appsflyer):
    """A Host with a port and capital letters is AppsFlyer's too."""
    click_id = new_id()

    answer = await ask(reverse, path_of(click_id), "App.AppsFlyer.com:8080")

    assert play(click_id) == answer.location
    await appsflyer.next_click()


async def test_its_call_is_the_links(reverse, appsflyer):
    """The S2S call of a click that was addressed to AppsFlyer has the request's own path and query."""
    click_id = new_id()

    await ask(reverse, path_of(click_id))

    assert android_call(click_id, ANDROID) == (await appsflyer.next_click()).target


CHOSEN = "&af_ip=8.8.8.8&af_ua=Mozilla%2F5.0%20(Linux%3B%20Android%209%3B%20SM-X)&af_model=SM-X&advertising_id=a1"


async def test_a_strangers_link_does_not_choose_what_leaves_from_us(reverse, appsflyer):
    """Behind a reverse proxy the link is the browser's word: address and User-Agent are what we know, ids stay."""
    await ask(reverse, path_of(new_id(), CHOSEN))

    received = await appsflyer.next_click()
    found = dict(received.params)
    assert (PUBLIC, ANDROID, "Pixel 5", "a1") == tuple(
        found[name] for name in ("af_ip", "af_ua", "af_model", "advertising_id")
    )
    assert [[PUBLIC], [ANDROID]] == [received.all(name) for name in ("X-Forwarded-For", "User-Agent")]


async def test_a_forward_proxy_believes_the_link(forward, appsflyer):
    """On the way through a forward proxy the link is the ad stack's: its real values win."""
    await get(forward.regular, f"http://{APPSFLYER}{path_of(new_id(), CHOSEN)}", host=APPSFLYER)

    received = await appsflyer.next_click()
    assert ("8.8.8.8", ["8.8.8.8"]) == (dict(received.params)["af_ip"], received.all("X-Forwarded-For"))


@pytest.mark.parametrize("where", ["file", "rule"])
async def test_answer_off_lets_such_requests_pass(start, tmp_path, ads, appsflyer, where):
    """With `answer: off` a request for AppsFlyer's host goes to the ad stack; redirects are met as before."""
    text = RULES.replace("pid: networka_int}}}}", "pid: networka_int}}, answer: off}}") if where == "rule" else RULES
    rules = write_rules(tmp_path, f"answer: off\n{text.lstrip()}" if where == "file" else text, appsflyer)
    host = await start(start_sidecar, f"http://127.0.0.1:{ads.port}", rules, tmp_path)
    ads.routes["*"] = response("200 OK", body=b"the ad stack's")
    passed = await get(host.port, path_of(new_id()), host=APPSFLYER)
    del ads.routes["*"]
    met = await get(host.port, ads.redirect(f"https://{APPSFLYER}{path_of(click_id := new_id())}"))
    received = await appsflyer.next_click()

    assert (b"the ad stack's", play(click_id)) == (passed.body, met.location)
    assert f"clickid={click_id}" in received.target


async def test_tls_clients_get_it_by_http2(reverse, appsflyer):
    """A click by HTTP/2 gets our 302."""
    host, ca = reverse
    click_id = new_id()

    answer = await get_http2(host.port, ca, APPSFLYER, path_of(click_id))

    assert (302, play(click_id)) == (answer.status, answer.location)
    await appsflyer.next_click()


async def test_an_http2_clicks_call_is_the_same(reverse, appsflyer):
    """The S2S call of an HTTP/2 click is the one of an HTTP/1.1 click."""
    host, ca = reverse
    click_id = new_id()

    await get_http2(host.port, ca, APPSFLYER, path_of(click_id))

    received = await appsflyer.next_click()
    assert (android_call(click_id, ANDROID), ANDROID) == (received.target, received.header("User-Agent"))


@pytest.mark.parametrize("mode", ["regular", "upstream"])
async def test_a_forward_proxy_answers_a_plain_click(forward, appsflyer, mode):
    """A click asked for in absolute form gets our 302, and nobody is connected to."""
    click_id = new_id()

    answer = await get(forward.port(mode), f"http://{APPSFLYER}{path_of(click_id)}", host=APPSFLYER)

    assert (302, play(click_id)) == (answer.status, answer.location)
    assert android_call(click_id, ANDROID) == (await appsflyer.next_click()).target


@pytest.mark.parametrize("mode", ["regular", "upstream"])
async def test_a_forward_proxy_answers_a_click_over_tls(forward, appsflyer, mode):
    """A click through CONNECT and TLS gets our 302, and nobody is connected to."""
    click_id = new_id()

    answer = await get_by_connect(forward.port(mode), forward.host.ca, APPSFLYER, path_of(click_id))

    assert (302, play(click_id)) == (answer.status, answer.location)
    assert android_call(click_id, ANDROID) == (await appsflyer.next_click()).target


@pytest.mark.parametrize("mode", ["regular", "upstream"])
async def test_a_forward_proxy_answers_a_click_by_http2(forward, appsflyer, mode):
    """A click through CONNECT by HTTP/2 gets our 302, and nobody is connected to."""
    click_id = new_id()

    answer = await get_http2_by_connect(forward.port(mode), forward.host.ca, APPSFLYER, path_of(click_id))

    assert (302, play(click_id)) == (answer.status, answer.location)
    await appsflyer.next_click()


async def test_a_socks_proxy_answers_a_click(forward, appsflyer):
    """A click through SOCKS5 gets our 302, and nobody is connected to."""
    click_id = new_id()

    answer = await get_by_socks(forward.socks, APPSFLYER, path_of(click_id))

    assert (302, play(click_id)) == (answer.status, answer.location)
    await appsflyer.next_click()


@pytest.mark.parametrize("mode", ["regular", "upstream"])
async def test_without_us_there_is_nobody(forward, mode):
    """AppsFlyer is unreachable indeed: a click that passes gets 502."""
    answer = await get(forward.port(mode), f"http://{APPSFLYER}{path_of(new_id(), '&af_dp=x')}", host=APPSFLYER)

    assert 502 == answer.status


async def test_a_forward_proxy_rewrites_redirects(forward, ads, appsflyer):
    """The ad stack's redirect becomes ours on the way through a forward proxy too."""
    click_id = new_id()
    path = ads.redirect(f"https://{APPSFLYER}{path_of(click_id)}")

    answer = await get(forward.regular, f"http://127.0.0.1:{ads.port}{path}", host=f"127.0.0.1:{ads.port}")

    assert (302, play(click_id)) == (answer.status, answer.location)
    await appsflyer.next_click()


async def test_a_forward_proxy_tells_nobody_who_its_user_is(forward, ads):
    """A forward proxy adds no X-Forwarded header: the next server is anybody's."""
    ads.forget()
    url = f"http://127.0.0.1:{ads.port}{ads.serve(b'HTTP/1.1 204 No Content\r\n\r\n')}"

    await get(forward.regular, url, host=f"127.0.0.1:{ads.port}", x_forwarded_for=None)

    seen = await ads.next_request()
    assert [] == [line for line in seen.header_lines if line.lower().startswith(b"x-forwarded-")]
