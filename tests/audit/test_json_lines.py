"""JSON lines of loggers, as their documentation shows them with a Location added."""

import json

import pytest

from storehop.audit.exchange import Exchange, Known, RecordingError, Unreadable
from tests.support.recordings import ANDROID, AT, LINK, described, exchanges, only, opened

URL = "https://go.example/r?c=1"
HEADERS = {"user-agent": ANDROID, "accept-language": "de-DE,de;q=0.9"}

NGINX = {
    "time": "2026-11-30T10:00:00+00:00",
    "client_ip": "198.51.100.7",
    "x_forwarded_for": "203.0.113.9, 10.0.0.1",
    "method": "GET",
    "scheme": "https",
    "host": "go.example",
    "uri": "/r?c=1",
    "status": 302,
    "location": LINK,
    "user_agent": ANDROID,
    "accept_language": "de-DE,de;q=0.9",
    "referer": "",
    "sec_ch_ua_model": '"Pixel 8"',
    "request_time": "0.250",
}
NGINX_VARIABLES = {
    "msec": "1796032800.000",
    "remote_addr": "198.51.100.7",
    "http_x_forwarded_for": "-",
    "request": "GET /r?c=1 HTTP/1.1",
    "http_host": "go.example",
    "status": "302",
    "upstream_http_location": LINK,
    "sent_http_location": "",
    "http_user_agent": ANDROID,
    "http_accept_language": "de-DE,de;q=0.9",
    "request_time": 0.25,
}
CADDY = {
    "level": "info",
    "ts": AT,
    "logger": "http.log.access",
    "msg": "handled request",
    "request": {
        "remote_ip": "198.51.100.7",
        "remote_port": "41342",
        "client_ip": "203.0.113.9",
        "proto": "HTTP/2.0",
        "method": "GET",
        "host": "go.example",
        "uri": "/r?c=1",
        "headers": {
            "User-Agent": [ANDROID],
            "Accept-Language": ["de-DE,de;q=0.9"],
            "X-Forwarded-For": ["203.0.113.9", "10.0.0.1"],
            "Accept-Encoding": ["gzip"],
        },
        "tls": {"resumed": False, "version": 772},
    },
    "duration": 0.25,
    "status": 302,
    "resp_headers": {"Server": ["Caddy"], "Location": [LINK]},
}
TRAEFIK = {
    "ClientAddr": "198.51.100.7:52112",
    "ClientHost": "198.51.100.7",
    "Duration": 250_000_000,
    "DownstreamStatus": 302,
    "RequestAddr": "go.example",
    "RequestHost": "go.example",
    "RequestMethod": "GET",
    "RequestPath": "/r?c=1",
    "RequestScheme": "https",
    "StartUTC": "2026-11-30T10:00:00.000000000Z",
    "StartLocal": "2026-11-30T11:00:00+01:00",
    "downstream_Location": LINK,
    "origin_Location": "https://other.example/",
    "request_User-Agent": ANDROID,
    "request_Accept-Language": "de-DE,de;q=0.9",
    "time": "2026-11-30T10:00:01Z",
}
CLOUDFLARE = {
    "ClientIP": "198.51.100.7",
    "ClientRequestHost": "go.example",
    "ClientRequestMethod": "GET",
    "ClientRequestURI": "/r?c=1",
    "ClientRequestScheme": "https",
    "ClientRequestUserAgent": ANDROID,
    "EdgeResponseStatus": 302,
    "EdgeStartTimestamp": 1796032800000000000,
    "RequestHeaders": {"accept-language": "de-DE,de;q=0.9"},
    "ResponseHeaders": {"location": LINK},
}
ENVOY = {
    "start_time": "2026-11-30T10:00:00.000Z",
    "downstream_remote_address": "198.51.100.7:41342",
    "method": "GET",
    "authority": "go.example",
    "path": "/r?c=1",
    "protocol": "HTTP/1.1",
    "response_code": 302,
    "duration": 250,
    "location": LINK,
    "user_agent": ANDROID,
    "accept_language": "de-DE,de;q=0.9",
    "x_forwarded_for": None,
}
LOGGERS = {
    "nginx": (NGINX, "jsonl"),
    "nginx, its variables' names": (NGINX_VARIABLES, "jsonl"),
    "Caddy": (CADDY, "caddy"),
    "Traefik": (TRAEFIK, "traefik"),
    "Cloudflare": (CLOUDFLARE, "cloudflare"),
    "Cloudflare, ms": (CLOUDFLARE | {"EdgeStartTimestamp": 1796032800000}, "cloudflare"),
    "Cloudflare, s": (CLOUDFLARE | {"EdgeStartTimestamp": 1796032800}, "cloudflare"),
    "Cloudflare, RFC 3339": (CLOUDFLARE | {"EdgeStartTimestamp": "2026-11-30T10:00:00Z"}, "cloudflare"),
    "Envoy": (ENVOY, "envoy"),
}


