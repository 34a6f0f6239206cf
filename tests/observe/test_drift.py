"""Metrics of drift: by rule and kind, never by app (design §5)."""

from prometheus_client.exposition import generate_latest

from storehop.decide.drift import Compared, Kind
from storehop.observe.metrics import Metrics


def lines(metrics):
    """The series of drift."""
    text = generate_latest(metrics.registry).decode()
    return {line for line in text.splitlines() if line.startswith("storehop_drift_total")}


def test_what_an_alert_counts_begins_at_0():
    """Else the first user who would get another app is no increase."""
    metrics = Metrics()
    metrics.expect(["games"])

    assert {
        'storehop_drift_total{kind="other_app",rule="games"} 0.0',
        'storehop_drift_total{kind="other_store",rule="games"} 0.0',
    } == lines(metrics)


def test_a_comparison_is_counted_by_rule_and_kind():
    """Also where nothing drifts: a share needs both."""
    metrics = Metrics()
    metrics.drift.drifted("games", "com.example.game", Compared(Kind.SAME))
    metrics.drift.drifted("games", "com.example.other", Compared(Kind.SAME, ("a reason",)))

    assert {'storehop_drift_total{kind="same",rule="games"} 2.0'} == lines(metrics)
