"""The stops of a process: what it reads of the outbox's marks, writes there, and says."""

import asyncio
import logging

import pytest

from storehop.canary.stop import BY_HAND, Resumed, Stop
from storehop.canary.stops import Stops
from storehop.decide.rules import EVERY_RULE, RuleSet
from storehop.deliver.outbox import Outbox
from tests.support.memory_engine import MemoryEngine
from tests.support.memory_outbox import MemoryOutbox

STOP = Stop("games", 1_780_000_000.0, "s2s_refused", "3 S2S calls in a row were refused")


@pytest.fixture
def shared():
    """What all processes share."""
    return MemoryOutbox()


@pytest.fixture
async def start(shared):
    """Starts one more process: its stops, which look only when they are told to."""
    outboxes = []

    def make():
        outbox = Outbox(MemoryEngine(shared), f"process-{len(outboxes)}")
        outboxes.append(outbox)
        used = []
        stops = Stops(outbox, used.append)
        stops.used, stops.outbox = used, outbox
        return stops

    yield make
    for outbox in outboxes:
        await outbox.close()


@pytest.fixture
async def stops(start):
    return start()


def resume(shared, because="mended", stop=STOP):
    """As a person's command does it."""
    shared.marks.pop(stop.mark, None)
    resumed = Resumed(stop.rule, stop.since + 35, because, stop.since)
    shared.marks[resumed.mark] = resumed.to_text()


class Party:
    """Publishes a count, and keeps what it hears."""

    def __init__(self, name="one", error=None):
        self.name, self.error, self.heard_marks = name, error, []

    def marks(self):
        if self.error:
            raise self.error
        return {f"count:{self.name}": "7", "count:gone": None}

    def heard(self, marks):
        self.heard_marks.append(dict(marks))


async def test_a_mark_stops_a_rule(stops, shared):
    """Whoever wrote it."""
    shared.marks[STOP.mark] = STOP.to_text()

    await stops.look()

    assert (stops.current, stops.used) == ({"games": STOP}, [frozenset({"games"})])


async def test_a_mark_that_can_not_be_read_stops_its_rule(stops, shared):
    """On any doubt clicks pass."""
    shared.marks["stop:games"] = "{"

    await stops.look()

    assert stops.names == {"games"}


async def test_other_marks_stop_nothing(stops, shared):
    """They are a party's."""
    shared.marks["count:games"] = "7"

    await stops.look()

    assert stops.used == []


async def test_a_rule_goes_on_when_it_is_resumed(stops, shared):
    """At the next look."""
    shared.marks[STOP.mark] = STOP.to_text()
    await stops.look()
    resume(shared)

    await stops.look()

    assert stops.used[-1] == frozenset()


async def test_nothing_is_told_twice(stops, shared):
    """A look that finds what was there changes no rules."""
    shared.marks[STOP.mark] = STOP.to_text()

    await stops.look()
    await stops.look()

    assert len(stops.used) == 1


async def test_a_stop_holds_here_at_once(stops):
    """Before its mark is written."""
    stops.stop(STOP)

    assert stops.used == [frozenset({"games"})]


async def test_a_stop_reaches_the_others(start):
    """Their next look finds it."""
    one, other = start(), start()
    one.stop(STOP)

    await one.look()
    await other.look()

    assert other.current == {"games": STOP}


async def test_the_first_cause_stays(stops):
    """A second stop of the same rule changes nothing."""
    stops.stop(STOP)

    stops.stop(Stop("games", 1_790_000_000.0, BY_HAND, "a person"))

    assert stops.current["games"] == STOP


async def test_the_first_cause_stays_where_two_processes_find_one(stops, shared):
    """A stop that comes while another process's is read is not written over it."""
    shared.marks[STOP.mark] = STOP.to_text()
    look = asyncio.ensure_future(stops.look())
    await asyncio.sleep(0)
    stops.stop(Stop("games", 1_790_000_000.0, BY_HAND, "a person"))
    await look
    await stops.look()

    assert Stop.of_marks(shared.marks) == {"games": STOP} == stops.current


async def test_a_fault_takes_no_stop_away(stops, shared):
    """The last known ones stay, until the marks can be read."""
    shared.marks[STOP.mark] = STOP.to_text()
    await stops.look()
    shared.marks, shared.fault = {}, "disk full"

    await stops.look()

    assert stops.names == {"games"}


async def test_a_stop_during_a_fault_is_written_after_it(stops, shared):
    """Else a restart would forget it."""
    shared.fault = "disk full"
    stops.stop(STOP)
    await stops.look()
    shared.fault = None

    await stops.look()

    assert Stop.of_marks(shared.marks) == {"games": STOP}


