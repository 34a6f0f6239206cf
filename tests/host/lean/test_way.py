"""The lean way does what mitmproxy's own does: the same for clients, upstreams and addons.

What is compared is an `Outcome` of `tests/support/ways.py`.
"""

import asyncio
import ssl
import types

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.exceptions import AddonHalt
from OpenSSL import SSL
from wsproto import frame_protocol

from tests.support.certificates import Authority
from tests.support.ways import LEAN, OK, PROBE, STOCK, Story, answers, come_of, says, says_all

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
HEAD = b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"4\r\nbody\r\n3;x=y\r\nies\r\n0\r\n\r\n"
UPGRADE = (
    b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
HI = b"\x81\x82\0\0\0\0hi"
"""A WebSocket's message from a client."""
HO = b"\x81\x02ho"
"""One from a server."""
BYE = b"\x88\x82\0\0\0\0\x03\xe8"
"""Its end."""


def reply(*lines, body=b"", status=b"200 OK", version=b"HTTP/1.1"):
    return b"\r\n".join([version + b" " + status, *lines, b"", body])


# what addons do


def answer(flow):
    flow.response = http.Response.make(302, b"there", {"Location": "/there"})


def answer_empty(flow):
    flow.response = http.Response.make(302, b"", {"Location": "/there"})


async def answer_later(flow):
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answer(flow)


async def answer_eagerly(flow):
    answer(flow)


def kill(flow):
    flow.kill()


async def kill_later(flow):
    await asyncio.sleep(0)
    flow.kill()


def fail(_flow):
    raise ZeroDivisionError("by zero")


async def fail_later(_flow):
    await asyncio.sleep(0)
    raise ZeroDivisionError("by zero")


def halt(_flow):
    raise AddonHalt


def hold(flow):
    """Holds it back until the loop's next turn."""
    flow.intercept()
    asyncio.get_running_loop().call_soon(flow.resume)


def stream_request(flow):
    flow.request.stream = True


def stream_response(flow):
    flow.response.stream = True


def new_body(flow):
    flow.request.content = b"another body"


def new_request(flow):
    flow.request.path = "/y"
    flow.request.method = "PUT"
    flow.request.headers["X-New"] = "1"
    del flow.request.headers["Host"]
    flow.request.headers.insert(0, "Host", "b")


def new_response(flow):
    flow.response.content = b"another answer"
    flow.response.headers.add("Set-Cookie", "a=1")
    flow.response.headers.set_all("X", ["1", "2"])
    flow.response.status_code = 404


def chunked_response(flow):
    del flow.response.headers["Content-Length"]
    flow.response.headers["Transfer-Encoding"] = "chunked"


def broken_response(flow):
    flow.response.headers["Content-Length"] = "many"


def refuse(data):
    getattr(data, "server", data).error = "no"


# what clients do


async def leave_at_once(peer, scene):
    """Before the answer."""
    peer.send(GET)
    await scene.hooked("request").wait()
    peer.leave()


async def leave_in_body(peer, scene):
    peer.send(POST[:-2])
    await scene.hooked("requestheaders").wait()
    peer.leave()


async def close_in_head(peer, _scene):
    peer.send(GET[:-4])
    peer.finish()
    await peer.to_end()


async def close_in_body(peer, scene):
    peer.send(POST[:-2])
    await scene.hooked("requestheaders").wait()
    peer.finish()
    await peer.to_end()


async def close_half(peer, _scene):
    """It has sent all and waits for its answer."""
    peer.send(GET)
    peer.finish()
    await peer.to_end()


async def close_half_after_two(peer, _scene):
    peer.send(GET + GET)
    peer.finish()
    await peer.to_end()


async def say_nothing(peer, _scene):
    peer.finish()
    await peer.to_end()


async def leave_in_answer(peer, _scene):
    peer.send(GET)
    await peer.until(b"\r\n\r\n")
    peer.leave()


async def expect_continue(peer, _scene):
    peer.send(POST[:-8].replace(b"Host", b"Expect: 100-continue\r\nHost") + b"\r\n\r\n")
    await peer.until(b"100 Continue\r\n\r\n")
    peer.send(b"body" + PROBE)
    await peer.to_end()


async def talk(peer, _scene):
    """Upgrades, and what follows comes with it and behind the answer."""
    peer.send(UPGRADE + HI)
    await peer.until(HO)
    peer.send(HI + BYE)
    await peer.to_end()


async def talk_raw(peer, _scene):
    """As `talk`, and ends the connection itself."""
    peer.send(UPGRADE + HI)
    await peer.until(HO)
    peer.send(HI + BYE)
    await peer.until(b"\x88")
    peer.finish()
    await peer.to_end()


async def tunnel(peer, _scene):
    peer.send(UPGRADE.replace(b"websocket", b"other"))
    await peer.until(b"ready")
    peer.send(b"raw")
    await peer.until(b"raw")
    peer.finish()
    await peer.to_end()


# what upstreams do


def parts(*pieces, leave=False):
    """One that answers in pieces, then closes or resets."""

    async def play(peer, _scene):
        await peer.until(b"\r\n\r\n")
        await peer.send_pieces(*pieces)
        await peer.writer.drain()
        if leave:
            peer.leave()
        else:
            peer.finish()
            await peer.to_end()

    return play


async def say_nothing_and_close(peer, _scene):
    peer.finish()
    await peer.to_end()


async def converse(peer, _scene):
    await peer.until(b"\r\n\r\n")
    peer.send(UPGRADED + HO)
    await peer.until(b"\x88")
    peer.send(b"\x88\x02\x03\xe8")
    await peer.to_end()


async def echo(peer, _scene):
    await peer.until(b"\r\n\r\n")
    peer.send(UPGRADED.replace(b"websocket", b"other") + b"ready")
    await peer.until(b"raw")
    peer.send(b"raw")
    await peer.to_end()


async def close_after_answer(peer, _scene):
    """A kept connection that ends between two requests."""
    await peer.until(b"\r\n\r\n")
    peer.send(OK)
    peer.finish()
    await peer.to_end()


async def answer_early(peer, _scene):
    """Before the request's body is there."""
    await peer.until(b"\r\n\r\n")
    peer.send(OK)
    await peer.until(b"body")
    await peer.to_end()


async def wait_then_answer_next(peer, scene):
    """The client gets its second answer over a second connection."""
    await (say_nothing_and_close if len(scene.upstreams) == 1 else answers(OK))(peer, scene)


async def two_after_close(peer, scene):
    """Asks again when the upstream has closed its first connection."""
    peer.send(GET)
    await peer.until(b"ok")
    await scene.hooked("server_disconnected").wait()
    await says(GET, each=2)(peer, scene)


LARGE = bytes(range(256)) * 4_000

STORIES = {
    # answers of addons
    "answered": Story(says(GET, GET), hooks={"request": answer}),
    "answered without a body": Story(says(GET), hooks={"request": answer_empty}),
    "answered later": Story(says(GET, GET), hooks={"request": answer_later}),
    "answered by a coroutine": Story(says(GET), hooks={"request": answer_eagerly}),
    "answered in requestheaders": Story(says(GET), hooks={"requestheaders": answer}),
    "answered in requestheaders, later": Story(says(POST), hooks={"requestheaders": answer_later}),
    "a HEAD answered": Story(says(HEAD), hooks={"request": answer_empty}),
    "answered and changed": Story(says(GET), hooks={"request": answer, "response": new_response}),
    "answered in chunks": Story(says(GET), hooks={"request": answer, "responseheaders": chunked_response}),
    "answered with a broken head": Story(says_all(LAST), hooks={"request": answer, "response": broken_response}),
    # forwarded requests
    "forwarded": Story(says(GET)),
    "HEAD": Story(says(HEAD), answers(reply(b"Content-Length: 2"))),
    "three on a connection": Story(says(GET, GET, GET)),
    "pipelined": Story(says_all(GET + GET + GET + PROBE)),
    "pipelined with bodies": Story(
        says_all(POST + CHUNKED + CHUNKS + GET + PROBE), answers(OK, OK, OK, marker=b" /x HTTP/1.1\r\n")
    ),
    "pipelined and answered": Story(says_all(GET + POST + PROBE), hooks={"request": answer_later}),
    "in pieces": Story(says_all(*(bytes([byte]) for byte in POST + PROBE))),
    "POST": Story(says(POST, POST)),
    "an empty POST": Story(says(POST.replace(b"4", b"0")[:-4])),
    "a chunked POST": Story(says_all(CHUNKED, CHUNKS[:5], CHUNKS[5:], PROBE)),
    "a chunked POST with trailers": Story(says_all(CHUNKED + CHUNKS[:-2] + b"X: y\r\n\r\n", PROBE)),
    "a chunked POST that is none": Story(says_all(CHUNKED + b"no\r\n")),
    "100-continue": Story(expect_continue),
    "100-continue, answered": Story(expect_continue, hooks={"request": answer}),
    "HTTP/1.0": Story(says_all(b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n")),
    "HTTP/1.0 without Host": Story(says_all(b"GET /x HTTP/1.0\r\n\r\n")),
    "HTTP/1.0 kept": Story(says(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")),
    "Connection: close": Story(says_all(LAST)),
    "Connection: close, answered": Story(says_all(LAST + GET), hooks={"request": answer}),
    "Connection: keep-alive": Story(says(GET.replace(b"Host", b"Connection: keep-alive\r\nHost"))),
    "absolute-form": Story(says(b"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n")),
    "absolute-form of another scheme": Story(says_all(b"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n")),
    "OPTIONS *": Story(says(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")),
    "CONNECT": Story(says_all(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")),
    "a lower-case connect": Story(says_all(b"connect /x HTTP/1.1\r\nHost: a\r\n\r\n"), answers(OK, end=True)),
    "own Host": Story(says(GET), options={"keep_host_header": False}),
    "repeated fields": Story(says(GET.replace(b"Host", b"X: 1\r\nx: 2\r\nCookie: a\r\nCookie: b\r\nX:\r\nHost"))),
    "not UTF-8": Story(says(GET.replace(b"/x", b"/\xff\xc3").replace(b"Host", b"X: \xff\xe9\r\nHost"))),
    "streamed request": Story(says(POST), hooks={"requestheaders": stream_request}),
    "streamed chunks": Story(says_all(CHUNKED, CHUNKS, PROBE), hooks={"requestheaders": stream_request}),
    "streamed by size": Story(says(POST), options={"stream_large_bodies": "1"}),
    "too large": Story(says_all(POST), options={"body_size_limit": "1"}),
    "an answer that is too large": Story(says_all(GET), options={"body_size_limit": "1"}),
    "streamed answer": Story(says(GET), hooks={"responseheaders": stream_response}),
    "another body": Story(
        says(GET, POST), hooks={"request": new_body}, upstream=answers(OK, OK, marker=b"another body")
    ),
    "another request": Story(says(GET), hooks={"request": new_request}),
    "another answer": Story(says(GET), hooks={"response": new_response}),
    "large bodies": Story(
        says_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE, PROBE),
        answers(reply(b"Content-Length: %d" % len(LARGE), body=LARGE), marker=LARGE[-4_000:]),
    ),
    # heads that are refused
    **{
        f"bad head {number}": Story(says_all(head, PROBE))
        for number, head in enumerate(
            (
                b"GET /x\r\n\r\n",
                b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
                b"GET /x HTTP/9.9\r\nHost: a\r\n\r\n",
                b"GET /x HTTP/1\r\nHost: a\r\n\r\n",
                b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
                b"G@T /x HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET http://a:b/x HTTP/1.1\r\nHost: a\r\n\r\n",
                GET.replace(b"Host", b"no colon\r\nHost"),
                GET.replace(b"Host", b": no name\r\nHost"),
                GET.replace(b"Host", b"X: 1\r\n folded\r\nHost"),
                GET.replace(b"Host", b"no token: 1\r\nHost"),
                GET.replace(b"Host", b"X : 1\r\nHost"),
                GET.replace(b"Host", b"X\xe9: 1\r\nHost"),
                GET.replace(b"Host", b"Content-Length: 1\r\nContent-Length: 1\r\nHost"),
                GET.replace(b"Host", b"Content-Length: 1, 1\r\nHost"),
                GET.replace(b"Host", b"Content-Length: +1\r\nHost"),
                GET.replace(b"Host", b"Content-Length: 01\r\nHost"),
                GET.replace(b"Host", b"Content-Length: -1\r\nHost"),
                GET.replace(b"Host", b"Content-Length:\r\nHost"),
                GET.replace(b"Host", b"Content-Length: \xb2\r\nHost"),
                GET.replace(b"Host", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\nHost") + b"0\r\n\r\n",
                GET.replace(b"Host", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nHost"),
                GET.replace(b"Host", b"Transfer-Encoding: gzip\r\nHost"),
                GET.replace(b"Host", b"Transfer-Encoding: identity\r\nHost"),
                GET.replace(b"Host", b"Transfer-Encoding: xchunked\r\nHost"),
                GET.replace(b"1.1", b"1.0").replace(b"Host", b"Transfer-Encoding: chunked\r\nHost") + b"0\r\n\r\n",
                GET.replace(b"Host", b"Host: b\r\nHost"),
                b"\0" * 20 + b"\r\n\r\n",
            )
        )
    },
    # answers
    "no length": Story(says_all(GET), answers(reply(body=b"all"), end=True)),
    "no length, in pieces": Story(says_all(GET), parts(reply(), b"a", b"ll")),
    "chunked": Story(says(GET, GET), answers(*2 * [reply(b"Transfer-Encoding: chunked", body=CHUNKS)])),
    "chunked, streamed": Story(
        says(GET), answers(reply(b"Transfer-Encoding: chunked", body=CHUNKS)), {"responseheaders": stream_response}
    ),
    "204": Story(says(GET, GET), answers(reply(status=b"204 No Content"), OK)),
    "304": Story(says(GET), answers(reply(b"Content-Length: 5", status=b"304 Not Modified"))),
    "103 before": Story(says(GET), answers(reply(b"Link: x", status=b"103 Early Hints") + OK)),
    "100 before": Story(says(GET), answers(reply(status=b"100 Continue") + OK)),
    "two Content-Lengths": Story(says_all(GET), answers(reply(b"Content-Length: 2", b"Content-Length: 2", body=b"ok"))),
    "other Content-Lengths": Story(
        says_all(GET), answers(reply(b"Content-Length: 2", b"Content-Length: 3", body=b"ok"))
    ),
    "a length and chunks": Story(
        says_all(GET), answers(reply(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=CHUNKS))
    ),
    "a length that is none": Story(says_all(GET), answers(reply(b"Content-Length: x"))),
    "a length of zero": Story(says(GET, GET), answers(*2 * [reply(b"Content-Length: 0")])),
    "a coding that is none": Story(says_all(GET), answers(reply(b"Transfer-Encoding: x"))),
    "chunks that are none": Story(says_all(GET), answers(reply(b"Transfer-Encoding: chunked", body=b"no\r\n"))),
    "a bad status line": Story(says_all(GET), answers(b"HTTP/1.1 two hundred\r\n\r\n")),
    "no HTTP": Story(says_all(GET), answers(b"+OK\r\n\r\n")),
    "no reason": Story(says(GET), answers(reply(b"Content-Length: 0", status=b"200"))),
    "folded lines": Story(says(GET), answers(reply(b"X: 1", b"  2", b"Content-Length: 0"))),
    "folded at once": Story(says_all(GET), answers(reply(b" X: 1", b"Content-Length: 0"))),
    "names that are no tokens": Story(says_all(GET), answers(reply(b"X Y: 1", b"Content-Length: 0"))),
    "names that may be no tokens": Story(
        says(GET), answers(reply(b"X Y: 1", b"Content-Length: 0")), options={"validate_inbound_headers": False}
    ),
    "not UTF-8 in an answer": Story(says(GET), answers(reply(b"X: \xff", b"Content-Length: 0", status=b"200 \xff"))),
    "answers of HTTP/1.0": Story(says_all(GET), answers(reply(b"Content-Length: 2", body=b"ok", version=b"HTTP/1.0"))),
    "answers that close": Story(says_all(GET), answers(reply(b"Content-Length: 2", b"Connection: close", body=b"ok"))),
    "more than asked": Story(says(GET), answers(OK + OK)),
    "answers to HEAD with a body": Story(says(HEAD), answers(OK)),
    "WebSocket": Story(talk, converse),
    "WebSocket as raw TCP": Story(talk_raw, converse, options={"websocket": False}),
    "another protocol": Story(tunnel, echo),
    "another protocol that is not allowed": Story(tunnel, echo, options={"rawtcp": False}),
    # upstreams that fail
    "refused": Story(says_all(GET), None),
    "refused twice": Story(says_all(GET + GET), None),
    "nothing": Story(says_all(GET), parts()),
    "closes at once": Story(says_all(GET), say_nothing_and_close),
    "closes in the head": Story(says_all(GET), parts(b"HTTP/1.1 200")),
    "closes in the body": Story(says_all(GET), parts(OK[:-1])),
    "closes in chunks": Story(says_all(GET), parts(reply(b"Transfer-Encoding: chunked", body=CHUNKS[:5]))),
    "closes in a streamed body": Story(says_all(GET), parts(OK[:-1]), {"responseheaders": stream_response}),
    "resets": Story(says_all(GET), parts(leave=True)),
    "closes between two": Story(two_after_close, close_after_answer),
    "answers early": Story(says(POST), answer_early),
    # clients that leave
    "leaves": Story(leave_at_once, parts()),
    "leaves while an addon waits": Story(leave_at_once, hooks={"response": answer_later}),
    "leaves in its body": Story(leave_in_body),
    "leaves in the answer": Story(leave_in_answer, parts(OK[:-1])),
    "closes in its head": Story(close_in_head),
    "closes in its body": Story(close_in_body),
    "half-closes": Story(close_half),
    "half-closes, answered": Story(close_half, hooks={"request": answer_later}),
    "half-closes after two": Story(close_half_after_two),
    "says nothing": Story(say_nothing),
    # addons
    **{
        f"killed in {hook}": Story(says_all(POST), hooks={hook: kill})
        for hook in (
            "requestheaders",
            "request",
            "responseheaders",
            "response",
        )
    },
    **{
        f"killed later in {hook}": Story(says_all(GET), hooks={hook: kill_later})
        for hook in (
            "requestheaders",
            "request",
            "responseheaders",
            "response",
        )
    },
    **{
        f"fails in {hook}": Story(says(GET, POST), hooks={hook: fail})
        for hook in (
            "requestheaders",
            "request",
            "responseheaders",
            "response",
            "client_connected",
            "server_connect",
            "server_connected",
            "server_disconnected",
            "client_disconnected",
        )
    },
    "fails later": Story(says(GET), hooks={"request": fail_later, "response": fail_later}),
    **{f"halts in {hook}": Story(says(GET), hooks={hook: halt}) for hook in ("requestheaders", "response")},
    **{
        f"held in {hook}": Story(says_all(GET + POST + PROBE), hooks={hook: hold})
        for hook in (
            "requestheaders",
            "request",
            "responseheaders",
            "response",
        )
    },
    "held in all": Story(
        says_all(GET + PROBE), hooks=dict.fromkeys(("requestheaders", "request", "responseheaders", "response"), hold)
    ),
    "client refused": Story(says_all(GET), hooks={"client_connected": refuse}),
    "upstream refused": Story(says_all(GET), hooks={"server_connect": refuse}),
    "killed in error": Story(says_all(GET), parts(), hooks={"error": kill}),
}


@pytest.fixture(autouse=True, scope="module")
def masks():
    """Those of WebSocket are chosen at random."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_protocol, "os", types.SimpleNamespace(urandom=bytes))
        yield


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_it_is_mitmproxy_s_own(story):
    """Client, upstream, addons and log are told the same."""
    assert come_of(STOCK, story) == come_of(LEAN, story)


def test_many_requests_at_once_are_answered():
    """As many as a client may send ahead: they do not lie in each other, nor is the connection lost."""
    story = Story(says_all(GET * 3_000 + PROBE), hooks={"request": answer})
    outcome = come_of(LEAN, story)

    assert (3_000, True, ()) == (outcome.client.count(b"302 Found"), outcome.client.endswith(b"probed"), outcome.log)


def test_many_bodies_at_once_are_answered():
    """The same for requests with bodies."""
    story = Story(says_all(POST * 3_000 + PROBE), hooks={"request": answer})
    outcome = come_of(LEAN, story)

    assert (3_000, True, ()) == (outcome.client.count(b"302 Found"), outcome.client.endswith(b"probed"), outcome.log)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of the server `a`, and the authority that signed it."""
    authority = Authority.make(tmp_path_factory.mktemp("authority"))
    return authority.ca, authority.sign("a")


def test_tls_is_mitmproxy_s_own(certificate):
    """The handshake, two requests and the end."""
    authority, pem = certificate

    def begin(data):
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(str(pem))
        context.use_privatekey_file(str(pem))
        data.ssl_conn = SSL.Connection(context)
        data.ssl_conn.set_accept_state()

    client = ssl.create_default_context(cafile=authority)
    story = Story(says(GET, POST), hooks={"tls_start_client": begin}, ssl=client)
    outcome = come_of(LEAN, story)

    assert come_of(STOCK, story) == outcome
    assert (True, ()) == (outcome.client.endswith(b"probed"), outcome.log)


# whatever comes

TARGETS = st.sampled_from([b"/x", b"/", b"*", b"http://a/x", b"http://b/", b"/%ff?x=\xff", b"x", b""])
NAMES = st.sampled_from(
    [b"X", b"x", b"Connection", b"Content-Length", b"Transfer-Encoding", b"Host", b"Cookie", b"X-Forwarded-For", b"X_Y"]
)
VALUES = st.sampled_from([b"", b"0", b"1", b"4", b"00", b"chunked", b"gzip, chunked", b"close", b"keep-alive", b"\xff"])
BODIES = st.sampled_from([b"", b"", b"body", CHUNKS, b"0\r\n\r\n"])
NEARLY = st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\0", b":"])


@st.composite
def requests(draw):
    """One that is well-formed, or nearly."""
    method = draw(st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"get", b"CONNECT"]))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    fields = [
        b"Host: a",
        *(name + b": " + value for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=3))),
    ]
    head = b"\r\n".join([b" ".join([method, draw(TARGETS), version]), *draw(st.permutations(fields)), b"", b""])
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(head)))
        head = head[:at] + draw(NEARLY) + head[at:]
    return head + draw(BODIES)


@st.composite
def conversations(draw):
    """Some of them, in pieces."""
    sent = b"".join(draw(st.lists(st.one_of(st.sampled_from([GET, POST, CHUNKED + CHUNKS]), requests()), max_size=4)))
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    return [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


def say_and_finish(pieces):
    async def play(peer, _scene):
        await peer.send_pieces(*pieces)
        peer.finish()
        await peer.to_end()

    return play


async def answer_each(peer, _scene):
    """Whatever looks like the end of a head gets an answer: an upstream that reads no better than this."""
    number = 0
    while not peer.is_at_end:
        number += 1
        await peer.until(b" HTTP/1.", number)
        if not peer.is_at_end:
            peer.send(OK)


def stock_outcome(story):
    """Of mitmproxy's way, where it comes to an end: it waits for ever for a body that stops short behind a request that
    was sent ahead.
    """
    try:
        return come_of(STOCK, story)
    except TimeoutError:
        reject()


@example([b"get http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", GET])
@example([POST + CHUNKED + CHUNKS + GET])
@given(conversations())
@settings(max_examples=60)
def test_whatever_clients_send_to_addons(pieces):
    """Addons see the same requests, and clients get the same answers."""
    story = Story(say_and_finish(pieces), hooks={"request": answer})
    outcome = come_of(LEAN, story)

    assert stock_outcome(story).is_as(outcome)


@given(conversations())
@settings(max_examples=60)
def test_whatever_clients_send_to_the_upstream(pieces):
    """The upstream gets the same bytes."""
    story = Story(say_and_finish(pieces), answer_each)
    outcome = come_of(LEAN, story)

    assert stock_outcome(story).is_as(outcome)


# slow readers


def fast_upstream(size, may_read):
    """Sends an endless answer as fast as it goes, and lets the client read once nothing more fits on the way."""

    async def play(peer, _scene):
        await peer.until(b"\r\n\r\n")
        peer.send(reply(b"Content-Length: %d" % size))
        piece = bytes(range(256)) * 256
        for _ in range(size // len(piece)):
            peer.send(piece)
            try:
                async with asyncio.timeout(0.3):
                    await peer.writer.drain()
            except TimeoutError:
                may_read.set()
                await peer.writer.drain()
        await peer.to_end()

    return play


@pytest.mark.measures
@pytest.mark.parametrize("way", [STOCK, LEAN], ids=["stock", "lean"])
def test_a_client_that_takes_nothing_stops_its_upstream(way):
    """Little waits in memory meanwhile; when it reads, all comes, in its order."""
    size = 24 * 1024 * 1024
    may_read = asyncio.Event()
    waiting = []

    async def read_late(peer, scene):
        peer.writer.transport.pause_reading()
        peer.send(LAST)
        await may_read.wait()
        transports = scene.handlers[0].transports.values()
        waiting.extend(io.writer.transport.get_write_buffer_size() for io in transports)
        peer.writer.transport.resume_reading()
        await peer.to_end()

    outcome = come_of(way, Story(read_late, fast_upstream(size, may_read), {"responseheaders": stream_response}))

    assert sum(waiting) < 1024 * 1024
    assert bytes(range(256)) * (size // 256) == outcome.client.partition(b"\r\n\r\n")[2]


@pytest.mark.measures
@pytest.mark.parametrize("way", [STOCK, LEAN], ids=["stock", "lean"])
def test_an_upstream_that_takes_nothing_stops_its_client(way):
    """The same the other way."""
    size = 24 * 1024 * 1024
    waiting = []

    async def send_much(peer, scene):
        peer.send(b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
        peer.send(b"abcdefgh" * (size // 8))
        await scene.hooked("server_connected").wait()
        try:
            async with asyncio.timeout(1):
                await peer.writer.drain()
        except TimeoutError:
            transports = scene.handlers[0].transports.values()
            waiting.extend(io.writer.transport.get_write_buffer_size() for io in transports)
            may_read.set()
        await peer.to_end()

    async def take_late(peer, scene):
        peer.writer.transport.pause_reading()
        await may_read.wait()
        peer.writer.transport.resume_reading()
        await peer.until_size(size)
        peer.send(OK)
        await peer.to_end()

    may_read = asyncio.Event()
    outcome = come_of(way, Story(send_much, take_late, {"requestheaders": stream_request}))

    assert 0 < sum(waiting) < 1024 * 1024
    assert size + len(b"\r\n\r\n") == len(outcome.upstreams[0]) - outcome.upstreams[0].index(b"\r\n\r\n")
    assert outcome.client == OK


@pytest.mark.measures
@pytest.mark.parametrize("way", [STOCK, LEAN], ids=["stock", "lean"])
def test_what_came_before_anybody_read_comes_first(way):
    """A hook held the connection up meanwhile, and the upstream takes nothing yet."""
    body = b"".join(b"%08d" % number for number in range(3 * 1024 * 1024))
    may_read = asyncio.Event()

    async def wait(_client):
        await asyncio.sleep(0.2)

    async def send_all(peer, scene):
        peer.send(b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        peer.send(body)
        await scene.hooked("server_connected").wait()
        await asyncio.sleep(0.3)
        may_read.set()
        await peer.to_end()

    async def take_late(peer, _scene):
        peer.writer.transport.pause_reading()
        await may_read.wait()
        peer.writer.transport.resume_reading()
        await peer.until_size(len(body))
        peer.send(OK)
        await peer.to_end()

    hooks = {"client_connected": wait, "requestheaders": stream_request}
    (got,) = come_of(way, Story(send_all, take_late, hooks)).upstreams

    assert got.partition(b"\r\n\r\n")[2] == body