@pytest.mark.parametrize(("record", "name"), LOGGERS.values(), ids=LOGGERS)
def test_a_loggers_record_is_read(record, name, tmp_path):
    """Each field stands where the decision looks for it, and the preset is found by itself."""
    exchange = only(tmp_path, json.dumps(record))

    assert (exchange.place, exchange.at, exchange.method, exchange.status) == (1, AT, "GET", 302)
    assert (exchange.url, exchange.client_ip, exchange.location) == (URL, "198.51.100.7", LINK)
    assert exchange.headers.items() >= HEADERS.items()
    assert exchange.seconds in {0.25, None}
    assert described(tmp_path, json.dumps(record)).format == name


def test_google_s_load_balancer_says_what_was_asked_for(tmp_path):
    """It has no Location: the link is what was asked for; that it may be a sample is said."""
    record = {
        "httpRequest": {
            "requestMethod": "GET",
            "requestUrl": LINK,
            "status": 302,
            "userAgent": ANDROID,
            "remoteIp": "198.51.100.7",
            "latency": "0.25s",
        },
        "timestamp": "2026-11-30T10:00:00.000000Z",
    }
    recording = opened(tmp_path, json.dumps(record))
    (exchange,) = recording

    assert exchange == Exchange(1, AT, "GET", LINK, {"user-agent": ANDROID}, "198.51.100.7", 302, seconds=0.25)
    assert recording.format == "gcp"
    assert "sample" in recording.remarks[0]


def test_headers_are_those_that_a_decision_looks_at(tmp_path):
    """By lower-case name; a header that stands twice is joined; Accept-Encoding is left out."""
    assert only(tmp_path, json.dumps(CADDY)).headers == HEADERS | {"x-forwarded-for": "203.0.113.9, 10.0.0.1"}
    assert only(tmp_path, json.dumps(NGINX)).headers == HEADERS | {
        "x-forwarded-for": "203.0.113.9, 10.0.0.1",
        "sec-ch-ua-model": '"Pixel 8"',
    }


@pytest.mark.parametrize(
    ("record", "knows"),
    [
        (NGINX, {Known.TIME, Known.LINK, Known.USER_AGENT, Known.LANGUAGE, Known.CLIENT_IP, Known.HINTS}),
        (CADDY, {Known.TIME, Known.LINK, Known.USER_AGENT, Known.LANGUAGE, Known.CLIENT_IP}),
        ({"location": LINK}, {Known.LINK}),
    ],
)
def test_what_a_log_knows_are_its_columns(record, knows, tmp_path):
    """A column that it lacks is not known, and never a bad value."""
    assert described(tmp_path, json.dumps(record)).knows == knows


@pytest.mark.parametrize(
    ("front", "behind"),
    [
        ("<134>Nov 30 10:00:00 lb-1 haproxy[123]: ", ""),
        ("2026-11-30T10:00:00.123456789Z stdout F ", ""),
        ("[", ","),
        ("", "]"),
    ],
)
def test_what_syslog_or_a_container_puts_around_is_taken_off(front, behind, tmp_path):
    """A prefix in front, a comma or bracket of an array around."""
    assert only(tmp_path, front + json.dumps(NGINX) + behind).location == LINK


def test_docker_s_own_json_is_taken_off(tmp_path):
    """Docker writes each line of a container as a value of its own object."""
    record = {"log": json.dumps(NGINX) + "\n", "stream": "stdout", "time": "2026-11-30T10:00:09Z"}

    assert only(tmp_path, json.dumps(record)).at == AT


def test_escapes_that_are_no_json_are_read_all_the_same(tmp_path):
    r"""As Apache writes bytes, and nginx without escape=json quotes."""
    line = r'{"location":"' + LINK + r'","user_agent":"a\x22b\\x22 \xC3\xA4 \x01"}'

    assert only(tmp_path, line).headers["user-agent"] == 'a"b\\x22 ä \x01'


