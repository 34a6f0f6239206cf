"""Our header fields are mitmproxy's, whatever is in them and whatever is done to them."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.net.http import http1

from storehop.host.layers.headers import QuickHeaders, read_fields

NAMES = st.sampled_from([b"X", b"x", b"Set-Cookie", b"set-cookie", b"Host", b"", b"\xff", b"X Y"])
VALUES = st.one_of(st.sampled_from([b"", b"a", b"a, b", b"\xe9"]), st.binary(max_size=3))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
ASKED = st.one_of(NAMES, NAMES.map(lambda name: name.decode("utf-8", "surrogateescape")))
TEXT = st.sampled_from(["", "1", "é"])

CHANGES = st.one_of(
    st.tuples(st.just("__setitem__"), ASKED, TEXT),
    st.tuples(st.just("__delitem__"), ASKED),
    st.tuples(st.just("add"), ASKED, TEXT),
    st.tuples(st.just("insert"), st.integers(0, 3), ASKED, TEXT),
    st.tuples(st.just("set_all"), ASKED, st.lists(TEXT, max_size=2)),
    st.tuples(st.just("pop"), ASKED, st.none()),
    st.tuples(st.just("setdefault"), ASKED, TEXT),
    st.tuples(st.just("clear")),
)
LOOKS = st.one_of(
    st.tuples(st.sampled_from(["get_all", "get", "__getitem__", "__contains__"]), ASKED),
    st.tuples(st.just("get"), ASKED, st.just("else")),
    st.tuples(st.just("__contains__"), st.sampled_from([None, 1])),
)


def outcome(headers, deed):
    """What it returns, or which error it raises."""
    name, *arguments = deed
    try:
        return getattr(headers, name)(*arguments)
    except Exception as error:  # noqa: BLE001  whichever it is
        return type(error)


def all_of(headers):
    """All that can be read without a name."""
    views = (list(headers), list(headers.keys()), list(headers.items()), list(headers.items(multi=True)))
    return (
        headers.fields,
        *views,
        len(headers),
        bytes(headers),
        headers.get_state(),
        repr(headers).removeprefix("Quick"),
    )


@given(FIELDS, st.lists(st.one_of(CHANGES, LOOKS), max_size=8))
def test_whatever_is_done_to_them(fields, deeds):
    """Each look-up and each change has the same result, in any order."""
    stock, quick = http.Headers(fields), QuickHeaders(fields)
    for deed in deeds:
        if deed[0] == "__contains__" and not isinstance(deed[1], str | bytes):
            assert quick.__contains__(deed[1]) is False
            continue
        assert outcome(stock, deed) == outcome(quick, deed)

    assert all_of(stock) == all_of(quick)


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda headers: headers.copy(), lambda headers: pickle.loads(pickle.dumps(headers))],
    ids=["copy.copy", "deepcopy", "copy", "pickle"],
)
@given(FIELDS)
def test_copies(again, fields):
    """They are equal, and changes to one are not the other's."""
    quick = QuickHeaders(fields)
    quick.get("x")
    other = again(quick)

    assert other == quick
    assert all_of(again(http.Headers(fields))) == all_of(other)
    other["X"] = "new"
    assert ("new", http.Headers(fields).get("X")) == (other.get("X"), quick.get("X"))


@given(FIELDS, FIELDS)
def test_they_are_equal_where_mitmproxy_s_are(fields, others):
    """To each other and to mitmproxy's."""
    is_equal = http.Headers(fields) == http.Headers(others)

    assert (is_equal, True) == (
        QuickHeaders(fields) == QuickHeaders(others),
        http.Headers(fields) == http.Headers(fields),
    )


@given(FIELDS, FIELDS)
def test_a_flow_s_state(fields, others):
    """Recorded flows have it; it is set to another one and read again."""
    stock, quick = http.Headers(fields), QuickHeaders(fields)
    quick.get("x")
    for headers in (stock, quick):
        headers.set_state(http.Headers(others).get_state())

    assert [stock.get_all("x"), all_of(stock)] == [quick.get_all("x"), all_of(quick)]


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"Host: a", b"X:", b": y", b"no", b"X : 1", b" folded", b"\tfolded", b"A:b:c", b"\xff: \xff"]),
        st.binary(min_size=1, max_size=6).filter(lambda line: b"\n" not in line),
    ),
    max_size=4,
)


@given(LINES)
def test_heads_are_read_as_mitmproxy_reads_them(lines):
    """But for folded lines, which `head` has refused before."""
    try:
        expected = http1.read_request_head([b"GET / HTTP/1.1", *lines]).headers.fields
    except ValueError:
        expected = None
    try:
        fields = read_fields(lines).fields
    except ValueError:
        fields = None

    if not any(line[:1] in {b" ", b"\t"} for line in lines):
        assert expected == fields
    else:
        assert fields is None
