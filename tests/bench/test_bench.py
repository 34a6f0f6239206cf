"""The benchmark works: its generators and neighbours agree, and a tiny run gives every figure of the main tables."""

import asyncio
import re
from contextlib import suppress

import pytest

from tests.bench.__main__ import measure
from tests.bench.contestants import neighbours
from tests.bench.generators import at_rate, by_hand, by_wrk, one_by_one
from tests.bench.http2 import in_http2
from tests.bench.measures import TINY, percentiles
from tests.bench.report import GOALS, with_ratios
from tests.bench.rounds import Part, loading_only, stock, storehop
from tests.bench.tables import RATES, markdown
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


async def test_a_connection_that_was_closed_while_idle_is_not_asked_again():
    """As a proxy's own limit does in a long run: a click on it would look like one that storehop did not answer."""

    async def serve(reader, writer):
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: https://play.google.com/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        timed = await at_rate(server.sockets[0].getsockname()[1], Kind.ANSWER, "a", rate=50, seconds=1)

    assert len(timed.answered) > len(timed.asked) * 3 / 4  # a click may meet the close; else every second one is lost


@pytest.mark.parametrize("program", ["wrk", None])
async def test_no_value_of_a_hostile_click_comes_twice(program):
    """Neither User-Agent nor address nor hints: each request's head is one of its own."""
    generate = by_wrk if program and need(program) else by_hand
    heads = []

    async def serve(reader, writer):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        answers = await generate(server.sockets[0].getsockname()[1], Kind.HOSTILE, "r0n", 1)

    assert 10 < answers.plain <= len(heads)
    for name in ("User-Agent", "X-Forwarded-For", "Sec-CH-UA-Model", "Accept-Language"):
        values = [re.search(rf"^{name}: (.*)$", head, re.MULTILINE)[1] for head in heads]
        assert len(heads) == len(set(values))
        assert not any("@" in value for value in values)


def test_a_request_in_http2_is_the_same():
    """Method, host and path become pseudo-header fields, the others keep their order and values."""
    request = b"GET /ad?slot=7 HTTP/1.1\r\nHost: ads.example\r\nUser-Agent: a: b\r\nAccept: */*\r\n\r\n"

    assert [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"ads.example"),
        (b":path", b"/ad?slot=7"),
        (b"user-agent", b"a: b"),
        (b"accept", b"*/*"),
    ] == in_http2(request)


def test_fifty_browsers_click():
    """User-Agents are distinct, so that caches see a mix."""
    assert 50 == len(set(user_agents()))


def test_a_tiny_run_gives_every_figure(tmp_path):
    """Storehop and stock mitmdump alone: what can be measured of them is in the report."""
    [measured] = measure(TINY, tmp_path, {"speed": Part((loading_only, stock, storehop))})
    found = with_ratios(measured)

    median = found["parts"]["speed"]["median"]
    assert set(RATES) - {"naive, clicks", "nginx, forwarding"} <= set(median)
    assert {goal.name for goal in GOALS if goal.part == "speed"} - {"naive", "watching"} == set(found["goals"])
    assert 0 < median["storehop, clicks"]["rate"]
    assert 0 == median["storehop, clicks"]["lost"] == median["storehop, clicks"]["twice"]
    assert "| storehop, whole clicks |" in markdown(found)
