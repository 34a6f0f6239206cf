"""Times as logs write them."""

import time

import pytest

from storehop.audit.readers.moments import has_zone, seconds_of
from tests.support.recordings import AT

TIMES = {
    "s": 1796032800,
    "s, text": "1796032800",
    "s with a fraction": "1796032800.000",
    "ms": 1796032800000,
    "µs": "1796032800000000",
    "ns": 1796032800000000000,
    "float": 1796032800.0,
    "ISO, Z": "2026-11-30T10:00:00Z",
    "ISO, ns": "2026-11-30T10:00:00.000000000Z",
    "ISO, zone": "2026-11-30T11:00:00+01:00",
    "ISO, zone without colon": "2026-11-30T11:00:00+0100",
    "ISO, west": "2026-11-30T02:00:00-08:00",
    "ISO, basic": "20261130T100000Z",
    "BigQuery": "2026-11-30 10:00:00 UTC",
    "BigQuery, µs": "2026-11-30 10:00:00.000000 UTC",
    "Snowflake": "2026-11-30 02:00:00.000 -0800",
    "Apache": "30/Nov/2026:10:00:00 +0000",
    "Apache, brackets": "[30/Nov/2026:12:00:00 +0200]",
    "HTTP": "Mon, 30 Nov 2026 10:00:00 GMT",
    "quoted": '"2026-11-30T10:00:00Z"',
}
ZONELESS = {
    "HAProxy": "30/Nov/2026:10:00:00.000",
    "ISO": "2026-11-30T10:00:00",
    "with a space": "2026-11-30 10:00:00",
    "with a comma": "2026-11-30 10:00:00,000",
    "digits": "20261130100000",
    "HTTP": "Mon, 30 Nov 2026 10:00:00",
    "mail": "Mon, 30 Nov 2026 10:00:00 -0000",
}


@pytest.fixture
def _in_new_york(monkeypatch):
    """The zone of the machine that reads."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("written", TIMES.values(), ids=TIMES)
def test_a_time_is_read_in_any_form(written):
    """Unix seconds come of it."""
    assert seconds_of(written) == AT
    assert has_zone(written)


@pytest.mark.usefixtures("_in_new_york")
@pytest.mark.parametrize("written", ZONELESS.values(), ids=ZONELESS)
def test_a_time_without_a_zone_is_utc_and_known_to_have_none(written):
    """Nobody knows the zone of another machine's log, and that of the machine that reads says nothing of it."""
    assert seconds_of(written) == AT
    assert not has_zone(written)


@pytest.mark.parametrize(
    "written",
    [
        None,
        True,
        "",
        "-",
        "yesterday",
        "30/Foo/2026:10:00:00 +0000",
        "٣",
        "1e5",
        "9" * 63,
        "9" * 5000,
        float("nan"),
        float("inf"),
        10**400,
        [],
        {},
        "0001-01-01T00:00:00+23:00",
        "2026-13-45",
        "Mon, x",
    ],
)
def test_what_is_no_time_is_none(written):
    """Whatever it is."""
    assert seconds_of(written) is None or abs(seconds_of(written)) < 1e11
