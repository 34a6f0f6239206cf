"""AppsFlyer in rough weather: nothing is broken for good, but kept connections close, and answers fail.

`make reliability` plays it for minutes, the suite for seconds. The settings are the defaults.
"""

from __future__ import annotations

import pytest_asyncio

from tests.support.patience import IS_LONG
from tests.support.weather import stage

DOES = {"rst": "resets", "fin": "closes"}


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=DOES)
async def stale(request, tmp_path_factory, ads):
    """AppsFlyer closes every kept connection in the moment in which it is used again."""
    async with stage(tmp_path_factory.mktemp(request.param), ads) as scene:
        scene.appsflyer.fault = request.param
        await scene.play(60 if IS_LONG else 4, 100)
        tally = await scene.tally()
    tally.report(f"AppsFlyer {DOES[request.param]} each kept connection as it is used again, 100 clicks a second")
    return tally


def test_connections_that_close_lose_no_click(stale):
    """Each call goes over a fresh one at once."""
    stale.assert_nothing_lost()


def test_connections_that_close_let_no_click_pass(stale):
    """They are no sign that AppsFlyer is down."""
    assert (set(), True) == (stale.clicks.passed, len(stale.clicks.direct) > 100)


def test_connections_that_close_count_no_click_twice(stale):
    """The server had not read it."""
    assert not stale.doubled


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def flaky(tmp_path_factory, ads):
    """A tenth of the answers is 503, by chance, to the last call."""
    rate, seconds = (500, 180) if IS_LONG else (100, 15)
    async with stage(tmp_path_factory.mktemp("flaky"), ads) as scene:
        scene.appsflyer.fault = "flaky"
        await scene.play(seconds, rate, connections=64)
        tally = await scene.tally()
        assert scene.appsflyer.seen.total() > 1.05 * scene.appsflyer.accepted.total()  # else nothing had failed
    tally.report(f"AppsFlyer answers 503 to a tenth of the calls, {rate} clicks a second for {seconds} s")
    return tally


def test_a_flaky_appsflyer_loses_no_click(flaky):
    """Nothing dies of old age: what failed is sent again when it is time, and is not paced as a recovery is."""
    flaky.assert_nothing_lost()


def test_a_flaky_appsflyer_lets_next_to_no_click_pass(flaky):
    """What is accepted can be sent in time, retries counted in; five failures in a row are rare, but chance."""
    assert len(flaky.clicks.passed) <= len(flaky.clicks.direct) / 100
