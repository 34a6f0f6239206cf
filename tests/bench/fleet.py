"""`make bench-fleet`: a host on Redis beside one with a file, what a primary can do, and what a call weighs.

Host, Redis and load share two cores here: the host has one for itself, all else is on the other. So it is a bad
day for Redis. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from storehop.deliver.engine import EngineError
from storehop.deliver.operations import Accept, Answer, Settle
from storehop.deliver.redis.engine import RedisEngine
from storehop.deliver.redis.place import Place
from storehop.model import Delivered, S2SCall
from storehop.settings import Delivery
from tests.bench import contestants
from tests.bench.contestants import Command, neighbours
from tests.bench.machine import Cores, available, describe, pinned, processor_seconds
from tests.bench.measures import FULL, QUICK, Plan, clicks, half_load, light_load
from tests.bench.rounds import Bench
from tests.bench.traffic import Kind
from tests.support.processes import ROOT
from tests.support.redis_servers import RedisServer
from tests.support.sentinels import RedisSet

SECONDS = 4.0
BATCHES = (1, 10, 100)
HOSTS = (1, 2, 3)
WEIGHED = 10_000
LINK = (
    "/com.example.game?pid=networka_int&c=spring_sale_android&af_siteid=1234567&af_sub_siteid=abcdef&clickid={}"
    "&advertising_id=0b3d3a5e-51f6-4bd4-b8c8-7d3a8c9d1e2f&af_click_lookback=7d&af_ref=NetworkA_{}&af_ip=198.51.100.77"
    "&af_ua=Mozilla%2F5.0%20%28Linux%3B%20Android%2012%3B%20Pixel%205%29%20AppleWebKit%2F537.36%20%28KHTML%2C%20like"
    "%20Gecko%29%20Chrome%2F121.0.6167.101%20Mobile%20Safari%2F537.36&af_lang=en-US&af_os_version=12"
    "&af_model=Pixel%205&redirect=false"
)
HEADERS = (
    ("User-Agent", "Mozilla/5.0 (Linux; Android 12; Pixel 5) AppleWebKit/537.36 Chrome/121.0.6167.101 Mobile"),
    ("X-Forwarded-For", "198.51.100.77"),
    ("Accept", "*/*"),
    ("Accept-Language", "en-US"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench-fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(dir=ROOT / ".venv", prefix="bench-", ignore_cleanup_errors=True) as folder:
        print(asyncio.run(beside_a_file(QUICK if quick else FULL, Path(folder))))  # noqa: T201  what it is for
    print(what_a_primary_does())  # noqa: T201
    print(what_a_call_weighs())  # noqa: T201


# a host


async def beside_a_file(plan: Plan, folder: Path) -> str:
    """Whole clicks, light load and half load: with a file, and with a primary, two replicas and three Sentinels."""
    cores = Cores.divide(available())
    rounds: list[dict] = []
    with pinned(cores.rest), RedisSet("7.0") as servers:
        shared = _on(servers.url)
        async with neighbours(cores.rest) as beside:
            bench = Bench(plan, folder, beside, cores, available(), _say)
            for _ in range(plan.rounds):
                found = {}
                for name, command in (("a file", contestants.storehop), ("Redis", shared)):
                    async with bench.running(command) as proxy:
                        whole = await clicks(proxy, beside, Kind.ANSWER, plan)
                        light = await light_load(proxy, Kind.ANSWER, plan)
                        half = await half_load(proxy, beside, max(whole["rate"], 2) / 2, plan)
                        found[name] = (whole, light, half)
                rounds.append(found)
    return _hosts_table(rounds, describe(cores, folder))


def _on(url: str) -> Callable[[contestants.Place], Command]:
    def storehop_on_redis(place: contestants.Place) -> Command:
        return contestants.storehop(place, "--outbox", url)

    return storehop_on_redis


def _hosts_table(rounds: Sequence[dict], machine: dict) -> str:
    lines = [
        "| outbox | whole clicks/s | processor time each | answer at light load, p50 | p99 | at half load, p50 | p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in rounds[0]:
        whole = statistics.median(one[name][0]["rate"] for one in rounds)
        cpu = statistics.median(one[name][0]["cpu_us"] or 0 for one in rounds)
        times = [
            statistics.median(pick(one[name]) for one in rounds)
            for pick in (
                lambda it: it[1]["p50"],
                lambda it: it[1]["p99"],
                lambda it: it[2]["answer"]["p50"],
                lambda it: it[2]["answer"]["p99"],
            )
        ]
        cells = [f"{value:.2f} ms" for value in times]
        lines.append(f"| {name} | {whole:,.0f} | {cpu:,.0f} µs | {' | '.join(cells)} |")
    ratios = sorted(one["Redis"][0]["rate"] / one["a file"][0]["rate"] for one in rounds)
    more = sorted(one["Redis"][1]["p50"] - one["a file"][1]["p50"] for one in rounds)
    bad = sum(one[name][0][key] for one in rounds for name in one for key in ("passed", "lost", "twice", "failed"))
    text = (
        f"Redis ÷ file in the same round: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
        f"median answer at light load {statistics.median(more):+.2f} ms; passed, lost, twice or failed: {bad:.0f}."
    )
    return "\n".join([*lines, "", text, str(machine), ""])


# a primary


def call(name: str) -> S2SCall:
    return S2SCall(name, "https://app.appsflyer.com", LINK.format(name, name), HEADERS, "games")


def work(url: str, name: str, batch: int, begin: float, done: multiprocessing.Queue) -> None:
    """What the outbox's thread of one host does: a batch that stores, and one that settles."""
    engine = RedisEngine(Place.from_url(url), Delivery())
    engine.run([])
    time.sleep(max(0.0, begin - time.monotonic()))
    number, taken = 0, []
    while time.monotonic() - begin < SECONDS:
        calls = [call(f"{name}-{number + place}") for place in range(batch)]
        start = time.monotonic()
        try:
            engine.run([Accept(it, f"{name}:{it.id}", 6.0, Answer(it.id.encode(), "x" * 150, 10.0)) for it in calls])
            taken.append(time.monotonic() - start)
            engine.run([Settle(it.id, f"{name}:{it.id}", Delivered(), "200") for it in calls])
        except EngineError as error:  # these clicks would have passed
            _say(f"    {error}")
        else:
            number += batch
    engine.close()
    done.put((number, statistics.median(taken)))


