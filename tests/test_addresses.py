"""Addresses and origins, read from text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.addresses import (
    LAST_PORT,
    Address,
    is_loopback,
    parse_address,
    parse_address_or_off,
    parse_origin,
    without_credentials,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("müller.example:1", ("müller.example", 1)),
    ],
)
def test_an_address_is_read(text, address):
    """IPv6 stands in brackets, and they are no part of the host."""
    assert address == parse_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "8080", ":8080", "a:", "a:65536", "a:-1", "a:1x", "::1:8080", "[::1]", "[a]:1x", f"{'x' * 64}:1", "a..b:1"],
)
def test_what_is_no_address_is_refused(text):
    """The message says what was expected."""
    with pytest.raises(ValueError, match=r"^expected "):
        parse_address(text)


@given(host=st.ip_addresses().map(str), port=st.integers(0, LAST_PORT))
def test_an_address_is_written_as_it_is_read(host, port):
    """Text and back: nothing is lost."""
    assert (host, port) == parse_address(str(Address(host, port)))


def test_off_is_no_address():
    """It stands for listening nowhere."""
    assert (None, ("a", 1)) == (parse_address_or_off("off"), parse_address_or_off("a:1"))


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://legacy", "http://legacy:80"),
        ("HTTPS://legacy/", "https://legacy:443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://a_b.example:65535", "http://a_b.example:65535"),
    ],
)
def test_an_origin_has_its_port(text, origin):
    """The scheme's own where none is written."""
    assert origin == parse_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "legacy:8000",
        "ftp://a",
        "http://",
        "http://a/x",
        "http://a:0",
        "http://a:65536",
        "http://u@a",
        "http://a..b",
    ],
)
def test_what_is_no_origin_is_refused(text):
    """Nothing may stand behind the port, and no user before the host."""
    with pytest.raises(ValueError, match=r"^expected http\(s\)://host\[:port\]$"):
        parse_origin(text)


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("*", False),
    ],
)
def test_a_loopback_address_is_for_this_machine_alone(host, is_so):
    """All addresses of a name must be one; what is none at all is not."""
    assert is_so is is_loopback(Address(host, 8080))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host:6379/0", "redis://***@host:6379/0"),
        ("rediss://:se@cret/x@host", "rediss://***@host"),
        ("redis://secret@host", "redis://***@host"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("sqlite:///var/lib/a:b@c.db", "sqlite:///var/lib/a:b@c.db"),
        ("/var/lib/storehop/outbox.db", "/var/lib/storehop/outbox.db"),
    ],
)
def test_credentials_are_not_shown(url, shown):
    """Whatever characters they have; everything else is."""
    assert shown == without_credentials(url)
