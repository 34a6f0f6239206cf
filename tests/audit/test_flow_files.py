"""The reader of mitmproxy's flow files: what its own writer wrote is met as live, and no broken file ends a run."""

import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.io import FlowWriter, tnetstring
from mitmproxy.proxy import mode_specs
from mitmproxy.test import tflow, tutils

from storehop.audit.clicks import click_of
from storehop.audit.exchange import Exchange, TruncatedError, Unreadable
from storehop.audit.readers import flows
from storehop.audit.readers.tnetstrings import CHUNK_BYTES
from storehop.audit.tally import Tally
from storehop.decide.rules import RuleSet
from storehop.host import flows as host
from tests.support.clicks import PIXEL, rule_set

LINK = "https://app.appsflyer.com/com.example.game?pid=x&clickid=1"
RULES = RuleSet()


def a_flow(*, mode="reverse:http://ads:8000", location=LINK, status=302, fields=(), **request):
    """A flow as mitmproxy has it after its response."""
    flow = tflow.tflow(resp=tutils.tresp(status_code=status, headers=http.Headers(), content=b""))
    flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse(mode)
    flow.client_conn.timestamp_tls_setup = None
    flow.client_conn.peername = ("93.184.216.34", 5000)
    flow.request = http.Request.make("GET", "http://ads:8000/ad/1")
    flow.request.headers = http.Headers([(b"Host", b"ads.example"), *fields])
    flow.request.timestamp_start, flow.response.timestamp_start = 1_700_000_000.25, 1_700_000_000.5
    for name, value in request.items():
        setattr(flow.request.data, name, value)
    if location is not None:
        flow.response.headers["Location"] = location
    return flow


def written(*made):
    """These flows as a file."""
    file = io.BytesIO()
    for flow in made:
        FlowWriter(file).add(flow)
    return file.getvalue()


def read(data):
    """(what was read, whether the file ended in the middle)."""
    found = []
    try:
        found.extend(flows.read(io.BytesIO(data)))
    except TruncatedError:
        return found, True
    return found, False


def all_read(data):
    """The same, with what came before the end."""
    found = []
    with suppress(TruncatedError):
        for one in flows.read(io.BytesIO(data)):
            found.append(one)  # noqa: PERF402  extend would lose what came before an error
    return found


def one(flow):
    (exchange,), is_truncated = read(written(flow))
    assert isinstance(exchange, Exchange), exchange
    assert not is_truncated
    return exchange


def met_live(flow):
    """The click that the live host would decide on; None for none."""
    headers = host.headers_of(flow.request)
    if RULES.is_attribution_host(host.target_host(flow, headers)) and flow.request.raw_content == b"":
        return host.read(flow, headers, host.own_link(flow, headers), "id", at_answer=True)
    link = host.redirect_link(flow)
    return None if link is None else host.read(flow, headers, link, "id")


def test_an_exchange_has_all_that_the_flow_says():
    """Time, method, URL, client, answer and its time."""
    expected = Exchange(
        place=1,
        at=1_700_000_000.25,
        method="GET",
        url="http://ads.example/ad/1",
        headers={"host": "ads.example", "accept-language": "de"},
        client_ip="93.184.216.34",
        status=302,
        location=LINK,
        seconds=0.25,
    )

    assert expected == one(a_flow(fields=[(b"Accept-Language", b"de")]))


