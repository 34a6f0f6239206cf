"""Whatever bytes a recording holds, it is read or refused, and nothing else happens."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storehop.audit.exchange import FORMATS, Asked, Exchange, RecordingError, Unreadable
from storehop.audit.page import render
from storehop.audit.recordings import open_recording
from storehop.audit.tally import Tally
from storehop.audit.walk import Walk
from tests.support.clicks import rule_set
from tests.support.recordings import ANDROID, LINK

WORDS = (
    "\n \r\n , ; | \t \" ' [ ] { } : \\ \\x \\x22 # #7C % %2 %25 %2520 - \0 \ufeff 0 1 302 null true NaN 1e999"
    " 1796032800 GET HTTP/1.1 #Fields: date time c-ip cs-uri-stem cs(User-Agent)"
    " 198.51.100.7 [30/Nov/2026:10:00:00 haproxy[1]:"
    " 2026-11-30T10:00:00Z https h2 app/x link ip ua time location request log stream"
)
PARTS = WORDS.split(" ")
LINES = (
    f'198.51.100.7 - - [30/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 302 1 "-" "{ANDROID}" "{LINK}"',
    f'{{"location": "{LINK}", "request": {{"headers": {{"User-Agent": ["x"]}}}}, "time": 1e3, "status": "302"}}',
    f"link,ip,ua,time\n{LINK},198.51.100.7,x,1",
    f'h:1 [30/Nov/2026:10:00:00.0] a b c 302 1 - - ---- 1 0 {{x|y}} {{{LINK}}} "GET / HTTP/1.1"',
    f"#Fields: date time c-ip cs-uri-stem x-host-header\n2026-11-30\t10:00:00\t1\t{LINK}\tapp.appsflyer.com",
)
contents = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([*PARTS, *LINES, " ", LINK, ANDROID]), max_size=30).map("".join).map(str.encode),
    st.tuples(st.sampled_from(LINES), st.integers(0, 200), st.binary(max_size=5)).map(
        lambda made: (made[0] + "\n").encode() * 2 + made[0].encode()[: made[1]] + made[2] + made[0].encode()[made[1] :]
    ),
)
URLS = (
    "https://ads.example/r",
    LINK,
    f"{LINK}&x=\ud800",
    "https://brand.onelink.me/AbC1?pid=a",
    "/x",
    "//[",
    "market://x",
)
odd = st.one_of(st.sampled_from(["", 0, -1, 1e999, 1e300, None, True, "\ud800", [], {}]), st.floats())
entries = st.fixed_dictionaries(
    {
        "startedDateTime": st.sampled_from(
            ["2026-11-30T10:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+09:00"]
        )
        | odd,
        "request": st.fixed_dictionaries(
            {
                "method": st.sampled_from(["GET", "HEAD"]) | odd,
                "url": st.sampled_from(URLS) | odd,
                "headers": st.just([{"name": "User-Agent", "value": ANDROID}]) | odd,
            }
        ),
        "response": st.fixed_dictionaries({"status": st.just(302) | odd, "redirectURL": st.sampled_from(URLS) | odd}),
        "timings": st.fixed_dictionaries({"wait": st.just(20) | odd}),
        "time": odd,
    }
)
hars = st.lists(entries, max_size=6).map(lambda made: json.dumps({"log": {"entries": made}}).encode())
RULES = rule_set()
asked = st.builds(
    Asked,
    format=st.sampled_from(FORMATS),
    columns=st.dictionaries(st.sampled_from(["link", "ip", "time", "ua"]), st.sampled_from(["1", "2", "link", "x"])),
    client_ip_header=st.sampled_from([None, "X-Forwarded-For"]),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "recording"


def read(path, content, asked):
    path.write_bytes(content)
    try:
        recording = open_recording(str(path), asked)
        found = list(recording)
    except RecordingError:
        return
    for one in found:
        if isinstance(one, Unreadable):
            continue
        assert isinstance(one, Exchange)
        assert one.at is None or type(one.at) is float
        assert all(type(text) is str for text in (*one.headers, *one.headers.values(), one.method, one.client_ip))
        assert {type(one.url), type(one.location), type(one.link)} <= {str, type(None)}
        assert type(one.status) in {int, type(None)}
    assert recording.read_bytes == len(content)


@given(content=contents, asked=asked)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_a_reader_fail(path, content, asked):
    """Only RecordingError is ever raised, and every value has its type."""
    read(path, content, asked)


@given(content=contents, kept=st.integers(0, 300), asked=asked)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_packed_bytes_make_a_reader_fail(path, content, kept, asked):
    """Nor do those of an archive that was cut."""
    read(path, gzip.compress(content)[:kept], asked)


@given(content=st.one_of(contents, hars), asked=asked)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_an_audit_fail(path, content, asked):
    """All of it is counted, and the report is JSON and a page."""
    path.write_bytes(content)
    walk = Walk(Tally(RULES), asked)
    walk.read([str(path), str(path)])
    report = walk.report()

    assert len(report.inputs) + 2 * len(report.not_read) == 2
    assert report.exchanges == report.clicks + report.not_clicks + report.further_hops
    assert report.clicks == report.direct + sum(report.reasons.values()) == report.configured.clicks
    assert sum(report.drift.values()) <= report.clicks
    json.dumps(report.to_json(), allow_nan=False)
    render(report)
