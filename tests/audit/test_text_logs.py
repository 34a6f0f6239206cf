"""Logs of web servers and load balancers that are no JSON."""

import pytest

from storehop.audit.exchange import Exchange, Known, RecordingError, Unreadable
from tests.support.recordings import ANDROID, AT, LINK, described, exchanges, only, opened

TIME = "[30/Nov/2026:10:00:00 +0000]"
REQUEST = '"GET /r?c=1 HTTP/1.1"'
COMBINED = f'198.51.100.7 - - {TIME} {REQUEST} 302 138 "https://pub.example/a" "{ANDROID}"'
OK = f'198.51.100.8 - - {TIME} "GET /health HTTP/1.1" 200 2 "-" "curl/8.5.0"'
HEADERS = {"referer": "https://pub.example/a", "user-agent": ANDROID}
XFF = {"x-forwarded-for": "203.0.113.9, 10.0.0.1"}
OTHER = "https://t.other.example/c/1"


def test_combined_with_a_location_behind_it(tmp_path):
    """The usual way: one quoted field more. Without a Host there is no URL."""
    recording = described(tmp_path, f'{COMBINED} "{LINK}"\n{OK} "-"\n')
    first, second = exchanges(tmp_path, f'{COMBINED} "{LINK}"\n{OK} "-"\n')

    assert first == Exchange(1, AT, "GET", None, HEADERS, "198.51.100.7", 302, LINK)
    assert second == Exchange(2, AT, "GET", None, {"user-agent": "curl/8.5.0"}, "198.51.100.8", 200)
    assert recording.format == "combined"
    assert recording.knows == {Known.TIME, Known.LINK, Known.USER_AGENT, Known.CLIENT_IP}


@pytest.mark.parametrize(
    ("line", "url", "headers"),
    [
        pytest.param(f'go.example:443 {COMBINED} "{LINK}"', True, {}, id="Apache's vhost_combined"),
        pytest.param(f'go.example {COMBINED} "{LINK}"', True, {}, id="a Host in front"),
        pytest.param(f'{COMBINED} "{LINK}" "go.example"', True, {}, id="a Host behind"),
        pytest.param(f'{COMBINED} go.example "{LINK}" 0.005', True, {}, id="a bare Host, a time"),
        pytest.param(f'{COMBINED} "203.0.113.9, 10.0.0.1" "{LINK}"', False, XFF, id="X-Forwarded-For"),
        pytest.param(f'{COMBINED} "203.0.113.9" "{LINK}"', False, {"x-forwarded-for": "203.0.113.9"}, id="one hop"),
        pytest.param(
            f'{COMBINED} "de-DE,de;q=0.9" "{LINK}"', False, {"accept-language": "de-DE,de;q=0.9"}, id="Accept-Language"
        ),
        pytest.param(
            rf'{COMBINED} "\x22Chromium\x22;v=\x22126\x22" "?1" "{LINK}"',
            False,
            {"sec-ch-ua": '"Chromium";v="126"', "sec-ch-ua-mobile": "?1"},
            id="hints",
        ),
        pytest.param(f'{COMBINED} 17 "router@file" "http://10.0.0.5:80" 12ms "{LINK}"', False, {}, id="Traefik's"),
        pytest.param(f'Nov 30 10:00:00 web-1 nginx: {COMBINED} "{LINK}"', False, {}, id="syslog's prefix"),
        pytest.param(
            f'{COMBINED} "{LINK}" 10.0.0.5:8080 MISS rt=0.005 uct="0.000"', False, {}, id="an upstream's words"
        ),
    ],
)
def test_further_fields_are_told_by_their_values(line, url, headers, tmp_path):
    """Wherever they stand; fields that nobody knows are left alone."""
    expected = Exchange(
        place=1,
        at=AT,
        url="https://go.example/r?c=1" if url else None,
        headers=HEADERS | headers,
        client_ip="198.51.100.7",
        status=302,
        location=LINK,
    )

    assert only(tmp_path, line) == expected


