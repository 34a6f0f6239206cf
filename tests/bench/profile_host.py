"""`make profile`: `storehop run` under cProfile while clicks come as fast as it takes them; the costliest functions.

cProfile slows small functions down more than large ones, and sees the outbox's thread between the event loop's
functions: read shares and call counts, not seconds. Where py-spy is installed it looks at a process that nothing
slows down as well, and leaves a flame graph of all threads beside the JSON of `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import pstats
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench import contestants
from tests.bench.contestants import Command, Place, running
from tests.bench.machine import Cores, available, pinned
from tests.bench.measures import load
from tests.bench.traffic import Kind
from tests.support.processes import ROOT

HERE = Path(__file__).parent


def profiled(place: Place) -> Command:
    return contestants.storehop(place, run=(HERE / "profiled.py",))


async def profile(folder: Path, kind: Kind, seconds: float) -> Path:
    """Loads a profiled storehop. Returns the file of its profile."""
    cores = Cores.divide(available())
    async with contestants.neighbours(cores.rest) as beside:
        with pinned(cores.rest):
            async with running(profiled, folder, beside, cores.proxy) as proxy:
                answers = await load(proxy.port, kind, seconds)
                await beside.all_arrived(answers.direct)
    sys.stdout.write(f"{answers.direct + answers.plain:,} answers\n")
    return folder / "profile"


async def spy(folder: Path, kind: Kind, seconds: float) -> None:
    """A flame graph by py-spy, of a process that nothing slows down."""
    picture = ROOT / ".venv" / "profile.svg"
    cores = Cores.divide(available())
    async with (
        contestants.neighbours(cores.rest) as beside,
        running(contestants.storehop, folder, beside, cores.proxy) as proxy,
    ):
        watch = ["record", "--pid", str(proxy.pid), "--duration", f"{seconds:.0f}", "--output", str(picture)]
        spying = await asyncio.create_subprocess_exec("py-spy", *watch)
        await asyncio.gather(load(proxy.port, kind, seconds), spying.wait())
    sys.stdout.write(f"{picture}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="profile", description=__doc__)
    parser.add_argument("--kind", type=Kind, choices=list(Kind), default=Kind.ANSWER)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--sort", default="tottime", help="tottime, cumtime or ncalls")
    parser.add_argument("--top", type=int, default=40, help="functions that are shown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = asyncio.run(profile(Path(folder), options.kind, options.seconds))
        pstats.Stats(str(file)).sort_stats(options.sort).print_stats(options.top)
    if shutil.which("py-spy"):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            asyncio.run(spy(Path(folder), options.kind, options.seconds))


if __name__ == "__main__":
    main()
