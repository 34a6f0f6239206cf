"""What a look at the outbox comes to: sweeps, probes, what is overdue, and how soon to look again."""

import asyncio
import logging
import threading

import pytest

from storehop.deliver import recovery as module
from storehop.deliver.breakers import Breakers
from storehop.deliver.operations import Release, Sweep
from storehop.deliver.recovery import BUSY_LOOK_S, IDLE_LOOK_S, Recovery
from storehop.model import Failure, Fault, S2SCall
from storehop.settings import Delivery

ORIGIN = "https://af.test"
LEASE_S = 6.0
SOON_S = 60.0
DOWN = Failure(Fault.CONNECT, maybe_sent=False)


def call(name="c1", origin=ORIGIN):
    return S2SCall(name, origin, f"/{name}", ())


@pytest.fixture
def breakers():
    return Breakers()


@pytest.fixture
def recovery(outbox, breakers, monkeypatch):
    """It takes what is due without the time that a task of its own might need."""
    monkeypatch.setattr(module, "OVERDUE_S", 0.0)
    return Recovery(outbox, breakers)


async def look(recovery, **settings):
    return await recovery.look(Delivery(**settings), LEASE_S)


async def names_when_due(recovery, **settings):
    """Ids of the next look that claims something: recovery's budget fills up from nothing."""
    async with asyncio.timeout(60):
        while not (found := (await look(recovery, **settings)).overdue):
            await asyncio.sleep(0.01)
    return [claim.call.id for claim in found]


async def test_an_empty_outbox_is_looked_at_about_once_a_second(recovery):
    """Nothing is sent, nobody hears of anything."""
    found = await look(recovery)

    assert ([], [], (), IDLE_LOOK_S) == (found.probes, found.overdue, found.expired, found.pause_s)


async def test_what_another_process_left_is_overdue(recovery, other):
    """Its lease has lapsed."""
    await other.accept(call(), 0.0)

    assert ["c1"] == await names_when_due(recovery)


async def test_what_is_due_is_looked_at_again_soon(recovery, other, monkeypatch):
    """It is overdue in a moment: a look that came too early must not cost a second."""
    monkeypatch.setattr(module, "OVERDUE_S", 60.0)
    await other.accept(call(), 0.0)
    found = await look(recovery)

    assert ([], BUSY_LOOK_S) == (found.overdue, found.pause_s)


async def test_what_is_due_to_an_origin_that_is_down_hurries_nobody(recovery, other, breakers):
    """It waits for the probe."""
    await other.accept(call(), 0.0)
    for _ in range(20):
        breakers.record(ORIGIN, DOWN)
    await look(recovery)

    assert IDLE_LOOK_S == (await look(recovery)).pause_s


async def test_after_work_it_looks_again_soon(recovery, other):
    """There may be more."""
    await other.accept(call(), 0.0)
    await asyncio.sleep(0.05)  # the budget's first call
    found = await look(recovery)

    assert (1, BUSY_LOOK_S) == (len(found.overdue), found.pause_s)


async def test_a_call_that_is_too_old_is_given_up(recovery, other):
    """Its watcher hears the id."""
    await other.accept(call(), 0.0)

    assert ("c1",) == (await look(recovery, max_age=0.0)).expired


async def test_an_open_breaker_is_probed_by_one_call(recovery, other, breakers, monkeypatch):
    """The others wait."""
    await other.accept(call("c1"), 0.0)
    await other.accept(call("c2"), 0.0)
    for _ in range(5):
        breakers.record(ORIGIN, DOWN)
    monkeypatch.setattr(breakers[ORIGIN], "_next_probe", 0.0)
    found = await look(recovery)
    again = await look(recovery)

    assert (1, [], []) == (len(found.probes), found.overdue, again.probes)


async def test_no_origin_hinders_another(recovery, other, breakers):
    """What goes to an origin that works is sent."""
    await other.accept(call("down"), 0.0)
    await other.accept(call("up", "https://other.test"), 0.0)
    for _ in range(5):
        breakers.record(ORIGIN, DOWN)

    assert ["up"] == await names_when_due(recovery)


