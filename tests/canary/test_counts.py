"""One rule's counts: what is late, and what is in a row."""

import pytest

from storehop.canary.counts import RuleCounts
from storehop.canary.figures import total
from storehop.model import Dead, DeadReason, Delivered, Reply, RetryIn, S2SCall, Settled
from storehop.settings import Rule

BEGUN = 1_800_000_000.0


def call(at):
    """A call whose click came then."""
    digits = f"{int(at * 1000):012x}"
    return S2SCall(f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000", "https://app.appsflyer.com", "/a", (), "games")


def settled(of, verdict=None, age=0.1):
    return Settled(of, Reply(200), verdict or Delivered(), 1, age)


@pytest.fixture
def counts():
    return RuleCounts(Rule("games"), BEGUN)


def test_a_call_that_hangs_is_late(counts):
    """Nothing is heard of it; five seconds after its slice it is late."""
    for n in range(10):
        counts.direct(call(BEGUN + n / 10), BEGUN + n / 10, 0.001)
    young, old = counts.figures(BEGUN + 4), counts.figures(BEGUN + 11)
    assert (young.minute.calls, old.minute.calls, old.step.calls, old.minute.in_time) == (0, 10, 10, 0)


def test_a_call_that_is_delivered_soon_is_in_time(counts):
    """Whichever process delivers it."""
    counts.direct(call(BEGUN), BEGUN, 0.001)
    other = RuleCounts(Rule("games"), BEGUN)
    other.settled(settled(call(BEGUN), age=4.9), BEGUN + 4.9)
    other.settled(settled(call(BEGUN), age=5.1), BEGUN + 5.1)
    assert counts.figures(BEGUN + 11).minute.calls == 1
    assert other.figures(BEGUN + 11).minute.in_time == 1


def test_a_minute_forgets_and_a_step_does_not(counts):
    """The same holds for calls and for what became of them."""
    counts.direct(call(BEGUN), BEGUN, 0.001)
    counts.settled(settled(call(BEGUN)), BEGUN + 0.1)
    counts.control(BEGUN, 0.001)
    for later in (65, 80, 1000):
        found = counts.figures(BEGUN + later)
        assert (found.step.direct, found.step.calls, found.step.in_time, found.step.ended) == (1, 1, 1, 1)
        assert (found.minute.direct, found.minute.control, found.minute.ended) == (0, 0, 0)
    assert (found.minute.calls, found.minute.in_time) == (0, 0)


def test_refusals_are_in_a_row_until_a_call_is_taken(counts):
    """A 4xx or a redirect is one; a pause until the next attempt is nothing."""
    verdicts = [Dead(DeadReason.REJECTED), RetryIn(1), Dead(DeadReason.REDIRECT_NOT_HONOURED)]
    heard = [counts.settled(settled(call(BEGUN), one), BEGUN + 1) for one in verdicts]
    assert heard == [True, False, True]
    assert len(counts.figures(BEGUN + 1).refused_at) == 2
    counts.settled(settled(call(BEGUN)), BEGUN + 2)
    found = counts.figures(BEGUN + 2)
    assert (found.refused_at, found.taken_at, found.step.refused) == ([], BEGUN + 2, 2)


def test_other_dead_letters_are_no_refusals(counts):
    """They have a limit of their own."""
    counts.settled(settled(call(BEGUN), Dead(DeadReason.AMBIGUOUS)), BEGUN + 1)
    counts.expired(call(BEGUN).id, BEGUN + 120)
    found = counts.figures(BEGUN + 120)
    assert (found.step.ended, found.step.dead, found.step.refused) == (2, 2, 0)


def test_calls_of_before_the_step_do_not_count(counts):
    """A rule that a person resumed is not stopped by what it did before."""
    before = call(BEGUN - 1)
    counts.direct(before, BEGUN, 0.001)
    counts.settled(settled(before, Dead(DeadReason.REJECTED)), BEGUN + 1)
    counts.expired(before.id, BEGUN + 1)
    assert counts.figures(BEGUN + 11).is_empty


def test_clicks_that_failed_are_told_by_slices(counts):
    """Newest first: clicks in the share, and those that failed."""
    counts.failed(BEGUN)
    counts.direct(call(BEGUN + 21), BEGUN + 21, 0.001)
    counts.failed(BEGUN + 22)
    counts.failed(BEGUN + 42)
    assert counts.figures(BEGUN + 44).slices == [(1, 1), *[(0, 0)] * 3, (2, 1), *[(0, 0)] * 3, (1, 1)]


def test_a_moment_s_stall_is_one_slow_answer(counts):
    """However many clicks waited for it."""
    for n in range(100):
        counts.direct(call(BEGUN + n / 1000), BEGUN + n / 1000, 0.4)
        counts.control(BEGUN + n / 1000, 0.4)
    counts.direct(call(BEGUN + 1), BEGUN + 1, 0.4)
    found = counts.figures(BEGUN + 1).minute
    assert (sum(found.direct_times), sum(found.control_times), found.direct) == (2, 1, 101)


def test_memory_is_bounded(counts):
    """However long a step lasts, and whatever the clock does."""
    for second in range(0, 100_000, 7):
        counts.control(BEGUN + second, 0.001)
    counts.control(BEGUN - 1e6, 0.001)
    counts.control(BEGUN + 1e6, 0.001)
    assert len(counts._slices) <= 14
    assert counts.figures(BEGUN + 1e6).step.control == 100_000 // 7 + 3


def test_an_id_that_says_no_time_counts_now(counts):
    """Such as those of tests."""
    for text in ("", "click-1", "00000000-0000-4000-8000-000000000000"):
        counts.direct(S2SCall(text, "https://a", "/", ()), BEGUN + 1, 0.001)
    assert counts.figures(BEGUN + 11).minute.calls == 3


@pytest.mark.parametrize("back_s", [0.5, 3600, 86400])
def test_a_clock_that_was_set_back_hides_nothing(counts, back_s):
    """What comes now is of this step, though its time lies before it."""
    counts.settled(settled(call(BEGUN + 1)), BEGUN + 1)
    now = BEGUN - back_s
    counts.direct(call(now), now, 0.001)
    for _ in range(3):
        counts.settled(settled(call(now), Dead(DeadReason.REJECTED)), now + 0.1)
    found = counts.figures(now + 0.2)
    assert (found.step.direct, found.step.refused) == (1, 3)
    assert len(total([found]).refused_at) == 3


def test_what_came_before_the_step_does_not_count(counts):
    """Of a rule as it was, or from before a person's resume."""
    counts.direct(call(BEGUN - 0.5), BEGUN + 0.1, 0.001)
    counts.settled(settled(call(BEGUN - 0.5), Dead(DeadReason.REJECTED)), BEGUN + 0.1)
    assert counts.figures(BEGUN + 1).is_empty


def test_a_dead_letter_that_a_person_revives_does_not_count(counts):
    """Its click came long ago, and what became of it then has been counted."""
    counts.direct(call(BEGUN), BEGUN, 0.001)
    counts.settled(settled(call(BEGUN), age=9.0), BEGUN + 9)
    weeks = BEGUN + 1e6
    assert not counts.settled(settled(call(BEGUN), Dead(DeadReason.REJECTED), age=1.0), weeks)
    counts.settled(settled(call(BEGUN), age=1.0), weeks)
    found = counts.figures(weeks + 20)
    assert (found.step.ended, found.step.refused, found.step.calls, found.step.in_time) == (1, 0, 1, 0)


def test_a_call_that_waited_for_an_outage_to_end_counts(counts):
    """It is as old as its click."""
    assert counts.settled(settled(call(BEGUN), Dead(DeadReason.REJECTED), age=3000.0), BEGUN + 3000)
