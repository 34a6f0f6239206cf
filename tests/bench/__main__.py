"""`make bench`: storehop beside stock mitmdump, a naive addon and nginx, all on this machine, as ratios.

Prints its tables in Markdown on standard output and progress on standard error. The figures go to a JSON file; parts
that are not measured now stay in it as they were. The full plan writes all tables into this folder's README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.machine import Cores, available, describe
from tests.bench.measures import FULL, QUICK, Plan
from tests.bench.report import on_page, with_ratios
from tests.bench.rounds import PARTS, Part, run
from tests.bench.tables import markdown
from tests.support.processes import ROOT

PAGE = Path(__file__).with_name("README.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: an idea, which changes no page")
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="PART,…", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, help="where the figures go; .venv/bench.json, or bench-quick.json")
    options = parser.parse_args()
    file = options.json or ROOT / ".venv" / ("bench-quick.json" if options.quick else "bench.json")
    for measured in measure(QUICK if options.quick else FULL, file.parent, options.only):
        found = with_ratios(_earlier(file) | measured)
        file.write_text(json.dumps(found, indent=1) + "\n")
    made = markdown(found)
    sys.stdout.write(f"{made}\n")
    if not options.quick:
        PAGE.write_text(on_page(PAGE.read_text(), made))


def _parts(names: str) -> dict[str, Part]:
    """By `--only`. Raises argparse.ArgumentTypeError."""
    wanted = names.split(",")
    if unknown := set(wanted) - PARTS.keys():
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return {name: part for name, part in PARTS.items() if name in wanted}


def _earlier(file: Path) -> dict[str, dict]:
    """The parts that an earlier run left there."""
    parts = json.loads(file.read_text()).get("parts", {}) if file.exists() else {}
    return {name: part for name, part in parts.items() if name in PARTS}


def measure(plan: Plan, beside: Path, parts: dict[str, Part]) -> Iterator[dict[str, dict]]:
    """These parts' figures, by and by: what was measured is there even if what follows should fail.

    The outboxes lie in a new folder in `beside`: on a real disk, or commits cost nothing.
    """
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix="bench-", ignore_cleanup_errors=True) as folder:
        machine = describe(Cores.divide(available()), Path(folder))
        for together in _in_turn(parts):
            rounds = asyncio.run(run(plan, Path(folder), _say, together))
            yield {name: {"machine": machine} | found for name, found in rounds.items()}


def _in_turn(parts: dict[str, Part]) -> Iterator[dict[str, Part]]:
    """First all that go round by round, together; then the others, one by one."""
    if in_rounds := {name: part for name, part in parts.items() if not part.is_once}:
        yield in_rounds
    for name, part in parts.items():
        if part.is_once:
            yield {name: part}


def _say(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
