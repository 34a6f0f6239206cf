"""AppsFlyer's bad days: users never notice, and what was stored arrives when it is over (design §6)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
import pytest_asyncio

from storehop.settings import Delivery
from tests.support.certificates import Authority, server_context
from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Lag, Load, pending, to_appsflyer, until
from tests.support.patience import SOON_S
from tests.support.processes import free_port, start_sidecar
from tests.support.tally import Tally

OUTAGE = 12.0
"""Seconds."""
TIMEOUT = Delivery().timeout
"""Seconds that a call may take: whoever waited for an AppsFlyer that hangs would wait so long."""
DOES = {
    "refuse": "refuses connections",
    "hang": "hangs",
    "500": "answers 500",
    "503": "answers 503 with Retry-After",
    "429": "answers 429",
    "reset": "resets in the middle of an answer",
    "garbage": "sends garbage",
    "certificate": "has a bad certificate",
}
A_FEW = 20
"""Clicks."""
RECOVERY_RATE = Delivery().recovery_rate
RULES = """
version: 1
partner: NetworkA
delivery: {{endpoint: "{scheme}://localhost:{port}"}}
rules: [{{name: games, match: {{app: "com.example.*"}}}}]
"""


@dataclass(slots=True)
class Day:
    """One outage from before its beginning to after its end."""

    tally: Tally
    passed_before: int
    passed_during: int
    passed_after: int
    direct_during: int
    appsflyer: FaultyAppsFlyer
    late: list[float]
    """When each call that had failed at first was accepted, in order."""
    log: str
    lag: float = 0.0
    """Seconds by which whatever came was seen too late, at the most."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def days(tmp_path_factory, ads, authority):
    """All outages at the same time, each with a sidecar and an AppsFlyer of its own."""
    ads.routes["*"] = to_appsflyer
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.ca))
        lag = Lag()
        watching = asyncio.create_task(lag.watch())
        stories = [_live(fault, tmp_path_factory.mktemp(fault), ads, authority) for fault in FaultyAppsFlyer.FAULTS]
        days = dict(zip(FaultyAppsFlyer.FAULTS, await asyncio.gather(*stories), strict=True))
        watching.cancel()
    for day in days.values():
        day.lag = lag.longest
    for fault, day in days.items():
        day.tally.report(f"AppsFlyer {DOES[fault]} for {OUTAGE:g} s")
    return days


async def _live(fault, folder, ads, authority) -> Day:
    appsflyer = FaultyAppsFlyer()
    is_tls = fault == "certificate"
    good = server_context(authority.sign("localhost")) if is_tls else None
    await appsflyer.start(good, free_port())  # one that nobody takes while it is down
    rules, scheme = folder / "rules.yaml", "https" if is_tls else "http"
    rules.write_text(RULES.format(scheme=scheme, port=appsflyer.port))
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder)
    load = Load(f"{fault}-")
    running = asyncio.create_task(load.run(host.port, connections=2, rate=20))
    try:
        await until(lambda: load.clicks.answered >= A_FEW, SOON_S)
        passed_before, direct_before = len(load.clicks.passed), len(load.clicks.direct)
        await _begin(appsflyer, fault, authority)
        await asyncio.sleep(OUTAGE)
        passed_during = len(load.clicks.passed) - passed_before
        direct_during = len(load.clicks.direct) - direct_before
        tried_before_the_end = set(appsflyer.seen) | (load.clicks.direct - set(appsflyer.accepted))
        late_ids = tried_before_the_end - set(appsflyer.accepted)
        await _end(appsflyer, good)
        await until(lambda: set(appsflyer.accepted) >= late_ids, SOON_S)
        passed_then, answered_then = len(load.clicks.passed), load.clicks.answered
        await until(lambda: load.clicks.answered >= answered_then + A_FEW, SOON_S)
        passed_after = len(load.clicks.passed) - passed_then
    finally:
        load.stop()
        await running
    await until(lambda: pending(folder) == 0, SOON_S)
    await host.process.stop()
    await appsflyer.stop()
    late = sorted(appsflyer.when[click_id] for click_id in late_ids if click_id in appsflyer.when)
    (folder / "log.txt").write_text(host.log.text)
    passed = (passed_before, passed_during, passed_after)
    return Day(Tally.of(load.clicks, appsflyer, folder), *passed, direct_during, appsflyer, late, host.log.text)


async def _begin(appsflyer: FaultyAppsFlyer, fault: str, authority: Authority) -> None:
    if fault in {"refuse", "certificate"}:
        await appsflyer.stop()
    if fault == "certificate":
        folder = authority.folder / "stranger"
        folder.mkdir()
        stranger = server_context(Authority.make(folder).sign("localhost"))
        await appsflyer.start(stranger, appsflyer.port)
    appsflyer.fault = fault


async def _end(appsflyer: FaultyAppsFlyer, tls) -> None:
    if appsflyer.fault in {"refuse", "certificate"}:
        if appsflyer.fault == "certificate":
            await appsflyer.stop()
        await appsflyer.start(tls, appsflyer.port)
    appsflyer.fault = None


@pytest.fixture(params=FaultyAppsFlyer.FAULTS)
def day(request, days) -> Day:
    return days[request.param]


def test_users_never_see_an_error(day):
    """Every answer is the store or the original link."""
    assert ([], set()) == (day.tally.clicks.wrong, day.tally.clicks.cut)


def test_users_never_wait(day):
    """No answer takes as long as a call, however AppsFlyer fails."""
    assert day.tally.clicks.slowest_s < TIMEOUT


def test_clicks_pass_while_it_is_down(day):
    """The breaker opens, and most clicks of the outage take the old way."""
    assert day.passed_during > day.direct_during


def test_clicks_go_direct_before_and_after(day):
    """Without a fault nothing passes."""
    assert (0, 0) == (day.passed_before, day.passed_after)


def test_everything_stored_is_delivered(day):
    """Every user who was sent to the store is accounted for at AppsFlyer."""
    assert set() == day.tally.lost


def test_a_click_that_passed_is_never_sent(day):
    """Passing and sending would count the click twice."""
    assert set() == day.tally.clicks.passed & set(day.appsflyer.seen)


def test_nothing_comes_twice(day):
    """No click is accepted by AppsFlyer more than once."""
    assert {} == day.tally.doubled


def test_something_had_to_be_recovered(day):
    """The outage left stored calls behind, or this test would prove nothing.

    How many says the breaker, which counts failures: retries of one call too, where the machine is slow.
    """
    assert day.late


def test_recovery_is_paced(day):
    """In no second more stored calls are sent again than the cap allows, with one tick's worth on top."""
    busiest = max(sum(1 for at in day.late if begin <= at < begin + 1) for begin in day.late)
    seconds = (
        1 + 3 * day.lag
    )  # nobody looked when a connection was asked for, when it was made, when the call was there

    assert busiest <= RECOVERY_RATE * seconds * 1.1 + 1


def test_nothing_is_left(day):
    """In the end the outbox is empty: no pending call, no dead letter."""
    assert (0, frozenset()) == (day.tally.pending, day.tally.dead)


def test_the_log_shows_no_failure_of_ours(day):
    """An outage is no exception."""
    assert "Traceback" not in day.log
