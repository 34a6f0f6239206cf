"""kill -9: every click whose user was sent to the store arrives (design §6). `make reliability` kills twenty times."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Clicks, Load, pending, stored, to_appsflyer, until
from tests.support.patience import IS_LONG, SOON_S
from tests.support.processes import start_sidecar
from tests.support.tally import Tally, click_ids

ROUNDS = 20 if IS_LONG else 5
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
    """What the kills under load did."""

    rounds: list[Clicks] = field(default_factory=list)
    in_flight: Counter[str] = field(default_factory=Counter)
    """How many kills met each click id stored and not yet settled: under way, at the most."""
    tally: Tally = field(init=False)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(tmp_path_factory, ads):
    """So many rounds: load, SIGKILL at a random moment of it, restart; then time to deliver what is left."""
    folder = tmp_path_factory.mktemp("kill")
    scene, appsflyer = Story(), FaultyAppsFlyer()
    await appsflyer.start()
    rules = folder / "rules.yaml"
    rules.write_text(RULES.format(port=appsflyer.port))
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
        scene.rounds.append(load.clicks)
        scene.in_flight += Counter(click_ids(stored(folder)))
    host = await start_sidecar(upstream, rules, folder)
    await until(lambda: pending(folder) == 0, SOON_S)
    await host.process.stop()
    await appsflyer.stop()
    scene.tally = Tally.of(Clicks.of(scene.rounds), appsflyer, folder)
    scene.tally.report(f"{ROUNDS} times `kill -9` under load, {scene.in_flight.total()} calls in flight then")
    return scene


def test_there_was_a_load(story):
    """Many clicks went direct while processes were killed."""
    assert len(story.tally.clicks.direct) >= ROUNDS * AT_LEAST


def test_no_click_is_lost(story):
    """Every click id whose client saw the store redirect arrives at AppsFlyer."""
    assert set() == story.tally.lost


def test_only_what_was_in_flight_can_come_twice(story):
    """A click comes no more often than it was met stored and not settled by a kill, and once."""
    assert Counter() == story.tally.doubled - story.in_flight


def test_no_user_saw_an_error(story):
    """A kill costs a connection at most."""
    assert [] == story.tally.clicks.wrong


def test_nothing_is_left(story):
    """In the end the outbox is empty: no pending call, no dead letter."""
    assert (0, frozenset()) == (story.tally.pending, story.tally.dead)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_each_round_had_clicks(story, number):
    """No round was killed before it began."""
    assert story.rounds[number].direct