TARGET = {"host": "app.appsflyer.com", "port": 443, "scheme": b"https", "path": b"/com.example.game?pid=x"}
MET = {
    "a redirect behind a reverse proxy": a_flow(),
    "a redirect in a forward mode": a_flow(mode="regular"),
    "a redirect to nowhere of ours": a_flow(location="https://example.com/"),
    "a page": a_flow(status=200, location=None),
    "a page with a Location": a_flow(status=201),
    "a redirect without a Location": a_flow(location=None),
    "two Locations": a_flow(location="https://a.example/, https://b.example/"),
    "a Location of other letters": a_flow(location="https://app.appsflyer.com/é"),
    "its own Host": a_flow(headers=http.Headers(host="App.AppsFlyer.com.:8080"), path=b"/com.example.game?pid=x"),
    "its own Host, asked over HTTP/2": a_flow(headers=http.Headers(), authority=b"app.appsflyer.com", path=b"/a.b?c=d"),
    "a Host with a path in it": a_flow(headers=http.Headers(host="app.appsflyer.com/x"), path=b"/com.example.game"),
    "a Host with a query in it": a_flow(headers=http.Headers(host="app.appsflyer.com?x"), path=b"/com.example.game"),
    "a Host with a user in it": a_flow(headers=http.Headers(host="me@app.appsflyer.com"), path=b"/com.example.game"),
    "no Host": a_flow(headers=http.Headers()),
    "the target in a forward mode": a_flow(mode="regular@8080", location=None, **TARGET),
    "the target behind an upstream": a_flow(mode="upstream:http://127.0.0.1:3128", location=None, **TARGET),
    "the target of a SOCKS proxy": a_flow(mode="socks5", location=None, **TARGET),
    "a target with capitals and a port": a_flow(mode="regular", **TARGET | {"host": "App.AppsFlyer.com", "port": 8443}),
    "a target by IPv6": a_flow(mode="regular", **TARGET | {"host": "2001:db8::1"}),
    "a target in a transparent mode": a_flow(mode="transparent", location=None, **TARGET),
    "a target over WireGuard": a_flow(mode="wireguard", **TARGET | {"headers": http.Headers(host="app.appsflyer.com")}),
    "the reverse proxy of AppsFlyer": a_flow(mode="reverse:https://app.appsflyer.com", **TARGET),
    "a body": a_flow(mode="regular", content=b"x", **TARGET),
    "a body that streamed": a_flow(mode="regular", content=None, **TARGET),
    "another method": a_flow(mode="regular", method=b"post", **TARGET),
    "all of a server's resources": a_flow(method=b"OPTIONS", path=b"*"),
    "crumbs of a cookie": a_flow(fields=[(b"Cookie", b"a=1"), (b"cookie", b"b=2"), (b"Via", b"x"), (b"via", b"y")]),
}


@pytest.mark.parametrize("name", MET)
def test_a_recorded_flow_is_met_as_it_was_live(name):
    """At answer or at rewrite, with the same link, headers, address and belief."""
    flow = MET[name]

    assert met_live(flow) == click_of(one(flow), RULES, "id")


tokens = st.text("abcXYZ-_19", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=30)
hosts = st.sampled_from(
    [b"app.appsflyer.com", b"APP.appsflyer.com.", b"ads.example:80", b"", b"x.onelink.me:1", b"\xff"]
)


@given(
    mode=st.sampled_from(["regular", "reverse:http://ads:8000", "socks5", "transparent", "upstream:http://p:1"]),
    fields=st.lists(st.tuples(tokens, values) | st.tuples(st.just(b"Host"), hosts), max_size=6),
    location=st.none() | values,
    status=st.sampled_from([200, 301, 302, 303, 307, 308, 404]),
    path=st.binary(max_size=30).map(lambda rest: b"/" + rest),
    authority=hosts,
)
def test_any_flow_is_met_as_it_was_live(mode, fields, location, status, path, authority):
    """Whatever its bytes are."""
    flow = a_flow(mode=mode, location=None, status=status, path=path, authority=authority)
    flow.request.headers = http.Headers(fields)
    flow.request.data.host = "app.appsflyer.com"
    if location is not None:
        flow.response.headers.fields = ((b"Location", location),)

    assert met_live(flow) == click_of(one(flow), RULES, "id")


def test_a_rewritten_redirect_has_its_original_link():
    """The live host keeps it in the metadata."""
    flow = a_flow(location="https://play.google.com/store")
    flow.metadata |= {"storehop": "direct", "storehop_link": LINK}
    exchange = one(flow)

    assert (LINK, "direct", LINK) == (exchange.location, exchange.done, click_of(exchange, RULES, "id").link)


@pytest.mark.parametrize("done", ["s2s", "retry"])
def test_what_storehop_shows_or_answered_again_is_no_click(done):
    """An S2S call in mitmweb's list, and a browser's retry."""
    flow = a_flow(mode="regular", **TARGET)
    flow.metadata["storehop"] = done

    assert (done, None) == (one(flow).done, click_of(one(flow), RULES, "id"))


def test_a_flow_without_an_answer_is_an_exchange():
    """The request alone may be a click."""
    flow = a_flow(mode="regular", **TARGET)
    flow.response = None

    assert (None, True) == (one(flow).status, click_of(one(flow), RULES, "id").at_answer)


