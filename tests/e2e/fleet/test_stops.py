"""A rule is stopped for all hosts on a shared outbox (design §11), and no fault of the server lets it go on."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field

import pytest_asyncio

from tests.support.fleet import Fleet, fleet
from tests.support.load import Lag, until
from tests.support.patience import SOON_S
from tests.support.processes import Process
from tests.support.redis_servers import RedisServer
from tests.support.tally import Tally

RATE = 100
WITHIN_S = 2.0
"""And as long as this machine kept the tests from their work meanwhile."""
PAUSE_S = 1.5
"""Of the server."""


@dataclass
class Story:
    """What happened, and when."""

    when: dict[str, float] = field(default_factory=dict)
    tally: Tally = field(init=False)
    lag: Lag = field(default_factory=Lag)

    def between(self, begin: str, end: str, kind: str) -> list[float]:
        """Seconds after `begin` at which clicks went this way until `end`."""
        since, until = self.when[begin], self.when[end]
        clicks = self.tally.clicks
        times = [clicks.when[one] for one in getattr(clicks, kind)]
        return sorted(moment - since for moment in times if since < moment < until)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(tmp_path_factory) -> Story:
    """A stop, a server that pauses, and a resumption."""
    told = Story()

    async def canary(name: str, url: str, *words: str) -> None:
        more = ("--outbox", url, "--outbox-replicas", "0")
        process = await Process.start(sys.executable, "-m", "storehop", "canary", *words, *more)
        await process.output.saw("games")
        told.when[name] = time.monotonic()
        assert await process.ended() == 0, process.output.text

    with RedisServer() as server:
        async with fleet(tmp_path_factory.mktemp("stops"), server.url, "--outbox-replicas", "0") as hosts:
            watch = asyncio.create_task(told.lag.watch())
            async with hosts.loading(RATE):
                await hosts.more_direct(20)
                await canary("stop", server.url, "stop", "games")
                await asyncio.sleep(WITHIN_S)
                server.stop()
                await asyncio.sleep(PAUSE_S)
                server.cont()
                await _more_passed(hosts, 3 * RATE)
                await canary("resume", server.url, "resume", "games", "--because", "drill")
                await hosts.more_direct(20)
                await asyncio.sleep(WITHIN_S)
            told.when["end"] = time.monotonic()
            watch.cancel()
            told.tally = await hosts.tally()
    return told


async def _more_passed(hosts: Fleet, count: int) -> None:
    wanted = len(hosts.clicks.passed) + count
    assert await until(lambda: len(hosts.clicks.passed) >= wanted, SOON_S)


def test_a_stop_holds_at_all_hosts_within_two_seconds(story):
    """No click goes direct later, and none when the server is back."""
    last = max(story.between("stop", "resume", "direct"), default=0.0)
    print(f"\nfigures: last direct click {last:.2f} s after a stop, two hosts on one Redis")  # noqa: T201

    assert last <= WITHIN_S + story.lag.longest


def test_a_rule_goes_on_at_all_hosts_within_two_seconds(story):
    """No click passes later."""
    last = max(story.between("resume", "end", "passed"), default=0.0)
    print(f"\nfigures: last click that passed {last:.2f} s after a resumption, two hosts on one Redis")  # noqa: T201

    assert last <= WITHIN_S + story.lag.longest


def test_nothing_is_lost_and_nothing_comes_twice(story):
    """What was answered is delivered, and what passed is not sent."""
    story.tally.assert_nothing_lost()
    assert story.tally.doubled.total() == 0
