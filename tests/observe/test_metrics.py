"""Metrics: names, labels and figures as design §5 says."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from storehop.model import (
    Dead,
    DeadReason,
    Delivered,
    Failure,
    Fault,
    OutboxCounts,
    Pass,
    Reason,
    Reply,
    RetryIn,
    Settled,
)
from storehop.observe.metrics import Metrics, outcome_label
from storehop.observe.state import State
from tests.support.observed import CALL, CLICK, DIRECT

DESIGN = {
    "storehop_clicks_total",
    "storehop_s2s_attempts_total",
    "storehop_s2s_total",
    "storehop_click_to_accepted_seconds_bucket",
    "storehop_decision_seconds_bucket",
    "storehop_outbox_pending",
    "storehop_outbox_oldest_seconds",
    "storehop_enriched_total",
    "storehop_rules_info",
    "storehop_rules_reload_total",
    "storehop_breaker_open",
}


@pytest.fixture
def metrics():
    made = Metrics()
    made.observe(lambda: State(OutboxCounts(3, 1, 12.5), 2, "abc", "redis", is_outbox_down=True, is_ready=True))
    return made


def samples(metrics):
    """Every sample of the text format, as (name, labels) to value."""
    text = generate_latest(metrics.registry).decode()
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def settled(outcome, verdict, age=0.034):
    return Settled(CALL, outcome, verdict, 1, age)


def test_every_metric_of_the_design_is_there(metrics):
    """Dashboards depend on the names."""
    metrics.answered(CLICK, DIRECT, 0.00004)
    metrics.settled(settled(Reply(200), Delivered()))

    assert set() == DESIGN - {name for name, _ in samples(metrics)}


@pytest.mark.parametrize(
    ("decision", "labels"),
    [
        (DIRECT, (("decision", "direct"), ("reason", ""), ("rule", "games"))),
        (Pass(Reason.NO_RULE), (("decision", "pass"), ("reason", "no_rule"), ("rule", ""))),
        (Pass(Reason.BOT, "games"), (("decision", "pass"), ("reason", "bot"), ("rule", "games"))),
    ],
)
def test_clicks_are_counted_by_decision_reason_and_rule(metrics, decision, labels):
    """Each click counts once."""
    metrics.answered(CLICK, decision)

    assert 1.0 == samples(metrics)["storehop_clicks_total", labels]


def test_a_direct_click_counts_for_each_signal_it_has(metrics):
    """What AppsFlyer can match on, by signal; one that no click had stands there as zero."""
    metrics.answered(CLICK, DIRECT)
    metrics.answered(CLICK, DIRECT)
    metrics.answered(CLICK, Pass(Reason.BOT, "games"))
    found = {dict(labels)["signal"]: v for (name, labels), v in samples(metrics).items() if "matchable_total" in name}

    assert {"referrer": 2, "device_id": 0, "ip": 2, "user_agent": 0, "os_version": 0, "model": 0} == found


def test_only_what_was_accepted_counts(metrics):
    """A click whose call could not be stored is in no share of what was enriched or matchable."""
    metrics.answered(CLICK, Pass(Reason.OUTBOX_DOWN, "games"), 0.00004)
    found = samples(metrics)

    assert 0.0 == found["storehop_matchable_total", (("signal", "ip"),)]
    counted = [name for (name, _), value in found.items() if value]
    assert not {"storehop_enriched_total", "storehop_never_filled_in_total"}.intersection(counted)


def test_a_duplicate_counts_as_one_and_as_nothing_else(metrics):
    """Direct clicks and the ends of their calls add up: a repetition is in neither, nor in what was enriched."""
    metrics.answered(CLICK, DIRECT)
    before = samples(metrics)
    metrics.answered(CLICK, replace(DIRECT, repeats="c0"))
    after = samples(metrics)

    name = "storehop_clicks_total", (("decision", "duplicate"), ("reason", ""), ("rule", "games"))
    changed = {key for key, value in after.items() if before.get(key) != value and "process" not in key[0]}
    assert ({name}, 1.0) == (changed, after[name])


def test_what_nobody_filled_in_is_counted_by_parameter(metrics):
    """Each parameter of ours that a direct click's link had as a macro counts once."""
    metrics.answered(CLICK, replace(DIRECT, unfilled=("click_id", "af_ip")))
    metrics.answered(CLICK, replace(DIRECT, unfilled=("click_id",)))
    found = {labels: v for (name, labels), v in samples(metrics).items() if name == "storehop_never_filled_in_total"}

    assert {(("parameter", "click_id"),): 2.0, (("parameter", "af_ip"),): 1.0} == found


