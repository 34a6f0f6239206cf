"""All hosts and all servers are restarted one by one, and servers upgraded, under load (design §12).

An old and a new storehop share the outbox meanwhile; here both are of the same code.
"""

from __future__ import annotations

import asyncio
import sys

import pytest_asyncio

from tests.support.fleet import Fleet, Member, fleet
from tests.support.fleet_story import MOST_PASSING_S, SETTINGS, Story, running
from tests.support.patience import IS_LONG
from tests.support.processes import Process
from tests.support.redis_servers import RedisServer
from tests.support.sentinels import RedisSet

RATE = 100
ENDS, CONNECTIONS = 2, 8
"""How often a host ends, and the connections that clients keep to each."""
OLD, NEW = "7.0", "8.2"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hosts_rolled(tmp_path_factory) -> Story:
    """Each host ends and starts again; then each one's workers are replaced by `storehop restart`."""
    folder = tmp_path_factory.mktemp("hosts")
    async with running(RedisServer()) as server:
        options = ("--outbox-replicas", "0", "--workers", "2", "--drain", "1")
        async with fleet(folder, server.url, *options, more=SETTINGS) as hosts:
            async with hosts.loading(RATE, CONNECTIONS):
                for act in (stop_and_start, restart):
                    for member in hosts.members:
                        await hosts.more_direct(20)
                        hosts.mark()
                        await act(member)
                await hosts.more_direct(20)
            return await Story.of(hosts, "all hosts ended and started, then restarted in place")


async def stop_and_start(member: Member) -> None:
    await member.shutdown()
    await member.start()


async def restart(member: Member) -> None:
    listen = f"{member.address}:{member.port}"
    command = await Process.start(sys.executable, "-m", "storehop", "restart", "--listen", listen)
    assert 0 == await command.ended(), command.output.text


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[OLD, NEW] if IS_LONG else [NEW])
async def servers_rolled(request, tmp_path_factory) -> Story:
    """To the same version, and to a newer one."""
    folder = tmp_path_factory.mktemp("servers")
    async with running(RedisSet(OLD)) as servers, fleet(folder, servers.url, more=SETTINGS) as hosts:
        async with hosts.loading(RATE):
            await roll(hosts, servers, request.param)
            await hosts.more_direct(20)
        versions = {str(one.info("server")["redis_version"])[:3] for one in servers.servers}
        assert {request.param} == versions
        return await Story.of(hosts, f"all servers restarted, Redis {OLD} → {request.param}")


async def roll(hosts: Fleet, servers: RedisSet, version: str) -> None:
    """The replicas first; then one of them leads, and the old primary is the last."""
    old = servers.primary()
    for replica in (one for one in servers.servers if one is not old):
        await hosts.more_direct(20)
        hosts.mark()
        await asyncio.to_thread(renew, servers, replica, version)
    await hosts.more_direct(20)
    hosts.mark()
    await asyncio.to_thread(servers.failover, settle=False)
    await hosts.more_direct(20)
    hosts.mark()
    await asyncio.to_thread(renew, servers, old, version)


def renew(servers: RedisSet, server: RedisServer, version: str) -> None:
    """Ends it, and waits until it follows again."""
    server.shutdown()
    server.becomes(version)
    server.start()
    servers.settled()


def test_hosts_lose_nothing(hosts_rolled):
    """Each click that was answered with the store is delivered, none that passed is; nobody saw an error."""
    tally = hosts_rolled.tally

    assert (set(), set(), frozenset(), 0) == (tally.lost, tally.ghosts, tally.dead, tally.pending)
    assert [] == tally.clicks.wrong


def test_hosts_answer_what_they_count(hosts_rolled):
    """A kept connection may end with its host just as its browser uses it again: that click is nobody's."""
    cut = hosts_rolled.tally.clicks.cut

    assert set() == cut & set(hosts_rolled.tally.accepted)
    assert len(cut) <= ENDS * CONNECTIONS


def test_hosts_send_nothing_twice(hosts_rolled):
    """What was under way was finished."""
    assert 0 == hosts_rolled.tally.doubled.total()


def test_servers_lose_nothing(servers_rolled):
    """Each click that was answered with the store is delivered, none that passed is."""
    servers_rolled.assert_nothing_lost()


def test_servers_let_little_be_sent_twice(servers_rolled):
    """What was in flight, at the most."""
    servers_rolled.assert_few_doubled()


def test_clicks_pass_for_a_short_time(servers_rolled):
    """At the failover, and when the old primary, a replica by then, is the last to end."""
    assert max(servers_rolled.passing_s) < 2 * MOST_PASSING_S
