"""Several workers' metrics as one: texts of real registries in, text that a parser takes out."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from storehop.model import Click, Delivered, OutboxCounts, Pass, Reason, Reply, S2SCall, Settled
from storehop.observe.metrics import Metrics
from storehop.observe.state import State
from storehop.workers.merge import Workers, merge

CLICK = Click("c", "GET", "https://app.appsflyer.com/x", {}, "192.0.2.1")


class Worker:
    """A registry with one metric of each kind."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.clicks = Counter("clicks", "Clicks.", ("rule",), registry=self.registry)
        self.ages = Histogram("age_seconds", "Ages.", ("rule",), buckets=(0.00001, 1.0), registry=self.registry)
        self.pending = Gauge("pending", "Pending.", registry=self.registry)

    def says(self):
        return generate_openmetrics(self.registry).decode()


@pytest.fixture
def workers():
    return [Worker(), Worker()]


class Merged:
    """What several workers say together."""

    def __init__(self, *workers):
        self._families = merge([list(parse_openmetrics(worker.says())) for worker in workers])

    def collect(self):
        return self._families

    def register(self):
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    @property
    def samples(self):
        return {
            (sample.name, *sorted(sample.labels.items())): sample
            for family in parse_openmetrics(generate_openmetrics(self.register()).decode())
            for sample in family.samples
        }

    def value(self, name, **labels):
        return self.samples[name, *sorted(labels.items())].value


def test_counters_add_up(workers):
    """A click is a click, whichever worker had it."""
    for worker, count in zip(workers, (2, 3), strict=True):
        worker.clicks.labels("games").inc(count)

    assert 5 == Merged(*workers).value("clicks_total", rule="games")


def test_a_counter_of_one_worker_is_there(workers):
    """Labels that the others have not met yet count as nothing there."""
    workers[0].clicks.labels("games").inc()
    workers[1].clicks.labels("shops").inc(2)
    merged = Merged(*workers)

    assert [1, 2] == [merged.value("clicks_total", rule=rule) for rule in ("games", "shops")]


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("age_seconds_bucket", {"le": "1e-05"}, 0),
        ("age_seconds_bucket", {"le": "1.0"}, 2),
        ("age_seconds_bucket", {"le": "+Inf"}, 3),
        ("age_seconds_count", {}, 3),
        ("age_seconds_sum", {}, 5.75),
    ],
)
def test_histograms_add_up(workers, name, labels, value):
    """Bucket by bucket."""
    for worker, ages in zip(workers, ([0.25, 5.0], [0.5]), strict=True):
        for age in ages:
            worker.ages.labels("games").observe(age)

    assert value == Merged(*workers).value(name, rule="games", **labels)


@pytest.mark.parametrize("values", [(2, 7), (7, 2)])
def test_of_gauges_the_highest_counts(workers, values):
    """All workers look at the same outbox, at different moments."""
    for worker, value in zip(workers, values, strict=True):
        worker.pending.set(value)

    assert 7 == Merged(*workers).value("pending")


@pytest.mark.parametrize(
    ("name", "together"),
    [
        ("storehop_connections", 9),
        ("storehop_ready", 9),
        ("process_resident_memory_bytes", 9),
        ("process_open_fds", 7),
        ("process_start_time_seconds", 7),
        ("process_max_fds", 2),
        ("storehop_rules_reload_success", 2),
    ],
)
def test_some_gauges_are_a_share_or_a_limit(workers, name, together):
    """Shares add up; of limits and of what should be well everywhere the lowest counts."""
    for worker, value in zip(workers, (2, 7), strict=True):
        Gauge(name, "A gauge.", registry=worker.registry).set(value)

    assert together == Merged(*workers).value(name)


def test_a_gauge_below_zero_is_no_zero(workers):
    """The highest of negative ones is negative."""
    for worker, value in zip(workers, (-2, -7), strict=True):
        worker.pending.set(value)

    assert -2 == Merged(*workers).value("pending")


