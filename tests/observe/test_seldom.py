"""One line a minute, with a count."""

import pytest

from storehop.observe.seldom import PAUSE_S, Seldom, since_last


class Clock:
    """Moved by the test."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def seldom(clock):
    return Seldom(clock)


def test_the_first_is_said_at_once(seldom):
    """Also where the clock has just begun."""
    assert 1 == seldom.count()
    assert 1 == Seldom(lambda: 0.0).count()


def test_more_within_the_minute_are_not_said(seldom, clock):
    """A flood is one line."""
    seldom.count()
    clock.now += PAUSE_S - 1

    assert [0] * 1000 == [seldom.count() for _ in range(1000)]


def test_the_next_line_says_how_many_came_since_the_last(seldom, clock):
    """Its own cause is one of them; those of the line before are not."""
    for _ in range(5):
        seldom.count()
    clock.now += PAUSE_S

    assert [5, 0] == [seldom.count(), seldom.count()]


def test_a_line_after_a_quiet_minute_is_about_itself(seldom, clock):
    """Nothing was left unsaid."""
    seldom.count()
    clock.now += 10 * PAUSE_S

    assert 1 == seldom.count()


def test_the_pause_may_be_another(clock):
    """In seconds."""
    seldom = Seldom(clock, pause_s=5)
    seldom.count()
    clock.now += 5

    assert 1 == seldom.count()


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, ""), (2, " (2 times since the last such line)"), (1204, " (1,204 times since the last such line)")],
)
def test_a_count_in_words(count, words):
    """Only where there is something to count."""
    assert words == since_last(count)
