"""kill -9: every click whose user was sent to the store arrives (design §6)."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_asyncio

from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Clicks, Load, pending, report, stored, to_appsflyer, until
from tests.support.patience import SOON_S
from tests.support.processes import start_sidecar

ROUNDS = 20
AT_LEAST = 55
"""Clicks that go direct in each round before the random moment begins."""
RULES = """
version: 1
partner: NetworkA
delivery: {{endpoint: "http://127.0.0.1:{port}"}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


@dataclass(slots=True)
class Story:
    """What twenty kills under load did."""

    clicks: list[Clicks] = field(default_factory=list)
    in_flight: Counter[str] = field(default_factory=Counter)
    """How many kills met each click id stored and not yet settled: under way, at the most."""
    arrived: FaultyAppsFlyer = field(default_factory=FaultyAppsFlyer)
    left: int = 0
    """Rows that the outbox still holds at the end."""

    @property
    def direct(self) -> set[str]:
        return set().union(*(clicks.direct for clicks in self.clicks))

    @property
    def doubled(self) -> Counter[str]:
        """How many times too often each click id came."""
        return self.arrived.accepted - Counter(set(self.arrived.accepted))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(tmp_path_factory, ads):
    """Twenty rounds: load, SIGKILL at a random moment of it, restart; then time to deliver what is left."""
    folder = tmp_path_factory.mktemp("kill")
    told = Story()
    await told.arrived.start()
    rules = folder / "rules.yaml"
    rules.write_text(RULES.format(port=told.arrived.port))
    ads.routes["*"] = to_appsflyer
    upstream = f"http://127.0.0.1:{ads.port}"
    chance = random.Random(20)
    for number in range(ROUNDS):
        host = await start_sidecar(upstream, rules, folder)
        load = Load(f"R{number}-")
        running = asyncio.create_task(load.run(host.port))
        await until(lambda load=load: len(load.clicks.direct) >= AT_LEAST, SOON_S)
        await asyncio.sleep(chance.uniform(0.0, 0.8))  # the random moment
        host.process.send(signal.SIGKILL)
        await host.process.ended()
        load.stop()
        await running
        told.clicks.append(load.clicks)
        told.in_flight += Counter(dict(parse_qsl(urlsplit(url).query))["clickid"] for url in stored(folder))
    host = await start_sidecar(upstream, rules, folder)
    await until(lambda: pending(folder) == 0, SOON_S)
    told.left = pending(folder, dead=None)
    await host.process.stop()
    await told.arrived.stop()
    report(
        "kill -9",
        clicks=sum(len(clicks.direct | clicks.passed | clicks.cut) for clicks in told.clicks),
        faults=f"{ROUNDS} kills",
        direct=len(told.direct),
        lost=len(told.direct - set(told.arrived.accepted)),
        twice=told.doubled.total(),
        dead=told.left,
    )
    return told


def test_there_was_a_load(story):
    """Thousands of clicks went direct while processes were killed."""
    assert len(story.direct) > 1000


def test_no_click_is_lost(story):
    """Every click id whose client saw the store redirect arrives at AppsFlyer."""
    assert set() == story.direct - set(story.arrived.accepted)


def test_only_what_was_in_flight_can_come_twice(story):
    """A click comes no more often than it was met stored and not settled by a kill, and once."""
    assert Counter() == story.doubled - story.in_flight


def test_no_user_saw_an_error(story):
    """A kill costs a connection at most."""
    assert [] == [answer for clicks in story.clicks for answer in clicks.wrong]


def test_nothing_is_left(story):
    """In the end the outbox is empty: no pending call, no dead letter."""
    assert story.left == 0


@pytest.mark.parametrize("number", range(ROUNDS))
def test_each_round_had_clicks(story, number):
    """No round was killed before it began."""
    assert story.clicks[number].direct
