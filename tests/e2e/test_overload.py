"""More clicks than AppsFlyer takes and one process can answer: users see no error, and it is over when they stop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from math import sqrt

import pytest_asyncio

from storehop.deliver.policy import MAX_WAIT_S
from tests.support.clients import get
from tests.support.load import Clicks, Load, pending, report, to_appsflyer, until
from tests.support.patience import SOON_S
from tests.support.processes import free_port, sidecar_command, started
from tests.support.scenes import new_id, path_of, play
from tests.support.standins import Received, _Server, response

SECONDS = 7.0
CONNECTIONS = 200
FILES = 'ulimit -Sn 256 && exec "$@"'
"""Fewer open files than these connections need, as a shell gives them to a process that does not ask for more."""
SLOW = 2.0
"""Seconds that AppsFlyer takes for each call."""
SLOTS = 64
"""Calls that are open at a time."""
TICK_S = 0.01
RULES = """
version: 1
partner: NetworkA
delivery: {{endpoint: "http://127.0.0.1:{port}", concurrency: {slots}}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


class SlowAppsFlyer(_Server):
    """Takes clicks, each after a pause."""

    def __init__(self) -> None:
        super().__init__()
        self.pause = SLOW
        self.accepted: set[str] = set()

    async def respond(self, request: Received, _reader, writer) -> None:
        await asyncio.sleep(self.pause)
        self.accepted.add(dict(request.params)["clickid"])
        writer.write(response("200 OK"))


@dataclass(slots=True)
class Story:
    """What came of some seconds of overload."""

    clicks: Clicks
    grown: float
    """Memory at the most, by memory at the beginning."""
    pace: float
    """Seconds by click under load: how fast this machine is now."""
    stopped: float
    """The longest that the users' own process did not run, in seconds: a machine that stops makes all of them wait."""
    queue: int
    """Calls that waited when the load ended."""
    again: float
    """Seconds from the end of the load to the first new click that went direct and was delivered."""
    answer: float
    """Seconds until that click's user was answered."""
    lost: set[str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(tmp_path_factory, ads):
    folder = tmp_path_factory.mktemp("overload")
    appsflyer = SlowAppsFlyer()
    await appsflyer.start()
    rules = folder / "rules.yaml"
    rules.write_text(RULES.format(port=appsflyer.port, slots=SLOTS))
    ads.routes["*"] = to_appsflyer
    port = free_port()
    command = sidecar_command(f"http://127.0.0.1:{ads.port}", rules, f"127.0.0.1:{port}", folder)
    host = await started(port, folder, "sh", "-c", FILES, "sh", *command)
    await get(port, path_of(new_id()))
    before = host.process.memory()["VmRSS"]
    load = Load("O")
    begin = time.monotonic()
    running = asyncio.create_task(load.run(port, connections=CONNECTIONS))
    watching = asyncio.create_task(_longest_stop(running))
    await asyncio.sleep(SECONDS)  # so long it has to bear it, and until AppsFlyer has had its share
    await until(lambda: len(load.clicks.passed) > len(load.clicks.direct), SOON_S)
    load.stop()
    await running
    stopped = await watching
    pace = (time.monotonic() - begin) / load.clicks.answered
    queue = pending(folder)
    appsflyer.pause = 0.0
    again, answer = await _recovery(port, appsflyer)
    grown = host.process.memory()["VmHWM"] / before
    await until(lambda: pending(folder) == 0, SOON_S)
    await host.process.stop()
    await appsflyer.stop()
    clicks = load.clicks
    lost = clicks.direct - appsflyer.accepted
    report(
        "overload",
        direct=len(clicks.direct),
        passed=len(clicks.passed),
        lost=len(lost),
        cut=len(clicks.cut),
        wrong=len(clicks.wrong),
        slowest=round(clicks.slowest_s, 2),
        stopped=round(stopped, 2),
        queue=queue,
        memory=round(grown, 2),
        recovered=round(again, 2),
    )
    return Story(clicks, grown, pace, stopped, queue, again, answer, lost)


async def _longest_stop(running: asyncio.Task[None]) -> float:
    """Seconds that this process was kept from running at the longest, while the load runs."""
    longest, last = 0.0, time.monotonic()
    while not running.done():
        await asyncio.sleep(TICK_S)
        now = time.monotonic()
        longest, last = max(longest, now - last - TICK_S), now
    return longest


async def _recovery(port: int, appsflyer: SlowAppsFlyer) -> tuple[float, float]:
    """Clicks until one is delivered. Seconds that this took, and that its answer took."""
    end = time.monotonic()
    while time.monotonic() - end < SOON_S:
        click_id, begin = new_id(), time.monotonic()
        answer = await get(port, path_of(click_id))
        answered = time.monotonic() - begin
        if answer.location == play(click_id) and await until(lambda: click_id in appsflyer.accepted, SOON_S):  # noqa: B023
            return time.monotonic() - end, answered
        await asyncio.sleep(0.1)
    raise AssertionError("no click went direct again")


def test_every_user_is_answered(story):
    """Each gets the store or the original link: no error, no reset."""
    assert ([], set()) == (story.clicks.wrong, story.clicks.cut)


def test_answers_stay_prompt(story):
    """Nobody waits in a queue for seconds, or much longer than all others where the machine is slow."""
    assert story.clicks.slowest_s - story.stopped < max(3, 4 * CONNECTIONS * story.pace)


def test_clicks_pass_before_the_host_falls_over(story):
    """What AppsFlyer takes goes direct; for the rest the old redirect does."""
    assert (True, True) == (bool(story.clicks.direct), len(story.clicks.passed) > len(story.clicks.direct))


def test_the_queue_is_as_long_as_calls_go_soon(story):
    """No more clicks are accepted than AppsFlyer seems to take soon: those in the queue would die of old age.

    When the first call has been under way for t seconds, calls are known to take t. The queue is long enough then if
    t / pace clicks have come, and are MAX_WAIT_S * SLOTS / t.
    """
    assert story.queue < SLOTS + sqrt(MAX_WAIT_S * SLOTS / story.pace)


def test_memory_is_bounded(story):
    """The process hardly grows."""
    assert story.grown < 1.5


def test_nothing_accepted_is_lost(story):
    """Every click whose user was sent to the store arrives."""
    assert set() == story.lost


def test_it_recovers_within_seconds(story):
    """When the calls under way have ended and the queue has gone, a click goes direct, at once, and is delivered."""
    assert story.again < SLOW + story.queue * story.pace + 3
    assert story.answer < SLOW / 2
