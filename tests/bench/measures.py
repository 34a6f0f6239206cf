"""What is measured of a proxy. Every function returns plain numbers that go into the JSON as they are.

Rates are per second, times in milliseconds, processor times in microseconds a request; `busy` is the share of a
core that the proxy used: under full load it is 1 where nobody else wanted that core.
"""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from storehop.model import Reason
from tests.bench.contestants import Neighbours, Proxy, fetch
from tests.bench.generators import STALL, Answers, Crowd, at_rate, by_hand, by_wrk, one_by_one
from tests.bench.machine import processor_seconds, resident_megabytes
from tests.bench.traffic import Kind
from tests.support.scrapes import scrape

OLDEST = 2
"""The generation with which the collector looks at everything."""
_runs = count()


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often. Seconds, unless said otherwise."""

    rounds: int
    warm: float
    load: float
    light: float
    half: float
    tail: float
    few: int
    """Clicks after which memory is looked at first …"""
    many: int
    """… and last, if they come within …"""
    patience: float
    """… this time."""
    batches: int
    """Of decisions."""
    kept: int
    """Clients' connections that are kept open."""
    starts: int
    """Of a process."""


FULL = Plan(
    rounds=5,
    warm=2,
    load=5,
    light=2,
    half=5,
    tail=600,
    few=50_000,
    many=250_000,
    patience=900,
    batches=300,
    kept=10_000,
    starts=5,
)
QUICK = Plan(
    rounds=1,
    warm=1,
    load=3,
    light=1,
    half=3,
    tail=60,
    few=1_000,
    many=10_000,
    patience=12,
    batches=100,
    kept=1_000,
    starts=3,
)
TINY = Plan(
    rounds=1,
    warm=0.1,
    load=0.4,
    light=0.2,
    half=0.4,
    tail=2,
    few=50,
    many=100,
    patience=20,
    batches=2,
    kept=20,
    starts=1,
)


class Generator(Protocol):
    """Sends as many requests as come through in this time."""

    def __call__(self, port: int, kind: Kind, prefix: str, seconds: float) -> Awaitable[Answers]: ...


async def plainly(port: int, kind: Kind, prefix: str, seconds: float) -> Answers:
    """Without TLS, by the quickest generator there is."""
    generate = by_wrk if shutil.which("wrk") and seconds >= 1 else by_hand
    return await generate(port, kind, prefix, seconds)


async def load(port: int, kind: Kind, seconds: float, generate: Generator = plainly) -> Answers:
    """As many requests as come through in this time, none of them alike."""
    return await generate(port, kind, _new_prefix(), seconds)


def _new_prefix() -> str:
    return f"r{next(_runs)}n"


async def forwarding(
    proxy: Proxy, plan: Plan, kind: Kind = Kind.PLAIN, generate: Generator = plainly
) -> dict[str, float | None]:
    """Traffic that is no click for this proxy: what the ad stack answers is forwarded."""
    await load(proxy.port, kind, plan.warm, generate)
    before = processor_seconds(proxy.pid)
    answers = await load(proxy.port, kind, plan.load, generate)
    used = _difference(before, processor_seconds(proxy.pid))
    forwarded = answers.passed if kind is Kind.REWRITE else answers.plain
    return {
        "rate": forwarded / answers.seconds,
        "cpu_us": _each(used, forwarded),
        "busy": None if used is None else used / answers.seconds,
        "failed": answers.number - forwarded,
    }


async def clicks(
    proxy: Proxy, beside: Neighbours, kind: Kind, plan: Plan, generate: Generator = plainly
) -> dict[str, float | None]:
    """Whole clicks of a proxy that is warm."""
    await whole_clicks(proxy, beside, kind, plan.warm, generate)
    return await whole_clicks(proxy, beside, kind, plan.load, generate)


async def whole_clicks(
    proxy: Proxy, beside: Neighbours, kind: Kind, seconds: float, generate: Generator = plainly
) -> dict[str, float | None]:
    """Answered with the store and arrived at AppsFlyer. The time runs until the last has arrived."""
    await beside.ask("forget")
    before = processor_seconds(proxy.pid)
    answers = await load(proxy.port, kind, seconds, generate)
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


