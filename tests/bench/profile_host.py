"""`make profile`: where the time of the interpreter goes in a real `storehop run` while clicks come as fast as it can.

py-spy looks 300 times a second at which function holds the interpreter's lock. The process is storehop as users run
it, one worker on a core of its own, under wrk. Nothing in it is changed, but py-spy stops it for each look (by ptrace),
so a watched click holds the lock longer than another one: take the shares, and the processor time of a load of the
same length, in the same process, before anybody looks. Where others use the core, the lock is held while its holder
waits for the core, too, and one such wait may be many samples of one function: then even shares are rough.

py-spy needs the permission to trace a process: root, CAP_SYS_PTRACE, or kernel.yama.ptrace_scope=0.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench import contestants
from tests.bench.contestants import running
from tests.bench.machine import Cores, available, pinned
from tests.bench.measures import whole_clicks
from tests.bench.report import FAULTS, OWN
from tests.bench.shares import Profile, function_table, share_table
from tests.bench.traffic import Kind
from tests.support.processes import ROOT

RATE = 300
"""Looks a second."""
WARM_S = 2.0
PY_SPY = Path(sys.executable).with_name("py-spy")
_BEGUN = b"Sampling process"


class NotPermittedError(Exception):
    """py-spy may not look into a process on this machine."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of click, first unwatched, then watched: figures as of `measures.whole_clicks`."""

    kind: Kind
    unwatched: dict
    watched: dict
    profile: Profile
    late: int
    """How often py-spy could not keep pace."""


@asynccontextmanager
async def spying(pid: int, file: Path, form: str = "raw") -> AsyncIterator[None]:
    """py-spy looks at this process until the block ends, and then writes `file`, and its remarks beside it.

    Raises NotPermittedError; RuntimeError where py-spy fails otherwise.
    """
    command = ["record", "--pid", str(pid), "--gil", "--rate", str(RATE), "--format", form, "--output", file]
    spy = await asyncio.create_subprocess_exec(
        PY_SPY, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = b""
    try:
        while _BEGUN not in said:
            if not (more := await spy.stdout.read(1 << 12)):
                raise _refusal(said.decode())
            said += more
        yield
    finally:
        with suppress(ProcessLookupError):
            spy.send_signal(signal.SIGINT)  # then it writes what it has
        said += (await spy.communicate())[0]
    _remarks(file).write_bytes(said)
    if spy.returncode:
        raise RuntimeError(f"py-spy ended with {spy.returncode}:\n{said.decode()}")


def _refusal(said: str) -> Exception:
    if "ermission" in said:
        return NotPermittedError(f"{__doc__.strip().splitlines()[-1]} It said: {said.strip()}")
    return RuntimeError(f"py-spy does not begin:\n{said}")


def _remarks(file: Path) -> Path:
    return file.with_suffix(".remarks")


async def profile(kind: Kind, seconds: float, flame: Path | None = None) -> Seen:
    """One storehop under load: unwatched, then watched; with `flame` once more, for that picture."""
    cores = Cores.divide(available())
    with tempfile.TemporaryDirectory(dir=ROOT / ".venv", prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with pinned(cores.rest):
            async with (
                contestants.neighbours(cores.rest) as beside,
                running(contestants.storehop, folder, beside, cores.proxy) as proxy,
            ):
                await whole_clicks(proxy, beside, kind, WARM_S)
                unwatched = await whole_clicks(proxy, beside, kind, seconds)
                stacks = folder / "stacks.raw"
                async with spying(proxy.pid, stacks):
                    watched = await whole_clicks(proxy, beside, kind, seconds)
                if flame:
                    async with spying(proxy.pid, flame, "flamegraph"):
                        await whole_clicks(proxy, beside, kind, seconds)
        if not watched["clicks"]:
            raise RuntimeError("no click came through while py-spy looked: this machine has too much to do")
        late = sum("behind in sampling" in line for line in _remarks(stacks).read_text().splitlines())
        return Seen(kind, unwatched, watched, Profile.read(stacks.read_text().splitlines()), late)


def report(seen: Seen, top: int) -> str:
    """The tables for people."""
    profile, clicks = seen.profile, seen.watched["clicks"]
    lines = [
        f"## {seen.kind}",
        "",
        f"Unwatched: {_in_words(seen.unwatched)}. Watched: {_in_words(seen.watched)}, {profile.number:,} samples.",
        *_doubts(seen),
        "",
        share_table(profile, clicks, RATE, seen.unwatched["cpu_us"]),
    ]
    for title, functions in (("own", profile.own()), ("inclusive", profile.inclusive())):
        if top:
            lines += ["", function_table(title, functions.most_common(top), profile, clicks, RATE)]
    return "\n".join(lines)


def _in_words(figures: dict) -> str:
    cost = "unknown" if figures["cpu_us"] is None else f"{figures['cpu_us']:,.0f}"
    share = "" if figures["busy"] is None else f" ({figures['busy']:.0%} of its core)"
    return f"{figures['clicks']:,} whole clicks, {cost} µs of processor time each{share}"


def _doubts(seen: Seen) -> list[str]:
    lines = []
    if (seen.unwatched["busy"] or 1) < OWN:
        lines.append("Beware: others were at work on the proxy's core, so µs a click are too many, and shares rough.")
    if seen.late:
        lines.append(f"Beware: py-spy could not keep pace {seen.late} times, so there are fewer samples than moments.")
    faults = {what: seen.unwatched[what] + seen.watched[what] for what in FAULTS}
    if any(faults.values()):
        lines.append("Not every click was whole: " + ", ".join(f"{count:,} {what}" for what, count in faults.items()))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="profile", description=__doc__)
    parser.add_argument("--kind", type=Kind, choices=[Kind.ANSWER, Kind.REWRITE], help="only this one; else both")
    parser.add_argument("--seconds", type=float, default=15, help="of each load")
    parser.add_argument("--top", type=int, default=0, help="how many of the costliest functions are shown")
    parser.add_argument("--flame", type=Path, help="an SVG picture of the stacks, from a load of its own")
    options = parser.parse_args()
    if not PY_SPY.exists():
        sys.exit("profile: py-spy is missing: pip install py-spy, or make .venv anew")
    for kind in [options.kind] if options.kind else [Kind.ANSWER, Kind.REWRITE]:
        flame = options.flame and options.flame.with_stem(f"{options.flame.stem}-{kind}")
        try:
            seen = asyncio.run(profile(kind, options.seconds, flame))
        except NotPermittedError as error:
            sys.exit(f"profile: {error}")
        sys.stdout.write(f"{report(seen, options.top)}\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
