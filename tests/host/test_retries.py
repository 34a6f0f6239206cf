"""A browser's first answer and its retry, with real flows and a real outbox."""

from __future__ import annotations

import asyncio

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from storehop.decide.rules import RuleSet
from storehop.deliver.outbox import Outbox
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.host import flows, retries
from storehop.host.retries import FirstAnswer, hide_cookie, looks_like_retry
from storehop.model import Click
from tests.support.linear import MOST_GROWTH, growth
from tests.support.patience import SOON_S

ODD = b"caf\xc3\xa9 \xff"
"""Bytes that are no UTF-8: headers may hold any."""
LINK = "https://app.appsflyer.com/com.example.game?c=\udcff"
RULES = RuleSet(digest="digest")


@pytest.fixture
async def outbox(tmp_path):
    made = Outbox(SqliteEngine(tmp_path / "outbox.db", power_safe=False), "test")
    made.patience_s = SOON_S  # a busy machine's disk is no slow disk
    yield made
    if not made._is_closed:
        await made.close()


def navigation(path=b"/ad", **headers):
    """A browser's request, and its headers."""
    flow = tflow.tflow()
    fields = {"Host": "ads.example", "User-Agent": "ua \udcff", **headers}
    flow.request.headers = http.Headers(
        [(name.replace("_", "-").encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields.items()]
    )
    flow.request.data.path = path
    return flow, flows.headers_of(flow.request)


def redirect():
    fields = [(b"Location", b"https://a"), (b"X-Odd", ODD), (b"Critical-CH", b"Sec-CH-UA-Model")]
    return http.Response.make(302, b"<p>moved</p>", http.Headers(fields))


def planned():
    """A click's flow, and what its retry will be answered."""
    flow, headers = navigation()
    flow.response = redirect()
    click = Click("id", "GET", LINK, headers, "192.0.2.1")
    return flow, retries.plan(flow, click, RULES, flow.response)


async def first_answer(outbox):
    """A click's answer that asks the browser to come back."""
    flow, answer = planned()
    await outbox.remember(answer)
    retries.ask_to_retry(flow, flow.response)
    return flow.response


def retry_of(answer, path=b"/ad", **headers):
    """What the browser sends when it has had this answer."""
    crumbs = [line.partition(";")[0] for line in answer.headers.get_all("set-cookie")]
    flow, headers = navigation(path, Cookie="; ".join(crumbs), Sec_CH_UA_Model='"Pixel 8"', **headers)
    hide_cookie(flow, headers)
    return flow, headers


async def test_a_first_answer_comes_back_with_the_retry(outbox):
    """Whose click it was, and by which rules."""
    first = await retries.take(outbox, *retry_of(await first_answer(outbox)))

    assert ("id", LINK, "digest") == (first.click.id, first.click.link, first.digest)


async def test_any_process_gets_the_retry(outbox, tmp_path):
    """The browser's second connection may go to another one."""
    retry = retry_of(await first_answer(outbox))
    other = Outbox(SqliteEngine(tmp_path / "outbox.db", power_safe=False), "other")
    first = await retries.take(other, *retry)
    await other.close()

    assert "id" == first.click.id


async def test_two_processes_do_not_both_take_a_retry(outbox):
    """A click is amended once, whoever comes first."""
    answer = await first_answer(outbox)
    taken = await asyncio.gather(*(retries.take(outbox, *retry_of(answer)) for _ in range(2)))

    assert 1 == len([first for first in taken if first])


async def test_the_answer_to_a_retry_has_the_first_one_s_headers(outbox):
    """As bytes, without what only the first one may say, and without its body."""
    first = await retries.take(outbox, *retry_of(await first_answer(outbox)))
    again = first.again()

    assert (302, ODD, "https://a", "0", b"") == (
        again.status_code,
        dict(again.headers.fields)[b"X-Odd"],
        again.headers["location"],
        again.headers["content-length"],
        again.content,
    )
    assert "critical-ch" not in again.headers


async def test_a_first_answer_is_handed_out_once(outbox):
    """A second retry is a click of its own."""
    answer = await first_answer(outbox)
    await retries.take(outbox, *retry_of(answer))

    assert await retries.take(outbox, *retry_of(answer)) is None


async def test_a_request_that_is_no_retry_leaves_the_first_answer(outbox):
    """A page's other requests have the cookie, too."""
    answer = await first_answer(outbox)
    image = await retries.take(outbox, *retry_of(answer, sec_fetch_dest="image"))
    retry = await retries.take(outbox, *retry_of(answer))

    assert (None, "id") == (image, retry.click.id)


@pytest.mark.parametrize(("late_s", "is_retry"), [(0.0, True), (retries.OTHER_TARGET_S + 0.3, False)])
async def test_another_target_is_a_retry_for_a_moment(outbox, monkeypatch, late_s, is_retry):
    """The ad network's redirect may have made a new link; a person who taps another ad takes longer."""
    answer = await first_answer(outbox)
    now = retries.time.time()
    monkeypatch.setattr(retries.time, "time", lambda: now + late_s)
    first = await retries.take(outbox, *retry_of(answer, b"/ad?other"))

    assert is_retry == (first is not None)


async def test_the_same_target_is_a_retry_for_longer(outbox, monkeypatch):
    """It is the same request, as long as its answer is kept."""
    answer = await first_answer(outbox)
    now = retries.time.time()
    monkeypatch.setattr(retries.time, "time", lambda: now + 9)

    assert await retries.take(outbox, *retry_of(answer)) is not None


async def test_a_cookie_that_we_did_not_give_is_nobody_s(outbox):
    """Whatever is in it."""
    await first_answer(outbox)
    flow, headers = navigation(Cookie="__Host-storehop=\udcff", Sec_CH_UA_Model='"Pixel 8"')
    hide_cookie(flow, headers)

    assert (True, None) == (looks_like_retry(flow, headers), await retries.take(outbox, flow, headers))


async def test_a_retry_is_a_click_of_its_own_when_the_first_answer_can_not_be_read(outbox):
    """The ad stack answers it."""
    answer = await first_answer(outbox)
    await outbox.close()

    assert await retries.take(outbox, *retry_of(answer)) is None


def test_the_cookie_is_this_browser_s_alone():
    """It leaves this host by no way but TLS, no script reads it, and it is gone when the answer is."""
    flow, _ = planned()
    retries.ask_to_retry(flow, flow.response)
    name_and_token, *attributes = flow.response.headers.get_all("set-cookie")[0].split("; ")

    assert name_and_token.startswith("__Host-storehop=")
    assert ["Max-Age=10", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] == attributes


def test_what_is_stored_does_not_say_the_token():
    """Who reads the outbox can be nobody's browser."""
    flow, answer = planned()
    retries.ask_to_retry(flow, flow.response)
    token = flow.response.headers["set-cookie"].partition("=")[2].partition(";")[0]

    assert token not in answer.text
    assert token.encode() not in answer.key


def test_a_first_answer_is_read_as_it_was_written():
    """Whatever process reads it."""
    first = FirstAnswer.from_text(planned()[1].text)

    assert first == FirstAnswer.from_text(first.to_text())


@pytest.mark.parametrize(
    ("method", "hints", "is_replay", "expected"),
    [
        ("GET", {"Sec_CH_UA_Model": '"Pixel 8"'}, None, True),
        ("GET", {"Sec_CH_UA_Platform_Version": '"14"'}, None, True),
        ("GET", {}, None, False),
        ("POST", {"Sec_CH_UA_Model": '"Pixel 8"'}, None, False),
        ("GET", {"Sec_CH_UA_Model": '"Pixel 8"'}, "request", False),
    ],
)
def test_a_retry_is_a_navigation_with_hints(method, hints, is_replay, expected):
    """Of a browser that has our cookie; what somebody replays is none."""
    flow, headers = navigation(Cookie="__Host-storehop=1", **hints)
    flow.request.method, flow.is_replay = method, is_replay
    hide_cookie(flow, headers)

    assert expected is looks_like_retry(flow, headers)


def test_without_our_cookie_there_is_no_retry():
    """Browsers send hints with every request after an answer that asked for them."""
    flow, headers = navigation(Cookie="a=1", Sec_CH_UA_Model='"Pixel 8"')
    hide_cookie(flow, headers)

    assert not looks_like_retry(flow, headers)


OURS = b"__Host-storehop=" + b"0" * 32


@pytest.mark.parametrize(
    ("lines", "others"),
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
def test_our_cookie_alone_is_taken_out(lines, others):
    """Whatever crumbs a browser makes of its cookies, the ad stack's own stay, byte for byte."""
    flow, _ = navigation()
    flow.request.headers = http.Headers([(b"cookie", line) for line in lines])
    hide_cookie(flow, flows.headers_of(flow.request))

    assert others == [value for _, value in flow.request.headers.fields]


def request_with(count):
    """A request with our cookie so many times, and its headers."""
    flow, _ = navigation()
    flow.request.headers = http.Headers([(b"cookie", b"; ".join(b"__Host-storehop=%d" % it for it in range(count)))])
    return flow, flows.headers_of(flow.request)


@pytest.mark.measures
def test_many_cookies_of_ours_cost_linear_time():
    """Taken out one by one they would take quadratic time."""

    def work(request):
        flow, headers = request
        before = flow.request.headers.fields
        hide_cookie(flow, dict(headers))
        flow.request.headers.fields = before

    assert growth(request_with, work, size=2_500) <= MOST_GROWTH
