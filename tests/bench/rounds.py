"""The parts of the benchmark: who is measured, one after the other, round after round.

A part is what one can measure by itself (`--only`): everything that its ratios need is in it, since a ratio is taken
within a round, where both sides met the same machine in the same mood.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from tests.bench import contestants, measures
from tests.bench.contestants import Certificate, Command, Neighbours, Place, running
from tests.bench.cost import count_all
from tests.bench.decisions import decision_microseconds
from tests.bench.generators import CONNECTIONS
from tests.bench.http2 import by_http2
from tests.bench.machine import Cores, available, loop_milliseconds, open_files, pin, pinned
from tests.bench.measures import Plan, clicks, forwarding, half_load, light_load, load, scraped
from tests.bench.startup import first_click_seconds
from tests.bench.traffic import Kind

type Figures = dict[str, dict]
"""Name of a measurement to its numbers."""
RESERVED_FILES = 128
"""That storehop keeps for itself; of the others it keeps half for connections to the ad stack."""


@dataclass(slots=True)
class Bench:
    """One run of the benchmark."""

    plan: Plan
    folder: Path
    beside: Neighbours
    cores: Cores
    available: set[int]
    """Every core that there is for the benchmark."""
    say: Callable[[str], None]
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    """By part: what was not measured, and why."""

    def running(
        self,
        command: Callable[[Place], Command],
        *,
        cores: Cores | None = None,
        ads: int | None = None,
        tls: Certificate | None = None,
    ) -> AbstractAsyncContextManager:
        """The proxy of this command, in a fresh folder."""
        self.say(f"  {command.__name__}")
        cores = (cores or self.cores).proxy
        return running(command, self.new_folder(), self.beside, cores, ads=ads, tls=tls)

    def new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def skip(self, part: str, what: str, why: str) -> Figures:
        """Says that this is not measured here."""
        self.skipped.setdefault(part, {})[what] = why
        return {}


type Contestant = Callable[[Bench], Awaitable[Figures]]

# speed


async def loading_only(bench: Bench) -> Figures:
    """The ceiling: load and neighbour without a proxy between them."""
    answers = await load(bench.beside.ads, Kind.PLAIN, bench.plan.warm)
    return {"no proxy, forwarding": {"rate": answers.plain / answers.seconds, "failed": answers.failed}}


async def nginx(bench: Bench) -> Figures:
    if shutil.which("nginx") is None:
        return bench.skip("speed", "nginx", "not installed")
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
            "storehop, forwarding at light load": await light_load(proxy, Kind.PLAIN, plan),
            "storehop, half load": await half_load(proxy, beside, _half(answered), plan.half),
        }


def _half(answered: dict) -> float:
    return max(answered["rate"], 2) / 2


async def unwatched(bench: Bench) -> Figures:
    async with bench.running(contestants.unwatched) as proxy:
        return {"unwatched, clicks": await clicks(proxy, bench.beside, Kind.ANSWER, bench.plan)}


# tls


async def over_tls(bench: Bench) -> Figures:
    """Stock and storehop with clients that speak HTTP/2 over TLS."""
    tls = Certificate.make(bench.new_folder())
    generate = partial(by_http2, tls.ca)
    async with bench.running(contestants.stock_tls, tls=tls) as proxy:
        stock = await forwarding(proxy, bench.plan, generate=generate)
    async with bench.running(contestants.storehop_tls, tls=tls) as proxy:
        whole = await clicks(proxy, bench.beside, Kind.ANSWER, bench.plan, generate)
        forwarded = await forwarding(proxy, bench.plan, generate=generate)
    return {"stock, forwarding": stock, "storehop, clicks": whole, "storehop, forwarding": forwarded}


# redirects


async def nginx_redirects(bench: Bench) -> Figures:
    """Stock and storehop before an nginx that redirects every click."""
    if shutil.which("nginx") is None:
        return bench.skip("redirects", "an nginx as the ad stack", "not installed")
    async with bench.running(contestants.nginx_ad_stack, cores=Cores(bench.cores.rest, None)) as ads:
        async with bench.running(contestants.mitmdump, ads=ads.port) as proxy:
            stock = await forwarding(proxy, bench.plan, Kind.REWRITE)
        async with bench.running(contestants.storehop, ads=ads.port) as proxy:
            whole = await clicks(proxy, bench.beside, Kind.REWRITE, bench.plan)
    return {"stock, forwarding": stock, "storehop, clicks": whole}


# workers


async def workers(bench: Bench) -> Figures:
    """One worker and two. With less than three cores they and the load share all that there are."""
    cores = Cores.divide(bench.available, workers=2)
    async with _on(bench, cores):
        async with bench.running(contestants.storehop, cores=cores) as proxy:
            one = await clicks(proxy, bench.beside, Kind.ANSWER, bench.plan)
        async with bench.running(contestants.two_workers, cores=cores) as proxy:
            two = await clicks(proxy, bench.beside, Kind.ANSWER, bench.plan)
    return {"one worker, clicks": one, "two workers, clicks": two}


@asynccontextmanager
async def _on(bench: Bench, cores: Cores) -> AsyncIterator[None]:
    """Load and neighbours have other cores than usual meanwhile."""
    rest = cores.rest or frozenset(bench.available)
    pin(bench.beside.process.pid, rest)
    try:
        with pinned(rest or None):
            yield
    finally:
        pin(bench.beside.process.pid, bench.cores.rest)


# what is measured once


async def decisions(bench: Bench) -> Figures:
    """With what Python's additions took just before and after, by which they are judged."""
    before = loop_milliseconds()
    taken = await asyncio.to_thread(decision_microseconds, bench.new_folder() / "decisions", bench.plan.batches)
    loop_ms = (before + loop_milliseconds()) / 2
    costs = await asyncio.to_thread(count_all)
    return {"us": {str(size): each for size, each in taken.items()}, "loop_ms": loop_ms, "instructions": costs}


