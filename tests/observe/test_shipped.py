"""What operators load: every metric that the dashboard and the alerts name exists, and the unit is a unit."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest
from ruamel.yaml import YAML

from storehop.model import Delivered, OutboxCounts, Reply, Settled
from storehop.observe.metrics import Metrics
from storehop.observe.state import State
from tests.support.observed import CALL, CLICK, DIRECT

RULES = Path(__file__).resolve().parents[2] / "rules"
DASHBOARD = json.loads((RULES / "monitoring" / "grafana.json").read_text())
ALERTS = YAML(typ="safe").load(RULES / "monitoring" / "alerts.yaml")["groups"][0]["rules"]
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS += [alert["expr"] for alert in ALERTS]
WANTED = {"oldest_seconds", 'result="dead"', "breaker_open", "rules_reload", 'reason="error"'}
"""What issue and operators ask alerts for."""


@pytest.fixture(scope="module")
def exposition():
    """Every sample that a storehop in use has."""
    metrics = Metrics()
    metrics.observe(lambda: State(OutboxCounts(1, 1, 1.0), 1, "abc", is_outbox_down=False, is_ready=True))
    metrics.answered(CLICK, DIRECT, 0.00004)
    metrics.settled(Settled(CALL, Reply(200), Delivered(), 1, 0.1))
    return generate_latest(metrics.registry).decode()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_there(exposition, expression):
    """An expression names metrics that storehop exposes."""
    names = set(re.findall(r"storehop_\w+", expression))
    exposed = set(re.findall(r"^storehop_\w+", exposition, re.MULTILINE))

    assert names
    assert set() == names - exposed


@pytest.mark.parametrize("bucket", re.findall(r'le="([\d.]+)"', "".join(EXPRESSIONS)))
def test_every_bucket_is_there(exposition, bucket):
    """A share within a time needs the bucket of that time."""
    assert f'storehop_click_to_accepted_seconds_bucket{{le="{bucket}"}}' in exposition


def test_the_alerts_are_complete():
    """Old clicks, dead letters, the breaker, reloads and errors wake somebody up."""
    text = "\n".join(alert["expr"] for alert in ALERTS)

    assert set() == {wanted for wanted in WANTED if wanted not in text}


@pytest.mark.process
def test_the_unit_is_valid():
    """Systemd itself finds nothing wrong with the unit."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs the program systemd-analyze, which only machines run by systemd have")
    unit = RULES / "packaging" / "storehop.service"
    ran = subprocess.run([program, "verify", "--man=no", unit], capture_output=True, text=True, check=False)

    assert "" == "\n".join(line for line in ran.stderr.splitlines() if "storehop" in line)
