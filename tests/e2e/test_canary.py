"""A canary stops its rule: AppsFlyer, the outbox or the store go wrong under load, and all processes let clicks pass
(design §11). Two workers of a sidecar and a second sidecar share an outbox.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import APPSFLYER, Load, to_appsflyer, until
from tests.support.patience import IS_LONG, SOON_S
from tests.support.processes import Host, free_port, start_sidecar, start_stock
from tests.support.scenes import new_id, path_of
from tests.support.standins import AppsFlyer, response

RULES = """
version: 1
partner: NetworkA
delivery: {{endpoint: "http://127.0.0.1:{port}"}}
canary: auto
rules: [{{name: games, percent: 50, match: {{app: "com.example.*"}}}}]
"""
ELSEWHERE = """
def server_connect(data):
    data.server.address = ("127.0.0.1", {port})
"""
"""Has mitmdump send every connection to the stand-in."""
RATE = 50
"""Clicks a second at each of the two hosts."""
HEALTHY_S = 20 if IS_LONG else 6
SPREAD_S = 2.0
"""From the first process that stops the rule until all have."""
SIGNALS = {
    "400": ({"s2s_refused"}, 5),
    "hang": ({"s2s_late"}, 60),
    "302": ({"s2s_refused"}, 5),
    "500": ({"s2s_late", "breaker_open"}, 60),
    "refuse": ({"s2s_late", "breaker_open"}, 60),
    "outbox": ({"clicks_fail", "slow_answers"}, 60),
}
"""What each fault is noticed by (where two are named, the machine's speed decides), and how many seconds after it."""
FAULTS = list(SIGNALS) if IS_LONG else list(SIGNALS)[:2]
STOPPED = re.compile(r"rule games is stopped: (.*) \((\w+), since ")


@dataclass
class Story:
    """One fault. Seconds are since its beginning."""

    hosts: list[Host] = field(default_factory=list)
    loads: list[Load] = field(default_factory=lambda: [Load("a-"), Load("b-")])
    stopped_before: bool = False
    """Whether a rule was stopped before anything was wrong."""
    first_s: float = 0.0
    """When the first process said that the rule is stopped."""
    last_direct_s: float = 0.0
    direct_before: int = 0

    @property
    def stops(self) -> list[tuple[str, str]]:
        """(why, signal), as the processes said it."""
        return [found for host in self.hosts for found in STOPPED.findall(host.log.text)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stories(tmp_path_factory, ads) -> dict[str, Story]:
    """All faults; two at a time, each with hosts, an outbox and an AppsFlyer of its own."""
    ads.routes["*"] = to_appsflyer
    upstream = f"http://127.0.0.1:{ads.port}"
    told = {}
    for pair in (FAULTS[n : n + 2] for n in range(0, len(FAULTS), 2)):
        lives = [_live(fault, tmp_path_factory.mktemp(fault), upstream) for fault in pair]
        told |= dict(zip(pair, await asyncio.gather(*lives), strict=True))
    for fault, story in told.items():
        print(  # noqa: T201  for whoever wants the figures
            f"\nfigures: {fault}: {story.stops[:1]}, {story.first_s:.1f} s after the fault; last direct click"
            f" {story.last_direct_s:.1f} s, {len(story.stops)} processes say so"
        )
    return told


async def _live(fault, folder, upstream) -> Story:
    story, appsflyer = Story(), FaultyAppsFlyer()
    await appsflyer.start(None, free_port())
    rules = folder / "rules.yaml"
    rules.write_text(RULES.format(port=appsflyer.port))
    try:
        story.hosts.append(await start_sidecar(upstream, rules, folder, "--workers", "2"))
        story.hosts.append(await start_sidecar(upstream, rules, folder))
        await _play(story, fault, appsflyer, folder)
    finally:
        await asyncio.gather(*(host.process.stop() for host in story.hosts))
        await appsflyer.stop()
    return story


async def _play(story: Story, fault, appsflyer, folder) -> None:
    async with asyncio.TaskGroup() as group:
        for load, host in zip(story.loads, story.hosts, strict=True):
            group.create_task(load.run(host.port, connections=4, rate=RATE))
        await asyncio.sleep(HEALTHY_S)
        story.stopped_before = bool(story.stops)
        story.direct_before = sum(len(load.clicks.direct) for load in story.loads)
        begin = time.monotonic()
        with closing(sqlite3.connect(folder / "outbox.db", isolation_level=None, check_same_thread=False)) as other:
            await _begin(fault, appsflyer, other)
            await until(lambda: story.stops, 2 * SOON_S)
            story.first_s = time.monotonic() - begin
            await asyncio.sleep(1.5 * SPREAD_S)
        await until(lambda: len(story.stops) >= 3, SOON_S)
        for load in story.loads:
            load.stop()
    direct = [load.clicks.when[one] for load in story.loads for one in load.clicks.direct]
    story.last_direct_s = max(direct) - begin


async def _begin(fault: str, appsflyer: FaultyAppsFlyer, other: sqlite3.Connection) -> None:
    if fault == "outbox":
        await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
    elif fault == "refuse":
        await appsflyer.stop()
    else:
        appsflyer.fault = fault


@pytest.fixture(params=FAULTS)
def case(request, stories) -> tuple[Story, str, float]:
    return (stories[request.param], *SIGNALS[request.param])


def test_nothing_is_stopped_while_all_is_well(case):
    """Clicks go direct, and no process finds fault with it."""
    story, _, _ = case
    assert not story.stopped_before
    assert story.direct_before > HEALTHY_S * RATE / 10


def test_a_fault_stops_the_rule_in_time(case):
    """Refusals within five seconds, all else within a minute."""
    story, _, seconds = case
    assert story.first_s <= seconds


def test_the_stop_says_what_was_bad(case):
    """In the log of each process."""
    story, signals, _ = case
    assert {found for _, found in story.stops} <= signals
    assert len(story.stops) == 3


def test_the_stop_holds_in_all_processes(case):
    """Two seconds after the first process knew, no click goes direct: at no worker, and at no host."""
    story, _, _ = case
    assert story.last_direct_s <= story.first_s + SPREAD_S


# a wrong store: only a forward proxy sees where AppsFlyer leads


class Redirecting(AppsFlyer):
    """AppsFlyer's own redirects, and the S2S calls."""

    store = "market://details?id=com.example.game"

    async def respond(self, request, _reader, writer):
        is_call = "redirect=false" in request.target
        writer.write(response("200 OK") if is_call else response("302 Found", f"Location: {self.store}"))


async def test_a_wrong_store_stops_the_rule(tmp_path):
    """Where AppsFlyer's own redirect leads to another store than ours, the first click that shows it is enough."""
    appsflyer = Redirecting()
    await appsflyer.start()
    script, rules = tmp_path / "elsewhere.py", tmp_path / "rules.yaml"
    script.write_text(ELSEWHERE.format(port=appsflyer.port))
    rules.write_text(RULES.format(port=appsflyer.port))
    host = await start_stock("mitmdump", "regular", rules, tmp_path, "-s", script, "--set", "storehop_admin=off")

    async def clicks(count):
        """Where they led."""
        links = (f"http://{APPSFLYER}{path_of(new_id())}" for _ in range(count))
        return [(await get(host.port, link, host=APPSFLYER)).location for link in links]

    try:
        before = await clicks(40)
        assert not STOPPED.findall(host.log.text)
        appsflyer.store = "https://appgallery.cloud.huawei.com/appDetail?pkgName=com.example.game"
        await clicks(20)
        await host.log.saw("rule games is stopped")
        after = await clicks(20)
    finally:
        await host.process.stop()
        await appsflyer.stop()
    assert any(one.startswith("https://play.google.com/") for one in before)
    assert set(after) == {appsflyer.store}
    assert [signal for _, signal in STOPPED.findall(host.log.text)] == ["drift"]
