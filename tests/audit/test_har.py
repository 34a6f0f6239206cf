"""The reader of HAR: one entry after the other, whoever wrote it and wherever it breaks."""

import base64
import io
import json
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.audit.clicks import click_of
from storehop.audit.exchange import Exchange, Known, TruncatedError, Unreadable
from storehop.audit.readers import har, json_parts
from storehop.decide.rules import RuleSet

LINK = "https://app.appsflyer.com/com.example.game?pid=x&clickid=1"
STORE = "https://play.google.com/store/apps/details?id=com.example.game"


def entry(url="https://ads.example/ad/1", **changes):
    """An entry as Chromium writes it."""
    return {
        "_connectionId": "1",
        "request": {
            "method": "GET",
            "url": url,
            "httpVersion": "http/2.0",
            "headers": [
                {"name": ":authority", "value": "ads.example"},
                {"name": ":method", "value": "GET"},
                {"name": "Accept-Language", "value": "de"},
                {"name": "cookie", "value": "a=1"},
                {"name": "cookie", "value": "b=2"},
            ],
            "queryString": [],
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": 302,
            "headers": [{"name": "location", "value": LINK}],
            "content": {"size": 0, "mimeType": "x-unknown"},
            "redirectURL": LINK,
        },
        "serverIPAddress": "93.184.216.34",
        "startedDateTime": "2026-01-02T03:04:05.250Z",
        "time": 40.5,
        "timings": {"blocked": 10, "dns": -1, "ssl": 5, "connect": 10, "send": 0.5, "wait": 20, "receive": 7},
        **changes,
    }


def a_har(*entries, **more):
    return json.dumps({"log": {"version": "1.2", "creator": {}, "pages": [], "entries": entries, **more}}).encode()


def read(data, chunk=None):
    """(what was read, whether the file ended in the middle)."""
    found = []
    stream = io.BytesIO(data)
    reading = har.read(stream if chunk is None else Dripping(data, chunk))
    while True:
        try:
            found.append(next(reading))
        except StopIteration:
            return found, False
        except TruncatedError:
            return found, True


class Dripping(io.BytesIO):
    """Gives a few bytes at a time, whatever is asked for."""

    def __init__(self, data, size):
        super().__init__(data)
        self._size = size

    def read(self, size=-1):
        return super().read(min(size, self._size))


def one(made):
    (exchange,), is_truncated = read(a_har(made))
    assert isinstance(exchange, Exchange), exchange
    assert not is_truncated
    return exchange


WHOLE = Exchange(
    place=1,
    at=1767323045.25,
    method="GET",
    url="https://ads.example/ad/1",
    headers={"host": "ads.example", "accept-language": "de", "cookie": "a=1; b=2"},
    status=302,
    location=LINK,
    is_forward=True,
    seconds=0.0405,
)


def test_an_exchange_has_all_that_the_entry_says():
    """Time with its zone, headers without HTTP/2's own, timings up to the answer."""
    assert WHOLE == replace(one(entry()), seconds=pytest.approx(0.0405))


def test_nobody_knows_the_clients_address():
    """`serverIPAddress` is the server's."""
    assert ("", False) == (one(entry()).client_ip, Known.CLIENT_IP in har.KNOWS)


def test_both_hops_are_two_exchanges():
    """With "preserve log": the ad stack's redirect, and AppsFlyer's, which is a click at answer."""
    second = entry(LINK)
    second["response"] = {"status": 302, "headers": [], "redirectURL": STORE}
    found, _ = read(a_har(entry(), second))
    clicks = [click_of(exchange, RuleSet(), "id") for exchange in found]

    assert [LINK, STORE] == [exchange.location for exchange in found]
    assert [(LINK, False), (LINK.replace(".com/", ".com:443/", 1), True)] == [
        (click.link, click.at_answer) for click in clicks
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"startedDateTime": "2026-01-02T04:04:05.2500000+01:00"}, WHOLE),  # Fiddler
        ({"startedDateTime": "2026-01-02T03:04:05.250"}, WHOLE),
        ({"startedDateTime": None}, replace(WHOLE, at=None)),
        ({"timings": None}, WHOLE),  # `time` remains
        ({"timings": {"wait": 40.5}}, WHOLE),
        ({"timings": {"wait": -1}, "time": 0}, replace(WHOLE, seconds=None)),
        ({"response": {"status": 0, "headers": [], "redirectURL": ""}}, replace(WHOLE, status=None, location=None)),
        ({"response": {"status": 302, "redirectURL": LINK}}, WHOLE),
        ({"response": {"status": 302, "headers": [{"name": "Location", "value": LINK}]}}, WHOLE),  # Charles
        ({"response": None}, replace(WHOLE, status=None, location=None)),
    ],
)
def test_every_writers_dialect_is_read(changes, expected):
    """What is missing or null is not known."""
    seconds = expected.seconds if expected.seconds is None else pytest.approx(expected.seconds)

    assert expected == replace(one(entry(**changes)), seconds=expected.seconds)
    assert seconds == one(entry(**changes)).seconds


def test_a_fragment_is_not_asked_for():
    """Browsers keep it to themselves."""
    assert "https://ads.example/ad/1" == one(entry("https://ads.example/ad/1#top")).url


@pytest.mark.parametrize("body", [{"postData": {"text": "x"}}, {"bodySize": 3}])
def test_a_request_with_a_body_has_one(body):
    """Its text, or its size alone."""
    made = entry()
    made["request"] |= body

    assert one(made).has_body


PAGE = f'<script>location.href = "{LINK}"</script>'


