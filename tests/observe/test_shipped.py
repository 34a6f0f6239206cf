"""What operators load: alerts and dashboard are valid, name only what is there, and lead to what is to be done."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest
from ruamel.yaml import YAML

from storehop.model import OutboxCounts
from storehop.observe.metrics import Metrics
from storehop.observe.state import State
from tests.support.needs import need

RULES = Path(__file__).resolve().parents[2] / "rules"
ALERT_FILE = RULES / "monitoring" / "alerts.yaml"
DASHBOARD = json.loads((RULES / "monitoring" / "grafana.json").read_text())
PANELS = DASHBOARD["panels"]
TARGETS = [target for panel in PANELS for target in panel.get("targets", [])]
GROUPS = YAML(typ="safe").load(ALERT_FILE)["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
EXPRESSIONS = [target["expr"] for target in TARGETS] + [rule["expr"] for group in GROUPS for rule in group["rules"]]
VARIABLES = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
ALERT_TESTS = Path(__file__).with_name("alerts_test.yaml")
RUN_BOOK = (RULES / "packaging" / "README.md").read_text()


@pytest.fixture(scope="module")
def buckets():
    """The bounds of our histograms as they are exposed."""
    metrics = Metrics()
    metrics.observe(lambda: State(OutboxCounts(1, 1, 1.0), 1, "abc", "sqlite", is_outbox_down=False, is_ready=True))
    return generate_latest(metrics.registry).decode()


def promtool(*arguments):
    """What promtool says, where it finds a fault."""
    ran = subprocess.run([need("promtool"), *arguments], capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr if ran.returncode else ""


@pytest.mark.process
def test_the_alerts_are_valid():
    """Prometheus loads them."""
    assert "" == promtool("check", "rules", ALERT_FILE)


@pytest.mark.process
def test_the_alerts_fire_when_they_should():
    """The first error, a burst between two scrapes, what lasts for an hour; and nothing when all is well."""
    assert "" == promtool("test", "rules", ALERT_TESTS)


@pytest.mark.process
def test_every_expression_of_the_dashboard_is_valid(tmp_path):
    """As rules, since promtool reads those."""
    expressions = (target["expr"].replace("$__rate_interval", "5m") for target in TARGETS)
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    file = tmp_path / "panels.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert "" == promtool("check", "rules", file)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do(alert):
    """In a sentence, a first step, and a paragraph of the run-book."""
    annotations = alert["annotations"]

    assert {"summary", "description", "runbook"} == set(annotations)
    assert "rules/packaging/README.md#run-book-by-alert" == annotations["runbook"]
    assert f"**{alert['alert']}.**" in RUN_BOOK.partition("## Run-book by alert\n")[2]
    assert alert["labels"]["severity"] in {"critical", "warning"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_is_proved_to_fire(alert):
    """A test of promtool's expects it."""
    assert f'alertname="{alert["alert"]}"' in ALERT_TESTS.read_text()


def test_the_run_book_names_no_alert_that_is_gone():
    """Each of its paragraphs is of an alert."""
    named = re.findall(r"\*\*(Storehop\w+)\.\*\*", RUN_BOOK)

    assert sorted(alert["alert"] for alert in ALERTS) == sorted(named)


@pytest.mark.parametrize("bucket", sorted(set(re.findall(r'_seconds_bucket\{.*?le="([\d.]+)"', "".join(EXPRESSIONS)))))
def test_every_bucket_is_there(buckets, bucket):
    """A share within a time needs the bucket of that time."""
    assert f'storehop_click_to_accepted_seconds_bucket{{le="{bucket}"}}' in buckets


def test_panels_can_be_told_apart():
    """Each has an id of its own, and each target of a panel a letter."""
    ids = Counter(panel["id"] for panel in PANELS)
    letters = [[target["refId"] for target in panel.get("targets", [])] for panel in PANELS]

    assert [] == [number for number, times in ids.items() if times > 1]
    assert [] == [one for one in letters if len(one) != len(set(one))]


def test_panels_do_not_overlap():
    """They lie within 24 columns, each cell with one panel at most."""
    cells = Counter()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells.update(
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )

    assert 1 == max(cells.values())


def test_every_panel_has_a_title_and_what_it_shows():
    """A row has none of its own."""
    lacking = [p["title"] for p in PANELS if p["type"] != "row" and not (p["targets"] and p["fieldConfig"])]

    assert ([], True) == (lacking, all(panel["title"] for panel in PANELS))


def test_the_dashboard_s_variables_are_used():
    """Data source, instance and rule; every expression is of the chosen instances."""
    text = json.dumps(PANELS)

    assert ["datasource", "instance", "rule"] == VARIABLES
    assert [] == [name for name in VARIABLES if f"${name}" not in text and f"${{{name}}}" not in text]
    assert [] == [target["expr"] for target in TARGETS if 'instance=~"$instance"' not in target["expr"]]


def test_the_dashboard_asks_the_chosen_source():
    """Not one of the machine that it was made on."""
    assert {"${datasource}"} == {target["datasource"]["uid"] for target in TARGETS}
