"""Counting requests by mitmproxy's hooks: each once, by what its client got."""

from inspect import getsource
from types import SimpleNamespace

import pytest
from mitmproxy.connection import ConnectionState
from mitmproxy.flow import Error
from mitmproxy.proxy.layers.http import _http1, _http2
from mitmproxy.test import tflow

from storehop.host.traffic import _CLIENT_LEFT, TrafficCounter
from storehop.observe.traffic import CODE_CLASSES, UpstreamError

LATE = "[Errno 110] Connect call failed ('192.0.2.1', 80)"
CUT = "HTTP/1 protocol error: peer closed connection without sending complete message body"


class Heard:
    """A Traffic that remembers what it was told."""

    def __init__(self):
        self.connections = 0
        self.told = []

    def answered(self, status, seconds):
        self.told.append((status, seconds is not None))

    def abandoned(self):
        self.told.append(CODE_CLASSES[-1])

    def upstream_failed(self, kind):
        self.told.append(kind)


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def counter(heard):
    return TrafficCounter(heard)


def failed(words, *, is_answered=False, is_connected=True, state=ConnectionState.OPEN, is_seen=True):
    """A flow whose error mitmproxy says in these words."""
    flow = tflow.tflow(resp=is_answered, client_conn=tflow.tclient_conn(), server_conn=tflow.tserver_conn())
    flow.error, flow.live, flow.request.stream = Error(words), True, is_seen
    flow.client_conn.state = state
    flow.server_conn.timestamp_tcp_setup = 1.0 if is_connected else None
    return flow


def answered(**headers):
    flow = tflow.tflow(resp=True)
    flow.live = True
    flow.response.headers.update(headers)
    return flow


def test_connections_are_counted_from_their_begin(counter, heard):
    """One that was there before us, as where a script is loaded anew, takes nothing away when it ends."""
    here, before = tflow.tclient_conn(), tflow.tclient_conn()
    here.id, before.id = "here", "before"
    counter.client_connected(here)
    counter.client_disconnected(before)
    meanwhile = heard.connections
    counter.client_disconnected(here)

    assert (1, 0) == (meanwhile, heard.connections)


@pytest.mark.parametrize(
    ("headers", "has_end"),
    [({}, True), ({"content-type": "text/html"}, True), ({"content-type": "text/event-stream; charset=utf-8"}, False)],
)
def test_an_answer(counter, heard, headers, has_end):
    """It counts with its time, unless it lasts as long as its reader likes."""
    counter.response(answered(**headers))

    assert [(200, has_end)] == heard.told


def test_a_websocket_has_no_end(counter, heard):
    """Whatever type it says."""
    flow = answered(**{"content-type": "text/html"})
    flow.response.status_code = 101
    counter.response(flow)

    assert [(101, False)] == heard.told


@pytest.mark.parametrize("change", [{"live": False}, {"is_replay": "request"}])
def test_what_is_shown_or_replayed_is_no_traffic(counter, heard, change):
    """Neither its answer nor its failure counts."""
    for flow, hear in ((answered(), counter.response), (failed("server closed connection"), counter.error)):
        for name, value in change.items():
            setattr(flow, name, value)
        hear(flow)

    assert [] == heard.told


@pytest.mark.parametrize(
    ("flow", "told"),
    [
        (failed("Client disconnected."), ["none"]),
        (failed("stream reset by client (CANCEL)"), ["none"]),
        (failed("peer closed connection", state=ConnectionState.CLOSED), ["none"]),
        (failed("Client disconnected.", is_answered=True), [(200, False)]),
        (failed("server closed connection"), [(502, True), "incomplete"]),
        (failed(CUT, is_answered=True), [(200, False), "incomplete"]),
        (failed("Cannot parse HTTP response: a"), [(502, True), "protocol"]),
        (failed("no answer: timed out"), [(502, True), "timeout"]),
        (failed("the upstream took too long"), [(502, True), "timeout"]),
        (failed("[Errno 111] Connect call failed", is_connected=False), [(502, True)]),
        (failed("Invalid header", is_connected=False, is_seen=False), [(400, False)]),
    ],
)
def test_a_failure(counter, heard, flow, told):
    """Who failed: the client, the upstream, or the connection to it, which has counted already."""
    counter.error(flow)

    assert told == heard.told


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("[Errno 111] refused", [UpstreamError.CONNECT]),
        (LATE, [UpstreamError.TIMEOUT]),
        (None, [UpstreamError.CONNECT]),
        ("client disconnected", []),
    ],
)
def test_no_connection_to_the_upstream(counter, heard, words, kind):
    """It counts once, however many requests waited for it; not where its client left meanwhile."""
    counter.server_connect_error(SimpleNamespace(server=SimpleNamespace(error=words)))

    assert kind == heard.told


@pytest.mark.parametrize(("state", "told"), [(ConnectionState.OPEN, ["tls"]), (ConnectionState.CLOSED, [])])
def test_tls_with_the_upstream(counter, heard, state, told):
    """It fails by the upstream's fault, unless it is given up because the client left."""
    counter.tls_failed_server(SimpleNamespace(context=SimpleNamespace(client=SimpleNamespace(state=state))))

    assert told == heard.told


@pytest.mark.parametrize(("words", "module"), list(zip(_CLIENT_LEFT, (_http1, _http2), strict=True)))
def test_mitmproxy_says_so(words, module):
    """Its words are no promise: where it changes them we have to know."""
    assert words in getsource(module)