def test_a_broken_line_is_counted_and_the_next_one_read(tmp_path):
    """Of whatever kind; the reason holds nothing of the line."""
    secret = '{"user_agent": "secret'
    broken = [secret, "secret", '{"location": 1} {"secret": 2}', "{" * 5000, '{"a":' * 5000, "[1, 2]"]
    found = list(opened(tmp_path, "\n".join([json.dumps(NGINX), *broken, json.dumps(NGINX)])))

    assert [one.place for one in found if isinstance(one, Unreadable)] == [2, 3, 4, 5, 6, 7]
    assert not any("secret" in one.why for one in found if isinstance(one, Unreadable))
    assert found[-1].location == LINK


@pytest.mark.parametrize(
    ("column", "record"),
    [
        ("to", {"to": LINK}),
        ("click.Target", {"click": {"target": LINK}}),
        ("a.b", {"a.b": LINK}),
    ],
)
def test_a_column_is_named_by_its_dotted_path(column, record, tmp_path):
    """In any case of letters; a dot within a name is no other thing."""
    assert only(tmp_path, json.dumps(record), columns={"link": column}).link == LINK


def test_map_says_what_each_column_is(tmp_path):
    """And what is mapped is nothing else any more."""
    record = {"url": LINK, "a": "198.51.100.7", "b": ANDROID, "c": "de", "d": AT * 1000, "e": "x", "f": "302"}
    columns = {"link": "url", "ip": "a", "ua": "b", "lang": "c", "time": "d", "header.Sec-GPC": "e", "status": "f"}

    assert only(tmp_path, json.dumps(record), columns=columns) == Exchange(
        place=1,
        at=AT,
        link=LINK,
        client_ip="198.51.100.7",
        headers={"user-agent": ANDROID, "accept-language": "de", "sec-gpc": "x"},
        status=302,
    )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"link": "lokation"}, r"--map link=lokation: no such column. Did you mean location\? There are: .*user_agent"),
        ({"lnk": "location"}, r"--map lnk=: expected one of ua, lang, .*link.*ip.*header.NAME"),
    ],
)
def test_a_map_that_names_no_column_is_refused(columns, words, tmp_path):
    """The message says which there are."""
    with pytest.raises(RecordingError, match=words):
        opened(tmp_path, json.dumps(NGINX), columns=columns)


def test_lines_that_are_longer_than_the_head_are_told(tmp_path):
    """A log with bodies in it, where the first bytes hold not one whole line."""
    record = {"body": "x" * 100_000, "location": LINK, "status": 302}
    found = opened(tmp_path, f"{json.dumps(record)}\n" * 3)

    assert "jsonl" == found.format
    assert [LINK] * 3 == [one.location for one in found]


@pytest.mark.parametrize("columns", [{}, {"link": "x"}], ids=["no link", "a wrong map"])
def test_names_of_columns_are_fit_to_be_shown(columns, tmp_path):
    """Strangers may choose them: no control character reaches a terminal, and no name fills it."""
    record = {"\x1b]0;evil\x07": 1, "\u202e": 2, "n" * 5000: 3}
    with pytest.raises(RecordingError) as refusal:
        opened(tmp_path, json.dumps(record), columns=columns)
    shown = str(refusal.value).partition("\n")[0]

    assert shown.isprintable()
    assert "n" * 100 not in shown


def test_a_column_of_links_is_found_by_its_values(tmp_path):
    """Whatever it is called; a Referer is none."""
    record = {"zzz": LINK, "referer": LINK, "other": "https://go.example/"}

    assert only(tmp_path, json.dumps(record)).link == LINK


def test_a_location_that_is_a_town_is_no_redirect(tmp_path):
    """A name alone decides nothing."""
    found = only(tmp_path, json.dumps({"location": "Berlin, Germany", "click_url": LINK}))

    assert (found.link, found.location) == (LINK, None)


def test_a_log_without_links_is_refused_with_the_lines_that_mend_it(tmp_path):
    """Its columns are named, and the configuration of each server is shown."""
    record = {key: value for key, value in NGINX.items() if key != "location"}
    with pytest.raises(RecordingError, match=r"Columns seen: accept_language, .*uri") as refusal:
        opened(tmp_path, json.dumps(record) + "\n", "access.json")

    for words in (
        "--map link=COLUMN",
        "$sent_http_location",
        "%{Location}o",
        "capture response header",
        "%RESP(LOCATION)%",
    ):
        assert words in str(refusal.value)


def test_the_header_of_the_client_s_address_is_one_of_the_headers(tmp_path):
    """And the address column stays the peer's; a header that no column holds is refused."""
    record = NGINX | {"real_ip": "203.0.113.9"}
    found = only(tmp_path, json.dumps(record), client_ip_header="Real-IP")

    assert (found.client_ip, found.headers["real-ip"]) == ("198.51.100.7", "203.0.113.9")
    with pytest.raises(RecordingError, match="no column holds the header Real-IP"):
        opened(tmp_path, json.dumps(NGINX), client_ip_header="Real-IP")


