"""`storehop run --outbox redis://…`, its password in a file: workers and the processes after a restart have it, too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.load import to_appsflyer
from tests.support.processes import Host, Process, start_sidecar
from tests.support.redis_servers import RedisServer
from tests.support.scenes import RULES, new_id, path_of, play

NAME = f"test-{uuid4().hex}"
SECRET = "s3cr3t"


@pytest.fixture(scope="module")
def rules_text() -> str:
    """A call's lease outlasts every test."""
    return RULES.replace('{appsflyer}"', '{appsflyer}", timeout: 120s')


@pytest.fixture(scope="module")
def server():
    with RedisServer() as one:
        one.config("requirepass", SECRET)
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def host(tmp_path_factory, server, ads, module_rules) -> AsyncIterator[Host]:
    """Two workers on a server without replicas."""
    ads.routes["*"] = to_appsflyer
    folder = tmp_path_factory.mktemp("host")
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    shared = ("--outbox", server.url, "--outbox-name", NAME, "--outbox-replicas", "0", "--outbox-password-file", secret)
    upstream = f"http://127.0.0.1:{ads.port}"
    made = await start_sidecar(upstream, module_rules, folder, *shared, "--workers", "2", "--retire", "0")
    await made.log.saw("worker 1 is ready")
    await made.log.saw("worker 2 is ready")
    yield made
    await made.process.stop()


async def delivered(host: Host, appsflyer) -> bool:
    """Whether a click goes direct, and AppsFlyer hears of it."""
    click_id = new_id()
    location = (await get(host.port, path_of(click_id))).location
    heard = dict((await appsflyer.next_click()).params)["clickid"]
    return (play(click_id), click_id) == (location, heard)


async def test_a_click_is_stored_there(host, server, appsflyer):
    """Under the flag's name; nothing is in a file."""
    assert await delivered(host, appsflyer)
    assert server.client(password=SECRET).keys(f"{{{NAME}}}:*")
    assert [] == list(host.folder.glob("outbox*"))


async def test_what_dead_workers_had_leased_is_due_at_once(host, appsflyer):
    """Their supervisor releases it: nobody waits for the end of the lease."""
    appsflyer.hold()
    click_id = new_id()
    await get(host.port, path_of(click_id))
    await appsflyer.next_click()
    for worker in workers(host):
        os.kill(worker, signal.SIGKILL)
    again = await appsflyer.next_click()
    appsflyer.unhold()

    assert click_id == dict(again.params)["clickid"]
    await host.log.saw("1 clicks of a worker that ended are delivered by the others")


async def test_the_processes_after_a_restart_have_it_too(host, appsflyer):
    """They are started with the same words."""
    restart = await Process.start(sys.executable, "-m", "storehop", "restart", "--listen", f"127.0.0.1:{host.port}")

    assert 0 == await restart.ended()
    assert await delivered(host, appsflyer)


async def test_the_secret_is_in_no_log(host):
    """Nor anything else that tells it."""
    assert SECRET not in host.log.text


def workers(host: Host) -> list[int]:
    """Process ids of the supervisor's children."""
    pid = host.process.process.pid
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
