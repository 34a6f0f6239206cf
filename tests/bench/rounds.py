"""The rounds: every contestant in turn, then again, so that a machine's moods meet all of them alike."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import contestants
from tests.bench.contestants import Command, Neighbours, Place, running
from tests.bench.cost import count_all
from tests.bench.decisions import decision_microseconds
from tests.bench.machine import Cores, available, describe, pin, pinned
from tests.bench.measures import Plan, clicks, forwarding, half_load, light_load, load, memory, scraped
from tests.bench.traffic import Kind

type Figures = dict[str, dict]
"""Name of a measurement to its numbers."""


@dataclass(slots=True)
class Bench:
    """One run of the whole benchmark."""

    plan: Plan
    folder: Path
    beside: Neighbours
    cores: Cores
    available: set[int]
    """Every core that there is for the benchmark."""
    say: Callable[[str], None]
    skipped: dict[str, str] = field(default_factory=dict)
    """What was not measured, and why."""

    def running(self, command: Callable[[Place], Command], cores: Cores | None = None) -> AbstractAsyncContextManager:
        """The proxy of this command, in a fresh folder."""
        self.say(f"  {command.__name__}")
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return running(command, folder, self.beside, (cores or self.cores).proxy)


type Contestant = Callable[[Bench], Awaitable[Figures]]


async def loading_only(bench: Bench) -> Figures:
    """The ceiling: load and neighbour without a proxy between them."""
    answers = await load(bench.beside.ads, Kind.PLAIN, bench.plan.warm)
    return {"no proxy, forwarding": {"rate": answers.plain / answers.seconds, "failed": answers.failed}}


async def nginx(bench: Bench) -> Figures:
    if shutil.which("nginx") is None:
        bench.skipped["nginx"] = "not installed"
        return {}
    async with bench.running(contestants.nginx) as proxy:
        return {"nginx, forwarding": await forwarding(proxy, bench.plan)}


async def stock(bench: Bench) -> Figures:
    async with bench.running(contestants.mitmdump) as proxy:
        return {
            "stock, forwarding": await forwarding(proxy, bench.plan),
            "stock, light load": await light_load(proxy, Kind.PLAIN, bench.plan),
        }


async def naive(bench: Bench) -> Figures:
    async with bench.running(contestants.naive) as proxy:
        return {"naive, clicks": await clicks(proxy, bench.beside, Kind.ANSWER, bench.plan)}


async def storehop(bench: Bench) -> Figures:
    """Everything of storehop that needs one process, scraped meanwhile as in production."""
    beside, plan = bench.beside, bench.plan
    async with bench.running(contestants.storehop) as proxy, scraped(proxy):
        answered = await clicks(proxy, beside, Kind.ANSWER, plan)
        return {
            "storehop, clicks": answered,
            "storehop, rewritten clicks": await clicks(proxy, beside, Kind.REWRITE, plan),
            "storehop, forwarding": await forwarding(proxy, plan),
            "storehop, light load": await light_load(proxy, Kind.ANSWER, plan),
            "storehop, half load": await half_load(proxy, beside, max(answered["rate"], 2) / 2, plan),
        }


async def unwatched(bench: Bench) -> Figures:
    async with bench.running(contestants.unwatched) as proxy:
        return {"unwatched, clicks": await clicks(proxy, bench.beside, Kind.ANSWER, bench.plan)}


async def workers(bench: Bench) -> Figures:
    """Two workers, each on a core of its own: for that there have to be three cores or more."""
    if not contestants.has_workers():
        bench.skipped["workers"] = "this storehop has no --workers"
        return {}
    cores = Cores.divide(bench.available, workers=2)
    if cores.proxy is None:
        bench.skipped["workers"] = "two workers and the load need three cores or more"
        return {}
    pin(bench.beside.process.pid, cores.rest)
    try:
        with pinned(cores.rest):
            async with bench.running(contestants.two_workers, cores) as proxy:
                return {"two workers, clicks": await clicks(proxy, bench.beside, Kind.ANSWER, bench.plan)}
    finally:
        pin(bench.beside.process.pid, bench.cores.rest)


EVERYBODY = (loading_only, nginx, stock, naive, unwatched, storehop, workers)


async def run(
    plan: Plan,
    folder: Path,
    say: Callable[[str], None],
    who: tuple[Contestant, ...] = EVERYBODY,
) -> dict:
    """All rounds, then decisions and memory. Returns what the JSON holds, without medians and ratios."""
    every = available()
    cores = Cores.divide(every)
    machine = describe(cores, folder)
    with pinned(cores.rest):
        async with contestants.neighbours(cores.rest) as beside:
            bench = Bench(plan, folder, beside, cores, every, say)
            rounds = [await _round(bench, who, number) for number in range(1, plan.rounds + 1)]
            say("decisions")
            decisions = await asyncio.to_thread(decision_microseconds, folder / "decisions", plan.batches)
            costs = await asyncio.to_thread(count_all)
            say(f"memory over {plan.many:,} clicks")
            async with bench.running(contestants.storehop) as proxy:
                held = await memory(proxy, beside, plan)
    return {
        "machine": machine,
        "rounds": rounds,
        "decision_us": {str(size): taken for size, taken in decisions.items()},
        "decision_instructions": costs,
        "memory": held,
        "skipped": bench.skipped,
    }


async def _round(bench: Bench, who: tuple[Contestant, ...], number: int) -> Figures:
    bench.say(f"round {number} of {bench.plan.rounds}")
    figures: Figures = {}
    for measure in who:
        figures |= await measure(bench)
    return figures
