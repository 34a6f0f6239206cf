"""A browser's first answer and its retry, with real flows and a real outbox."""

from __future__ import annotations

import time

import pytest
from mitmproxy import http
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from storehop.decide.rules import RuleSet
from storehop.deliver.clock import SystemClock
from storehop.deliver.notes import Notes
from storehop.deliver.writer import Writer
from storehop.host import flows, hints
from storehop.host.hints import Asked, Retries, hide_cookie, is_secure, looks_like_retry
from storehop.model import Click
from storehop.settings import Delivery, HintSettings

ODD = b"caf\xc3\xa9 \xff"
"""Bytes that are no UTF-8: headers may hold any."""
LINK = "https://app.appsflyer.com/com.example.game?c=\udcff"


@pytest.fixture
async def writer(tmp_path):
    made = Writer(tmp_path / "outbox.db", SystemClock(), Delivery())
    yield made
    await made.close()


@pytest.fixture
def retries(writer):
    return Retries(SystemClock().uptime, Notes(writer))


def navigation(path=b"/ad", **headers):
    """A browser's request, and its headers."""
    flow = tflow.tflow()
    fields = {"Host": "ads.example", "User-Agent": "ua \udcff", **headers}
    flow.request.headers = http.Headers(
        [(name.replace("_", "-").encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields.items()]
    )
    flow.request.data.path = path
    return flow, flows.see(flow.request)


async def first_answer(retries):
    """A click's answer that asks the browser to come back."""
    flow, seen = navigation()
    flow.response = http.Response.make(
        302, b"<p>moved</p>", http.Headers([(b"Location", b"https://a"), (b"X-Odd", ODD)])
    )
    await retries.expect(flow, Click("id", "GET", LINK, seen, "192.0.2.1"), 4711.25, RuleSet(digest="digest"))
    return flow.response


def retry_of(answer, path=b"/ad", **headers):
    """What the browser sends when it has had this answer."""
    crumbs = [line.partition(";")[0] for line in answer.headers.get_all("set-cookie")]
    flow, seen = navigation(path, Cookie="; ".join(crumbs), Sec_CH_UA_Model='"Pixel 8"', **headers)
    hide_cookie(flow, seen)
    return flow, seen


async def test_a_first_answer_comes_back_with_the_retry(retries):
    """Whose click it was, and the lease that its call is held under."""
    first = await retries.take(*retry_of(await first_answer(retries)))

    assert ("id", LINK, 4711.25, "digest") == (first.click.id, first.click.link, first.lease_until, first.digest)


async def test_the_answer_to_a_retry_has_the_first_one_s_headers(retries):
    """As bytes, without what only the first one may say, and without its body."""
    first = await retries.take(*retry_of(await first_answer(retries)))
    again = first.again()

    assert (302, ODD, "https://a", "0", b"") == (
        again.status_code,
        dict(again.headers.fields)[b"X-Odd"],
        again.headers["location"],
        again.headers["content-length"],
        again.content,
    )


async def test_a_first_answer_is_handed_out_once(retries):
    """A second retry is a click of its own."""
    retry = retry_of(await first_answer(retries))
    await retries.take(*retry)

    assert await retries.take(*retry) is None


async def test_a_request_that_is_no_retry_leaves_the_first_answer(retries):
    """A page's other requests have the cookie, too."""
    answer = await first_answer(retries)
    image = await retries.take(*retry_of(answer, sec_fetch_dest="image"))

    assert (None, "id") == (image, (await retries.take(*retry_of(answer))).click.id)


async def test_a_cookie_that_we_did_not_give_is_nobody_s(retries):
    """Whatever is in it."""
    await first_answer(retries)
    flow, seen = navigation(Cookie="__Host-storehop=\udcff", Sec_CH_UA_Model='"Pixel 8"')
    hide_cookie(flow, seen)

    assert (True, None) == (looks_like_retry(flow, seen), await retries.take(flow, seen))


async def test_a_browser_is_not_asked_to_come_back_when_its_answer_can_not_be_kept(retries, writer):
    """Nobody would know it."""
    writer.hold_back("it hangs")
    answer = await first_answer(retries)

    assert ([], []) == (answer.headers.get_all("critical-ch"), answer.headers.get_all("set-cookie"))


async def test_a_retry_is_a_click_of_its_own_when_the_first_answer_can_not_be_found(retries, writer):
    """The ad stack answers it."""
    retry = retry_of(await first_answer(retries))
    writer.hold_back("it hangs")

    assert await retries.take(*retry) is None


OURS = b"__Host-storehop=" + b"0" * 32


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([b"a=1", OURS, b"b=2"], [b"a=1", b"b=2"]),
        ([OURS], []),
        ([b"a=1; " + OURS + b"; b=2"], [b"a=1; b=2"]),
        ([OURS + b"; a=1"], [b"a=1"]),
        ([b"a=1;" + OURS], [b"a=1"]),
        ([OURS + b"; " + OURS], []),
        ([OURS + b";"], []),
        ([b"a=1;b=2", OURS], [b"a=1;b=2"]),
        ([b"a=1", b"b=2", b"c=3", b"d=4"], [b"a=1", b"b=2", b"c=3", b"d=4"]),
        ([b"x__Host-storehop=1"], [b"x__Host-storehop=1"]),
        ([b"__Host-storehop2=1", b"caf\xff=1"], [b"__Host-storehop2=1", b"caf\xff=1"]),
    ],
    ids=lambda lines: b" | ".join(lines).replace(b"0" * 32, b"").decode("latin-1"),
)
def test_our_cookie_alone_is_taken_out(lines, kept):
    """Whatever crumbs a browser makes of its cookies, the ad stack's own stay, byte for byte."""
    flow, _ = navigation()
    flow.request.headers = http.Headers([(b"cookie", line) for line in lines])
    hide_cookie(flow, flows.see(flow.request))

    assert kept == [value for _, value in flow.request.headers.fields]


def seconds_to_hide(count):
    """Our cookie so many times, at best."""
    took = []
    for _ in range(5):
        flow, _ = navigation()
        flow.request.headers = http.Headers(
            [(b"cookie", b"; ".join(b"__Host-storehop=%d" % it for it in range(count)))]
        )
        seen = flows.see(flow.request)
        begin = time.perf_counter()
        hide_cookie(flow, seen)
        took.append(time.perf_counter() - begin)
    return min(took)


def test_many_cookies_of_ours_cost_linear_time():
    """Ten times as many take ten times as long, with room."""
    assert seconds_to_hide(5000) < 40 * seconds_to_hide(500)


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
    flow, _ = navigation()
    flow.client_conn.proxy_mode = ProxyMode.parse("reverse:http://a")
    flow.request.headers = http.Headers([(b"Host", b"ads.example"), *((b"X-Forwarded-Proto", line) for line in lines)])

    assert expected == is_secure(flow, flows.see(flow.request))


def test_a_host_that_is_none_is_not_remembered():
    """Clients say it, and a name has 255 characters at the most."""
    asked, longest = Asked(), "a" * hints.LONGEST_HOST
    for host in (longest, longest + "a"):
        asked.accept(http.Response.make(200, b"", {"Accept-CH": "DPR"}), host, HintSettings())

    assert [longest] == list(asked._by_host)