def test_info_stays_one(workers):
    """It says what is, and counts nothing."""
    for worker in workers:
        Info("build", "Build.", registry=worker.registry).info({"version": "1"})

    assert 1 == Merged(*workers).value("build_info", version="1")


@pytest.mark.parametrize("who", [0, 1])
def test_an_exemplar_stays(workers, who):
    """Whichever worker has one."""
    for number, worker in enumerate(workers):
        worker.ages.labels("games").observe(0.5, {"click": "c1"} if number == who else None)
    bucket = Merged(*workers).samples["age_seconds_bucket", ("le", "1.0"), ("rule", "games")]

    assert ({"click": "c1"}, 0.5) == (bucket.exemplar.labels, bucket.exemplar.value)


def test_one_worker_is_what_it_says(workers):
    """Alone, nothing changes."""
    worker = workers[0]
    worker.clicks.labels("games").inc()
    worker.ages.labels("games").observe(0.5)

    assert worker.says() == generate_openmetrics(Merged(worker).register()).decode()


def test_nobody_says_nothing():
    """While no worker answers there are no figures."""
    assert [] == merge([])


async def test_without_a_worker_nobody_is_ready():
    """The supervisor says so itself, and what it uses."""
    alone = Workers(list)
    await alone.refresh()
    text = generate_latest(alone.registry).decode()

    assert "storehop_ready 0.0" in text
    assert "process_resident_memory_bytes" in text


@pytest.fixture
def real():
    """What two workers of ours say, with clicks of different rules."""

    class Real(Metrics):
        def says(self):
            return generate_openmetrics(self.registry).decode()

    made = [Real(), Real()]
    for number, metrics in enumerate(made):
        state = State(OutboxCounts(3, 1, 12.5), 0, f"hash{number}", "redis", False, True, (("games", "by_hand"),))
        metrics.observe(lambda state=state: state)
        metrics.answered(CLICK, Pass(Reason.BOT, f"rule {number}"))
        metrics.answered(CLICK, Pass(Reason.NO_RULE))
        metrics.engine.waited(0.002)
        metrics.engine.failed_over()
        call = S2SCall(f"c{number}", "https://app.appsflyer.com", "/x", ())
        metrics.settled(Settled(call, Reply(200), Delivered(), 1, 0.03))
    return Merged(*made)


def test_our_own_metrics_add_up(real):
    """What one process says of clicks, all of them say together."""
    assert 2 == real.value("storehop_clicks_total", decision="pass", reason="no_rule", rule="")


@pytest.mark.parametrize(
    ("name", "labels", "together"),
    [
        ("storehop_outbox_pending", {}, 3),
        ("storehop_outbox_dead", {}, 1),
        ("storehop_outbox_oldest_seconds", {}, 12.5),
        ("storehop_outbox_info", {"engine": "redis"}, 1),
        ("storehop_outbox_wait_seconds_count", {}, 2),
        ("storehop_outbox_failovers_total", {}, 2),
    ],
)
def test_an_outbox_is_one_for_all_workers(real, name, labels, together):
    """They see it alike; what each has met itself adds up."""
    assert together == real.value(name, **labels)


@pytest.mark.parametrize(
    ("encode", "parse"),
    [(generate_latest, parse_text), (generate_openmetrics, parse_openmetrics)],
    ids=["Prometheus's text", "OpenMetrics"],
)
def test_what_comes_out_is_parsed_again(real, encode, parse):
    """In both formats, every sample once."""
    samples = [
        (sample.name, *sorted(sample.labels.items()))
        for family in parse(encode(real.register()).decode())
        for sample in family.samples
    ]

    assert len(samples) == len(set(samples)) > 50


def test_a_rule_that_is_stopped_counts_once(real):
    """All processes see the same stop."""
    assert 1 == real.value("storehop_canary_stopped", rule="games", signal="by_hand")