def test_other_protocols_are_stepped_over():
    """DNS, TCP and UDP have a place and are no exchanges."""
    data = written(tflow.tdnsflow(), tflow.ttcpflow(), a_flow(), tflow.tudpflow())

    assert [3] == [found.place for found in all_read(data)]


def test_a_page_that_leads_on_says_where():
    """A body of HTML with a meta refresh."""
    flow = a_flow(status=200, location=None)
    flow.response.headers["Content-Type"] = "text/html; charset=utf-8"
    flow.response.content = f'<meta http-equiv="refresh" content="0;url={LINK}">'.encode()
    flow.response.encode("gzip")

    assert LINK == one(flow).page_link


def test_files_may_be_concatenated():
    """One file after the other."""
    assert [1, 2] == [found.place for found in all_read(written(a_flow()) + written(a_flow()))]


# versions


def downgraded(flow, version, **changes):
    """A flow's state as an older mitmproxy wrote it."""
    state = flow.get_state()
    client, server = state["client_conn"], state["server_conn"]
    state["version"] = version
    for connection in (client, server):
        connection["state"] = 3
    if version <= 18:
        client["address"] = client.pop("peername")
        server |= {"ip_address": server.pop("peername"), "source_address": server.pop("sockname"), "via2": None}
        client["tls_extensions"] = []
        for connection in (client, server):
            connection |= {"tls_established": False, "cipher_name": connection.pop("cipher")}
    if version <= 17:
        del client["proxy_mode"]
    return tnetstring.dumps(state | changes)


@pytest.mark.parametrize("version", [17, 18, 19, 20])
def test_older_versions_are_migrated(version):
    """The same exchange; before 18 nothing was said of the mode, which counts as regular."""
    flow = a_flow(mode="regular", **TARGET)

    assert ([one(flow)], False) == read(downgraded(flow, version))


def test_a_host_in_bytes_is_read():
    """As files of old versions have it."""
    flow = a_flow(mode="regular", **TARGET)
    request = flow.get_state()["request"] | {"host": b"app.appsflyer.com"}

    assert ([one(flow)], False) == read(downgraded(flow, 17, request=request))


def test_a_newer_version_is_counted():
    """It says that mitmproxy must be updated."""
    (found,), _ = read(downgraded(a_flow(), 99))

    assert (
        Unreadable(1, "the flow at byte 0 was written by a newer mitmproxy: this mitmproxy reads up to version 21")
        == found
    )


# broken files


def changed(flow, **changes):
    return tnetstring.dumps(flow.get_state() | changes)


@pytest.mark.parametrize(
    "broken",
    [
        changed(a_flow(), request=None),
        changed(a_flow(), request={}),
        changed(a_flow(), type=None),
        changed(a_flow(), client_conn=[]),
        changed(a_flow(), version=None),
        changed(a_flow(), version=[0, 17]),
        changed(a_flow(), response={"status_code": "x"}),
        b"2:xx}",
        b"9:5:abcde,x}",
        b"0:}",
    ],
)
def test_a_broken_flow_is_counted_and_the_next_one_is_read(broken):
    """Its length says where it ends."""
    found, is_truncated = read(broken + written(a_flow()))

    assert ([Unreadable, Exchange], False) == ([type(one) for one in found], is_truncated)
    assert "byte 0" in found[0].why


def test_without_its_frame_nothing_more_can_be_read():
    """It says where that was; what stood before was read."""
    first = written(a_flow())
    found, _ = read(first + b"no flow" + first)

    assert [Exchange, Unreadable] == [type(one) for one in found]
    assert f"no flow begins at byte {len(first)}" in found[1].why


def test_a_length_that_does_not_fit_ends_the_file():
    """A flow ends with a brace."""
    data = written(a_flow())
    found, _ = read(b"3:" + data)

    assert "does not end where it says" in found[0].why


def test_a_file_that_ends_in_the_middle_was_read_up_to_there():
    """Wherever it was cut, also within the length."""
    data = written(a_flow())
    cuts = range(len(data) + 1, 2 * len(data))

    assert all(["truncated" for _ in cuts] == [end_of((data + data)[:cut]) for cut in cuts] for _ in [0])
    assert all(len(all_read((data + data)[:cut])) == 1 for cut in cuts)


