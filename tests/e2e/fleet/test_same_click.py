"""The same click at two hosts (design §6): one call, one answer, whichever host gets what."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

import pytest
import pytest_asyncio

from tests.support.clients import Answer, connection, read_answer, request
from tests.support.fleet import Fleet, fleet
from tests.support.patience import IS_LONG, SOON_S
from tests.support.phones import FIRST, RETRY, cookies
from tests.support.redis_servers import RedisServer
from tests.support.scenes import new_id, path_of, play

PAIRS = 1_000 if IS_LONG else 50
HINTS = "}\nclient_hints: critical\nhints_wait: 2s\n#{"
"""Beside the delivery's settings, among which it is put."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hosts(tmp_path_factory):
    """Two on one Redis, which ask browsers for hints."""
    folder = tmp_path_factory.mktemp("same")
    with RedisServer() as server:
        async with fleet(folder, server.url, "--outbox-replicas", "0", more=HINTS) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def models(hosts: Fleet):
    """By click id, the phone's model in each call that AppsFlyer gets."""
    respond, found = hosts.appsflyer.respond, defaultdict(list)

    async def recording(request, *streams):
        call = dict(request.params)
        found[call["clickid"]].append(call.get("af_model"))
        await respond(request, *streams)

    hosts.appsflyer.respond = recording
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pairs(hosts: Fleet) -> dict[str, list[Answer]]:
    """Each click at both hosts in the same moment, on connections that are open by then."""
    answers: dict[str, list[Answer]] = {}
    first, second = hosts.members
    async with connection(first.port) as one, connection(second.port) as other:
        for _ in range(PAIRS):
            path = path_of(click_id := new_id())
            for _, writer in (one, other):
                writer.write(request(path))
            answers[click_id] = list(await asyncio.gather(*(read_answer(reader) for reader, _ in (one, other))))
    await hosts.settle(SOON_S)
    return answers


def test_both_users_get_the_same_store(pairs):
    """Byte for byte the same Location, with the same token."""
    assert dict.fromkeys(pairs, 1) == {one: len({answer.location for answer in both}) for one, both in pairs.items()}
    assert all(play(one) == both[0].location for one, both in pairs.items())


def test_one_call_is_sent(hosts, pairs):
    """Not one a host."""
    sent = {one: hosts.appsflyer.accepted[one] for one in pairs}
    print(f"\nfigures: | the same click at two hosts | {2 * PAIRS} | {len(pairs)} calls | {Counter(sent.values())} |")  # noqa: T201

    assert dict.fromkeys(pairs, 1) == sent


async def hint_retry(hosts: Fleet, at: tuple[int, int], *, pause_s: float = 0.0) -> tuple[str, Answer, Answer]:
    """A first click at one host, its browser's retry at another one: click id and both answers."""
    path = path_of(click_id := new_id())
    first = await hosts.click_on(hosts.members[at[0]], click_id, **FIRST)
    await asyncio.sleep(pause_s)
    async with connection(hosts.members[at[1]].port) as (reader, writer):
        writer.write(request(path, **(RETRY | cookies(first))))
        return click_id, first, await read_answer(reader)


@pytest.mark.parametrize("at", [(0, 1), (1, 0), (0, 0)])
async def test_a_retry_at_another_host_enriches_the_click(hosts, models, at):
    """One call goes out, with the model that the retry told the other host."""
    click_id, first, again = await hint_retry(hosts, at)
    await hosts.settle(SOON_S)

    assert (302, first.location, ["SM-S918B"]) == (again.status, again.location, models[click_id])


async def test_a_late_retry_at_another_host_sends_nothing_more(hosts, models):
    """The call has gone as it was; the browser gets its first answer."""
    click_id, first, again = await hint_retry(hosts, (0, 1), pause_s=3.0)
    await hosts.settle(SOON_S)

    assert (first.location, [None]) == (again.location, models[click_id])


async def test_retries_that_race_the_end_of_the_hold(hosts, models):
    """The first host begins to send while the other one amends: one call each time, with or without the model."""
    retries = await asyncio.gather(*(hint_retry(hosts, (0, 1), pause_s=1.9 + 0.01 * n) for n in range(20)))
    await hosts.settle(SOON_S)

    assert {1} == {len(models[click_id]) for click_id, _, _ in retries}
    assert all(first.location == again.location for _, first, again in retries)