def test_a_location_of_other_hosts_is_told_by_its_redirects(tmp_path):
    """A link under a domain of one's own: the field holds URLs where the status is a redirect, and nowhere else."""
    first, second = exchanges(tmp_path, f'{COMBINED} "{OTHER}"\n{OK} "-"')

    assert (first.location, second.location) == (OTHER, None)


def test_an_upstream_s_address_is_no_location(tmp_path):
    """Traefik's last URL stands with every request."""
    line = '{} 17 "router@file" "http://10.0.0.5:80/x" 12ms'
    with pytest.raises(RecordingError, match="can't be audited"):
        opened(tmp_path, f"{line.format(COMBINED)}\n{line.format(OK)}")


def test_envoy_s_text_with_a_location_behind_it(tmp_path):
    """Its default format begins with the time and has no address of the peer."""
    line = (
        f'[2026-11-30T10:00:00.000Z] "GET /r?c=1 HTTP/2" 302 - 0 0 5 4 "203.0.113.9" "{ANDROID}"'
        f' "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "go.example" "10.0.2.1:80" "{LINK}"'
    )
    exchange = only(tmp_path, line)

    assert (exchange.at, exchange.url, exchange.status) == (AT, "https://go.example/r?c=1", 302)
    assert (exchange.location, exchange.headers["user-agent"], exchange.client_ip) == (LINK, ANDROID, "203.0.113.9")


@pytest.mark.parametrize(
    ("written", "meant"),
    [(r"a\x22b\x5Cc", 'a"b\\c'), (r"a\"b\\c", 'a"b\\c'), (r"\xC3\xA4", "ä"), (r"\xFF", "\udcff"), ("ä", "ä")],
)
def test_escapes_are_read_as_both_servers_write_them(written, meant, tmp_path):
    """Of nginx and of Apache."""
    line = f'198.51.100.7 - - {TIME} {REQUEST} 302 138 "-" "{written}" "{LINK}"'

    assert only(tmp_path, line).headers["user-agent"] == meant


def test_a_request_that_is_the_link_needs_no_location(tmp_path):
    """As where the host in front is AppsFlyer's, or the request line is absolute."""
    assert only(tmp_path, COMBINED.replace("/r?c=1", LINK)).url == LINK
    assert only(tmp_path, f"app.appsflyer.com {COMBINED}").url == "https://app.appsflyer.com/r?c=1"


def test_plain_combined_is_refused_with_the_lines_that_mend_it(tmp_path):
    """Also where a Referer is a link: it says where somebody came from."""
    for content in (COMBINED, COMBINED.replace("https://pub.example/a", LINK)):
        with pytest.raises(RecordingError, match=r"\$sent_http_location"):
            opened(tmp_path, content)


def test_a_line_of_another_width_is_broken(tmp_path):
    """Nobody knows which field is missing."""
    found = list(opened(tmp_path, f'{COMBINED} "{LINK}"\n{COMBINED}\n"\n{COMBINED} "{LINK}"'))

    assert [type(one) for one in found] == [Exchange, Unreadable, Unreadable, Exchange]
    assert found[1].why == "has 9 columns, expected 10"


def test_fields_have_numbers(tmp_path):
    """From 1, for `--map`."""
    line = f'{COMBINED} "{OTHER}" "x"'

    assert only(tmp_path, line, columns={"location": "10", "header.Sec-GPC": "11"}).location == OTHER
    with pytest.raises(RecordingError, match=r"no such column\..* There are: 1, 10, 11, 2"):
        opened(tmp_path, line, columns={"location": "12"})


def haproxy(location, captured="{go.example|" + ANDROID + "|de-DE,de;q=0.9}", prefix="haproxy[7]: "):
    return (
        f"{prefix}198.51.100.7:33317 [30/Nov/2026:10:00:00.000] in~ back/s1 0/0/1/2/3 302 275 - - ---- 1/1/0/0/0 0/0"
        f' {captured} {{{location}}} "GET /r?c=1 HTTP/1.1"'
    )