def test_parameters_are_counted_by_source(metrics):
    """The coverage of what AppsFlyer can match on, omissions included."""
    metrics.answered(CLICK, DIRECT)
    found = {labels: v for (name, labels), v in samples(metrics).items() if name == "storehop_enriched_total" and v}

    assert {
        (("parameter", "af_ip"), ("source", "address")): 1.0,
        (("parameter", "af_model"), ("source", "omitted")): 1.0,
    } == found


@pytest.mark.parametrize(("verdict", "result"), [(Delivered(), "delivered"), (Dead(DeadReason.REJECTED), "dead")])
def test_calls_are_counted_by_their_end(metrics, verdict, result):
    """Delivered or dead; an attempt that is put off is no end."""
    metrics.settled(settled(Reply(503), RetryIn(1.0)))
    metrics.settled(settled(Reply(200), verdict))
    found = samples(metrics)
    ends = {name: found["storehop_s2s_total", (("result", name),)] for name in ("delivered", "dead")}

    assert {result: 1.0} == {name: value for name, value in ends.items() if value}


def test_expired_calls_are_dead(metrics):
    """What gets too old in the outbox is counted too."""
    metrics.expired(("c1", "c2", "c3"))

    assert 3.0 == samples(metrics)["storehop_s2s_total", (("result", "dead"),)]


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        (Reply(204), "2xx"),
        (Reply(302), "3xx"),
        (Reply(404), "4xx"),
        (Reply(429), "429"),
        (Reply(408), "408"),
        (Reply(503), "5xx"),
        (Failure(Fault.READ_TIMEOUT, maybe_sent=True), "read_timeout"),
    ],
)
def test_outcomes_are_a_bounded_set_of_words(outcome, label):
    """A label never grows with what a server makes up."""
    assert label == outcome_label(outcome)


def test_only_acceptance_counts_for_the_service_level(metrics):
    """Click to accepted: no failed attempt is in the histogram."""
    metrics.settled(settled(Reply(503), RetryIn(1.0), 9.0))
    metrics.settled(settled(Reply(200), Delivered(), 0.034))

    assert 0.034 == samples(metrics)["storehop_click_to_accepted_seconds_sum", ()]


def test_the_running_parts_are_read_when_asked(metrics):
    """Pending, oldest and open breakers come from the courier itself."""
    found = samples(metrics)
    names = ("storehop_outbox_pending", "storehop_outbox_oldest_seconds", "storehop_breaker_open")

    assert (3.0, 12.5, 2.0) == tuple(found[name, ()] for name in names)


def test_the_rules_are_named_by_their_hash(metrics):
    """Which rules are in use can be told from outside."""
    assert 1.0 == samples(metrics)["storehop_rules_info", (("hash", "abc"),)]


@pytest.mark.parametrize(("worked", "result"), [(True, "ok"), (False, "failed")])
def test_reloads_are_counted(metrics, worked, result):
    """A reload that failed is an alert."""
    metrics.reloaded(worked=worked)

    assert 1.0 == samples(metrics)["storehop_rules_reload_total", (("result", result),)]


def test_exemplars_carry_the_click_id(metrics):
    """OpenMetrics joins a slow bucket with a click."""
    metrics.settled(settled(Reply(200), Delivered()))

    assert '# {click="c1"} 0.034' in generate_openmetrics(metrics.registry).decode()


def test_the_summary_gives_shares(metrics):
    """storehop.stats: the share within one and five seconds."""
    for age in (0.1, 0.2, 3.0, 9.0):
        metrics.settled(settled(Reply(200), Delivered(), age))

    assert "of the last 4 delivered clicks 50.00% within 1 s, 75.00% within 5 s" == metrics.summary()


def test_the_summary_of_nothing_says_so(metrics):
    """No share of nothing."""
    assert "no click was delivered yet" == metrics.summary()


def test_the_summary_says_what_appsflyer_can_match_on(metrics):
    """storehop.stats: the shares of all clicks since the start."""
    metrics.answered(CLICK, DIRECT)
    metrics.answered(CLICK, Pass(Reason.BOT, "games"))
    expected = (
        "no click was delivered yet; since the start direct 1 of 2 clicks (50 %); AppsFlyer can match on: "
        "referrer 100 %, device id 0 %, IP 100 %, User-Agent 0 %, OS version 0 %, model 0 %"
    )

    assert expected == metrics.summary()