@pytest.mark.parametrize(
    "content",
    [{"text": PAGE}, {"text": base64.b64encode(PAGE.encode() * 4_000).decode(), "encoding": "base64"}],
)
def test_a_page_that_leads_on_says_where(content):
    """As text and in base64, of which the beginning is enough."""
    response = {"status": 200, "headers": [], "content": {"mimeType": "text/html; charset=utf-8", **content}}

    assert LINK == one(entry(response=response)).page_link


def test_a_refresh_header_leads_on():
    """Without a body."""
    response = {"status": 200, "headers": [{"name": "Refresh", "value": f"0; url={LINK}"}]}

    assert LINK == one(entry(response=response)).page_link


# the file's form

FOOLS = {
    "entries elsewhere": a_har(entry(), pages=[{"entries": [1, 2]}], creator={"log": {"entries": ["x"]}}),
    "a comment that says it": a_har(entry(), comment='"entries":[{}]'),
    "before log": b'{"entries": [1], "comment": "{\\"log\\":{", ' + a_har(entry())[1:],
    "behind log": a_har(entry())[:-1] + b', "entries": [{}]}',
    "entries that are none": b'{"log": {"entries": 5, "pages": {"entries": []}, ' + a_har(entry())[len(b'{"log": {') :],
    "a byte order mark": b"\xef\xbb\xbf" + a_har(entry()),
    "much space": json.dumps(json.loads(a_har(entry())), indent=8).encode(),
    "a key with an escape": a_har(entry()).replace(b'"entries"', b'"\\u0065ntries"'),
}


@pytest.mark.parametrize("chunk", [None, 1, 7])
@pytest.mark.parametrize("name", FOOLS)
def test_entries_are_those_of_the_log(name, chunk):
    """Wherever else the word stands, and however the bytes arrive."""
    found, is_truncated = read(FOOLS[name], chunk)

    assert ([WHOLE], False) == ([replace(one, seconds=0.0405) for one in found], is_truncated)


texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(['"', "\\", '\\"', "]}", "{[", "\\\\"])
things = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=10,
)


@given(st.lists(things, max_size=5), things, st.integers(1, 40), st.booleans())
def test_any_json_is_cut_where_its_items_end(items, other, chunk, is_ascii):
    """Each item's text is that item's."""
    text = json.dumps({"log": {"a": other, "entries": items, "b": other}}, ensure_ascii=is_ascii)
    parts = json_parts.Parts(Dripping(text.encode(), chunk))

    assert items == [json.loads(item) for item in har._entries(parts)]


@pytest.mark.parametrize("broken", ["5", "null", '"x"', "[]", "{}", '{"request": {}}', '{"request": {"url": NaNaN}}'])
def test_a_broken_entry_is_counted_and_the_next_one_is_read(broken):
    """Brackets and quotes say where it ends."""
    data = a_har(entry(), "HERE", entry()).replace(b'"HERE"', broken.encode())
    found, is_truncated = read(data)

    assert ([Exchange, Unreadable, Exchange], False) == ([type(one) for one in found], is_truncated)


@pytest.mark.parametrize("broken", ['{"a": 1]', "1 2", "", "}", "[" * 1000])
def test_where_brackets_do_not_fit_nothing_more_can_be_read(broken):
    """It says where that was; what stood before was read."""
    data = a_har(entry(), "HERE", entry()).replace(b'"HERE"', broken.encode())
    found, is_truncated = read(data)

    assert ([Exchange, Unreadable], False) == ([type(one) for one in found[:1] + found[-1:]], is_truncated)
    assert "no JSON at character" in found[-1].why


def test_a_file_that_ends_in_the_middle_was_read_up_to_there():
    """Wherever it was cut."""
    data = a_har(entry(), entry())
    second = data.rindex(b'{"_connectionId"')
    ends = [read(data[:cut]) for cut in range(second, len(data) - 4)]

    assert {(1, True)} == {(len(found), is_truncated) for found, is_truncated in ends}


@pytest.mark.parametrize("long", [b'{"comment": "%s"}', b"%s"], ids=["an object", "a number"])
def test_a_long_entry_is_counted_and_the_next_one_is_read(monkeypatch, long):
    """It is stepped over, and never in memory as a whole."""
    monkeypatch.setattr(har, "MAX_ENTRY_CHARACTERS", 4096)
    data = a_har("LONG", entry()).replace(b'"LONG"', long % (b"7" * 20_000_000))
    tracemalloc.start()
    found, _ = read(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [Unreadable, Exchange] == [type(one) for one in found]
    assert most < 5_000_000


@given(st.data())
def test_any_bytes_end_no_run(data):
    """Bytes changed, cut and put in: exchanges, Unreadable and the end."""
    whole = bytearray(TWO)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found, _ = read(bytes(whole))

    assert all(isinstance(one, Exchange | Unreadable) for one in found)


TWO = a_har(entry(), entry(LINK))


@given(things)
def test_any_entry_ends_no_run(thing):
    """Values of any type, where others are expected."""
    for name in ("request", "response", "timings", "startedDateTime", "time"):
        assert read(a_har(entry(**{name: thing}), entry()))[0][-1:] == read(a_har(1, entry()))[0][-1:]


@pytest.mark.parametrize(
    ("head", "is_har"),
    [
        (a_har(entry())[:4096], True),
        (b'\xef\xbb\xbf \r\n{ "log" : {', True),
        (b'{"comment": "x", "n": 1, "log": {', True),
        (b'{"log": "GET / HTTP/1.1", "time": 1}', False),
        (b'{"test": {"log": {"entries": []}}}', False),
        (b'[{"log": {', False),
        (b"", False),
    ],
)
def test_a_har_is_known_by_its_beginning(head, is_har):
    """An object with a log that is one; lines of JSON have other keys."""
    assert is_har is har.looks_like(head)
