"""The admin endpoints and the log of a running sidecar (design §5)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.support.clients import get
from tests.support.processes import ADDON, free_port, start_sidecar
from tests.support.scenes import World, link_of, new_id, write_rules


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watched(tmp_path_factory, ads, appsflyer, rules_text):
    """A sidecar with admin endpoints and a JSON log, after one direct click and one that passed."""
    folder, admin = tmp_path_factory.mktemp("watched"), free_port()
    rules = write_rules(folder, rules_text, appsflyer)
    options = ("--admin", f"127.0.0.1:{admin}", "--log-format", "json")
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder, *options)
    await get(host.port, ads.redirect(link_of(new_id())))
    await appsflyer.next_click()
    await get(host.port, ads.redirect(link_of(new_id(), app="com.example.off")))
    await host.log.saw('"event": "s2s_delivered"')
    await host.log.saw('"event": "pass"')
    yield World(host, ads, appsflyer), admin
    await host.process.stop()


def healthcheck(admin):
    command = [sys.executable, "-m", "storehop", "healthcheck", "--admin", f"127.0.0.1:{admin}"]
    return subprocess.run(command, env={"PYTHONPATH": str(ADDON)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_running_sidecar_is_well(watched, path):
    """Alive and ready."""
    answer = await get(watched[1], path)

    assert (200, b"ok\n") == (answer.status, answer.body)


async def test_metrics_can_be_scraped(watched):
    """Prometheus' own parser reads them, and finds the two clicks."""
    answer = await get(watched[1], "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    clicks = [(sample.labels["decision"], sample.value) for sample in families["storehop_clicks"].samples]

    assert [("direct", 1.0), ("pass", 1.0)] == sorted(click for click in clicks if click[1])


async def test_metrics_have_exemplars_for_whoever_asks(watched):
    """OpenMetrics is spoken when it is accepted."""
    answer = await get(watched[1], "/metrics", accept="application/openmetrics-text; version=1.0.0")

    assert b"# EOF" in answer.body


async def test_no_label_has_an_app_or_an_address(watched):
    """Labels stay bounded and impersonal."""
    answer = await get(watched[1], "/metrics")

    assert (False, False) == (b"com.example" in answer.body, b"81.2.69.142" in answer.body)


async def test_other_paths_are_not_there(watched):
    """Nothing else is served."""
    assert (await get(watched[1], "/favicon.ico")).status == 404


async def test_each_line_of_the_log_is_json(watched):
    """Machines can read all of it."""
    lines = watched[0].host.process.errors.text.splitlines()

    assert [] == [line for line in lines if "time" not in json.loads(line)]


async def test_the_click_id_joins_the_lines(watched):
    """The click and the end of its call carry the same id."""
    entries = [json.loads(line) for line in watched[0].host.process.errors.text.splitlines()]
    ids = {entry["event"]: entry["click"] for entry in entries if "event" in entry}

    assert ids["direct"] == ids["s2s_delivered"]


def test_healthcheck_of_a_ready_sidecar(watched):
    """Exit 0 for the container's runtime."""
    assert 0 == healthcheck(watched[1]).returncode


def test_healthcheck_of_nobody(dead_port):
    """Exit 1 and one sentence where nobody answers."""
    ran = healthcheck(dead_port)

    assert (1, 1) == (ran.returncode, len(ran.stderr.splitlines()))
