"""Certificates that expire are seen in time."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from storehop.host.tls.certificate import Certificate, Place
from storehop.host.tls.expiry import DAY_S, Expiry

FILE = Place(Path("/tls/site.pem"), Path("/tls/site.pem"))
NOW = 1_800_000_000.0


def expiring(days):
    """(their expiry, the clock that it reads)."""
    now = [NOW]
    certificate = Certificate(FILE, (), NOW + days * DAY_S, None)
    return Expiry(lambda: [certificate], lambda: now[0]), now


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (15, []),
        (13, ["the certificate /tls/site.pem expires on 2027-01-28"]),
        (-1, ["the certificate /tls/site.pem expired on 2027-01-14"]),
    ],
)
def test_it_warns_in_time(days, said, caplog):
    """Two weeks before."""
    expiring(days)[0].warn()

    assert said == caplog.messages


def test_it_warns_once_a_day(caplog):
    """However often it is asked; other certificates are news."""
    expiry, now = expiring(13)
    lines = []
    for hours in (0, 23, 25):
        now[0] = NOW + hours * 3600
        expiry.warn()
        lines.append(len(caplog.messages))
    expiry.forget()
    expiry.warn()

    assert ([1, 1, 2], 3) == (lines, len(caplog.messages))


def test_a_metric_tells_when():
    """In Unix seconds, by file."""
    registry = CollectorRegistry()
    registry.register(expiring(20)[0])

    assert b'storehop_tls_certificate_expiry_seconds{file="/tls/site.pem"} 1.801728e+09' in generate_latest(registry)
