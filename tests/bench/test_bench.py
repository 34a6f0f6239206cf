"""The benchmark works: its generators and neighbours agree, and a tiny run gives every figure."""

import asyncio

import pytest

from tests.bench.__main__ import measure
from tests.bench.contestants import neighbours
from tests.bench.generators import at_rate, by_hand, by_wrk, one_by_one
from tests.bench.measures import TINY, percentiles
from tests.bench.report import GOALS, RATES, markdown
from tests.bench.rounds import loading_only, stock, storehop
from tests.bench.traffic import Kind, user_agents
from tests.support.needs import need


@pytest.mark.parametrize("program", ["wrk", None])
async def test_a_generator_counts_what_arrives(program):
    """Every redirect that a generator counts was asked for with an id of its own."""
    generate = by_wrk if program and need(program) else by_hand
    async with neighbours(None) as beside:
        answers = await generate(beside.ads, Kind.REWRITE, "a", 1)
        sent_on = await generate(beside.appsflyer, Kind.ANSWER, "b", 1)
        counts = await beside.ask("counts")

    assert answers.passed > 100
    assert (0, 0, 0) == (answers.direct, answers.failed, sent_on.failed)
    assert sent_on.plain <= counts["clicks"] == counts["calls"] <= sent_on.plain + 16


async def test_the_clients_time_every_answer():
    """At a rate, clicks are asked at that rate; one by one, each answer has its time."""
    async with neighbours(None) as beside:
        timed = await at_rate(beside.ads, Kind.PLAIN, "a", rate=200, seconds=0.5)
        taken = await asyncio.to_thread(one_by_one, beside.ads, Kind.PLAIN, "b", 0.1)

    assert 50 < len(timed.asked) < 150
    assert {} == timed.answered  # no answer was the store
    assert percentiles(taken)["p50"] <= percentiles(taken)["p99"]


def test_fifty_browsers_click():
    """User-Agents are distinct, so that caches see a mix."""
    assert 50 == len(set(user_agents()))


def test_a_tiny_run_gives_every_figure(tmp_path):
    """Storehop and stock mitmdump alone: what can be measured of them is in the report."""
    found = measure(TINY, tmp_path, (loading_only, stock, storehop))

    others = {"naive, clicks", "nginx, forwarding", "two workers, clicks"}
    assert set(RATES) - others <= set(found["median"])
    assert {goal.name for goal in GOALS} - {"naive", "watching", "workers"} == set(found["goals"])
    assert 0 < found["median"]["storehop, clicks"]["rate"]
    assert 0 == found["median"]["storehop, clicks"]["lost"] == found["median"]["storehop, clicks"]["twice"]
    assert "| storehop, whole clicks |" in markdown(found)