@pytest.mark.parametrize(
    "prefix", ["", "haproxy[7]: ", "Nov 30 10:00:00 lb-1 haproxy[7]: ", "<134>Nov 30 10:00:00 lb: "]
)
def test_haproxy_s_own_log_with_captured_headers(prefix, tmp_path):
    """What was captured has no names: it is told by its values. Its time has no zone: that is said."""
    recording = described(tmp_path, haproxy(LINK, prefix=prefix))
    exchange = only(tmp_path, haproxy(LINK, prefix=prefix))

    assert exchange == Exchange(
        place=1,
        at=AT,
        url="https://go.example/r?c=1",
        headers={"user-agent": ANDROID, "accept-language": "de-DE,de;q=0.9"},
        client_ip="198.51.100.7",
        status=302,
        location=LINK,
    )
    assert recording.format == "haproxy"
    assert recording.remarks == ("its times name no zone: they are taken as UTC",)


def test_haproxy_s_escapes_are_read(tmp_path):
    """It writes its own marks and what is not printable as #7C."""
    line = haproxy(LINK + "&x=#7Ca#7D#C3#A4", captured="{curl/8 #7B1#7C2#7D}")

    assert only(tmp_path, line).location == LINK + "&x=|a}ä"
    assert only(tmp_path, line).headers == {"user-agent": "curl/8 {1|2}"}


@pytest.mark.parametrize("length", [32, 64, 100, 128, 512])
def test_a_location_that_was_cut_is_refused(length, tmp_path):
    """Several are exactly as long as a `len` that people write, and none is longer: these are not what browsers got."""
    links = [f"{LINK}{number}&af_sub1={'x' * 600}" for number in range(5)]
    found = list(opened(tmp_path, "\n".join(haproxy(link[:length]) for link in [*links, LINK[:30]])))

    assert [type(one) for one in found] == [Unreadable] * 5 + [Exchange]
    assert found[0].why == f"the captured Location is cut at {length} characters: raise its `len`"


def test_a_location_that_ends_within_an_escape_was_cut(tmp_path):
    """Whatever its length."""
    first, second = opened(tmp_path, "\n".join([haproxy(LINK + "%2"), haproxy(LINK + "%20")]))

    assert isinstance(first, Unreadable)
    assert second.location == LINK + "%20"


def test_links_of_one_length_were_not_cut(tmp_path):
    """As where only a click id differs."""
    links = [f"{LINK}{number:05}" for number in range(50)]

    assert [one.location for one in exchanges(tmp_path, "\n".join(map(haproxy, links)))] == links


def test_haproxy_s_lines_of_no_request_are_left_out(tmp_path):
    """And a line that ends in the middle is broken."""
    short = "haproxy[7]: 198.51.100.7:33317 [30/Nov/2026:10:00:00.000] in/1: SSL handshake failure"
    cut = [haproxy(LINK)[:-1], haproxy(LINK)[:-60]]
    found = list(opened(tmp_path, "\n".join([haproxy(LINK), short, *cut, "Proxy in started."])))

    assert [type(one) for one in found] == [Exchange, *[Unreadable] * 3]


ALB = (
    "https 2026-11-30T10:00:00.500000Z app/clicks/50dc6c495c0c9188 198.51.100.7:2817 10.0.0.1:80 0.086 0.048 0.037"
    ' {status} {status} 0 57 "GET https://{target} HTTP/1.1" "' + ANDROID + '" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2'
    ' arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/t/1 "Root=1-58337281-1d84f3d73c47ec4e58577259"'
    ' "go.example" "arn:aws:acm:us-east-2:1:certificate/1" 1 2026-11-30T10:00:00.000000Z "{action}" "{to}" "-"'
    ' "10.0.0.1:80" "302" "-" "-" TID_1234abcd'
)


TARGET = LINK.removeprefix("https://")
ENCODED = ANDROID.replace(" ", "%20")


def alb(target=TARGET, action="forward", to="-"):
    return ALB.format(target=target, action=action, to=to, status=302)


def test_an_alb_s_link_is_the_request(tmp_path):
    """It knows no Location of the target; the default port is no part of a URL."""
    target = TARGET.replace(".com/", ".com:443/")
    recording = described(tmp_path, alb(target))

    assert only(tmp_path, alb(target)) == Exchange(
        place=1, at=AT, url=LINK, headers={"user-agent": ANDROID}, client_ip="198.51.100.7", status=302
    )
    assert recording.format == "alb"
    assert "Location" in recording.remarks[0]