@pytest.mark.parametrize(("is_down", "due"), [(True, 0), (False, 2)])
async def test_what_waits_for_an_origin_that_is_down_is_no_load(recovery, other, breakers, is_down, due):
    """It takes no slot from a click of now."""
    await other.accept(call("c1"), 0.0)
    await other.accept(call("c2"), 0.0)
    for _ in range(5 * is_down):
        breakers.record(ORIGIN, DOWN)
    await look(recovery)

    assert (2, due) == (recovery.swept.due, recovery.due)


async def test_a_fault_leaves_the_rest_to_the_next_look(recovery, engine, other, disk_full):
    """And what it had found out by then is not forgotten."""
    await other.accept(call(), 0.0)
    engine.error = disk_full
    during = await look(recovery)
    engine.error = None
    after = await look(recovery, max_age=0.0)

    assert ((), ("c1",)) == (during.expired, after.expired)


async def test_a_mistake_of_ours_ends_nothing(recovery, monkeypatch, caplog):
    """What is stored must not wait for a restart."""
    with monkeypatch.context() as broken:
        broken.setattr(recovery, "_sweep", lambda _max_age_s: 1 / 0)
        await look(recovery)
    await look(recovery)

    assert ["looking at the outbox failed in our own code"] == caplog.messages


WEAK = "appendfsync is everysec: a power cut loses a second of clicks"


async def lines_of_remarks(recovery, engine, caplog, *times):
    """(level, message) of each line that is said while the engine's remarks change from look to look."""
    caplog.set_level(logging.INFO, module.__name__)
    for engine.remarks in times:
        await look(recovery)
    return [(record.levelname, record.message) for record in caplog.records]


async def test_a_remark_of_the_engine_is_said_once(recovery, engine, caplog):
    """The promise is weaker than people think; nothing fails."""
    lines = await lines_of_remarks(recovery, engine, caplog, (WEAK,), (WEAK,))

    assert [("WARNING", f"the outbox {engine.where}: {WEAK}")] == lines


async def test_a_remark_that_goes_is_said_once(recovery, engine, caplog):
    """Whoever mended it sees that it worked."""
    _, *lines = await lines_of_remarks(recovery, engine, caplog, (WEAK,), (), ())

    assert [("INFO", f"the outbox {engine.where}: no longer: {WEAK}")] == lines


async def test_of_several_remarks_only_what_changes_is_said(recovery, engine, caplog):
    """The others are known."""
    _, *lines = await lines_of_remarks(recovery, engine, caplog, (WEAK,), ("no replica", WEAK))

    assert [("WARNING", f"the outbox {engine.where}: no replica")] == lines


async def test_a_fault_is_no_end_of_a_remark(recovery, engine, disk_full, caplog):
    """An engine that is away knows nothing of its settings, and has the same ones when it is back."""
    await lines_of_remarks(recovery, engine, caplog, (WEAK,))
    caplog.clear()
    engine.error, engine.remarks, recovery._next_sweep = disk_full, (), 0.0
    await look(recovery)
    is_down = recovery._outbox.fault is not None
    await look(recovery)
    engine.error, engine.remarks = None, (WEAK,)
    await look(recovery)

    assert (True, None) == (is_down, recovery._outbox.fault)
    assert [] == [record.message for record in caplog.records if WEAK in record.message]


async def test_a_faulty_outbox_is_asked_as_often_as_clicks_would_wait(recovery, outbox, engine, disk_full):
    """A shared one may have another primary any moment."""
    engine.error = disk_full
    await look(recovery)
    outbox.patience_s = 0.3

    assert 0.3 == (await look(recovery)).pause_s


async def test_what_fails_right_after_a_probe_is_a_fault(engine, outbox, disk_full, monkeypatch):
    """However late the loop hears that the probe went well: else nobody would ever probe again, nor claim."""
    run, has_failed = engine.run, threading.Event()

    def fail_after_the_probe(batch):
        if isinstance(batch[0], Release):
            raise disk_full
        if isinstance(batch[0], Sweep):
            has_failed.set()
        return run(batch)

    monkeypatch.setattr(engine, "run", fail_after_the_probe)
    asked = [asyncio.create_task(one) for one in (outbox.check(), outbox.release("x"), outbox.sweep(120))]
    await asyncio.sleep(0)
    has_failed.wait(SOON_S)
    await asyncio.gather(*asked, return_exceptions=True)

    assert str(disk_full) == outbox.fault
