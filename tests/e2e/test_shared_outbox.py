"""Two processes on one outbox never send the same click (design §6)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest_asyncio

from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Clicks, Load, pending, report, to_appsflyer, until
from tests.support.patience import SOON_S
from tests.support.processes import start_sidecar

CLICKS = 10_000
RULES = """
version: 1
partner: NetworkA
delivery: {{endpoint: "http://127.0.0.1:{port}"}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


@dataclass(slots=True)
class Story:
    clicks: list[Clicks]
    appsflyer: FaultyAppsFlyer
    left: int


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(tmp_path_factory, ads) -> Story:
    """Ten thousand clicks, half through each of two sidecars."""
    folder = tmp_path_factory.mktemp("shared")
    appsflyer = FaultyAppsFlyer()
    await appsflyer.start()
    rules = folder / "rules.yaml"
    rules.write_text(RULES.format(port=appsflyer.port))
    ads.routes["*"] = to_appsflyer
    upstream = f"http://127.0.0.1:{ads.port}"
    hosts = await asyncio.gather(*(start_sidecar(upstream, rules, folder) for _ in range(2)))
    loads = [Load(f"{number}-") for number in range(2)]
    browsing = (load.run(host.port, connections=8, most=CLICKS // 2) for load, host in zip(loads, hosts, strict=True))
    await asyncio.gather(*browsing)
    await until(lambda: len(appsflyer.accepted) >= CLICKS and pending(folder) == 0, 2 * SOON_S)
    for host in hosts:
        await host.process.stop()
    await appsflyer.stop()
    direct = set().union(*(load.clicks.direct for load in loads))
    report(
        "two processes on one outbox",
        clicks=CLICKS,
        faults="none",
        direct=len(direct),
        lost=len(direct - set(appsflyer.accepted)),
        twice=sum(times - 1 for times in appsflyer.seen.values()),
        dead=pending(folder, dead=None),
    )
    return Story([load.clicks for load in loads], appsflyer, pending(folder, dead=None))


def test_all_clicks_went_direct(story):
    """Ten thousand users were sent to the store."""
    assert CLICKS == sum(len(clicks.direct) for clicks in story.clicks)


def test_each_click_is_delivered_once(story):
    """Every click arrives, and none arrives twice."""
    expected = dict.fromkeys(story.clicks[0].direct | story.clicks[1].direct, 1)

    assert expected == dict(story.appsflyer.seen)


def test_nothing_is_left(story):
    """In the end the outbox is empty."""
    assert story.left == 0
