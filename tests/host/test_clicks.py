"""Clicks in mitmproxy's flows, where they are met: at *answer*, at *rewrite*, and at a browser's retry (design §2)."""

from __future__ import annotations

import pytest
from mitmproxy import http

from storehop.host import flows, retries
from storehop.host.clicks import Clicks
from storehop.rulefile import read
from tests.support.phones import HINTS, REDUCED
from tests.support.scenes import link_of, path_of, play

APPSFLYER = "app.appsflyer.com"
SECURE = {"X_Forwarded_Proto": "https"}
CHROME = {"User_Agent": REDUCED, "Sec_CH_UA": '"Chromium";v="130"', **SECURE}
DETAILS = {"Sec_CH_UA_Model": '"Pixel 8"', "Sec_CH_UA_Platform_Version": '"14.0.0"'}


@pytest.fixture
def clicks(app):
    return Clicks(app.handler, app.outbox, None)


@pytest.fixture
def rules(rule_file):
    return read(rule_file).rules


@pytest.fixture
def answer(clicks, rules):
    """Has a request to an attribution host answered; the flow."""

    async def ask(flow):
        await clicks.answer(flow, flows.headers_of(flow.request), rules)
        return flow

    return ask


@pytest.fixture
def rewrite(clicks, rules):
    """Has an ad stack's response rewritten; the flow."""

    async def respond(flow, status, *fields, body=b""):
        flow.response = http.Response.make(status, body, http.Headers(fields))
        await clicks.rewrite(flow, flows.headers_of(flow.request), rules)
        return flow

    return respond


def location(link):
    return (b"Location", link.encode())


# at answer


async def test_a_click_of_an_attribution_host_is_answered(answer, browse, appsflyer):
    """By ourselves; nobody upstream is asked."""
    flow = await answer(browse(path_of("a1"), APPSFLYER))
    arrived = await appsflyer.next_click()

    assert (302, play("a1"), "direct") == (
        flow.response.status_code,
        flow.response.headers["location"],
        flow.metadata["storehop"],
    )
    assert "a1" == dict(arrived.params)["clickid"]


async def test_a_request_to_any_other_host_goes_on(answer, browse):
    """It is not looked at."""
    flow = await answer(browse(path_of("a2"), "ads.example"))

    assert (None, {}) == (flow.response, flow.metadata)


async def test_a_click_that_passes_goes_on(answer, browse):
    """The metadata say why, so that the upstream's answer is not met as well."""
    flow = await answer(browse(path_of("a3", app="org.other"), APPSFLYER))

    assert (None, "pass no_rule") == (flow.response, flow.metadata["storehop"])


async def test_a_request_with_a_body_goes_on(answer, browse):
    """It has gone upstream already, and is no person's click."""
    flow = browse(path_of("a4"), APPSFLYER)
    flow.request.content = b"a=1"

    assert (None, {}) == ((await answer(flow)).response, flow.metadata)


# at rewrite


async def test_a_redirect_to_an_attribution_link_leads_to_the_store(rewrite, browse, appsflyer):
    """Its own headers stay."""
    flow = await rewrite(browse(), 302, location(link_of("r1")), (b"Set-Cookie", b"a=1"))
    await appsflyer.next_click()

    assert (play("r1"), "a=1", "direct") == (
        flow.response.headers["location"],
        flow.response.headers["set-cookie"],
        flow.metadata["storehop"],
    )


@pytest.mark.parametrize(
    ("link", "reason"), [(link_of("r2", app="org.other"), "no_rule"), (link_of("r3", "&af_dp=x"), "deep_link")]
)
async def test_a_click_that_passes_keeps_the_ad_stack_s_bytes(rewrite, browse, link, reason):
    """No header of ours, not even where hints would be asked for."""
    fields = (location(link), (b"Server", b"ads"))
    flow = await rewrite(browse(**SECURE), 302, *fields, body=b"<p>moved</p>")
    expected = http.Response.make(302, b"<p>moved</p>", http.Headers(fields))

    assert (expected.headers.fields, b"<p>moved</p>") == (flow.response.headers.fields, flow.response.content)
    assert f"pass {reason}" == flow.metadata["storehop"]


