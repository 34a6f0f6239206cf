"""What the log says of connections that speak what their port does not."""

import pytest

from storehop.host.layers.misfits import Misfits
from storehop.host.layers.stack import ANY, PREFACE, Port

PLAIN = Port(tls=False)
V1 = b"PROXY TCP4 8.8.8.8 10.0.0.1 1 2\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
HELLO = b"\x16\x03\x01\x02\0"


@pytest.mark.parametrize(
    ("port", "first_bytes", "flag"),
    [
        (PLAIN, V1, "--proxy-protocol"),
        (PLAIN, V2, "--proxy-protocol"),
        (PLAIN, HELLO, "--tls-cert"),
        (PLAIN, PREFACE, "--h2c"),
        (Port(tls=True), V1, "--proxy-protocol"),
    ],
)
def test_it_says_which_option_is_not_set(port, first_bytes, flag, caplog):
    """And from where it came."""
    Misfits(port).look(first_bytes, "10.0.0.7")

    assert [True] == [f"{flag} is not set" in text and "10.0.0.7" in text for text in caplog.messages]


@pytest.mark.parametrize(
    ("port", "first_bytes"),
    [
        (PLAIN, b"GET / HTTP/1.1\r\n"),
        (PLAIN, b"PROPFIND / HTTP/1.1\r\n"),
        (PLAIN, b""),
        (Port(tls=True), HELLO),
        (Port(tls=False, h2c=True), PREFACE),
        (Port(tls=False, proxy_protocol=True), V1),
        (ANY, V1),
        (ANY, HELLO),
    ],
)
def test_it_says_nothing_of_what_is_spoken(port, first_bytes, caplog):
    """Nor in mitmproxy's own tools, where everybody may speak what they like."""
    Misfits(port).look(first_bytes, "10.0.0.7")

    assert [] == caplog.messages


def test_it_says_so_once_a_minute(caplog):
    """With how many there were."""
    now = [0.0]
    misfits = Misfits(PLAIN, lambda: now[0])
    for _ in range(5):
        misfits.look(HELLO, "8.8.8.8")
    now[0] = 61.0
    misfits.look(HELLO, "8.8.4.4")

    assert (2, True, True) == (len(caplog.messages), "8.8.4.0/24" in caplog.messages[1], "5" in caplog.messages[1])
