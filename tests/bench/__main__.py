"""`make bench`: storehop beside stock mitmdump, a naive addon and nginx, all on this machine, as ratios.

Prints a table in Markdown on standard output, progress on standard error, and writes everything as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.bench.measures import FULL, QUICK, Plan
from tests.bench.report import markdown, with_ratios
from tests.bench.rounds import EVERYBODY, run
from tests.support.processes import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: an idea within 90 seconds")
    parser.add_argument("--json", type=Path, default=ROOT / ".venv" / "bench.json", help="where the JSON goes")
    options = parser.parse_args()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    found = measure(QUICK if options.quick else FULL, options.json.parent)
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(f"{markdown(found)}\n")


def measure(plan: Plan, beside: Path, who: tuple = EVERYBODY) -> dict:
    """The whole report. The outboxes lie in a new folder in `beside`: on a real disk, or commits cost nothing."""
    with tempfile.TemporaryDirectory(dir=beside, prefix="bench-", ignore_cleanup_errors=True) as folder:
        return with_ratios(asyncio.run(run(plan, Path(folder), _say, who)))


def _say(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
