"""The same click again within ten seconds gets the same answer and no second call (design §3)."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.support.clients import ANDROID, connection, get, request
from tests.support.patience import SOON_S
from tests.support.processes import start_sidecar
from tests.support.scenes import World, link_of, new_id


def fresh_link():
    """A link without a click id: each click gets a new one, unless it is the same click."""
    return f"https://app.appsflyer.com/com.example.game?pid=networka_int&c={new_id()}"


async def calls_before_another(world, expected=1):
    """The calls that came until a click of ours came, which may overtake none of the expected ones."""
    calls = [await world.appsflyer.next_click() for _ in range(expected)]
    click_id = new_id()
    await get(world.port, world.ads.redirect(link_of(click_id)))
    while f"clickid={click_id}&" not in (call := (await world.appsflyer.next_click()).target):
        calls.append(call)
    return calls


async def test_a_reload_is_the_same_click(world):
    """A second click gets the first one's answer, token included, and makes no second call."""
    path = world.ads.redirect(fresh_link())

    first, second = await get(world.port, path), await get(world.port, path)

    assert (first.raw, 1) == (second.raw, len(await calls_before_another(world)))


async def test_a_double_tap_is_the_same_click(world):
    """Two equal clicks at the same moment on two connections get one answer and make one call."""
    path = world.ads.redirect(fresh_link())

    first, second = await asyncio.gather(get(world.port, path), get(world.port, path))

    assert (first.raw, 1) == (second.raw, len(await calls_before_another(world)))


async def test_many_taps_are_the_same_click(world):
    """Twenty equal clicks, written to twenty open connections before any answer is read, are one click."""
    raw = request(world.ads.redirect(fresh_link()), connection="close")

    async def tap(everybody_is_ready):
        async with connection(world.port) as (reader, writer), asyncio.timeout(SOON_S):
            await everybody_is_ready.wait()
            writer.write(raw)
            return await reader.read()

    barrier = asyncio.Barrier(20)
    answers = await asyncio.gather(*(tap(barrier) for _ in range(20)))

    assert (1, 1) == (len(set(answers)), len(await calls_before_another(world)))


async def test_a_click_is_the_same_on_both_ways(world):
    """A double click on a link addressed to AppsFlyer itself makes one call too."""
    target = fresh_link().removeprefix("https://app.appsflyer.com")

    first, second = [await get(world.port, target, host="app.appsflyer.com") for _ in range(2)]

    assert (first.raw, 1) == (second.raw, len(await calls_before_another(world)))


@pytest.mark.parametrize(
    "other",
    [{"user_agent": f"{ANDROID} Other/1"}, {"x_forwarded_for": "81.2.69.160"}],
    ids=["User-Agent", "address"],
)
async def test_another_device_is_another_click(world, other):
    """The same link from another User-Agent or address is another click with its own token and call."""
    path = world.ads.redirect(fresh_link())

    first, second = await get(world.port, path), await get(world.port, path, **other)

    assert (False, 2) == (first.location == second.location, len(await calls_before_another(world, 2)))


HINTED = {"sec_ch_ua_model": '"SM-S918B"', "sec_ch_ua_platform_version": '"15.0.0"'}
OTHER = {"sec_ch_ua_model": '"SM-A115M"', "sec_ch_ua_platform_version": '"12.0.0"'}


@pytest.mark.parametrize("hints", [({}, HINTED), (HINTED, {}), (HINTED, HINTED)], ids=["then", "before", "both"])
async def test_hints_that_one_click_brings_make_no_second_click(world, hints):
    """The first answer itself asks for hints: the second tap that brings them is the same click."""
    path = world.ads.redirect(fresh_link())

    first, second = [await get(world.port, path, **more) for more in hints]

    assert (first.location, 1) == (second.location, len(await calls_before_another(world)))


async def test_hints_tell_two_devices_behind_one_address_apart(world):
    """Two phones with one address and one User-Agent, whose hints differ, are two clicks."""
    path = world.ads.redirect(fresh_link())

    first, second = [await get(world.port, path, **more) for more in (HINTED, OTHER)]

    assert (False, 2) == (first.location == second.location, len(await calls_before_another(world, 2)))


async def test_a_real_click_id_is_one_click_whatever_hints_say(world):
    """A link with a click id is one person's."""
    path = world.ads.redirect(link_of(new_id()))

    first, second = [await get(world.port, path, **more) for more in (HINTED, OTHER)]

    assert (first.location, 1) == (second.location, len(await calls_before_another(world)))


async def test_clicks_of_unknown_people_are_not_one(world):
    """Where only a private address is known two equal clicks may be two people's: both count."""
    path = world.ads.redirect(fresh_link())

    first, second = [await get(world.port, path, x_forwarded_for="10.1.2.3") for _ in range(2)]

    assert (False, 2) == (first.location == second.location, len(await calls_before_another(world, 2)))


async def test_a_real_click_id_makes_clicks_of_unknown_people_one(world):
    """Only the same real click id says that they are one."""
    path = world.ads.redirect(link_of(new_id()))

    first, second = [await get(world.port, path, x_forwarded_for="10.1.2.3") for _ in range(2)]

    assert (first.location, 1) == (second.location, len(await calls_before_another(world)))


async def test_a_duplicate_is_logged_with_the_first_clicks_id(world):
    """The log says `duplicate`, and which click it repeats."""
    app = f"com.example.{new_id().lower()}"
    path = world.ads.redirect(link_of(new_id(), app=app))
    for _ in range(2):
        await get(world.port, path)
    await world.appsflyer.next_click()
    await world.logged()
    direct, duplicate = [line for line in world.host.log.text.splitlines() if f"app={app} " in line]

    first = re.search(r" direct click=(\S+) ", direct)[1]
    assert " duplicate " in duplicate
    assert f" first={first} " in duplicate


async def test_another_link_is_another_click(world):
    """Another link from the same device is another click."""
    for _ in range(2):
        await get(world.port, world.ads.redirect(fresh_link()))

    assert 2 == len(await calls_before_another(world, 2))


async def test_a_reload_is_the_same_click_when_its_process_was_killed(start, rules, tmp_path, ads, appsflyer):
    """What was answered lies in the outbox: the process that goes on with it knows."""
    first, second = [await start(start_sidecar, f"http://127.0.0.1:{ads.port}", rules, tmp_path) for _ in range(2)]
    path = ads.redirect(fresh_link())
    before = await get(first.port, path)
    await appsflyer.next_click()
    first.process.process.kill()
    await first.process.ended()
    after = await get(second.port, path)

    assert (before.location, 0) == (after.location, len(await calls_before_another(World(second, ads, appsflyer), 0)))