def end_of(data):
    try:
        for _ in flows.read(io.BytesIO(data)):
            pass
    except TruncatedError:
        return "truncated"
    return "whole"


class Endless(io.RawIOBase):
    """A hundred MiB of zeros behind a length, never more in memory than is asked for."""

    def __init__(self, head):
        self._head, self._left, self.most = head, 100 * 2**20, 0

    def read(self, size=-1):
        self.most = max(self.most, size)
        if self._head:
            head, self._head = self._head, b""
            return head
        size = min(size, self._left)
        self._left -= size
        return bytes(size)


@pytest.mark.parametrize("length", [b"999999999999:", b"99999999:"])
def test_a_hostile_length_does_not_fill_memory(length):
    """It is stepped over in pieces."""
    stream = Endless(length)
    with suppress(TruncatedError):
        list(flows.read(stream))

    assert stream.most <= CHUNK_BYTES


def test_a_large_flow_is_counted_and_the_next_one_is_read(monkeypatch):
    """What is larger than the limit is no click."""
    data = written(a_flow())
    monkeypatch.setattr(flows, "MAX_FLOW_BYTES", len(data))
    large = written(a_flow(fields=[(b"x", b"x" * len(data))]))
    found, _ = read(large + data)

    assert [Unreadable, Exchange] == [type(one) for one in found]


TWO_FLOWS = written(a_flow(), a_flow(mode="regular", **TARGET))


@given(st.data())
def test_any_bytes_end_no_run(data):
    """Bytes changed, cut and put in: exchanges, Unreadable and the end."""
    whole = bytearray(TWO_FLOWS)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    assert all(isinstance(found, Exchange | Unreadable) for found in all_read(bytes(whole)))


@given(st.binary(max_size=200))
def test_any_file_ends(data):
    """Also one that is none of mitmproxy's."""
    all_read(data)


def test_deep_lists_end_no_run():
    """No list in lists takes more than its share of the stack."""
    deep = b""
    for _ in range(3000):
        deep = b"%d:%s]" % (len(deep), deep)
    state = changed(a_flow(), request={"headers": 0}).replace(b"7:headers;1:0#", b"7:headers;" + deep)
    body = state.partition(b":")[2]
    found, _ = read(b"%d:%s" % (len(body) - 1, body))

    assert [Unreadable] == [type(one) for one in found]


@pytest.mark.parametrize(
    "head", [written(a_flow())[:4096], downgraded(a_flow(), 17)[:4096], b"\xef\xbb\xbf" + written(a_flow())]
)
def test_a_flow_file_is_known_by_its_beginning(head):
    """A length, then a key with its own length."""
    assert flows.looks_like(head)


@pytest.mark.parametrize(
    "head", [b"", b'{"log":', b"127.0.0.1 - - [", b"2024-01-01 12:00:00 x", b"12:30:45,x", b"5:hello,"]
)
def test_other_files_are_no_flows(head):
    """Logs, JSON, times of day."""
    assert not flows.looks_like(head)


@pytest.mark.parametrize("mode", ["regular", "upstream:http://127.0.0.1:3128", "socks5", "transparent", "wireguard"])
def test_both_hops_of_every_mode_that_sees_them_are_one_click(mode):
    """As live: in all modes but reverse. Where the client knows of no proxy, the server's address is a number."""
    named = mode in {"transparent", "wireguard"}
    store = "https://play.google.com/store/apps/details?id=com.example.game"
    link = "https://app.appsflyer.com/com.example.game?pid=x&clickid=K1"
    second = {"path": b"/com.example.game?pid=x&clickid=K1", "scheme": b"https", "port": 443}
    asked = http.Headers(host="app.appsflyer.com")
    server = "192.0.2.7" if named else "app.appsflyer.com"
    hops = (
        a_flow(mode=mode, location=link),
        a_flow(mode=mode, location=store, headers=asked, host=server, **second),
    )
    for flow in hops:
        flow.client_conn.timestamp_tls_setup = 1_700_000_000.0
        flow.request.headers["User-Agent"] = PIXEL
    tally = Tally(rule_set())
    for exchange in all_read(written(*hops)):
        tally.add(exchange, "taps.flow")
    report = tally.report()

    assert (2, 1, 1, {"same": 1}) == (report.exchanges, report.clicks, report.further_hops, report.drift)