async def half_load(proxy: Proxy, beside: Neighbours, rate: float, seconds: float) -> dict:
    """At `rate` clicks a second: time to the answer, and from the answer until AppsFlyer had the S2S call.

    The latter may be negative: the call may leave beside the answer, and arrive before it.
    """
    await beside.ask("forget")
    passed = await _passed(proxy)
    with without_collector():
        begin = time.monotonic()
        timed = await at_rate(proxy.port, Kind.ANSWER, _new_prefix(), rate, seconds)
    end = time.monotonic()
    await beside.all_arrived(len(timed.answered))
    arrivals = await beside.ask("arrivals")
    await beside.ask("forget")
    both = timed.answered.keys() & arrivals.keys()
    return {
        "rate": rate,
        "begin": begin,
        "end": end,
        "clicks": len(timed.asked),
        "failed": len(timed.asked) - len(timed.answered),
        "why": {reason: number - passed[reason] for reason, number in (await _passed(proxy)).items()},
        "lost": len(timed.answered) - len(both),
        "answer": percentiles(timed.latencies),
        "click_to_arrival": percentiles([arrivals[name] - timed.asked[name] for name in both]),
        "answer_to_arrival": percentiles([arrivals[name] - timed.answered[name] for name in both]),
    }


async def _passed(proxy: Proxy) -> Counter[Reason]:
    """How many clicks storehop has let pass, by reason."""
    found = Counter(dict.fromkeys(Reason, 0))
    for (name, *labels), value in (await scrape(proxy.admin)).items():
        if name == "storehop_clicks_total" and labels[0] == "pass":
            found[Reason(labels[1])] += int(value)
    return found


@contextmanager
def without_collector() -> Iterator[None]:
    """Of this process: its pauses would look like the proxy's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def percentiles(seconds: Collection[float]) -> dict[str, float]:
    """p50, p90, p99, p99.9 and the most, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=1000, method="inclusive")
    found = {"p50": cuts[499], "p90": cuts[899], "p99": cuts[989], "p999": cuts[998], "max": max(seconds)}
    return {name: value * 1000 for name, value in found.items()}


def noted(file: Path, begin: float, end: float) -> dict[str, dict]:
    """What `noting.py` wrote of this time: the collector's pauses in milliseconds, and what clicks waited for."""
    notes = json.loads(file.read_text())
    pauses = [(seconds, generation) for at, seconds, generation in notes["pauses"] if begin <= at <= end]
    total = sum(seconds for seconds, _ in pauses)
    return {
        "collector": {
            "number": len(pauses),
            "full": sum(generation == OLDEST for _, generation in pauses),
            "longest_ms": max((seconds for seconds, _ in pauses), default=0.0) * 1000,
            "sum_ms": total * 1000,
            "share": total / (end - begin),
        },
        "wait": percentiles([seconds for at, seconds in notes["waits"] if begin <= at <= end]),
    }


async def kept_connections(proxy: Proxy, beside: Neighbours, plan: Plan) -> dict:
    """Whole clicks without, then beside many connections that had one answer each and are kept; what one weighs."""
    alone = await clicks(proxy, beside, Kind.ANSWER, plan)
    before = resident_megabytes(proxy.pid)
    prefix = _new_prefix()
    crowd = Crowd(proxy.port, Kind.ANSWER, prefix)
    try:
        await crowd.grow(plan.kept)
        grown = _difference(before, resident_megabytes(proxy.pid))
        beside_them = await clicks(proxy, beside, Kind.ANSWER, plan)
        first = crowd.answers.direct
        await crowd.ask_again()
        arrived = await _arrived(beside, prefix, crowd.answers.direct - first)
    finally:
        crowd.leave()
    return {
        "kept": plan.kept,
        "alone": alone,
        "beside": beside_them,
        "kb_each": None if grown is None else grown * 1024 / plan.kept,
        "failed": 2 * plan.kept - crowd.answers.direct,
        "lost": crowd.answers.direct - first - arrived,
    }


async def _arrived(beside: Neighbours, prefix: str, wanted: int) -> int:
    """How many clicks with this prefix have come, when all have or after a while: others may still come, too."""
    arrived, end = 0, time.monotonic() + STALL
    while arrived < wanted and time.monotonic() < end:
        arrived = sum(name.startswith(prefix) for name in await beside.ask("arrivals"))
        await asyncio.sleep(0.05)
    return arrived


async def memory(proxy: Proxy, beside: Neighbours, plan: Plan, kind: Kind = Kind.ANSWER) -> dict[str, float | None]:
    """Resident megabytes after few, half of many and many delivered clicks, or after as many as came in time."""
    await beside.ask("forget")
    end = asyncio.get_running_loop().time() + plan.patience
    loading = asyncio.create_task(_load_for_ever(proxy, kind))
    try:
        few = await _delivered(beside, plan.few, loading, end)
        first = resident_megabytes(proxy.pid)
        half = await _delivered(beside, plan.many // 2, loading, end)
        middle = resident_megabytes(proxy.pid)
        many = await _delivered(beside, plan.many, loading, end)
        last = resident_megabytes(proxy.pid)
        return {"few": few, "half": half, "many": many, "first_mb": first, "middle_mb": middle, "last_mb": last}
    finally:
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading


async def _load_for_ever(proxy: Proxy, kind: Kind) -> None:
    while True:
        await load(proxy.port, kind, 10)


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