async def memory(bench: Bench) -> Figures:
    """Of usual clicks, then, in a new process, of hostile ones."""
    found = {}
    for kind in (Kind.ANSWER, Kind.HOSTILE):
        bench.say(f"  over {bench.plan.many:,} clicks: {kind}")
        async with bench.running(contestants.storehop) as proxy:
            found[str(kind)] = await measures.memory(proxy, bench.beside, bench.plan, kind)
    return found


async def connections(bench: Bench) -> Figures:
    wanted, others = bench.plan.kept, 2 * CONNECTIONS
    room = (open_files(2 * (wanted + others) + RESERVED_FILES) - RESERVED_FILES) // 2 - others
    if room < wanted:
        bench.skip("connections", f"{wanted:,} connections", f"the limit of open files leaves room for {room:,}")
    async with bench.running(contestants.patient) as proxy:
        plan = replace(bench.plan, kept=min(wanted, room))
        return {"kept": await measures.kept_connections(proxy, bench.beside, plan)}


async def start(bench: Bench) -> Figures:
    """From the start of a process to its first answered click: as it is, and where the code can't be written."""
    found = {"warm": asdict(await asyncio.to_thread(first_click_seconds, bench.plan.starts))}
    try:
        read_only = await asyncio.to_thread(first_click_seconds, bench.plan.starts, read_only=True)
    except OSError as error:
        return found | bench.skip("start", "in a file system that can't be written", str(error))
    return found | {"read-only": asdict(read_only)}


async def tail(bench: Bench) -> Figures:
    """Half load for long, with notes of what may take long."""
    async with bench.running(contestants.noting) as proxy, scraped(proxy):
        answered = await clicks(proxy, bench.beside, Kind.ANSWER, bench.plan)
        half = await half_load(proxy, bench.beside, _half(answered), bench.plan.tail)
    notes = proxy.log.with_name("notes.json")
    return {"half": half, **measures.noted(notes, half["begin"], half["end"])}


@dataclass(frozen=True, slots=True)
class Part:
    """What can be measured by itself."""

    who: Sequence[Contestant]
    is_once: bool = False
    """Whether one round is enough: it takes long by itself, or has its own repetitions."""


PARTS = {
    "speed": Part((loading_only, nginx, stock, naive, unwatched, storehop)),
    "tls": Part((over_tls,)),
    "redirects": Part((nginx_redirects,)),
    "workers": Part((workers,)),
    "decision": Part((decisions,), is_once=True),
    "memory": Part((memory,), is_once=True),
    "connections": Part((connections,), is_once=True),
    "tail": Part((tail,), is_once=True),
    "start": Part((start,), is_once=True),
}


async def run(
    plan: Plan,
    folder: Path,
    say: Callable[[str], None],
    parts: dict[str, Part],
) -> dict[str, dict]:
    """All rounds of these parts. By part: `rounds` with their figures, and what was `skipped`."""
    every = available()
    cores = Cores.divide(every)
    rounds: dict[str, list[Figures]] = {name: [] for name in parts}
    with pinned(cores.rest):
        async with contestants.neighbours(cores.rest) as beside:
            bench = Bench(plan, folder, beside, cores, every, say)
            for number in range(1, plan.rounds + 1):
                for name, part in parts.items():
                    if number == 1 or not part.is_once:
                        say(f"{name}, round {number} of {1 if part.is_once else plan.rounds}")
                        rounds[name].append(await _round(bench, part))
    return {name: {"rounds": found, "skipped": bench.skipped.get(name, {})} for name, found in rounds.items()}


async def _round(bench: Bench, part: Part) -> Figures:
    figures: Figures = {}
    for measure in part.who:
        figures |= await measure(bench)
    return figures
