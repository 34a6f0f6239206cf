"""Logs that real servers wrote, with exactly the lines of configuration that the refusal of a poorer log shows."""

import time

import pytest
import yaml

from storehop.audit.exchange import FORMATS, Asked, Known, RecordingError, Unreadable
from storehop.audit.readers import advice
from storehop.audit.recordings import open_recording
from tests.support.loggers import apache, click, haproxy, nginx
from tests.support.patience import SOON_S, wait_until
from tests.support.processes import ROOT
from tests.support.recordings import ANDROID, LINK

pytestmark = pytest.mark.process

LOCATION = LINK + "&c=summer%20sale&af_sub1=%7Bx%7D&deep=caf%C3%A9"
PHONE = {
    "Host": "go.example",
    "User-Agent": ANDROID,
    "Accept-Language": "de-DE,de;q=0.9",
    "Referer": "https://pub.example/a?b=1",
    "X-Forwarded-For": "203.0.113.9, 10.0.0.1",
    "Sec-CH-UA": '"Chromium";v="126", "Not/A)Brand";v="8"',
    "Sec-CH-UA-Mobile": "?1",
    "Sec-CH-UA-Platform": '"Android"',
    "Sec-CH-UA-Platform-Version": '"14.0.0"',
    "Sec-CH-UA-Model": '"Pixel 8"',
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Purpose": "prefetch",
    "Accept": "*/*",
}
AGENT = 'a"b\\c \t {d|e} #f ä'
ODD = {"Host": "go.example:8080", "User-Agent": AGENT.encode().decode("latin-1")}
NOT_LOGGED = {
    "nginx": {"accept"},
    "apache": {"accept"},
    "haproxy": {"accept", "referer", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-mode", "sec-fetch-dest"}
    | {"sec-purpose"},
}
EVERYTHING = {Known.TIME, Known.LINK, Known.USER_AGENT, Known.LANGUAGE, Known.CLIENT_IP, Known.HINTS}


def clicks(port, log):
    """Three requests: of a phone, of an odd client, of one that says nothing. Ends when all are logged."""
    assert click(port, "/r?c=1&x=%20%22", PHONE) == (LOCATION, 302)
    assert click(port, "/r", ODD, "HEAD") == (LOCATION, 302)
    assert click(port, "/r", {"Host": "go.example"}) == (LOCATION, 302)
    wait_until(lambda: log.read_bytes().count(b"\n") == 3, SOON_S, "three lines are logged")


def by_client(recording):
    """The exchanges of the phone, the odd client and the bare one: answers are logged in any order."""
    found = {one.headers.get("user-agent"): one for one in recording}
    return found[ANDROID], found[AGENT], found[None]


def serve(server, folder, **more):
    """What its log says afterwards, and when the clicks were."""
    began = time.time()
    if server == "haproxy":
        stack = folder / "stack"
        stack.mkdir()
        with nginx(stack, LOCATION) as port, haproxy(folder, port, **more) as front:
            clicks(front, folder / "auditable.log")
    else:
        with {"nginx": nginx, "apache": apache}[server](folder, LOCATION, **more) as port:
            clicks(port, folder / "auditable.log")
    return began, time.time()


@pytest.mark.parametrize("server", ["nginx", "apache", "haproxy"])
def test_the_advised_log_of_a_real_server_is_read_whole(server, tmp_path):
    """Every field is right: of a phone, of a client whose User-Agent has quotes and braces, of one without headers."""
    began, ended = serve(server, tmp_path)
    recording = open_recording(str(tmp_path / "auditable.log"), Asked())
    phone, odd, bare = by_client(recording)

    assert recording.knows == EVERYTHING
    assert (recording.format, recording.remarks) == ("jsonl", ())
    scheme = "http" if server == "nginx" else "https"
    port = "" if server == "nginx" else ":8080"
    assert [one.url for one in (phone, odd, bare)] == [
        f"{scheme}://go.example/r?c=1&x=%20%22",
        f"{scheme}://go.example{port}/r",
        f"{scheme}://go.example/r",
    ]
    assert [one.method for one in (phone, odd, bare)] == ["GET", "HEAD", "GET"]
    assert {(one.status, one.location, one.client_ip) for one in (phone, odd, bare)} == {(302, LOCATION, "127.0.0.1")}
    assert all(began - 1 <= one.at <= ended for one in (phone, odd, bare))
    assert phone.headers == {
        name.lower(): value for name, value in PHONE.items() if name.lower() not in NOT_LOGGED[server] | {"host"}
    }
    assert odd.headers == {"user-agent": AGENT}
    assert bare.headers == {}


COMBINED = {
    "nginx": {
        "more": """log_format old '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent" "$sent_http_location" "$host" "$http_accept_language"';
        access_log old.log old; access_log plain.log combined;"""
    },
    "apache": {
        "more": r"""LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-agent}i\"" plain
        LogFormat "%v:%p %h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" \"%{Location}o\"" old
        CustomLog FOLDER/old.log old
        CustomLog FOLDER/plain.log plain"""
    },
}


@pytest.mark.parametrize("server", COMBINED)
def test_combined_of_a_real_server_with_a_location_is_read(server, tmp_path):
    """As people have it already; plain combined is refused with the advice."""
    began, ended = serve(server, tmp_path, more=COMBINED[server]["more"].replace("FOLDER", str(tmp_path)))
    phone, odd, bare = by_client(open_recording(str(tmp_path / "old.log"), Asked()))

    assert phone.headers.items() >= {("user-agent", ANDROID), ("referer", PHONE["Referer"])}
    assert bare.headers == {}
    for one in (phone, odd, bare):
        assert (one.status, one.location, one.client_ip) == (302, LOCATION, "127.0.0.1")
        assert began - 1 <= one.at <= ended
    with pytest.raises(RecordingError, match="can't be audited"):
        open_recording(str(tmp_path / "plain.log"), Asked())


HTTPLOG = """ log stdout len 16384 format raw local0 info
 option httplog
 capture request header User-Agent len 512
 capture request header Host len 255
 capture response header Location len LENGTH
"""


def test_haproxy_s_own_log_is_read(tmp_path):
    """With captured headers, whose marks it encodes; its times are this machine's, without a zone."""
    serve("haproxy", tmp_path, lines=HTTPLOG.replace("LENGTH", "4096"))
    recording = open_recording(str(tmp_path / "auditable.log"), Asked())
    phone, odd, bare = by_client(recording)

    assert phone.url == "https://go.example/r?c=1&x=%20%22"
    assert (phone.headers, odd.headers, bare.headers) == (
        {"user-agent": ANDROID},
        {"user-agent": AGENT},
        {},
    )
    assert {(one.status, one.location, one.client_ip) for one in (phone, odd, bare)} == {(302, LOCATION, "127.0.0.1")}
    assert recording.remarks == ("its times name no zone: they are taken as UTC",)


def test_what_haproxy_cut_is_refused(tmp_path):
    """A real `len` that is too small."""
    serve("haproxy", tmp_path, lines=HTTPLOG.replace("LENGTH", "80"))
    found = list(open_recording(str(tmp_path / "auditable.log"), Asked()))

    assert [type(one) for one in found] == [Unreadable] * 3
    assert "cut at 80 characters" in found[0].why


def test_envoy_s_advised_lines_are_yaml():
    """They hold the format that the reader's columns know."""
    (entry,) = yaml.safe_load(advice.ENVOY)["access_log"]

    assert entry["typed_config"]["log_format"]["json_format"]["location"] == "%RESP(LOCATION)%"


@pytest.mark.parametrize("server", advice.CONFIGURATIONS)
def test_the_manual_shows_the_advised_lines(server):
    """The very same, character by character."""
    page = (ROOT / "rules" / "audit" / "README.md").read_text()

    assert f"\n{advice.CONFIGURATIONS[server]}\n```" in page


@pytest.mark.parametrize("name", FORMATS)
def test_the_manual_names_each_format(name):
    """Those of `--format`."""
    assert name == "auto" or f"`{name}`" in (ROOT / "rules" / "audit" / "README.md").read_text()
