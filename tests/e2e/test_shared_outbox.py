"""Two processes on one outbox never send the same click (design §6)."""

from __future__ import annotations

import asyncio

import pytest_asyncio

from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Clicks, Load, pending, to_appsflyer, until
from tests.support.patience import IS_LONG, SOON_S
from tests.support.processes import start_sidecar
from tests.support.tally import Tally

CLICKS = 10_000 if IS_LONG else 2_000
RULES = """
version: 1
partner: NetworkA
delivery: {{endpoint: "http://127.0.0.1:{port}"}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(tmp_path_factory, ads) -> Tally:
    """Many clicks, half through each of two sidecars."""
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
    tally = Tally.of(Clicks.of(load.clicks for load in loads), appsflyer, folder)
    tally.report("two processes on one outbox")
    return tally


def test_all_clicks_went_direct(story):
    """All users were sent to the store."""
    assert CLICKS == len(story.clicks.direct)


def test_each_click_is_delivered_once(story):
    """Every click arrives, and none arrives twice."""
    assert dict.fromkeys(story.clicks.direct, 1) == dict(story.accepted)


def test_nothing_is_left(story):
    """In the end the outbox is empty."""
    assert (0, frozenset()) == (story.pending, story.dead)
