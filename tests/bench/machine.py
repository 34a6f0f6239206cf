"""The machine: what it is, which cores are whose, and what a process has used of it."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """Whose core is whose, so that load and proxy do not take each other's time. None: not pinned."""

    proxy: frozenset[int] | None
    rest: frozenset[int] | None

    @classmethod
    def divide(cls, available: set[int], workers: int = 1) -> Cores:
        """A core a worker, and the others for everything else; where there is none left for that, all are shared."""
        cores = sorted(available)
        if len(cores) <= workers:
            return cls(None, None)
        return cls(frozenset(cores[:workers]), frozenset(cores[workers:]))

    def __str__(self) -> str:
        if self.proxy is None or self.rest is None:
            return "shared by all"
        return f"proxy on {_names(self.proxy)}, load and neighbours on {_names(self.rest)}"


def _names(cores: frozenset[int]) -> str:
    return f"core {', '.join(map(str, sorted(cores)))}"


def available() -> set[int]:
    """The cores that this process may use; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def pin(pid: int, cores: set[int] | frozenset[int] | None) -> None:
    """Keeps a process that has just begun (0: this one), and what it starts, on these cores."""
    if cores:
        os.sched_setaffinity(pid, cores)


@contextmanager
def pinned(cores: frozenset[int] | None) -> Iterator[None]:
    """Keeps this process on these cores until the block ends."""
    before = os.sched_getaffinity(0) if cores else None
    pin(0, cores)
    try:
        yield
    finally:
        pin(0, before)


def open_files(wanted: int) -> int:
    """How many files this process, and what it starts, may have open: as many as wanted, where it may ask for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft, hard = wanted, max(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):  # only root may have more than `hard`
            _, soft = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    return soft


def processor_seconds(pid: int) -> float | None:
    """Processor time of a process and its children so far; None where /proc does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(processor_seconds(int(child)) or 0.0 for child in children)


def resident_megabytes(pid: int) -> float | None:
    """VmRSS of a process; None where /proc does not tell."""
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None


def commit_milliseconds(folder: Path) -> float:
    """Median time of one SQLite commit as the outbox makes it (WAL, FULL) in this folder."""
    db = sqlite3.connect(folder / "commits.db", isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE rows (text TEXT)")
        taken = []
        for _ in range(50):
            begin = time.perf_counter()
            db.execute("INSERT INTO rows VALUES (?)", ("x" * 700,))
            taken.append(time.perf_counter() - begin)
    finally:
        db.close()
    return statistics.median(taken) * 1000


def loop_milliseconds() -> float:
    """Least time of 100,000 additions in Python: tells whether two runs' absolute figures can be compared."""

    def taken() -> float:
        begin, total = time.perf_counter(), 0
        for number in range(100_000):
            total += number
        return time.perf_counter() - begin

    return min(taken() for _ in range(10)) * 1000


@cache
def processor() -> str:
    """What the processor calls itself."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def describe(cores: Cores, folder: Path) -> dict[str, object]:
    """Everything that figures depend on, for the report."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "pinning": str(cores),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "mitmproxy": version("mitmproxy"),
        "storehop": version("storehop"),
        "load": "wrk" if shutil.which("wrk") else "bundled generator",
        "nginx": _nginx_version(),
        "commit_ms": round(commit_milliseconds(folder), 3),
        "loop_ms": round(loop_milliseconds(), 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def _nginx_version() -> str | None:
    nginx = shutil.which("nginx")
    if nginx is None:
        return None
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    return said.rpartition("/")[2].strip()
