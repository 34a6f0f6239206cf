"""The counts of several processes: their marks, and what they add up to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.canary.figures import CLASSES, LASTING, MAX_RUN, Figures, Sums, Taps, total
from storehop.canary.sums import Counted, Others, from_text, to_text

COUNTS = st.integers(0, 10**6)
SUMS = st.builds(Sums, *[COUNTS] * 8, *[st.lists(COUNTS, min_size=CLASSES, max_size=CLASSES)] * 2)
FIGURES = st.builds(
    Figures,
    begun=st.integers(0, 10**9).map(float),
    minute=SUMS,
    step=SUMS,
    slices=st.lists(st.tuples(COUNTS, COUNTS), min_size=LASTING, max_size=LASTING),
    taken_at=st.integers(0, 10**9).map(float),
    refused_at=st.lists(st.integers(0, 10**9).map(float), max_size=MAX_RUN),
    open_s=st.integers(0, 99).map(float),
    drifted=COUNTS,
    taps=st.builds(Taps, st.lists(COUNTS, min_size=2, max_size=2), st.lists(COUNTS, min_size=2, max_size=2)),
)


def one(figures=None, step="5", resumed=0.0):
    return Counted(step, resumed, 0.0, figures or Figures())


@given(FIGURES)
def test_a_mark_is_read_as_it_was_written(figures):
    """Every figure comes back."""
    rules = {"games": one(figures)}
    assert from_text(to_text(12.5, rules)) == (12.5, rules)


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_a_mark_that_can_t_be_read_says_nothing(text):
    """It may be of another version."""
    assert from_text(text) == (0.0, {})
    assert from_text(json.dumps({"v": 1, "at": 1, "rules": {"games": ["5", 0, 0, text]}})) == (1.0, {})
    assert from_text(json.dumps({"v": 1, "at": 1, "rules": text})) == (0.0, {})


HUGE = 10**400


@pytest.mark.parametrize(
    ("change", "places"),
    [
        (HUGE, (0,)),
        (float("nan"), (0,)),
        (float("inf"), (6,)),
        (HUGE, (1, 0)),
        ([], (1, 0)),
        (7, (2, 8)),
        (True, (2, 0)),
        ([], (3,)),
        ([[1, 1]] * (LASTING + 1), (3,)),
        (HUGE, (3, 0, 0)),
        (float("nan"), (4,)),
        ([float("inf")], (5,)),
        ([1.0] * (MAX_RUN + 1), (5,)),
        (HUGE, (7,)),
        (float("nan"), (8, 4)),
    ],
    ids=lambda one: str(one)[:30],
)
def test_figures_that_can_t_be_judged_say_nothing(change, places):
    """What comes of a mark can be added up and judged, whoever wrote it."""
    raw = json.loads(to_text(1.0, {"games": one()}))
    part = raw["rules"]["games"][3]
    for place in places[:-1]:
        part = part[place]
    part[places[-1]] = change
    raw["rules"]["well"] = json.loads(to_text(1.0, {"well": one()}))["rules"]["well"]
    assert from_text(json.dumps(raw)) == (1.0, {"well": one()})


@pytest.mark.parametrize("text", ["[" * 100_000, f'{{"v":1,"at":{HUGE},"rules":{{}}}}'], ids=["deep", "huge"])
def test_no_text_raises(text):
    """A mark is anybody's who can write to the outbox."""
    assert from_text(text) == (0.0, {})


@pytest.mark.parametrize(("field", "change"), [(0, "nan"), (0, 5), (1, "nan"), (2, float("inf"))])
def test_a_step_a_resume_or_a_level_that_is_none_says_nothing(field, change):
    """They are shown, and compared."""
    raw = json.loads(to_text(1.0, {"games": one()}))
    raw["rules"]["games"][field] = change
    assert from_text(json.dumps(raw)) == (1.0, {})


def test_a_mark_of_a_busy_rule_is_small():
    """Below 4 KB where a few rules are watched."""
    busy = Sums(*[123_456] * 8, [9999] * CLASSES, [9999] * CLASSES)
    figures = Figures(1.8e9, busy, busy, [(9999, 999)] * LASTING, 1.8e9, [1.8e9] * MAX_RUN, 31.5, 1)
    assert len(to_text(1.8e9, {"games": one(figures)})) < 2000


@given(FIGURES, FIGURES)
def test_counts_add_up_in_any_order(first, second):
    """No process is more than another."""
    assert total([first, second]) == total([second, first])
    assert total([first, second]).step.ended == first.step.ended + second.step.ended


@pytest.mark.parametrize(
    ("processes", "run"),
    [
        ([(10, [11, 12]), (9, [13])], 3),
        ([(10, [11, 12]), (11.5, [13])], 2),
        ([(10, [11, 12]), (14, [])], 0),
        ([(0, [11]), (0, [12]), (0, [13])], 3),
    ],
)
def test_refusals_are_in_a_row_over_processes(processes, run):
    """Those that came after any of them has seen AppsFlyer take a call."""
    parts = [Figures(taken_at=taken, refused_at=list(refused)) for taken, refused in processes]
    assert len(total(parts).refused_at) == run


@pytest.fixture
def others():
    """Has listened before anybody spoke."""
    found = Others("canary:me")
    found.hear({}, 0)
    return found


def heard(others, text, now, **of):
    others.hear({"canary:b": text, "stop:games": "{}", "canary:me": to_text(1, {"games": one()})}, now)
    return list(others.of("games", of.get("step", "5"), of.get("resumed", 0.0), now))


def test_what_another_process_says_counts(others):
    """Our own mark does not, nor do marks of another kind."""
    assert heard(others, to_text(1, {"games": one()}), 0) == ["canary:b"]


def test_a_process_that_says_nothing_new_counts_no_more(others):
    """After ten seconds; after a minute its mark is taken away."""
    text = to_text(1, {"games": one()})
    heard(others, text, 0)
    assert heard(others, text, 9) == ["canary:b"]
    assert heard(others, text, 10) == []
    assert (others.gone(59, 2), others.gone(60, 2)) == ([], ["canary:b"])


def test_an_old_mark_is_taken_away_soon():
    """Processes that are killed each half minute live too short to see that one says nothing for a minute."""
    others = Others("canary:me")
    heard(others, to_text(1000, {"games": one()}), 0)
    assert (others.gone(10, 1600), others.gone(9, 1601), others.gone(10, 1601)) == ([], [], ["canary:b"])


def test_a_process_whose_clock_is_behind_keeps_its_mark():
    """It writes."""
    others = Others("canary:me")
    for now in range(0, 30, 5):
        heard(others, to_text(1000 + now, {"games": one()}), now)
        assert others.gone(now, 9999) == []


def test_what_lay_there_before_may_be_an_ended_process_s():
    """It counts once it changes."""
    others = Others("canary:me")
    assert heard(others, to_text(1, {"games": one()}), 0) == []
    assert heard(others, to_text(2, {"games": one()}), 1) == ["canary:b"]


def test_only_the_same_step_adds_up(others):
    """Another percent has other shares; what was counted before a resume counts no more, nor what comes after one
    of which we have not heard.
    """
    text = to_text(1, {"games": one(step="5", resumed=7.0)})
    assert heard(others, text, 0, step="25") == []
    assert heard(others, text, 0, resumed=8.0) == []
    assert heard(others, text, 0, resumed=6.0) == []
    assert heard(others, text, 0, resumed=7.0) == ["canary:b"]
