"""One outbox for all workers, or one each: calls a second stored and settled (`python -m tests.bench.sharing`).

Each process does what the thread of a worker's outbox does: a commit that stores a batch, and one that settles it.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

from storehop.deliver.operations import Accept, Settle
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.model import Delivered, S2SCall

SECONDS = 3.0
ROUNDS = 3
BATCHES = (1, 8)
ORIGIN = "https://app.appsflyer.com"
HEADERS = (("User-Agent", "Mozilla/5.0 (Linux; Android 12; Pixel 5)"), ("Accept", "*/*"))


def work(file: Path, name: str, batch: int, begin: float, done: multiprocessing.Queue[int]) -> None:
    engine = SqliteEngine(file)
    time.sleep(max(0.0, begin - time.monotonic()))
    number = 0
    while time.monotonic() - begin < SECONDS:
        calls = [
            S2SCall(f"{name}-{number + place}", ORIGIN, f"/com.example.game?clickid=K{number}", HEADERS)
            for place in range(batch)
        ]
        engine.run([Accept(call, f"{name}:{call.id}", 6.0) for call in calls])
        engine.run([Settle(call.id, f"{name}:{call.id}", Delivered(), "200") for call in calls])
        number += batch
    engine.close()
    done.put(number)


def rate(files: list[Path], batch: int) -> float:
    """Calls a second of one process a file."""
    context = multiprocessing.get_context("spawn")
    done: multiprocessing.Queue[int] = context.Queue()
    for file in set(files):
        engine = SqliteEngine(file)
        engine.run([])
        engine.close()
    begin = time.monotonic() + 2
    processes = [
        context.Process(target=work, args=(file, f"p{place}", batch, begin, done)) for place, file in enumerate(files)
    ]
    for process in processes:
        process.start()
    total = sum(done.get(timeout=30) for _ in processes)
    for process in processes:
        process.join()
    return total / SECONDS


def main() -> None:
    for batch in BATCHES:
        figures: dict[str, list[float]] = {"one process": [], "two, one outbox": [], "two, one each": []}
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / f"{name}.db" for name in "abcd"]
                figures["one process"].append(rate(files[:1], batch))
                figures["two, one outbox"].append(rate([files[1]] * 2, batch))
                figures["two, one each"].append(rate(files[2:], batch))
        text = ", ".join(f"{name} {statistics.median(found):,.0f}/s" for name, found in figures.items())
        print(f"batches of {batch}: {text}")  # noqa: T201  what it is for


if __name__ == "__main__":
    main()