@pytest.mark.parametrize(
    ("mode", "headers", "asked"),
    [
        pytest.param("reverse:http://ads.example:8000", SECURE, [HINTS], id="secure"),
        pytest.param("reverse:http://ads.example:8000", {}, [], id="in the clear"),
        pytest.param("regular", SECURE, [], id="a forward proxy"),
    ],
)
async def test_a_page_of_the_ad_stack_asks_for_hints(rewrite, browse, mode, headers, asked):
    """So that the next click brings them; a forward proxy's pages are anybody's."""
    flow = await rewrite(browse(mode=mode, **headers), 200)

    assert (asked, {}) == (flow.response.headers.get_all("accept-ch"), flow.metadata)


async def test_a_redirect_elsewhere_is_no_click(rewrite, browse):
    """It leads where it led."""
    flow = await rewrite(browse(), 302, location("https://shop.example/"))

    assert ("https://shop.example/", {}) == (flow.response.headers["location"], flow.metadata)


# a browser's retry


@pytest.fixture
def critical(request):
    return request.getfixturevalue("hints_mode")


def browser_again(browse, answer, **headers):
    """The request that a browser makes of this answer, as the hooks hand it on."""
    crumbs = [line.partition(";")[0] for line in answer.headers.get_all("set-cookie")]
    flow = browse(Cookie="; ".join(crumbs), **CHROME, **headers)
    fields = flows.headers_of(flow.request)
    retries.hide_cookie(flow, fields)
    return flow, fields


@pytest.mark.parametrize("hints_mode", ["critical"])
class TestRetry:
    """With rules that ask for it."""

    async def test_a_first_answer_asks_for_it(self, rewrite, browse):
        """Where the browser is one that heeds it, on a secure origin."""
        response = (await rewrite(browse(**CHROME), 302, location(link_of("c1")))).response

        assert (HINTS, 1) == (response.headers["critical-ch"], len(response.headers.get_all("set-cookie")))

    @pytest.mark.parametrize(
        "headers", [CHROME | {"X_Forwarded_Proto": "http"}, CHROME | {"Sec_CH_UA": '"Other";v="1"'}, CHROME | DETAILS]
    )
    async def test_who_would_not_come_again_is_not_asked(self, rewrite, browse, headers, appsflyer):
        """And the call waits for nothing."""
        response = (await rewrite(browse(**headers), 302, location(link_of("c2")))).response
        await appsflyer.next_click()

        assert ([], []) == (response.headers.get_all("critical-ch"), response.headers.get_all("set-cookie"))

    async def test_it_gets_the_first_answer(self, clicks, rules, rewrite, browse, appsflyer):
        """The ad stack does not hear of it, and the call says what it says."""
        first = (await rewrite(browse(**CHROME), 302, location(link_of("c3")))).response
        flow, headers = browser_again(browse, first, **DETAILS)
        is_retry = await clicks.repeat(flow, headers, rules)
        arrived = dict((await appsflyer.next_click()).params)

        assert (True, play("c3"), "retry") == (is_retry, flow.response.headers["location"], flow.metadata["storehop"])
        assert ("c3", "Pixel 8") == (arrived["clickid"], arrived["af_model"])

    async def test_a_request_without_hints_is_none(self, clicks, rules, rewrite, browse):
        """The ad stack answers it."""
        first = (await rewrite(browse(**CHROME), 302, location(link_of("c4")))).response
        flow, headers = browser_again(browse, first)

        assert (False, None) == (await clicks.repeat(flow, headers, rules), flow.response)

    async def test_a_second_one_is_none(self, clicks, rules, rewrite, browse):
        """The first answer is taken once."""
        first = (await rewrite(browse(**CHROME), 302, location(link_of("c5")))).response
        again = [await clicks.repeat(*browser_again(browse, first, **DETAILS), rules) for _ in range(2)]

        assert [True, False] == again
