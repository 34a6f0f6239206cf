"""What keeps an audit's memory flat, and that its figures are right all the same."""

import asyncio
import tracemalloc
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.audit import names, pace
from storehop.audit.exchange import Exchange
from storehop.audit.pace import Peaks, Slots
from storehop.audit.repeats import SeenIds, Window
from storehop.audit.report import Sample
from storehop.audit.samples import Samples
from storehop.audit.tally import Tally
from storehop.decide.decision import decide
from storehop.duplicates import MAX_REMEMBERED, ClickAnswer, Duplicates
from storehop.model import Likeness
from tests.support.clicks import PIXEL, click, rule_set

NOON = 1_795_780_800.0
HINTS = ["", '"Pixel 8"', '"Pixel 9"']


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from(HINTS)), max_size=30))
def test_duplicates_are_those_of_the_live_host(steps):
    """Whatever clicks come in whatever time: the window says of each what `Duplicates` does, live."""
    now = NOON
    live = Duplicates(lambda: now)
    window = Window()

    async def accept(direct, key):
        return ClickAnswer(direct.call.id, direct.likeness.hints, direct.location), key

    async def run():
        nonlocal now
        for number, (seconds, which, hint) in enumerate(steps):
            now += seconds * 2.5
            link = f"https://app.appsflyer.com/com.example.game?c=c{which}"
            clicked = replace(click(link, {"Sec-CH-UA-Model": hint or None}), id=f"click-{number}")
            direct = decide(clicked, rule_set())
            answer = await live.once(direct, accept)
            assert bool(answer.repeats) == window.repeats(direct.likeness, now)

    asyncio.run(run())


def test_a_window_forgets_the_oldest_of_too_many():
    """As many clicks as live are remembered, in whatever order their times come."""
    window = Window()
    for number in range(MAX_REMEMBERED + 10):
        window.repeats(Likeness(number.to_bytes(16), ""), NOON)

    assert len(window._met) == MAX_REMEMBERED


def test_a_window_forgets_what_is_long_ago_or_far_ahead():
    """Recordings of several days may come in any order."""
    window = Window()
    for at in (NOON, NOON + 86_400, NOON - 86_400):
        for number in range(100):
            window.repeats(Likeness(f"{at}{number}".encode(), ""), at)

    assert len(window._met) <= 101


@pytest.mark.measures
def test_ids_that_were_never_seen_are_hardly_taken_for_repeated():
    """Of 200,000 ids none or almost none; each that comes again is known."""
    seen = SeenIds()
    ids = [f"NetworkA_{number:x}" for number in range(200_000)]

    assert sum(map(seen.repeats, ids)) <= 2
    assert all(map(seen.repeats, ids))


def test_a_full_filter_says_so(monkeypatch):
    """Behind the last id that it takes it knows only those that it has."""
    monkeypatch.setattr(SeenIds, "MAX_IDS", 3)
    seen = SeenIds()

    assert [False] * 4 == [seen.repeats(text) for text in "abcd"]
    assert seen.is_full
    assert (True, False) == (seen.repeats("a"), seen.repeats("d"))


times = st.lists(st.integers(0, 400), max_size=200)


@given(times)
def test_peak_and_p99_are_those_of_all_seconds(seconds):
    """In any order: the highest number of a second, and what 99 of 100 seconds with calls do not exceed."""
    peaks = Peaks()
    for second in seconds:
        peaks.add(NOON + second + 0.5)
    numbers = sorted(Counter(seconds).values())

    assert max(numbers, default=0) == peaks.highest
    expected = next((number for number in numbers if sum(one <= number for one in numbers) >= 0.99 * len(numbers)), 0)
    assert expected == peaks.p99()


def test_the_logs_of_several_servers_make_one_peak():
    """Each is read on its own, a whole day after a whole day: the calls of a second are those of all servers."""
    peaks = Peaks()
    for _ in range(3):
        for second in range(0, 86_400, 7):
            peaks.add(NOON + second)

    assert (3, 3) == (peaks.highest, peaks.p99())


@pytest.mark.parametrize("step_s", [1, 100_000])
def test_seconds_are_bounded(monkeypatch, step_s):
    """Older seconds become a number of seconds by their number of calls, wherever they stand."""
    monkeypatch.setattr(pace, "MAX_OPEN_BLOCKS", 2)
    monkeypatch.setattr(pace, "BLOCK", 10)
    peaks = Peaks()
    for second in range(1000):
        for _ in range(1 + second % 3):
            peaks.add(NOON + second * step_s)

    assert (3, 3) == (peaks.highest, peaks.p99())
    assert len(peaks._open) <= 2
    assert len(peaks._closed) == 3


@given(st.lists(st.tuples(st.integers(0, 10_000_000), st.booleans()), max_size=400))
def test_slots_hold_all_clicks(clicks):
    """At most 240 equal slots, in order, with every click in the slot of its time."""
    slots = Slots()
    for second, is_direct in clicks:
        slots.add(NOON + second, is_direct=is_direct)
    rows = slots.rows()

    assert len(rows) <= pace.MAX_SLOTS
    assert rows == sorted(rows)
    assert all(at % slots.width_s == 0 for at, _, _ in rows)
    expected = Counter(int(NOON + second) // slots.width_s * slots.width_s for second, _ in clicks)
    assert expected == {at: number for at, number, _ in rows}
    assert sum(is_direct for _, is_direct in clicks) == sum(direct for _, _, direct in rows)


@pytest.mark.parametrize("at", [None, float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e18])
def test_what_is_no_time_is_none(at):
    """A broken clock is no reason to stop."""
    assert not pace.is_time(at)


def test_samples_are_spread_over_the_whole():
    """Each click has the same chance to be shown: over many figures each tenth of the clicks has a tenth of them."""
    samples = Samples()
    for figure in range(1000):
        for place in range(100):
            samples.add(f"{figure}", lambda place=place: Sample(f"{place}", "", ""))
    tenths = Counter(int(one.place) // 10 for found in samples.by_figure().values() for one in found)

    assert sum(tenths.values()) == 3000
    assert all(230 < tenths[tenth] < 370 for tenth in range(10)), tenths


def test_few_samples_are_all_shown():
    """Two clicks are two samples."""
    samples = Samples()
    for place in "ab":
        samples.add("direct", lambda place=place: Sample(place, "", ""))

    assert ["a", "b"] == [one.place for one in samples.by_figure()["direct"]]


def with_hostile_names(count):
    """Exchanges whose names are all different ones, and long."""
    for number in range(count):
        name = f"{number}{'x' * 1000}"
        location = f"https://app.appsflyer.com/com.example.g{number}?c={name}&pid={name}&{name[:99]}=1&clickid=K1"
        yield Exchange(1, headers={"user-agent": PIXEL}, status=302, location=location)


@pytest.mark.measures
def test_hostile_names_take_bounded_memory(monkeypatch):
    """Thousands of long names of apps, campaigns, sources and parameters: the last ones cost nothing."""
    monkeypatch.setattr(names, "MAX_NAMES", 400)
    rules, marks = rule_set(), []
    before = Tally(rules)
    for exchange in with_hostile_names(1600):  # fills the caches of decisions, which have bounds of their own
        before.add(exchange, "a.log")
    tally = Tally(rules)
    tracemalloc.start()
    try:
        for number, exchange in enumerate(with_hostile_names(1600), 1):
            tally.add(exchange, "a.log")
            if number % 400 == 0:
                marks.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert marks[3] <= marks[2] * 1.05, marks