async def test_a_person_may_resume_what_was_written_late(stops, shared):
    """It is written once."""
    stops.stop(STOP)
    await stops.look()
    resume(shared)

    await stops.look()

    assert (stops.names, STOP.mark in shared.marks) == (frozenset(), False)


async def cut_off(start, shared, others_stop):
    """A process that can't reach the outbox stops the rule, as others do in whose sight a person resumes it."""
    stops = start()
    await stops.look()
    shared.fault = "cut off"
    stops.stop(STOP)
    await stops.look()
    shared.fault = None
    shared.marks[others_stop.mark] = others_stop.to_text()
    return stops


async def test_a_stop_of_before_a_resume_is_not_written_after_it(start, shared):
    """The person meant it, whoever had found it."""
    theirs = Stop("games", STOP.since + 1, "s2s_late", "late")
    stops = await cut_off(start, shared, theirs)
    resume(shared, stop=theirs)

    await stops.look()

    assert (stops.names, STOP.mark in shared.marks) == (frozenset(), False)


async def test_the_first_cause_stays_where_one_process_was_cut_off(start, shared):
    """Its own cause is not written over the one that people read."""
    theirs = Stop("games", STOP.since + 1, "s2s_late", "late")
    stops = await cut_off(start, shared, theirs)

    await stops.look()

    assert stops.current == {"games": theirs} == Stop.of_marks(shared.marks)


async def test_a_resume_that_was_known_before_a_stop_does_not_end_it(start, shared):
    """Though it seems to be later: it was made where the clock is ahead."""
    resume(shared)
    stops = start()
    await stops.look()
    shared.fault = "cut off"
    stops.stop(STOP)
    await stops.look()
    shared.fault = None

    await stops.look()

    assert Stop.of_marks(shared.marks) == {"games": STOP}


async def test_an_outbox_that_has_lost_a_stop_gets_it_again(stops, shared, caplog):
    """A file was set aside, a server has come back empty: nobody has resumed the rule, so it stays stopped."""
    stops.stop(STOP)
    await stops.look()
    shared.marks.clear()
    await stops.look()
    is_stopped = stops.names == {"games"}
    await stops.look()

    assert (is_stopped, Stop.of_marks(shared.marks)) == (True, {"games": STOP})
    assert "the outbox has lost that rule games is stopped: it is written again" in caplog.messages


async def test_a_resumption_of_an_earlier_stop_ends_nothing(stops, shared):
    """The mark of this one was lost."""
    stops.stop(STOP)
    await stops.look()
    shared.marks.clear()
    resume(shared, stop=Stop("games", STOP.since - 60, BY_HAND, "earlier"))

    await stops.look()

    assert stops.names == {"games"}


async def test_a_stop_that_was_resumed_between_two_looks_with_a_later_one_is_over(stops, shared):
    """Only the later one's resumption is there."""
    stops.stop(STOP)
    await stops.look()
    shared.marks.clear()
    resume(shared, stop=Stop("games", STOP.since + 0.1, BY_HAND, "once more"))

    await stops.look()

    assert stops.names == frozenset()


async def test_a_stop_that_comes_while_the_marks_are_read_stays(stops, shared):
    """The look began before it, and can't know of it."""
    look = asyncio.ensure_future(stops.look())
    await asyncio.sleep(0)
    stops.stop(STOP)

    await look

    assert stops.names == {"games"}


async def test_a_stop_is_written_before_the_end(stops, shared):
    """Though no look comes any more."""
    stops.stop(STOP)

    await stops.close()

    assert STOP.mark in shared.marks


async def test_stops_are_unknown_before_the_first_look(stops):
    """So no click may go direct."""
    assert not stops.are_known


async def test_stops_are_known_after_a_look(stops):
    """There are none."""
    await stops.look()

    assert stops.are_known


async def test_stops_are_unknown_after_a_look_that_failed(stops, shared):
    """Another process may have stopped a rule meanwhile."""
    await stops.look()
    shared.fault = "disk full"

    await stops.look()

    assert not stops.are_known


async def test_the_first_click_waits_for_the_stops(stops, shared):
    """It gets the rules with them."""
    shared.marks[STOP.mark] = STOP.to_text()
    stops.begin()

    rules = await stops.up_to_date(RuleSet())

    assert rules.is_stopped("games")


async def test_a_click_does_not_wait_while_the_outbox_is_down(stops, shared):
    """It passes anyway."""
    shared.fault = "disk full"
    await stops.look()

    await asyncio.wait_for(stops.up_to_date(RuleSet()), 0.5)

    assert not stops.are_known


