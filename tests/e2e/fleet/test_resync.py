"""A replica that comes back with nothing, and has to be sent all of a large primary (design §12)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from tests.support.fleet import fleet
from tests.support.fleet_story import SETTINGS, SLOWEST_S, VERSIONS, running
from tests.support.patience import IS_LONG, SOON_S, in_full, wait_until
from tests.support.redis_servers import RedisServer
from tests.support.tally import Tally, milliseconds

RATE = 200
MEGABYTES = 100 if IS_LONG else 30
HEALED_S = 1.5 if IS_LONG else SOON_S


@dataclass(frozen=True, slots=True)
class Resynced:
    """What became of a full sync."""

    tally: Tally
    healed_s: float
    """How long clicks passed after the replica was in sync."""
    full_syncs: int


def fill(primary: RedisServer) -> None:
    """As much as other teams' data, or an outbox after an outage."""
    client = primary.client()
    for number in range(MEGABYTES * 10):
        client.set(f"filler:{number}", f"{number:06}" * (100_000 // 6))


def empty(replica: RedisServer) -> None:
    """Its disk is lost, and it starts again."""
    replica.kill()
    shutil.rmtree(replica.folder / "appendonlydir")
    replica.begin()


def in_sync(replica: RedisServer) -> bool:
    return replica.answers() and replica.info("replication")["master_link_status"] == "up"


async def play(folder: Path, version: str, replicas: Sequence[RedisServer], primary: RedisServer) -> Resynced:
    """The first of these replicas loses its disk."""
    async with fleet(folder, primary.url, more=SETTINGS) as hosts:
        before = int(str(primary.info("stats")["sync_full"]))
        async with hosts.loading(RATE):
            await hosts.more_direct(50)
            hosts.mark()
            await asyncio.to_thread(empty, replicas[0])
            await asyncio.to_thread(wait_until, lambda: in_sync(replicas[0]), SOON_S, "a replica in sync")
            hosts.mark()
            await hosts.more_direct(50)
        tally = await hosts.tally()
        what = f"full sync of {MEGABYTES} MB to one of {len(replicas)}, Redis {version}"
        tally.report(what, f"{milliseconds(tally.clicks.slowest_s)}; passing {max(hosts.passing_s()):.1f} s")
        last = max((hosts.clicks.when[one] for one in tally.clicks.passed), default=0.0)
        full_syncs = int(str(primary.info("stats")["sync_full"])) - before
        return Resynced(tally, max(0.0, last - hosts.marks[-1]), full_syncs)


async def resynced(folder: Path, version: str, count: int) -> Resynced:
    """A primary with so many replicas; one has to acknowledge."""
    primary = RedisServer(version)
    async with running(primary):
        await asyncio.to_thread(fill, primary)
        replicas = [RedisServer(version, replica_of=primary.address) for _ in range(count)]
        try:
            for replica in replicas:
                await asyncio.to_thread(replica.start)
                await asyncio.to_thread(wait_until, lambda one=replica: in_sync(one), SOON_S, "a replica in sync")
            return await play(folder, version, replicas, primary)
        finally:
            for replica in replicas:
                await asyncio.to_thread(replica.close)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def one_of_two(request, tmp_path_factory) -> Resynced:
    return await resynced(tmp_path_factory.mktemp("one-of-two"), request.param, 2)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=VERSIONS)
async def the_only_one(request, tmp_path_factory) -> Resynced:
    return await resynced(tmp_path_factory.mktemp("the-only-one"), request.param, 1)


def test_with_another_replica_it_goes_on(one_of_two):
    """That one acknowledges, while the primary sends all it has to the first one."""
    assert one_of_two.full_syncs
    one_of_two.tally.assert_nothing_lost()
    assert not one_of_two.tally.doubled
    assert len(one_of_two.tally.clicks.passed) < len(one_of_two.tally.clicks.direct)


@in_full
def test_without_another_replica_nothing_is_lost(the_only_one):
    """Clicks pass until it has all, where that takes longer than they may wait."""
    assert the_only_one.full_syncs
    the_only_one.tally.assert_nothing_lost()
    assert not the_only_one.tally.doubled


@in_full
def test_it_heals_by_itself(the_only_one):
    """As soon as the replica acknowledges."""
    assert the_only_one.healed_s < HEALED_S


def test_no_user_waits_beside_another_replica(one_of_two):
    """The replica that left is asked what it is, and not waited for."""
    assert one_of_two.tally.clicks.slowest_s < SLOWEST_S


@in_full
def test_no_user_waits_for_the_only_replica(the_only_one):
    """Nor for WAIT."""
    assert the_only_one.tally.clicks.slowest_s < SLOWEST_S
