"""Counting all traffic: in plain numbers, and what is collected of them."""

import time

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from storehop.observe.traffic import Traffic, UpstreamError
from tests.support.scrapes import samples_of


@pytest.fixture
def traffic():
    return Traffic()


def scraped(traffic):
    registry = CollectorRegistry()
    registry.register(traffic)
    return samples_of(generate_latest(registry).decode())


@pytest.mark.parametrize(
    ("status", "code_class"),
    [(101, "1xx"), (200, "2xx"), (304, "3xx"), (431, "4xx"), (599, "5xx"), (0, "1xx"), (999, "5xx")],
)
def test_a_class_of_statuses(traffic, status, code_class):
    """Whatever an upstream invents is in one of five."""
    traffic.answered(status, 0.1)

    assert 1 == scraped(traffic)["storehop_requests_total", code_class]


def test_a_client_that_left(traffic):
    """It got no status."""
    traffic.abandoned()

    assert 1 == scraped(traffic)["storehop_requests_total", "none"]


def test_times_fall_into_buckets(traffic):
    """Each bucket has all that took no longer than its bound; a clock that was set back makes no negative time."""
    for seconds in (-1.0, 0.05, 0.06, 1000.0):
        traffic.answered(200, seconds)
    traffic.answered(200, None)
    found = scraped(traffic)

    assert [1, 2, 3, 3, 4] == [
        found["storehop_request_seconds_bucket", bound] for bound in ("0.025", "0.05", "0.1", "60.0", "+Inf")
    ]
    assert (4, 1000.11) == (found["storehop_request_seconds_count",], found["storehop_request_seconds_sum",])


@pytest.mark.parametrize("kind", UpstreamError)
def test_the_upstream_s_failures(traffic, kind):
    """By kind; each is there before it happens."""
    before = scraped(traffic)["storehop_upstream_errors_total", kind]
    traffic.upstream_failed(kind)

    assert (0, 1) == (before, scraped(traffic)["storehop_upstream_errors_total", kind])


@pytest.mark.measures
def test_a_request_costs_next_to_nothing(traffic):
    """Less than 2 µs, where a hundred thousand additions take 2 ms: on a slow machine it may take longer by as much."""
    begin = time.perf_counter()
    total = 0
    for number in range(100_000):
        total += number
    scale = max((time.perf_counter() - begin) / 0.002, 1.0)
    best = min(_seconds_of(traffic) for _ in range(5))

    assert best < 2e-6 * scale


def _seconds_of(traffic):
    begin = time.perf_counter()
    for _ in range(10_000):
        traffic.answered(200, 0.034)
    return (time.perf_counter() - begin) / 10_000