def what_a_primary_does() -> str:
    """Calls a second stored and settled, by hosts and by batch, with the share of a core that the primary uses."""
    lines = [
        "| hosts | calls a batch | clicks/s together | a batch stored, p50 | primary's share of a core | of a click |",
        "|---|---|---|---|---|---|",
    ]
    with RedisSet("7.0") as servers:
        for batch in BATCHES:
            for hosts in HOSTS:
                _say(f"  {hosts} hosts, batches of {batch}")
                rate, stored_s, busy = _together(servers, hosts, batch)
                each = f"{busy / rate * 1e6:,.0f} µs"
                cells = (hosts, batch, f"{rate:,.0f}", f"{stored_s * 1000:.2f} ms", f"{busy:.2f}", each)
                lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _together(servers: RedisSet, hosts: int, batch: int) -> tuple[float, float, float]:
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    begin = time.monotonic() + 3
    names = [f"h{place}b{batch}" for place in range(hosts)]
    processes = [context.Process(target=work, args=(servers.url, name, batch, begin, done)) for name in names]
    for process in processes:
        process.start()
    pid = servers.primary().pid
    time.sleep(max(0.0, begin - time.monotonic()))
    before = processor_seconds(pid)
    time.sleep(SECONDS)
    used = processor_seconds(pid) - before
    results = [done.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return sum(number for number, _ in results) / SECONDS, statistics.median(t for _, t in results), used / SECONDS


def what_a_call_weighs() -> str:
    """Bytes of the server's memory for a stored call and for its answer, beside the bytes of the call itself."""
    lines = [
        "| server | a call's URL and headers | stored | its answer, ten seconds | as max_outbox counts it |",
        "|---|---|---|---|---|",
    ]
    for version in ("7.0", "8.2"):
        with RedisServer(version) as server:
            engine = RedisEngine(Place.from_url(server.url), Delivery(outbox_replicas=0))
            engine.run([])
            alone = _growth(server, engine, "a", answer=False)
            both = _growth(server, engine, "b", answer=True)
            state = {
                key: int(value)
                for key, value in server.client().hgetall("{storehop}:state").items()
                if key in {"pending", "dead"}
            }
            counted = state["pending"] / (2 * WEIGHED)
            engine.close()
            raw = len(call("a-1000").url) + sum(len(name) + len(value) for name, value in HEADERS)
            lines.append(f"| {version} | {raw:,} | {alone:,.0f} | {both - alone:,.0f} | {counted:,.0f} |")
    return "\n".join([*lines, ""])


def _growth(server: RedisServer, engine: RedisEngine, name: str, *, answer: bool) -> float:
    before = int(server.info("memory")["used_memory"])
    for first in range(0, WEIGHED, engine.most):
        calls = [call(f"{name}-{first + place}") for place in range(engine.most)]
        answers = [Answer(f"{it.id:32}".encode(), "x" * 150, 600.0) if answer else None for it in calls]
        engine.run([Accept(it, f"x:{it.id}", 600.0, said) for it, said in zip(calls, answers, strict=True)])
    return (int(server.info("memory")["used_memory"]) - before) / WEIGHED


def _say(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
