"""Watchers: told of clicks one after another, and none of them can harm a click."""

import logging

import pytest

from storehop.decide.drift import Compared, Kind
from storehop.model import Delivered, Pass, Reason, Reply, Settled
from storehop.observe.watchers import Watcher, Watchers
from tests.support.observed import CALL, CLICK, DIRECT

SETTLED = Settled(CALL, Reply(200), Delivered(), 1, 0.034)
EVENTS = {
    "answered": (CLICK, Pass(Reason.NO_RULE), 0.00004, 0.001),
    "rehearsed": (CLICK, DIRECT),
    "retried": (CLICK, DIRECT),
    "amended": (DIRECT, DIRECT),
    "settled": (SETTLED,),
    "expired": (("c1", "c2"),),
    "drifted": ("games", "com.example.game", Compared(Kind.OTHER_APP)),
}
"""What each event comes with."""


class Journal(Watcher):
    """Writes down what it hears, into a list that it shares; raises what it is to raise."""

    def __init__(self, name, lines, error=None):
        self._name = name
        self._lines = lines
        self._error = error

    def __getattribute__(self, event):
        if event not in EVENTS:
            return super().__getattribute__(event)

        def hear(*what):
            self._lines.append((self._name, event, what))
            if self._error:
                raise self._error

        return hear


def test_there_is_an_event_for_each_method():
    """The table above has them all."""
    assert {name for name in vars(Watcher) if not name.startswith("_")} == set(EVENTS)


@pytest.mark.parametrize(("event", "what"), EVENTS.items(), ids=EVENTS)
def test_all_are_told_in_order(event, what):
    """The first one first, of everything, as it was said."""
    lines = []
    getattr(Watchers([Journal(name, lines) for name in "ab"]), event)(*what)

    assert [("a", event, what), ("b", event, what)] == lines


@pytest.mark.parametrize(("event", "what"), EVENTS.items(), ids=EVENTS)
def test_one_that_fails_harms_nobody(event, what, caplog):
    """Whoever tells goes on, the others are told, and the log has the error once."""
    lines = []
    getattr(Watchers([Journal("a", lines, RuntimeError("on purpose")), Journal("b", lines)]), event)(*what)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]

    assert ["a", "b"] == [name for name, _, _ in lines]
    assert [("storehop.observe.watchers", "on purpose")] == [
        (record.name, str(record.exc_info[1])) for record in errors
    ]


@pytest.mark.parametrize(("event", "what"), EVENTS.items(), ids=EVENTS)
def test_a_watcher_may_watch_a_part(event, what):
    """What it does not say anything about, it hears in vain."""
    assert getattr(Watcher(), event)(*what) is None


def test_the_end_of_the_process_is_no_failure():
    """An interrupt goes on to whoever ends the process."""
    with pytest.raises(KeyboardInterrupt):
        Watchers([Journal("a", [], KeyboardInterrupt())]).expired(("c1",))
