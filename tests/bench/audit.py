"""`make bench-audit`: how fast `storehop audit` reads, and how much memory it takes, for JSON lines and flow files.

Each recording is of varied clicks: 54 phones, 1,000 apps, 300 campaigns, each click with its own id and address. The
command runs as a process of its own on one core, with a JSON report and a page. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.machine import available, pinned, processor
from tests.support.processes import ROOT
from tests.support.recorded_clicks import RULES, clicks, write_flows, write_json_lines

LINES = (100_000, 1_000_000, 3_000_000)
FLOWS = (10_000, 100_000)
QUICK_LINES = (20_000, 100_000)
QUICK_FLOWS = (2_000, 10_000)
REFERENCE_MS = 2.0
"""What 100,000 additions take on the machine for which the targets are set."""


class Run(NamedTuple):
    """One audit."""

    seconds: float
    """Of processor time: the machine does other things, too."""
    peak_mb: float
    page_kb: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench-audit", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small recordings")
    quick = parser.parse_args().quick
    print("| recording | clicks | seconds | µs a click | on the reference machine | peak memory | page |")  # noqa: T201
    print("|---|---|---|---|---|---|---|")  # noqa: T201
    with tempfile.TemporaryDirectory(dir=ROOT / ".venv", prefix="bench-", ignore_cleanup_errors=True) as folder:
        for row in _rows(Path(folder), quick=quick):
            print(row, flush=True)  # noqa: T201
    print(f"\n{processor()}; Python {platform.python_version()}; 100,000 additions take {additions_ms():.1f} ms")  # noqa: T201


def _rows(folder: Path, *, quick: bool) -> Iterator[str]:
    (folder / "rules.yaml").write_text(RULES)
    kinds = (
        ("JSON lines", write_json_lines, QUICK_LINES if quick else LINES),
        ("flow file", write_flows, QUICK_FLOWS if quick else FLOWS),
    )
    for name, write, sizes in kinds:
        for number in sizes:
            file = write(folder / "recording", clicks(number))
            yield _row(name, number, file)
            file.unlink()


def _row(name: str, number: int, file: Path) -> str:
    before = additions_ms()
    run = audited(file)
    scale = (before + additions_ms()) / 2 / REFERENCE_MS
    return (
        f"| {name} | {number:,} | {run.seconds:.1f} | {run.seconds / number * 1e6:.0f} |"
        f" {run.seconds / scale:.1f} s ({scale:.1f} times as fast) | {run.peak_mb:.0f} MB | {run.page_kb:.0f} kB |"
    )


def additions_ms() -> float:
    """Processor time of 100,000 additions in Python, so that no load of others is in it."""

    def taken() -> float:
        begin, total = time.process_time(), 0
        for number in range(100_000):
            total += number
        return time.process_time() - begin

    return min(taken() for _ in range(10)) * 1000


def audited(file: Path) -> Run:
    """One audit of this recording, on one core. Fails where it does not end well."""
    folder = file.parent
    page = folder / "r.html"
    command = [sys.executable, "-O", "-m", "storehop", "audit", str(file), "--rules", str(folder / "rules.yaml")]
    command += ["--json", str(folder / "r.json"), "--html", str(page)]
    core = frozenset(sorted(available())[:1]) or None
    with pinned(core), (folder / "said").open("wb") as said:
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, said.fileno(), 1)])
        _, status, used = os.wait4(pid, 0)
    if status:
        raise RuntimeError((folder / "said").read_text())
    return Run(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, page.stat().st_size / 1000)


if __name__ == "__main__":
    main()
