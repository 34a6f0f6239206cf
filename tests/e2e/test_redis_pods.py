"""The Redis of `sentinel.yaml`: its scripts, run as three pods, keep one primary and what it has acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest_asyncio

from tests.support.patience import SOON_S
from tests.support.pods import DOMAIN, NAMES, Pods, pods

SENTINEL = 26379


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three(tmp_path_factory):
    async with pods(tmp_path_factory.mktemp("pods")) as scene:
        await scene.start()
        yield scene


@pytest_asyncio.fixture(loop_scope="session")
async def primary(three):
    """The pod of the primary, once both copies are complete and every Sentinel knows them."""
    return await once(lambda: _primary_of_all(three), three)


async def test_it_is_as_storehop_wants_it(three, primary):
    """It forgets nothing to make room, and what it has answered is on the disk and at a replica."""
    names = ("maxmemory-policy", "appendonly", "appendfsync", "min-replicas-to-write")
    lines = (await three.say(primary, "config", "get", *names)).splitlines()

    assert {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "always",
        "min-replicas-to-write": "1",
    } == dict(zip(lines[::2], lines[1::2], strict=True))


async def test_nobody_comes_in_without_the_password(three, primary):
    """Neither to a server nor to a Sentinel."""
    answers = [await three.say(primary, "ping", port=port, password="") for port in (6379, SENTINEL)]

    assert [True, True] == [answer.startswith("NOAUTH") for answer in answers]


async def test_a_node_that_dies_takes_nothing_along(three, primary):
    """Another pod is the primary, with what was acknowledged; the old one comes back as its replica, elsewhere."""
    await three.say(primary, "set", "died", primary)
    copies = await three.say(primary, "wait", "1", "1000")
    await three.kill(primary)
    other = next(name for name in NAMES if name != primary)
    now = await once(lambda: _primary_by(three, other, but=primary), three)
    kept = await three.say(now, "get", "died")
    await three.start(primary)
    await once(lambda: _is_replica(three, primary, now), three)

    assert (True, primary) == (int(copies) >= 1, kept)


async def test_a_pod_that_is_taken_away_hands_its_role_on(three, primary):
    """When its server has ended, the others have had another primary for a while."""
    other = next(name for name in NAMES if name != primary)
    await three.end(primary)
    now = await _primary_by(three, other, but=primary)
    role = await three.say(now or other, "role")
    await three.start(primary)

    assert (True, "master") == (now is not None, role.splitlines()[0])


async def test_the_last_primary_is_it_again_when_all_start_anew(three, primary):
    """Pod 0 is special at the very first start alone: it may have older data now."""
    if primary == NAMES[0]:
        await three.end(primary)
        await three.start(primary)
        primary = await once(lambda: _primary_of_all(three), three)
    await three.say(primary, "set", "all", "here")
    await three.kill()
    await three.start()
    now = await once(lambda: _primary_of_all(three), three)

    assert (primary, "here") == (now, await three.say(now, "get", "all"))


async def test_a_pod_whose_volume_is_lost_gets_all_from_the_others(three, primary):
    """Also pod 0, which does not begin anew: its Sentinel asks the others."""
    if primary == NAMES[0]:
        await three.end(primary)
        await three.start(primary)
        primary = await once(lambda: _primary_of_all(three), three)
    await three.say(primary, "set", "volume", "kept")
    await three.kill(NAMES[0])
    three.lose_volume(NAMES[0])
    await three.start(NAMES[0])
    await once(lambda: _is_replica(three, NAMES[0], primary), three)

    assert "kept" == await three.say(NAMES[0], "get", "volume")
    assert primary == await _primary_by(three, NAMES[0])


async def once[T](ask: Callable[[], Awaitable[T | None]], three: Pods) -> T:
    """The first answer that is one. Servers say nothing by themselves: they are asked again."""
    try:
        async with asyncio.timeout(SOON_S):
            while (answer := await ask()) is None:
                await asyncio.sleep(0.1)
            return answer
    except TimeoutError:
        raise AssertionError(three.logs()) from None


async def _primary_by(three: Pods, sentinel: str, but: str = "") -> str | None:
    """The pod that this Sentinel takes for the primary, if it is another one than `but`."""
    answer = await three.say(sentinel, "sentinel", "get-master-addr-by-name", "storehop", port=SENTINEL)
    name = answer.partition(f".{DOMAIN}")[0]
    return name if name in NAMES and name != but else None


async def _is_replica(three: Pods, name: str, primary: str) -> bool | None:
    lines = (await three.say(name, "role")).splitlines()
    return [*lines[:2], *lines[3:4]] == ["slave", f"{primary}.{DOMAIN}", "connected"] or None


async def _primary_of_all(three: Pods) -> str | None:
    """Known to all Sentinels, as are two replicas and two further Sentinels, which all are well."""
    known = set()
    for name in NAMES:
        words = (await three.say(name, "sentinel", "master", "storehop", port=SENTINEL)).splitlines()
        facts = dict(zip(words[::2], words[1::2], strict=False))
        replicas = await three.say(name, "sentinel", "replicas", "storehop", port=SENTINEL)
        is_well = [replicas.splitlines().count(word) for word in ("slave", "ok")] == [4, 2]
        known.add((facts.get("ip"), facts.get("flags"), facts.get("num-other-sentinels"), is_well))
    (ip, *others) = known.pop()
    return str(ip).partition(".")[0] if not known and others == ["master", "2", True] else None
