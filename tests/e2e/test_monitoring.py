"""What monitoring reads of a real process: Prometheus's own checker accepts it, and it has what is named elsewhere."""

from __future__ import annotations

import asyncio
import re

import pytest
import pytest_asyncio
from ruamel.yaml import YAML

from tests.support.clients import get
from tests.support.needs import need
from tests.support.processes import ROOT, free_port, start_sidecar
from tests.support.scenes import link_of, new_id

MONITORING = ROOT / "rules" / "monitoring"
NAMED = {
    name: re.findall(r"\b(?:storehop|process)_[a-z0-9_]+", (MONITORING / name).read_text())
    for name in ("alerts.yaml", "grafana.json")
}
"""Names of metrics in what operators load."""
_SECTION = (MONITORING / "README.md").read_text().partition("## Metrics\n")[2].partition("\n## ")[0]
TABLE = set(re.findall(r"`((?:storehop|process)_[a-z0-9_]+)", _SECTION))
"""Those that the manual names."""
ELSEWHERE = {"storehop_tls_certificate_expiry_seconds"}
"""Exposed only with certificates."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exposed(tmp_path_factory, ads, appsflyer, module_rules) -> str:
    """What a sidecar in use exposes: a click went direct whose link had a macro that nobody filled in."""
    folder, admin = tmp_path_factory.mktemp("monitored"), free_port()
    upstream = f"http://127.0.0.1:{ads.port}"
    host = await start_sidecar(upstream, module_rules, folder, "--admin", f"127.0.0.1:{admin}")
    await get(host.port, ads.redirect(link_of(new_id(), "&af_ip={ip}")))
    await appsflyer.next_click()
    text = (await get(admin, "/metrics")).body.decode()
    await host.process.stop()
    return text


def names_of(exposed: str) -> set[str]:
    """Families, and samples of histograms."""
    return set(re.findall(r"^(?:# TYPE )?((?:storehop|process)_\w+)", exposed, re.MULTILINE))


async def test_prometheus_finds_no_fault(exposed):
    """`promtool check metrics`: names, units and help texts are as they should be."""
    checker = await asyncio.create_subprocess_exec(
        need("promtool"), "check", "metrics", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, faults = await checker.communicate(exposed.encode())

    assert (0, b"") == (checker.returncode, faults)


@pytest.mark.parametrize("file", NAMED)
async def test_every_metric_that_is_named_is_there(exposed, file):
    """An alert on a metric that does not exist never fires."""
    assert set() == set(NAMED[file]) - names_of(exposed) - ELSEWHERE


async def test_the_manual_has_every_metric(exposed):
    """And no other: a family that is exposed stands in its table, by the name that is queried."""
    families = set(re.findall(r"^# TYPE ((?:storehop|process)_\w+)", exposed, re.MULTILINE))

    assert (set(), set()) == (families - TABLE, TABLE - families - ELSEWHERE)


async def test_no_alert_is_named_twice():
    """Each has its own paragraph in the run-book."""
    groups = YAML(typ="safe").load(MONITORING / "alerts.yaml")["groups"]
    names = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]

    assert len(names) == len(set(names))
