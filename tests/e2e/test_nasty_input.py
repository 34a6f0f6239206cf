"""Whatever stands in links and headers: nothing breaks, nothing is smuggled, and on any doubt the click passes.

Each piece of PIECES stands in each place of PLACES once: some nine hundred requests. An answer must be the bare ad
stack's bytes, or a store redirect that holds nothing but what design §3.1 says. Only what is no valid HTTP may be
refused, since mitmproxy does so by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from tests.support.clients import HEADERS, connection, get, talk
from tests.support.scenes import link_of, new_id, path_of, play
from tests.support.standins import Received, response

PIECES = [
    # control characters, raw and encoded
    *(bytes([code]) for code in (0, 1, 7, 9, 11, 12, 13, 27, 127)),
    *(b"%00", b"%0d%0aX-Evil:%201", b"%0D%0A%0D%0A<html>", b"%0a", b"%09", b"%7f", b"%E2%80%A8", b"%c2%85"),
    *(b"\r\n folded", b"\r\n\tX-Evil: 1"),
    # percent signs that encode nothing, or no UTF-8
    *(b"%", b"%%", b"%2", b"%zz", b"%u0041", b"%ff", b"%c3%28", b"%ed%a0%80", b"%25250d%25250a"),
    # characters outside ASCII, raw: UTF-8 and none
    *("é💩".encode(), b"\xff", b"\xc3\x28", b"\x85", "\u2028".encode(), "\u202eexe".encode(), b"\xa0"),
    # what ends or splits a link
    *(
        b" ",
        b"#",
        b"#x&redirect=false",
        b"?",
        b"?x",
        b"\\",
        b";x=1",
        b"&",
        b"&&&",
        b"=",
        b"==",
        b"&=x",
        b"/../..",
        b"@evil",
    ),
    *(b"\"<>'`{}|^[]", b"${jndi:ldap://x}", b"{clickid}", b"[cb]", b"javascript:alert(1)"),
    # parameters that are ours to add, or that decide
    *(b"&pid=other", b"&clickid=second&clickid=third", b"&redirect=true", b"&redirect=%66alse", b"&%72edirect=false"),
    *(b"&af_ref=evil%0d%0aSet-Cookie:%20x", b"&af_ref=a%20b%26c%3Dd", b"&af_ref=", b"&af_ref={x}&af_ref=second"),
    *(
        b"&af_ip=127.0.0.1",
        b"&af_ip=%0d%0aX-Evil:1",
        b"&af_ua=%0d%0aX-Evil:%201",
        b"&af_ua=%F0%9F%92%A9",
        b"&af_lang=*",
    ),
    *(b"&android_id=0000", b"&advertising_id=%00", b"&idfa={idfa}", b"&af_os_version=9%0a", b"&af_model=%22"),
    # too much of it
    *(b"a" * 60_000, b"%0a" * 20_000, b"&x=1" * 9_000, b"&pid=networka_int" * 200, b"a" * 1_500),
]
STORE = re.compile(
    r"https://play\.google\.com/store/apps/details\?id=com\.example\.game\w*&referrer=[A-Za-z0-9_.%-]{1,600}"
)
CALL_HEADERS = {b"host", b"user-agent", b"accept", b"content-type", b"x-forwarded-for", b"accept-language"}
ANSWER_HEADERS = {"location", "cache-control", "content-length", "set-cookie"}


@dataclass(frozen=True, slots=True)
class Try:
    """A piece in its place: what is asked, and what the ad stack answers if it is asked."""

    request: bytes
    response: bytes
    piece: bytes


def redirect(location):
    return b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n"


def ask(target, **changes):
    """A browser's request with bytes in it; a header's name has `_` for `-`."""
    headers = {name.encode(): value.encode() for name, value in HEADERS.items()} | {b"Connection": b"close"}
    headers |= {name.replace("_", "-").encode(): value for name, value in changes.items()}
    lines = [b"GET " + target + b" HTTP/1.1", *(name + b": " + value for name, value in headers.items())]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def link(more=""):
    return link_of(new_id(), more).encode()


def own_path():
    return path_of(new_id()).encode()


OWN = {"Host": b"app.appsflyer.com"}
PLACES = {
    "a Location's value": lambda it: Try(ask(b"/ad"), redirect(link("&af_sub1=") + it), it),
    "a Location's path": lambda it: Try(ask(b"/ad"), redirect(link().replace(b"game?", b"game" + it + b"?")), it),
    "a Location's click id": lambda it: Try(ask(b"/ad"), redirect(link().replace(b"clickid=", b"clickid=" + it)), it),
    "a Location's host": lambda it: Try(ask(b"/ad"), redirect(link().replace(b".com/", b".com" + it + b"/")), it),
    "before a Location": lambda it: Try(ask(b"/ad"), redirect(it + link()), it),
    "our own target": lambda it: Try(ask(own_path() + it, **OWN), response("204 No Content"), it),
    "the ad stack's target": lambda it: Try(ask(b"/ad?x=" + it), redirect(link()), it),
    "User-Agent": lambda it: Try(ask(b"/ad", User_Agent=HEADERS["User-Agent"].encode() + it), redirect(link()), it),
    "Accept-Language": lambda it: Try(ask(b"/ad", Accept_Language=b"en" + it), redirect(link()), it),
    "X-Forwarded-For": lambda it: Try(ask(b"/ad", X_Forwarded_For=b"81.2.69.142" + it), redirect(link()), it),
    "Sec-CH-UA-Model": lambda it: Try(ask(b"/ad", Sec_CH_UA_Model=b'"' + it + b'"'), redirect(link()), it),
}


ON_BOTH = ("a Location's value", "our own target", "User-Agent")
"""Places that are tried on stock mitmdump too, whose own parts they meet; the rest is the same code."""


def is_http(raw):
    """Whether a head is valid: no control character but tab in a line, no line that continues another (RFC 9112)."""
    head = raw.partition(b"\r\n\r\n")[0]
    return all(
        re.fullmatch(rb"[^\x00-\x08\x0a-\x1f\x7f \t][^\x00-\x08\x0a-\x1f\x7f]*", it) for it in head.split(b"\r\n")
    )


def is_request(raw):
    line = raw.partition(b"\r\n")[0]
    return is_http(raw) and line.count(b" ") == 2 and b"\t" not in line


def unfolded(raw):
    """Mitmproxy begins the continuation of a line with a space where a tab was: the same to RFC 9112 §5.2."""
    return re.sub(rb"\r\n[ \t]+", b" ", raw)


def fault(attempt, bare, answer):
    """What is wrong with an answer, or ""."""
    if unfolded(answer.raw) == unfolded(bare.raw):
        return ""
    if answer.status == 302 and STORE.fullmatch(answer.location or ""):
        names = {name.lower() for name, _ in answer.headers}
        return "" if names <= ANSWER_HEADERS else f"headers {names}"
    if answer.status in {400, 502} and not (is_request(attempt.request) and is_http(attempt.response)):
        return ""
    return f"{answer.raw[:200]!r} instead of {bare.raw[:200]!r}"


def call_fault(call: Received):
    """What is wrong with a call, or ""."""
    names = [line.partition(b":")[0].lower() for line in call.header_lines]
    if not re.fullmatch(rb"GET /[\x21-\x7e]{1,2000} HTTP/1\.1", call.line) or len(call.line) > 2000:
        return f"line {call.line!r}"
    if set(names) - CALL_HEADERS or len(names) > len(set(names)):
        return f"headers {names}"
    if not all(re.fullmatch(rb"[^\x00-\x1f\x7f]*", line) for line in call.header_lines):
        return f"headers {call.header_lines}"
    parameters = [name for name, _ in call.params]
    ours = [name for name in parameters if name in {"af_ref", "af_ip", "af_ua", "redirect"}]
    return "" if len(ours) == len(set(ours)) and parameters[-1] == "redirect" else f"parameters {parameters}"


@pytest.mark.parametrize(
    ("world", "place"),
    [*(("sidecar", place) for place in PLACES), *(("mitmdump", place) for place in ON_BOTH)],
    indirect=["world"],
)
async def test_nothing_breaks_an_answer(world, place):
    """Every answer is the ad stack's own or a store redirect, and every call that came of it is well formed."""
    wrong = []
    for piece in PIECES:
        attempt = PLACES[place](piece)
        world.ads.routes["*"] = attempt.response
        bare, answer = await talk(world.ads.port, attempt.request), await talk(world.port, attempt.request)
        if found := fault(attempt, bare, answer):
            wrong.append((piece[:40], found))
    assert [] == wrong

    click_id = new_id()
    answer = await get(world.port, world.ads.redirect(link_of(click_id)))
    assert play(click_id) == answer.location
    while f"clickid={click_id}&" not in (call := await world.appsflyer.next_click()).target:
        if found := call_fault(call):
            wrong.append((call.line[:200], found))
    assert [] == wrong
    assert world.host.process.is_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : app.appsflyer.com\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"CONNECT app.appsflyer.com:443 HTTP/1.1\r\nHost: app.appsflyer.com:443\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: app.appsflyer.com\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x00" * 1000,
    ],
    ids=lambda raw: repr(raw[:60]),
)
async def test_a_broken_request_breaks_nobody_else(world, raw):
    """After bytes that are hardly a request, the next click is served as ever."""
    click_id = new_id()
    async with connection(world.port) as (_, writer):
        writer.write(raw)
        answer = await get(world.port, world.ads.redirect(link_of(click_id)))

    assert play(click_id) == answer.location
    await world.appsflyer.next_click()