RULES_OF_FAULTS = [("pass", reason) for reason in ("error", "outbox_down", "s2s_down")]


def test_what_alerts_count_is_there_before_it_happens(metrics):
    """Of each rule in use: clicks that go direct, and those that pass by a fault."""
    metrics.expect(["games"])
    found = {labels: value for (name, labels), value in samples(metrics).items() if name == "storehop_clicks_total"}
    expected = [(*one, rule) for one in RULES_OF_FAULTS for rule in ("", "games")] + [("direct", "", "games")]

    assert dict.fromkeys(sorted(expected), 0.0) == dict(
        sorted((tuple(value for _, value in labels), value) for labels, value in found.items())
    )


def test_thousands_of_rules_make_no_thousands_of_series(metrics):
    """Before they are used."""
    before = len(samples(metrics))
    metrics.expect(f"rule {number}" for number in range(10_000))

    assert before == len(samples(metrics))


@pytest.mark.parametrize("outcome", ["connect", "connect_timeout", "tls", "read_timeout", "reset", "429", "5xx", "2xx"])
def test_outcomes_of_attempts_are_there_before_they_happen(metrics, outcome):
    """So `increase()` sees the first."""
    assert 0.0 == samples(metrics)["storehop_s2s_attempts_total", (("outcome", outcome),)]


def test_a_failed_reload_shows_until_one_works(metrics):
    """An alert lasts as long as the faulty file."""
    shown = [samples(metrics)["storehop_rules_reload_success", ()]]
    for worked in (False, True):
        metrics.reloaded(worked=worked)
        shown.append(samples(metrics)["storehop_rules_reload_success", ()])

    assert [1.0, 0.0, 1.0] == shown


def test_the_state_at_a_scrape(metrics):
    """Whether clicks can be stored, and whether users are answered."""
    found = samples(metrics)

    assert (1.0, 1.0) == (found["storehop_outbox_down", ()], found["storehop_ready", ()])


def test_what_runs_is_named(metrics):
    """By its versions."""
    (labels,) = [dict(labels) for name, labels in samples(metrics) if name == "storehop_build_info"]

    assert {"version", "python", "mitmproxy"} == {name for name, value in labels.items() if value}


def test_no_series_says_when_it_began(metrics):
    """In neither format: half of what is scraped would be times."""
    assert b"_created" not in generate_latest(metrics.registry) + generate_openmetrics(metrics.registry)


def test_the_engine_of_the_outbox_is_named(metrics):
    """A dashboard asks whether its totals are shared."""
    assert 1.0 == samples(metrics)["storehop_outbox_info", (("engine", "redis"),)]


@pytest.mark.parametrize("name", ["storehop_outbox_wait_seconds_count", "storehop_outbox_failovers_total"])
def test_what_a_shared_engine_counts_is_there_before_it_happens(metrics, name):
    """With every engine: no alert misses a series."""
    assert 0.0 == samples(metrics)[name, ()]


def test_a_wait_counts_by_its_length(metrics):
    """From half a millisecond up to a click's patience."""
    metrics.engine.waited(0.0004)
    metrics.engine.waited(0.04)
    found = samples(metrics)
    counts = [found["storehop_outbox_wait_seconds_bucket", (("le", le),)] for le in ("0.0005", "0.025", "0.05", "0.3")]

    assert [1.0, 1.0, 2.0, 2.0] == counts
    assert 0.0404 == pytest.approx(found["storehop_outbox_wait_seconds_sum", ()])


def test_failovers_are_counted(metrics):
    """Each that this process has met."""
    metrics.engine.failed_over()

    assert 1.0 == samples(metrics)["storehop_outbox_failovers_total", ()]


def test_threads_lose_no_count(metrics):
    """The outbox's thread counts while the loop's is asked."""
    with ThreadPoolExecutor(4) as threads:
        for _ in range(4_000):
            threads.submit(metrics.engine.waited, 0.001)

    assert 4_000.0 == samples(metrics)["storehop_outbox_wait_seconds_count", ()]


@pytest.mark.parametrize("name", ["pending", "dead", "oldest_seconds"])
def test_what_all_hosts_see_alike_says_so(metrics, name):
    """Whoever builds a dashboard would add it up."""
    (helps,) = [
        one for one in generate_latest(metrics.registry).decode().splitlines() if f"HELP storehop_outbox_{name} " in one
    ]

    assert helps.endswith("take the max, not the sum.")
