"""The image, in an emulated container: its user is a number, /state alone is writable, probes reach it."""

from __future__ import annotations

import asyncio

from storehop.cli.healthcheck import healthcheck
from tests.support.clients import get
from tests.support.image import container
from tests.support.processes import free_port, started
from tests.support.scenes import link_of, new_id, play


async def test_a_container_serves_clicks_and_probes(start, ads, rules, tmp_path, appsflyer, capsys):
    """With the variables of the image and those of the manifests: a click goes direct, and the health check is well."""
    port, admin = free_port(), free_port()
    variables = {
        "STOREHOP_UPSTREAM": f"http://127.0.0.1:{ads.port}",
        "STOREHOP_LISTEN": f"0.0.0.0:{port}",
        "STOREHOP_ADMIN": f"0.0.0.0:{admin}",
        "STOREHOP_DRAIN": "0",
    }
    host = await start(started, port, tmp_path, *container(rules, variables, "run"))
    click_id = new_id()
    answer = await get(host.port, ads.redirect(link_of(click_id)))
    await appsflyer.next_click()
    code = await asyncio.to_thread(healthcheck, f"0.0.0.0:{admin}")

    assert (play(click_id), 0, "ok\n") == (answer.location, code, capsys.readouterr().out)
    assert 0 == await host.process.stop(), host.log.text
