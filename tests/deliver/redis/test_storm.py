"""Twenty hosts whose primary goes and comes: they all pass, heal, and storm nobody."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from contextlib import asynccontextmanager, suppress

import pytest

from storehop.deliver.outbox import Outbox
from storehop.deliver.redis.engine import RedisEngine
from storehop.deliver.redis.place import Place
from storehop.deliver.tickets import OutboxError
from storehop.model import Delivered
from storehop.settings import Delivery
from tests.deliver.conformance.steps import LEASE_S, call
from tests.support.load import until
from tests.support.patience import SOON_S
from tests.support.redis_servers import RedisServer

pytestmark = pytest.mark.process
HOSTS = 20
WATCHED_S = 2.0
MOST_A_SECOND = 20.0
"""Connections of one host: twice what its pause lets through, half a pause being the least."""
_IDS = itertools.count()


@pytest.fixture
def server():
    with RedisServer() as made:
        yield made


@asynccontextmanager
async def outboxes(url):
    """Of twenty hosts; each looks all the time whether it works again, as no host does so often."""
    made = [Outbox(RedisEngine(Place.from_url(url), Delivery(outbox_replicas=0)), f"h{n}") for n in range(HOSTS)]
    is_over = asyncio.Event()

    async def look(outbox):
        while not is_over.is_set():
            if outbox.fault:
                await outbox.check()
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for outbox in made:
            group.create_task(look(outbox))
        try:
            yield made
        finally:
            is_over.set()
    await asyncio.gather(*(outbox.close() for outbox in made))


async def take(outbox):
    """Whether it takes a click now."""
    with suppress(OutboxError):
        await outbox.accept(call(f"c{next(_IDS)}"), LEASE_S)
        return True
    return False


async def take_all(made):
    return [await take(outbox) for outbox in made]


class Refusing:
    """Lets everybody in, and ends the connection at once, as a server with too many clients does."""

    def __init__(self, port):
        self.count = 0
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.count += 1
                client.close()


async def test_a_server_that_is_away_is_asked_now_and_then(server):
    """No host more often than its pause allows; all heal when it is back, at once."""
    async with outboxes(server.url) as made:
        before = await take_all(made)
        server.kill()
        with Refusing(server.port) as refusing:
            passed = await take_all(made)
            refusing.count, begin = 0, time.monotonic()
            await asyncio.sleep(WATCHED_S)
            a_second = refusing.count / (time.monotonic() - begin) / HOSTS
        server.start()
        healed = await until(lambda: not any(outbox.fault for outbox in made), SOON_S)
        after = await take_all(made)
        received = server.info("stats")["total_connections_received"]
    print(f"\nfigures: | {HOSTS} hosts, their primary away | {a_second:.1f} connections a second a host |")  # noqa: T201

    assert ([True] * HOSTS, [False] * HOSTS, [True] * HOSTS) == (before, passed, after)
    assert (True, True) == (healed, 0 < a_second < MOST_A_SECOND)
    assert received <= 3 * HOSTS  # each found it back with one connection, or a few


async def test_a_server_with_too_many_clients(server):
    """maxclients: who is in goes on, the others pass, and heal when there is room."""
    server.client().ping()
    server.config("maxclients", 5)
    async with outboxes(server.url) as made:
        taken = await take_all(made)
        refused_before = server.info("stats")["rejected_connections"]
        begin = time.monotonic()
        await asyncio.sleep(WATCHED_S)
        refused = server.info("stats")["rejected_connections"] - refused_before
        a_second = refused / (time.monotonic() - begin) / taken.count(False)
        faults = [outbox.fault for outbox in made if outbox.fault]
        server.config("maxclients", 1000)
        healed = await until(lambda: not any(outbox.fault for outbox in made), SOON_S)
        after = await take_all(made)
    print(f"\nfigures: | {HOSTS} hosts, maxclients reached | {a_second:.1f} connections a second a host |")  # noqa: T201

    assert 0 < taken.count(True) <= 5
    assert all("max number of clients reached" in fault for fault in faults)
    assert (True, [True] * HOSTS, True) == (healed, after, 0 < a_second < MOST_A_SECOND)


async def test_everything_is_deleted_in_operation(server):
    """FLUSHALL: nothing breaks; counts fall, verdicts on what is gone are dropped with a word, new clicks go on."""
    async with outboxes(server.url) as made:
        claims = [await outbox.accept(call(f"c{next(_IDS)}"), LEASE_S) for outbox in made]
        server.client().flushall()
        settled = await asyncio.gather(
            *(outbox.settle(claim, Delivered(), "200") for outbox, claim in zip(made, claims, strict=True))
        )
        swept = await made[0].sweep(60.0)
        after = await take_all(made)
        counted = await made[0].sweep(60.0)

    assert ({False}, 0, [True] * HOSTS, HOSTS) == (set(settled), swept.pending, after, counted.pending)
    assert not any(outbox.fault for outbox in made)
