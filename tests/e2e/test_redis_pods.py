"""The Redis of `sentinel.yaml`: its scripts, run as three pods, keep one primary and what it has acknowledged."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest_asyncio
from ruamel.yaml import YAML

from tests.support.clients import ANDROID
from tests.support.image import PACKAGING
from tests.support.patience import SOON_S
from tests.support.pods import DOMAIN, NAMES, PASSWORD, Pods, pods
from tests.support.processes import Process
from tests.support.scenes import RULES, path_of

SENTINEL = 26379
USUAL_MS = 1000
"""So long a Sentinel misses the primary before it votes for another."""


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


async def test_probes_find_all_pods_well(three, primary):
    """What the manifest asks in each container, asked there."""
    answers = {(name, *ask): await three.probe(name, *ask) for name in NAMES for ask in three.probes()}

    assert (9, {0}) == (len(answers), set(answers.values()))


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
    """Also when it is the last to start: neither pod 0 nor a replica takes its place, which may have older data."""
    primary = await _not_pod_0(three, primary)
    others = [name for name in NAMES if name != primary]
    await three.say(primary, "set", "all", "here")
    await three.kill()
    await three.start(*others)
    for name in others:
        await once(lambda name=name: _misses_the_primary(three, name), three)
    await three.start(primary)
    now = await once(lambda: _primary_of_all(three), three)

    assert (primary, "here") == (now, await three.say(now, "get", "all"))


async def test_a_pod_whose_volume_is_lost_gets_all_from_the_others(three, primary):
    """Also pod 0, which does not begin anew: its Sentinel asks the others."""
    primary = await _not_pod_0(three, primary)
    await three.say(primary, "set", "volume", "kept")
    await three.kill(NAMES[0])
    three.lose_volume(NAMES[0])
    await three.start(NAMES[0])
    await once(lambda: _is_replica(three, NAMES[0], primary), three)

    assert "kept" == await three.say(NAMES[0], "get", "volume")
    assert primary == await _primary_by(three, NAMES[0])


@pytest_asyncio.fixture(loop_scope="session")
async def storehop(three, tmp_path, start):
    """Runs storehop beside the pods, with the variables of fleet.yaml and the password where they say."""
    (tmp_path / "password").write_text(PASSWORD)
    given = [f"{name}={value.replace('/redis/', f'{tmp_path}/')}" for name, value in outbox_of_fleet().items()]

    async def run(*words):
        command = ["env", f"STOREHOP_STATE={tmp_path}", *given, sys.executable, "-m", "storehop", *words]
        return await start(three.beside, tmp_path, *command)

    return run


async def test_storehop_keeps_its_clicks_there(three, primary, storehop, tmp_path):
    """What was answered is in the outbox that any host sees, also when the node of the primary has died since."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.format(appsflyer=9))  # nobody is there: the call stays in the outbox
    host = await storehop("run", "--upstream", "http://127.0.0.1:9", "--rules", rules, "--listen", "127.0.0.1:80")
    click = ["curl", "-s", "-i", "-H", "Host: app.appsflyer.com", "-A", ANDROID, f"http://127.0.0.1{path_of('K1')}"]
    await host.output.saw("storehop: ")
    answer = await once(lambda: _said(three.beside(tmp_path, *click), "play.google.com"), three)
    await three.kill(primary)
    listed = await once(lambda: _said(storehop("outbox", "list", "--personal-data"), "clickid=K1"), three)
    checked = await once(
        lambda: _said(storehop("check", "--outbox", outbox_of_fleet()["STOREHOP_OUTBOX"]), "stores"), three
    )
    await three.start(primary)

    assert "302" in answer.splitlines()[0]
    assert "leased" in listed or "due" in listed
    assert "asks for 1 replica within 100 ms" in checked


def outbox_of_fleet():
    """What fleet.yaml tells storehop about its outbox, by variables."""
    (deployment,) = (
        one for one in YAML(typ="safe").load_all(PACKAGING / "kubernetes" / "fleet.yaml") if one["kind"] == "Deployment"
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if one["name"].startswith("STOREHOP_OUTBOX")}


async def _said(begun: Awaitable[Process], word: str) -> str | None:
    """What a command says, if it succeeds and has this word."""
    process = await begun
    return process.output.text if await process.ended() == 0 and word in process.output.text else None


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


async def _facts(three: Pods, sentinel: str) -> dict[str, str]:
    """What this Sentinel knows of the primary."""
    words = (await three.say(sentinel, "sentinel", "master", "storehop", port=SENTINEL)).splitlines()
    return dict(zip(words[::2], words[1::2], strict=False))


async def _misses_the_primary(three: Pods, sentinel: str) -> bool | None:
    """For longer than one that is usual takes to vote for another."""
    return int((await _facts(three, sentinel)).get("last-ping-sent", 0)) > USUAL_MS * 5 or None


async def _not_pod_0(three: Pods, primary: str) -> str:
    """The primary, which is not the one of the first start."""
    if primary == NAMES[0]:
        await three.end(primary)
        await three.start(primary)
        return await once(lambda: _primary_of_all(three), three)
    return primary


async def _primary_of_all(three: Pods) -> str | None:
    """Known to all Sentinels, as are two replicas and two further Sentinels, which all are well."""
    known = set()
    for name in NAMES:
        facts = await _facts(three, name)
        replicas = await three.say(name, "sentinel", "replicas", "storehop", port=SENTINEL)
        is_well = [replicas.splitlines().count(word) for word in ("slave", "ok")] == [4, 2]
        is_usual = facts.get("down-after-milliseconds") == str(USUAL_MS)
        known.add((facts.get("ip"), facts.get("flags"), facts.get("num-other-sentinels"), is_well, is_usual))
    (ip, *others) = known.pop()
    return str(ip).partition(".")[0] if not known and others == ["master", "2", True, True] else None
