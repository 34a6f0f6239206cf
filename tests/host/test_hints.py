"""A browser's first answer and its retry, with real flows and a real outbox."""

from __future__ import annotations

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from storehop.decide.rules import RuleSet
from storehop.deliver.clock import SystemClock
from storehop.deliver.notes import Notes
from storehop.deliver.writer import Writer
from storehop.host import flows
from storehop.host.hints import Retries, hide_cookie, looks_like_retry
from storehop.model import Click, Delivery

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
