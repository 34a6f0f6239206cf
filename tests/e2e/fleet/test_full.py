"""A Redis that is full, or that is set to lose clicks: clicks pass, what is stored goes on, and it heals by itself."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.fleet import Fleet, fleet
from tests.support.load import until
from tests.support.needs import need_mount
from tests.support.patience import IS_LONG, SOON_S, in_full
from tests.support.processes import Host, free_port, start_sidecar
from tests.support.redis_servers import RedisServer
from tests.support.scenes import RULES, link_of, new_id, play, write_rules
from tests.support.standins import AdStack, AppsFlyer
from tests.support.tally import Tally

RATE = 100
MB = 1 << 20
type Break = Callable[[RedisServer], None]


def fill(server: RedisServer) -> None:
    """Others have taken all the memory there is."""
    server.config("maxmemory", int(server.info("memory")["used_memory"]) - MB)


def has_room(server: RedisServer) -> None:
    server.config("maxmemory", 0)


def setting(name: str, value: str) -> Break:
    return lambda server: server.config(name, value)


FAULTS: dict[str, tuple[Break, Break, str]] = {
    "maxmemory is reached": (fill, has_room, "its memory is full: maxmemory is reached"),
    "maxmemory-policy is allkeys-lru": (
        setting("maxmemory-policy", "allkeys-lru"),
        setting("maxmemory-policy", "noeviction"),
        "it may evict clicks: expected maxmemory-policy noeviction, not allkeys-lru",
    ),
    "maxmemory-policy is volatile-ttl": (
        setting("maxmemory-policy", "volatile-ttl"),
        setting("maxmemory-policy", "noeviction"),
        "it may evict clicks: expected maxmemory-policy noeviction, not volatile-ttl",
    ),
    "appendonly is switched off": (
        setting("appendonly", "no"),
        setting("appendonly", "yes"),
        "it would lose its clicks in a restart: expected appendonly yes",
    ),
}
PLAYED = list(FAULTS) if IS_LONG else ["maxmemory is reached", "maxmemory-policy is allkeys-lru"]


@dataclass(frozen=True, slots=True)
class Story:
    tally: Tally
    said: str
    """By the logs of both hosts."""
    expected: str


@asynccontextmanager
async def playing(folder: Path, server: RedisServer, more: str = "") -> AsyncIterator[Fleet]:
    """Two hosts, with clicks at both meanwhile."""
    async with fleet(folder, server.url, "--outbox-replicas", "0", more=more) as hosts, hosts.loading(RATE):
        await hosts.more_direct(20)
        yield hosts


async def refused(hosts: Fleet) -> None:
    """Waits until clicks pass at each host."""
    loads = hosts.loads[-2:]
    wanted = [len(load.clicks.passed) + 5 for load in loads]
    assert await until(
        lambda: all(len(load.clicks.passed) >= least for load, least in zip(loads, wanted, strict=True)), SOON_S
    )


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="session",
    params=PLAYED,
)
async def story(request, tmp_path_factory) -> Story:
    """With calls that wait in the outbox when it begins."""
    begin, mend, expected = FAULTS[request.param]
    with RedisServer() as server:
        async with playing(tmp_path_factory.mktemp("full"), server) as hosts:
            hosts.appsflyer.fault = "slow"  # so that calls are under way when it begins
            await hosts.more_direct(50)
            hosts.mark()
            await asyncio.to_thread(begin, server)
            await refused(hosts)
            hosts.appsflyer.fault = None
            await hosts.settle()
            await asyncio.to_thread(mend, server)
            await hosts.more_direct(20)
            logs = "".join(one.host.log.text for one in hosts.members)
        tally = await hosts.tally()
    tally.report(f"{request.param}, and no more")
    return Story(tally, logs, expected)


def test_nothing_is_lost(story):
    """Clicks pass meanwhile, and none of them is sent; what was stored is delivered, once."""
    story.tally.assert_nothing_lost()
    assert 0 == story.tally.doubled.total()


def test_people_are_told(story):
    """By the logs of both hosts, once each; with what was expected."""
    assert 2 == story.said.count(story.expected)


def test_what_was_stored_is_sent_meanwhile(story):
    """A full outbox gets empty: it settled while nothing was taken."""
    assert "works again" in story.said


# the disk


@pytest.fixture
def small_disk(tmp_path):
    """One of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    need_mount(folder, "4m")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("appendfsync", ["always", pytest.param("everysec", marks=in_full)])
