"""Strangers who say something new with each request do not fill the memory (design §8)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.clients import connection, read_answer
from tests.support.patience import SOON_S
from tests.support.processes import start_sidecar
from tests.support.scenes import World
from tests.support.standins import response

LARGE = 50_000
"""Bytes: nearly a whole head."""


@pytest.fixture
def host(tmp_path, start, ads, appsflyer, module_rules):
    """Starts one of the test's own: how much memory others took before would hide what this takes."""

    async def begin():
        host = await start(start_sidecar, f"http://127.0.0.1:{ads.port}", module_rules, tmp_path)
        return World(host, ads, appsflyer)

    return begin


async def pour(world, numbers, make):
    """A request for each number, 20 at a time on one connection; returns when all are answered."""
    numbers = list(numbers)
    async with connection(world.port) as (reader, writer), asyncio.timeout(10 * SOON_S):
        for begin in range(0, len(numbers), 20):
            batch = numbers[begin : begin + 20]
            writer.write(b"".join(b"GET /new HTTP/1.1\r\n" + make(number) + b"\r\n" for number in batch))
            for _ in batch:
                await read_answer(reader)
    world.ads.forget()


def everything(number):
    """A new name, value, host and User-Agent of 1 KB each."""
    new = b"%08d" % number + b"a" * 1000
    return b"Host: %s\r\n%s: 1\r\nX: %s\r\nUser-Agent: Mozilla/5.0 %s\r\n" % (new, new, new, new)


async def test_twenty_thousand_new_names_leave_the_memory_flat(host):
    """Half of them may fill what is bounded; the other half adds less than 2 %."""
    world = await host()
    world.ads.routes["/new"] = response("204 No Content")
    await asyncio.gather(*(pour(world, range(first, 10_000, 4), everything) for first in range(4)))
    before = world.host.process.memory()["VmRSS"]
    await asyncio.gather(*(pour(world, range(10_000 + first, 20_000, 4), everything) for first in range(4)))

    assert world.host.process.memory()["VmRSS"] <= before * 1.02 + 1


@pytest.mark.parametrize(
    "line", [b"%s: 1", b"X: %s", b"User-Agent: %s", b"Cookie: %s", b"X-Forwarded-For: %s", b"Sec-CH-UA-Model: %s"]
)
async def test_large_ones_leave_it_too(host, line):
    """A thousand of nearly a whole head grow the process by less than a third of what they are."""
    world = await host()
    world.ads.routes["/new"] = response("204 No Content")

    def make(number):
        return b"Host: a\r\n" + line % (b"%08d" % number + b"a" * LARGE) + b"\r\n"

    await pour(world, range(100), make)
    before = world.host.process.memory()["VmRSS"]
    await pour(world, range(100, 1100), make)

    assert world.host.process.memory()["VmRSS"] - before < LARGE * 1000 / 3 / 1e6
