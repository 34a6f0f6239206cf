"""What is measured of a proxy. Every function returns plain numbers that go into the JSON as they are.

Rates are per second, times in milliseconds, processor times in microseconds a request; `busy` is the share of a
core that the proxy used: under full load it is 1 where nobody else wanted that core.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count

from tests.bench.contestants import Neighbours, Proxy, fetch
from tests.bench.generators import Answers, at_rate, by_hand, by_wrk, one_by_one
from tests.bench.machine import processor_seconds, resident_megabytes
from tests.bench.traffic import Kind

_runs = count()


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often. Seconds, unless said otherwise."""

    rounds: int
    warm: float
    load: float
    light: float
    half: float
    few: int
    """Clicks after which memory is looked at first …"""
    many: int
    """… and last, if they come within …"""
    patience: float
    """… this time."""
    batches: int
    """Of decisions."""


FULL = Plan(rounds=3, warm=2, load=5, light=2, half=5, few=20_000, many=200_000, patience=500, batches=300)
QUICK = Plan(rounds=1, warm=1, load=3, light=1, half=3, few=1_000, many=10_000, patience=12, batches=100)
TINY = Plan(rounds=1, warm=0.1, load=0.4, light=0.2, half=0.4, few=50, many=100, patience=20, batches=2)


async def load(port: int, kind: Kind, seconds: float) -> Answers:
    """As many requests as come through in this time."""
    generate = by_wrk if shutil.which("wrk") and seconds >= 1 else by_hand
    return await generate(port, kind, _new_prefix(), seconds)


def _new_prefix() -> str:
    return f"r{next(_runs)}n"


async def forwarding(proxy: Proxy, plan: Plan) -> dict[str, float | None]:
    """Traffic that is no click."""
    await load(proxy.port, Kind.PLAIN, plan.warm)
    before = processor_seconds(proxy.pid)
    answers = await load(proxy.port, Kind.PLAIN, plan.load)
    used = _difference(before, processor_seconds(proxy.pid))
    return {
        "rate": answers.plain / answers.seconds,
        "cpu_us": _each(used, answers.plain),
        "busy": None if used is None else used / answers.seconds,
        "failed": answers.failed,
    }


async def clicks(proxy: Proxy, beside: Neighbours, kind: Kind, plan: Plan) -> dict[str, float | None]:
    """Whole clicks of a proxy that is warm."""
    await whole_clicks(proxy, beside, kind, plan.warm)
    return await whole_clicks(proxy, beside, kind, plan.load)


async def whole_clicks(proxy: Proxy, beside: Neighbours, kind: Kind, seconds: float) -> dict[str, float | None]:
    """Answered with the store and arrived at AppsFlyer. The time runs until the last has arrived."""
    await beside.ask("forget")
    before = processor_seconds(proxy.pid)
    answers = await load(proxy.port, kind, seconds)
    arrived = await beside.all_arrived(answers.direct)
    used = _difference(before, processor_seconds(proxy.pid))
    await beside.ask("forget")
    whole = min(answers.direct, arrived["clicks"])
    taken = max(answers.seconds, arrived["last"] - arrived["first"])
    return {
        "clicks": whole,
        "rate": whole / taken,
        "answered": answers.direct / answers.seconds,
        "cpu_us": _each(used, whole),
        "busy": None if used is None else used / taken,
        "passed": answers.passed,
        "lost": answers.direct - whole,
        "twice": arrived["calls"] - arrived["clicks"],
        "failed": answers.failed,
    }


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _each(used: float | None, number: float) -> float | None:
    """Microseconds of processor time a piece."""
    return None if used is None or not number else used / number * 1e6


async def light_load(proxy: Proxy, kind: Kind, plan: Plan) -> dict[str, float]:
    """Time to an answer at one connection with one request at a time."""
    return percentiles(await asyncio.to_thread(one_by_one, proxy.port, kind, _new_prefix(), plan.light))


async def half_load(proxy: Proxy, beside: Neighbours, rate: float, plan: Plan) -> dict[str, dict[str, float]]:
    """At `rate` clicks a second: time to the answer, and from the answer until AppsFlyer had the S2S call.

    The latter may be negative: the call may leave beside the answer, and arrive before it.
    """
    await beside.ask("forget")
    timed = await at_rate(proxy.port, Kind.ANSWER, _new_prefix(), rate, plan.half)
    await beside.all_arrived(len(timed.answered))
    arrivals = await beside.ask("arrivals")
    await beside.ask("forget")
    both = timed.answered.keys() & arrivals.keys()
    return {
        "rate": rate,
        "clicks": len(timed.asked),
        "lost": len(timed.answered) - len(both),
        "answer": percentiles(timed.latencies),
        "click_to_arrival": percentiles([arrivals[name] - timed.asked[name] for name in both]),
        "answer_to_arrival": percentiles([arrivals[name] - timed.answered[name] for name in both]),
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p90 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50": cuts[49] * 1000, "p90": cuts[89] * 1000, "p99": cuts[98] * 1000}


async def memory(proxy: Proxy, beside: Neighbours, plan: Plan) -> dict[str, float | None]:
    """Resident megabytes after few and after many delivered clicks, or after as many as came in time."""
    await beside.ask("forget")
    end = asyncio.get_running_loop().time() + plan.patience
    loading = asyncio.create_task(_load_for_ever(proxy))
    try:
        few = await _delivered(beside, plan.few, loading, end)
        first = resident_megabytes(proxy.pid)
        many = await _delivered(beside, plan.many, loading, end)
        return {"few": few, "many": many, "first_mb": first, "last_mb": resident_megabytes(proxy.pid)}
    finally:
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading


async def _load_for_ever(proxy: Proxy) -> None:
    while True:
        await load(proxy.port, Kind.ANSWER, 10)


async def _delivered(beside: Neighbours, clicks: int, loading: asyncio.Task[None], end: float) -> int:
    """Waits for so many clicks, until `end` by the loop's clock. Returns how many have come."""
    while (come := (await beside.ask("counts"))["clicks"]) < clicks and asyncio.get_running_loop().time() < end:
        if loading.done():
            loading.result()
        await asyncio.sleep(0.1)
    return come


@asynccontextmanager
async def scraped(proxy: Proxy) -> AsyncIterator[None]:
    """Somebody reads the metrics once a second meanwhile."""

    async def scrape() -> None:
        while True:
            assert b"storehop_clicks_total" in await fetch(proxy.admin, "/metrics")
            await asyncio.sleep(1)

    task = asyncio.create_task(scrape())
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
