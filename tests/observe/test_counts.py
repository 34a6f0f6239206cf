"""Counters and histograms in plain numbers: scraped they look as prometheus_client's own do."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from storehop.observe.counts import Distribution, counter

BUCKETS = (0.01, 0.1, 1.0)


@pytest.fixture
def ours():
    return CollectorRegistry()


@pytest.fixture
def theirs():
    disable_created_metrics()
    return CollectorRegistry()


def scrapes(registry):
    return generate_latest(registry), generate_openmetrics(registry)


def test_a_counter_looks_like_one(ours, theirs):
    """Whatever its labels say, and in the order in which they came."""
    counts = counter(ours, "clicks", "Clicks.", "decision", "rule")
    reference = Counter("clicks", "Clicks.", ("decision", "rule"), registry=theirs)
    for labels in (("pass", "b"), ("direct", 'a\n"\\'), ("pass", "b")):
        counts[labels] += 1
        reference.labels(*labels).inc()

    assert scrapes(theirs) == scrapes(ours)


def test_a_counter_of_one_label_takes_its_text(ours, theirs):
    """No tuple is made for each event."""
    counts = counter(ours, "ends", "Ends.", "result")
    counts["dead"] += 3
    Counter("ends", "Ends.", ("result",), registry=theirs).labels("dead").inc(3)

    assert scrapes(theirs) == scrapes(ours)


@pytest.mark.parametrize("values", [(), (0.0,), (0.01, 0.010001, 0.1, 5.0, 1.0, 0.5)], ids=["none", "zero", "some"])
def test_a_histogram_looks_like_one(ours, theirs, values):
    """A value on a bound is below it."""
    distribution = Distribution("seconds", "Seconds.", BUCKETS)
    ours.register(distribution)
    reference = Histogram("seconds", "Seconds.", buckets=BUCKETS, registry=theirs)
    for value in values:
        distribution.observe(value)
        reference.observe(value)

    assert scrapes(theirs) == scrapes(ours)


def test_a_bucket_shows_its_last_exemplar(ours):
    """Beside the value that it is of."""
    distribution = Distribution("seconds", "Seconds.", BUCKETS)
    ours.register(distribution)
    for click, value in (("c1", 0.02), ("c2", 0.03), ("c3", 7.0)):
        distribution.observe(value, {"click": click})
    distribution.observe(0.04)
    text = generate_openmetrics(ours).decode()

    assert ['{click="c2"} 0.03', '{click="c3"} 7.0'] == [
        " ".join(line.partition("# ")[2].split()[:2]) for line in text.splitlines() if "click=" in line
    ]
