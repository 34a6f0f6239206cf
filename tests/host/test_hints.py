"""How browsers are asked for client hints, and who can be asked."""

from __future__ import annotations

import pytest
from mitmproxy import http
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from storehop.host import flows, hints
from storehop.host.hints import HintRequests, is_secure, may_retry
from storehop.settings import HintSettings

BOTH = "Sec-CH-UA-Model, Sec-CH-UA-Platform-Version"


def arrived(mode, *fields):
    """A request by this mode with these headers: its flow, and its headers as they are read."""
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    flow.request.headers = http.Headers(fields)
    return flow, flows.headers_of(flow.request)


def answer(**headers):
    return http.Response.make(200, b"", {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"https"], True),
        ([b"HTTPS"], True),
        ([b" Https "], True),
        ([b"https, http"], True),
        ([b"https,http,http"], True),
        ([b"https", b"http"], True),
        ([b"HTTPS , http", b"http"], True),
        ([b"http"], False),
        ([b"http, https"], False),
        ([b"http", b"https"], False),
        ([b", https"], False),
        ([b"httpsx"], False),
        ([b'"https"'], False),
        ([b""], False),
        ([], False),
    ],
    ids=repr,
)
def test_the_first_of_many_schemes_is_the_browser_s(lines, expected):
    """Each proxy adds its own behind: what the browser spoke stands first."""
    forwarded = ((b"X-Forwarded-Proto", line) for line in lines)

    assert expected == is_secure(*arrived("reverse:http://a", (b"Host", b"ads.example"), *forwarded))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"localhost", True),
        (b"LOCALHOST:8080", True),
        (b"ads.localhost", True),
        (b"127.0.0.1:8080", True),
        (b"127.9.9.9", True),
        (b"[::1]:8080", True),
        (b"ads.example", False),
        (b"localhost.example", False),
        (b"notlocalhost", False),
        (b"128.0.0.1", False),
        (b"", False),
    ],
)
def test_browsers_trust_their_own_machine(host, expected):
    """What never leaves it is a secure context without TLS."""
    assert expected == is_secure(*arrived("reverse:http://a", (b"Host", host)))


@pytest.mark.parametrize(("scheme", "expected"), [("https", True), ("http", False)])
def test_a_forward_proxy_sees_what_the_browser_spoke(scheme, expected):
    """A forwarding header is anybody's word there."""
    flow, headers = arrived("regular", (b"Host", b"ads.example"), (b"X-Forwarded-Proto", b"https"))
    flow.request.scheme = scheme

    assert expected == is_secure(flow, headers)


CHROME = {"sec-ch-ua": '"Chromium";v="130", "Not?A_Brand";v="99"'}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(CHROME, True, id="Chromium"),
        pytest.param(CHROME | {"sec-fetch-dest": "document"}, True, id="a navigation"),
        pytest.param(CHROME | {"sec-fetch-dest": "iframe"}, False, id="a frame"),
        pytest.param(CHROME | {"sec-ch-ua-model": '"Pixel 8"'}, False, id="the hints are there"),
        pytest.param(CHROME | {"sec-ch-ua-platform-version": '"14"'}, False, id="one of them is there"),
        pytest.param({"sec-ch-ua": '"Other";v="1"'}, False, id="another browser"),
        pytest.param({}, False, id="one that sends no hints at all"),
    ],
)
def test_chromium_s_navigations_are_repeated(headers, expected):
    """Nobody else heeds `Critical-CH`, and nobody heeds it twice."""
    assert expected == may_retry(headers)


def test_what_the_ad_stack_asks_for_stays():
    """Ours join it; what is there already is not asked for twice, in whatever case."""
    asked = answer(Accept_CH="DPR, sec-ch-ua-model")
    HintRequests().ask(asked, "ads.example", HintSettings())

    assert "DPR, sec-ch-ua-model, Sec-CH-UA-Platform-Version" == asked.headers["accept-ch"]


def test_what_the_ad_stack_asked_for_before_stays():
    """The newest answer replaces what others of that host asked, so each has to say it all."""
    requests, later, elsewhere = HintRequests(), answer(), answer()
    requests.ask(answer(Accept_CH="DPR"), "ads.example", HintSettings())
    requests.ask(later, "ads.example", HintSettings())
    requests.ask(elsewhere, "other.example", HintSettings())

    assert (f"DPR, {BOTH}", BOTH) == (later.headers["accept-ch"], elsewhere.headers["accept-ch"])


def test_hints_are_delegated_to_frames():
    """To the origins of the rules; what the ad stack says of a hint itself stays."""
    asked = answer(Permissions_Policy="ch-ua-model=()")
    HintRequests().ask(asked, "ads.example", HintSettings(delegates=("https://a.example", "https://b.example")))

    assert ["ch-ua-model=()", 'ch-ua-platform-version=(self "https://a.example" "https://b.example")'] == (
        asked.headers.get_all("permissions-policy")
    )


def test_a_host_that_is_none_is_not_remembered():
    """Clients say it, and a name has 255 characters at the most."""
    requests, longest = HintRequests(), "a" * hints.MAX_HOST_CHARACTERS
    for host in (longest, longest + "a"):
        requests.ask(answer(Accept_CH="DPR"), host, HintSettings())

    assert [longest] == list(requests._by_host)