async def test_a_full_disk(tmp_path, small_disk, appendfsync):
    """Clicks pass until there is room. A server that appends always ends itself; else it says MISCONF."""
    with RedisServer(folder=small_disk, appendfsync=appendfsync, auto_aof_rewrite_percentage=0) as server:
        async with playing(tmp_path, server) as hosts:
            ballast = small_disk / "ballast"
            hosts.mark()
            fill_disk(ballast)
            await refused(hosts)
            has_ended = appendfsync == "always" and await until(lambda: not server.is_alive, SOON_S)
            ballast.unlink()
            if has_ended:
                await asyncio.to_thread(server.start)
            await hosts.more_direct(20)
            said = "".join(one.host.log.text for one in hosts.members)
        tally = await hosts.tally()
    tally.report(f"the primary's disk is full, and no more; appendfsync {appendfsync}")

    assert (appendfsync == "always", appendfsync == "everysec") == (has_ended, "MISCONF" in said)
    tally.assert_nothing_lost()


def fill_disk(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


# at the start


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("maxmemory-policy", "allkeys-lru", "expected maxmemory-policy noeviction, not allkeys-lru"),
        ("appendonly", "no", "expected appendonly yes"),
        ("requirepass", "secret", "expected the outbox's user and password"),
    ],
)
async def test_a_server_that_may_lose_clicks_is_refused_at_the_start(tmp_path, ads, appsflyer, name, value, expected):
    """It starts, clicks pass, and /readyz says what was expected; it heals when the server is changed."""
    with RedisServer() as server:
        right = server.client().config_get(name)[name]
        server.config(name, value)
        host, admin = await starting(tmp_path, ads, appsflyer, server)
        before = await get(host.port, ads.redirect(link_of(new_id())))
        told = await get(admin, "/readyz")
        server.config(name, right)
        async with asyncio.timeout(SOON_S):
            while (await get(admin, "/readyz?strict")).status != 200:
                await asyncio.sleep(0.05)
        after = await get(host.port, ads.redirect(link_of(click_id := new_id())))
        await appsflyer.next_click()
        await host.process.stop()

    assert ("app.appsflyer.com", play(click_id)) == (before.location.split("/")[2], after.location)
    assert expected in told.body.decode()
    assert 1 == host.log.text.count(expected)


async def test_what_weakens_the_promise_is_said(tmp_path, ads, appsflyer):
    """By /readyz, which is 200 all the same, and once by the log; clicks are taken."""
    with RedisServer(appendfsync="everysec") as server:
        host, admin = await starting(tmp_path, ads, appsflyer, server)
        answer = await get(host.port, ads.redirect(link_of(click_id := new_id())))
        await appsflyer.next_click()
        told = await get(admin, "/readyz")
        await host.process.stop()

    assert (play(click_id), 200) == (answer.location, told.status)
    assert "appendfsync is everysec, not always" in told.body.decode()
    assert 1 == host.log.text.count("appendfsync is everysec, not always")


async def starting(folder: Path, ads: AdStack, appsflyer: AppsFlyer, server: RedisServer) -> tuple[Host, int]:
    """A host on this server, and the port of its admin endpoints."""
    rules = write_rules(folder, RULES, appsflyer)
    more = ["--outbox", server.url, "--outbox-replicas", "0", "--admin", f"127.0.0.1:{(admin := free_port())}"]
    return await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder, *more), admin