@pytest.mark.parametrize(
    ("target", "host", "url"),
    [
        ("/r", "go.example", "https://go.example/r"),
        ("/r", "go.example:443", "https://go.example/r"),
        ("/r", "go.example:8080", "https://go.example:8080/r"),
        ("http://go.example:80/r?x=https://a:443/", "", "http://go.example/r?x=https://a:443/"),
        ("https://go.example/r", "other.example", "https://go.example/r"),
        ("/r", "", None),
        ("*", "go.example", None),
        ("", "go.example", None),
    ],
)
def test_a_url_is_absolute(target, host, url, tmp_path):
    """Of host and target, without a port that goes without saying; without a host there is none."""
    record = {"location": LINK, "uri": target, "host": host}

    assert only(tmp_path, json.dumps(record)).url == url


@pytest.mark.parametrize(
    ("address", "client_ip"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:1234", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:1234", "2001:db8::1"),
        ("198.51.100.7, 10.0.0.1", "198.51.100.7"),
        ("-", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_has_no_port(address, client_ip, tmp_path):
    """Of either family; of several the first."""
    content = json.dumps({"location": LINK, "remote_addr": address})

    assert only(tmp_path, content).client_ip == client_ip


def test_a_column_that_appears_late_is_read_where_it_was_seen_first(tmp_path):
    """The first thousand lines say which columns there are."""
    lines = [json.dumps({"location": LINK})] * 900 + [json.dumps({"location": LINK, "user_agent": ANDROID})]

    assert exchanges(tmp_path, "\n".join(lines))[-1].headers == {"user-agent": ANDROID}


def test_a_location_without_a_status_is_the_link(tmp_path):
    """Nobody knows whether it was a redirect: a table of what was redirected to says no status."""
    found = only(tmp_path, json.dumps({"redirect_url": LINK}))

    assert (found.link, found.location) == (LINK, None)


@pytest.mark.parametrize(
    ("query", "link"),
    [
        ("to=https%3A%2F%2Fapp.appsflyer.com%2Fcom.example.game%3Fpid%3Da%26clickid%3D1", True),
        ("x=1&to=https%3a%2f%2fapp.appsflyer.com%2Fcom.example.game%3Fpid%3Da%26clickid%3D1&y=2", True),
        ("x=%20&to=https://app.appsflyer.com/com.example.game?pid=a&clickid=1", True),
        ("to=app.appsflyer.com", False),
        ("x=1", False),
        ("", False),
    ],
)
def test_a_link_may_be_a_parameter_of_the_request(query, link, tmp_path):
    """Where nothing else says it; encoded or not. That is said, and other requests are no clicks."""
    lines = [{"path": "/r?to=https%3A%2F%2Fapp.appsflyer.com%2Fid123456789", "status": 302}]
    lines.append({"path": f"/r?{query}", "status": 302})
    recording = opened(tmp_path, "\n".join(map(json.dumps, lines)))
    _, found = recording

    assert found.link == ("https://app.appsflyer.com/com.example.game?pid=a&clickid=1" if link else None)
    assert "parameters of requests" in recording.remarks[0]


def test_requests_that_are_links_of_hosts_that_nobody_knows_may_be_mapped(tmp_path):
    """A domain of one's own that leads to AppsFlyer: only the rules know it."""
    record = {"path": "/abcd?pid=a", "authority": "go.brand.example", "response_code": 302}

    with pytest.raises(RecordingError, match="can't be audited"):
        opened(tmp_path, json.dumps(record))
    found = only(tmp_path, json.dumps(record), columns={"uri": "path", "host": "authority"})
    assert found.url == "https://go.brand.example/abcd?pid=a"


ROW = {"location": LINK, "status": 302}


@pytest.mark.parametrize(
    ("whole", "indent"),
    [([ROW] * 3, None), ([ROW] * 3, 2), ({"rows": [ROW] * 3}, None), ({"rows": [ROW] * 3}, 2), (ROW, 2)],
)
def test_json_that_is_no_lines_is_refused_with_what_makes_lines_of_it(whole, indent, tmp_path):
    """An array, an object around it, one object over many lines: `jq` makes lines of each."""
    with pytest.raises(RecordingError, match="jq -c"):
        opened(tmp_path, json.dumps(whole, indent=indent))
