"""The S2S call goes out beside the answer: AppsFlyer can neither delay the user nor be flooded (design §6)."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager

import pytest

from tests.support.clients import get
from tests.support.scenes import RULES, link_of, new_id, path_of, play
from tests.support.standins import response

TIMEOUT = 60.0
"""Seconds that a call may take."""
AT_ONCE = TIMEOUT / 4
"""Seconds: far above what an answer takes on a busy machine, far below the call's timeout."""
CONCURRENCY = 4


@pytest.fixture(scope="module")
def rules_text():
    return RULES.replace('{appsflyer}"', f'{{appsflyer}}", timeout: {TIMEOUT:g}s, concurrency: {CONCURRENCY}')


@contextmanager
def silent(appsflyer):
    """AppsFlyer accepts and never answers, as long as this lasts."""
    appsflyer.hold()
    try:
        yield
    finally:
        appsflyer.unhold()


async def timed(world, target, **changes):
    """A request's answer, and how many seconds it took."""
    begin = time.monotonic()
    answer = await get(world.port, target, **changes)
    return answer, time.monotonic() - begin


async def clicks(world, number):
    """So many clicks after one another: their ids, locations, and the slowest answer's seconds."""
    ids = [new_id() for _ in range(number)]
    answers = [await timed(world, world.ads.redirect(link_of(click_id))) for click_id in ids]
    return ids, [answer.location for answer, _ in answers], max(seconds for _, seconds in answers)


async def arrived(appsflyer, number):
    return {dict((await appsflyer.next_click()).params)["clickid"] for _ in range(number)}


async def test_a_silent_appsflyer_delays_no_redirect(world):
    """While AppsFlyer accepts and never answers, users are redirected at once, more of them than calls may be open."""
    with silent(world.appsflyer):
        ids, locations, slowest = await clicks(world, 3 * CONCURRENCY)

    assert [play(click_id) for click_id in ids] == locations
    assert slowest < AT_ONCE
    await arrived(world.appsflyer, len(ids))


async def test_a_silent_appsflyer_delays_no_answer_of_our_own(world):
    """While AppsFlyer accepts and never answers, a click addressed to it is answered at once."""
    click_id = new_id()
    with silent(world.appsflyer):
        answer, seconds = await timed(world, path_of(click_id), host="app.appsflyer.com")

    assert play(click_id) == answer.location
    assert seconds < AT_ONCE
    await arrived(world.appsflyer, 1)


async def test_calls_are_bounded(world):
    """At most `concurrency` calls are open at the same time, and each one answered lets the next one go."""
    with silent(world.appsflyer):
        ids, _, _ = await clicks(world, 3 * CONCURRENCY)
        got = await arrived(world.appsflyer, CONCURRENCY)
        for _ in range(2 * CONCURRENCY):
            world.appsflyer.release(1)
            got |= await arrived(world.appsflyer, 1)

    assert (set(ids), CONCURRENCY) == (got, world.appsflyer.most_open)


async def test_the_call_leaves_at_once(world):
    """The call arrives in the same moment as the answer, and does not wait for anybody to find it in the outbox."""
    await get(world.port, world.ads.redirect(link_of(new_id())))
    answered = time.monotonic()

    received = await world.appsflyer.next_click()

    assert abs(received.at - answered) < AT_ONCE


async def test_the_answer_comes_first_or_beside(world):
    """The answer waits for nothing that the call does: it is there though the call was not even accepted."""
    with silent(world.appsflyer):
        await clicks(world, CONCURRENCY)
        await arrived(world.appsflyer, CONCURRENCY)
        answer, _ = await timed(world, world.ads.redirect(link_of(new_id())))

        assert CONCURRENCY == world.appsflyer.open
    assert 302 == answer.status
    await arrived(world.appsflyer, 1)


async def test_a_redirect_of_appsflyer_is_not_followed(world):
    """When AppsFlyer redirects the call, nobody goes there: the next request is the next click."""
    world.appsflyer.answer = response("302 Found", f"Location: http://127.0.0.1:{world.appsflyer.port}/followed")
    before = await world.logged()
    try:
        await get(world.port, world.ads.redirect(link_of(new_id())))
        await world.appsflyer.next_click()
        await world.host.log.saw("reason=redirect_not_honoured", since=before)
    finally:
        world.appsflyer.answer = response("200 OK")
    click_id = new_id()

    await get(world.port, world.ads.redirect(link_of(click_id)))

    assert {click_id} == await arrived(world.appsflyer, 1)


async def test_cookies_of_appsflyer_are_not_kept(world):
    """A cookie that AppsFlyer sets is not sent back with the next call."""
    world.appsflyer.answer = response("200 OK", "Set-Cookie: af_id=7; Path=/")
    try:
        await get(world.port, world.ads.redirect(link_of(new_id())))
        await world.appsflyer.next_click()
    finally:
        world.appsflyer.answer = response("200 OK")

    await get(world.port, world.ads.redirect(link_of(new_id())))

    assert [] == (await world.appsflyer.next_click()).all("Cookie")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("204 No Content", "outcome=204"),
        ("404 Not Found", "reason=rejected"),
    ],
)
async def test_what_appsflyer_answers_is_nothing_to_the_user(world, status, said):
    """Whatever AppsFlyer answers, the user goes to the store; the log says what became of the call."""
    click_id, before = new_id(), await world.logged()
    world.appsflyer.answer = response(status)
    try:
        answer = await get(world.port, world.ads.redirect(link_of(click_id)))
        await world.appsflyer.next_click()
        await world.host.log.saw(said, since=before)
    finally:
        world.appsflyer.answer = response("200 OK")

    assert play(click_id) == answer.location


async def test_a_call_that_failed_comes_again_as_it_was(world):
    """A call that AppsFlyer answered with 503 comes a second time: the same bytes, and no third time."""
    world.appsflyer.answer = response("503 Service Unavailable")
    try:
        await get(world.port, world.ads.redirect(link_of(new_id())))
        first = await world.appsflyer.next_click()
    finally:
        world.appsflyer.answer = response("200 OK")
    second = await world.appsflyer.next_click()
    click_id = new_id()

    await get(world.port, world.ads.redirect(link_of(click_id)))

    assert first.head == second.head
    assert {click_id} == await arrived(world.appsflyer, 1)


async def test_many_users_at_once(world):
    """A hundred clicks at the same moment, each on its own connection, make a hundred redirects and calls."""
    ids = [new_id() for _ in range(100)]
    paths = [world.ads.redirect(link_of(click_id)) for click_id in ids]

    answers = await asyncio.gather(*(get(world.port, path) for path in paths))

    assert [play(click_id) for click_id in ids] == [answer.location for answer in answers]
    assert set(ids) == await arrived(world.appsflyer, len(ids))
