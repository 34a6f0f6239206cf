"""What a fault held up is written as soon as there is room for a part of it."""

from __future__ import annotations

import pytest

from storehop.deliver.debts import Debts
from storehop.deliver.engine import EngineError, NoRoomError
from storehop.deliver.operations import Settle
from storehop.model import Delivered


class Narrow:
    """An engine with room for so many verdicts in a transaction."""

    most = 100

    def __init__(self, room):
        self.room = room
        self.written = []

    def run(self, operations):
        if len(operations) > self.room:
            raise NoRoomError("disk full")
        self.written += [operation.call_id for operation in operations]
        return [True] * len(operations)


def owing(engine, count=10):
    debts = Debts(engine)
    for number in range(count):
        debts.add(Settle(str(number), f"a:{number}", Delivered(), "200"))
    return debts


@pytest.mark.parametrize("room", [1, 3, 10])
def test_a_part_is_written_where_all_is_too_much(room):
    """A claim by another process would fit in: it must not come first."""
    engine = Narrow(room)
    debts = owing(engine)
    debts.pay()

    assert ([str(number) for number in range(10)], 0) == (engine.written, len(debts))


def test_where_there_is_no_room_all_is_still_owed():
    """And whoever asked hears of it."""
    debts = owing(Narrow(0))
    with pytest.raises(EngineError):
        debts.pay()

    assert 10 == len(debts)


def test_another_fault_is_met_once():
    """A lock that another process holds costs a second of waiting each time."""
    engine = Narrow(10)
    debts, tried = owing(engine), []

    def fail(operations):
        tried.append(len(operations))
        raise EngineError("locked")

    engine.run = fail
    with pytest.raises(EngineError):
        debts.pay()

    assert ([10], 10) == (tried, len(debts))