async def test_a_click_after_a_fault_looks_at_once(stops, shared):
    """It does not wait for the next look's time."""
    shared.fault = "disk full"
    stops.begin()
    while not stops.outbox.fault:
        await asyncio.sleep(0.001)
    shared.fault = None
    await stops.outbox.check()

    await asyncio.wait_for(stops.up_to_date(RuleSet()), 0.5)

    assert stops.are_known


async def test_a_party_publishes_and_hears_in_one_look(stops, shared):
    """What it published is among what it hears."""
    shared.marks |= {"count:other": "3", "count:gone": "9"}
    party = Party()
    stops.join(party)

    await stops.look()

    assert party.heard_marks == [{"count:one": "7", "count:other": "3"}]


async def test_a_party_hears_nothing_of_a_look_that_failed(stops, shared):
    """Nobody knows what the others say."""
    party = Party()
    stops.join(party)
    shared.fault = "disk full"

    await stops.look()

    assert party.heard_marks == []


async def test_a_party_that_fails_harms_no_stop(stops, shared):
    """The marks are read all the same."""
    stops.join(Party(error=ValueError("ours")))
    shared.marks[STOP.mark] = STOP.to_text()

    await stops.look()

    assert stops.names == {"games"}


async def test_a_stop_is_a_warning(stops, caplog):
    """With the rule, the cause and the signal."""
    stops.stop(STOP)

    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        "rule games is stopped: 3 S2S calls in a row were refused (s2s_refused, since 2026-05-28T20:26:40Z)",
    )


async def test_a_stop_of_all_rules_says_so(stops, caplog):
    """The star is nobody's name."""
    stops.stop(Stop(EVERY_RULE, 0.0, BY_HAND, "store page broken"))

    assert caplog.records[0].getMessage().startswith("all rules are stopped: store page broken (by_hand")


async def test_going_on_is_said_with_the_reason(stops, shared, caplog):
    """The one that a person gave."""
    caplog.set_level(logging.INFO)
    stops.stop(STOP)
    await stops.look()
    resume(shared, "the page is back")

    await stops.look()

    assert caplog.records[-1].getMessage() == "rule games goes on after a stop of 35 s: the page is back"


async def test_what_can_not_be_read_of_a_resumption_is_none(stops, shared):
    """Nothing depends on it."""
    assert Resumed.of_marks({"resumed:games": "{", "resumed:apps": "[]", "stop:x": "{}"}) == {}


HOSTILE = (
    "[" * 100_000,
    '{"since": 1e999, "signal": "x", "why": "x"}',
    f'{{"since": 1{"0" * 400}, "signal": "x", "why": "x"}}',
    '{"since": NaN, "signal": "x", "why": "x"}',
    '{"since": 1780000000000, "signal": "x", "why": "in milliseconds"}',
    '{"since": -1e15, "signal": "x", "why": "x"}',
    '{"since": 1780000000, "signal": null, "why": ["\\ud800"]}',
    "{\n\x1b[2J",
)
"""What nobody can read, or say."""


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_mark_ends_the_looks(stops, shared, text):
    """Whoever wrote it: the rule is stopped, and the next mark is read."""
    shared.marks["stop:games"] = text
    shared.marks["resumed:other"] = text.replace("since", "stopped_since")
    await stops.look()
    shared.marks["stop:news"] = Stop("news", 1_780_000_000.0, BY_HAND, "a person").to_text()

    await stops.look()

    assert (stops.names, stops.are_known) == ({"games", "news"}, True)


async def test_a_mark_s_words_are_one_line(stops, shared, caplog):
    """They go into the log, to terminals, and into /readyz."""
    shared.marks[STOP.mark] = Stop("games", 1.0, "x\ny", "a\n\x1b[2J\ud800b" + "c" * 9999).to_text()
    shared.marks["stop:n\new\x1b"] = "{\n\x1b"

    await stops.look()

    assert all(one.isprintable() and len(one) < 1000 for one in caplog.messages)
    assert len(caplog.messages) == 2


async def test_a_look_that_fails_in_our_own_code_is_not_the_last(stops, shared):
    """No click goes direct meanwhile, and the rules hear of the stop at the next look."""
    shared.marks[STOP.mark] = STOP.to_text()
    use, stops._use = stops._use, None
    await stops.look()
    assert not stops.are_known
    stops._use = use

    await stops.look()

    assert (stops.used, stops.are_known) == ([frozenset({"games"})], True)