def test_an_alb_s_redirect_counts_where_it_made_it(tmp_path):
    """`redirect_url` with another action is not what was answered."""
    lines = [alb("go.example:443/r", "waf,redirect", LINK), alb("go.example:443/r", "forward", LINK)]
    first, second = exchanges(tmp_path, "\n".join(lines))

    assert (first.url, first.location) == ("https://go.example/r", LINK)
    assert second.location is None


def test_an_alb_s_link_may_stand_in_the_request(tmp_path):
    """As a parameter; without any link it can't be audited."""
    target = "go.example:443/r?to=https%3A%2F%2Fapp.appsflyer.com%2Fcom.example.game"

    found = only(tmp_path, alb(target))

    assert (found.url, found.link) == (
        "https://" + target.replace(":443", ""),
        "https://app.appsflyer.com/com.example.game",
    )
    with pytest.raises(RecordingError, match="can't be audited"):
        opened(tmp_path, alb("go.example:443/r"))


CLOUDFRONT_FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent)"
    " cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken"
    " x-forwarded-for"
)


def cloudfront(query="pid=networka_int&clickid=abc123", agent=ENCODED, host="app.appsflyer.com"):
    columns = (
        "2026-11-30 10:00:00 FRA2 482 198.51.100.7 GET d111.cloudfront.net /com.example.game 302 - AGENT QUERY - Miss"
        " id HOST https 23 0.25 203.0.113.9,%2010.0.0.1"
    )
    line = columns.replace(" ", "\t").replace("AGENT", agent).replace("QUERY", query).replace("HOST", host)
    return f"#Version: 1.0\n#Fields: {CLOUDFRONT_FIELDS}\n{line}\n"


def test_cloudfront_s_log_is_read(tmp_path):
    """The host is the one that was asked for, not CloudFront's; there is no Location, and that is said."""
    recording = described(tmp_path, cloudfront())
    exchange = only(tmp_path, cloudfront())

    assert (exchange.place, exchange.at, exchange.seconds, exchange.status) == (3, AT, 0.25, 302)
    assert (exchange.url, exchange.client_ip, exchange.location) == (LINK, "198.51.100.7", None)
    assert exchange.headers == {"user-agent": ANDROID, "x-forwarded-for": "203.0.113.9, 10.0.0.1"}
    assert recording.format == "cloudfront"
    assert "Location" in recording.remarks[0]


@pytest.mark.parametrize(
    ("logged", "meant"),
    [
        ("Mozilla/5.0%20(X)", "Mozilla/5.0 (X)"),
        ("Mozilla/5.0%2520(X)", "Mozilla/5.0 (X)"),
        ("My%2520App/1%20CFNetwork/1", "My%20App/1 CFNetwork/1"),
        ("curl/8", "curl/8"),
    ],
)
def test_cloudfront_s_user_agent_is_what_the_browser_sent(logged, meant, tmp_path):
    """Encoded once or twice; what the browser itself had encoded stays so."""
    assert only(tmp_path, cloudfront(agent=logged)).headers["user-agent"] == meant


@pytest.mark.parametrize(
    ("logged", "meant"),
    [
        ("a=%253A%2520", "a=%3A%20"),
        ("a=%7Bx%7D%2541", "a={x}%41"),
        ("a=%3A%2525", "a=%3A%2525"),
        ("a=%20", "a=%20"),
        ("a=b", "a=b"),
    ],
)
def test_cloudfront_s_query_is_what_was_asked_for(logged, meant, tmp_path):
    """Where CloudFront encoded it once more, that is taken back; a log that has it as it was is left alone."""
    assert only(tmp_path, cloudfront(query=logged)).url == f"https://app.appsflyer.com/com.example.game?{meant}"


def test_a_cloudfront_log_without_links_can_t_be_audited(tmp_path):
    """Its hosts are other ones, and there is no Location."""
    with pytest.raises(RecordingError, match="can't be audited"):
        opened(tmp_path, cloudfront(host="go.example"))
