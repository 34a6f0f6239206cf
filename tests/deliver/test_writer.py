"""The thread that writes the outbox: who hears what, and when."""

import asyncio
import fcntl
import logging
import threading

import pytest

from storehop.deliver import writer as module
from storehop.deliver.outbox import Outbox
from storehop.deliver.outbox_file import OutboxError
from storehop.deliver.writer import TooSlowError, Writer
from storehop.settings import Delivery
from tests.support.clocks import HandClock

SOON = 60.0
"""Seconds in which whatever a test waits for has happened."""


@pytest.fixture
async def writer(tmp_path):
    made = Writer(tmp_path / "outbox.db", HandClock(), Delivery())
    yield made
    await made.close()


class Disk:
    """Holds the writer's thread up, so that what comes next is one batch."""

    def __init__(self, writer):
        self._go_on = threading.Event()
        writer.post(lambda _outbox: self._go_on.wait(SOON), lambda _result, _error: None)

    def go_on(self):
        self._go_on.set()


@pytest.fixture
def disk(writer):
    held = Disk(writer)
    yield held
    held.go_on()


def fail(_outbox):
    raise ZeroDivisionError


def break_down(_outbox):
    raise OutboxError("disk I/O error")


def ignore(_result, _error=None):
    pass


async def after_all(writer):
    """Returns when everything so far is committed and told."""
    return await asyncio.wait_for(writer.submit(lambda _outbox: None), SOON)


async def test_a_step_has_its_result(writer):
    """What the step returns is what its caller gets."""
    assert 7 == await writer.submit(lambda _outbox: 7)


async def test_a_step_in_time_has_its_result(writer):
    """A quick disk makes no difference to `submit`."""
    assert 7 == await writer.submit_soon(lambda _outbox: 7, SOON, ignore)


async def test_a_step_in_time_is_not_late(writer):
    """Its result goes to one place alone."""
    late = []
    await writer.submit_soon(lambda _outbox: 7, SOON, late.append)
    await after_all(writer)

    assert [] == late


async def test_a_step_in_time_has_its_error(writer):
    """What the step raises is what its caller gets."""
    with pytest.raises(ZeroDivisionError):
        await writer.submit_soon(fail, SOON, ignore)


async def test_a_step_that_takes_too_long(writer, disk):
    """Its caller waits no longer than that."""
    with pytest.raises(TooSlowError):
        await writer.submit_soon(lambda _outbox: 7, 0.01, ignore)


async def test_a_late_result_goes_elsewhere(writer, disk):
    """What was committed after all can be taken back."""
    late = []
    with pytest.raises(TooSlowError):
        await writer.submit_soon(lambda _outbox: 7, 0.01, late.append)
    disk.go_on()
    await after_all(writer)

    assert [7] == late


async def test_the_result_of_a_caller_that_left_is_late(writer, disk):
    """A cancelled click's call is stored, and nobody waits for it."""
    late = []
    future = writer.submit_soon(lambda _outbox: 7, SOON, late.append)
    future.cancel()
    disk.go_on()
    await after_all(writer)

    assert [7] == late


async def test_an_error_that_is_late_is_dropped(writer, disk):
    """Nothing was committed, so there is nothing to take back."""
    late = []
    with pytest.raises(TooSlowError):
        await writer.submit_soon(fail, 0.01, late.append)
    disk.go_on()
    await after_all(writer)

    assert [] == late


async def test_a_failure_with_a_late_result_harms_no_other(writer, disk, caplog):
    """It is logged, and the next job of the batch has its result."""
    with pytest.raises(TooSlowError):
        await writer.submit_soon(lambda _outbox: 7, 0.01, lambda result: result / 0)
    disk.go_on()
    await after_all(writer)

    assert ["taking note of what was stored failed in our own code"] == caplog.messages


async def test_a_posted_step_has_its_result(writer):
    """`done` hears of it, without an error."""
    heard = []
    writer.post(lambda _outbox: 7, lambda *said: heard.append(said))
    await after_all(writer)

    assert [(7, None)] == heard


async def test_a_posted_step_has_its_error(writer):
    """`done` hears of it, without a result."""
    heard = []
    writer.post(fail, lambda result, error: heard.append((result, type(error))))
    await after_all(writer)

    assert [(None, ZeroDivisionError)] == heard


async def test_a_step_of_a_batch_that_was_rolled_back_has_no_result(writer, disk):
    """What it returned has not happened: there is an error alone."""
    heard = []
    writer.post(lambda _outbox: 7, lambda result, error: heard.append((result, type(error))))
    behind = writer.submit(break_down)
    disk.go_on()
    with pytest.raises(OutboxError):
        await asyncio.wait_for(behind, SOON)

    assert [(None, OutboxError)] == heard


async def test_jobs_end_in_the_order_in_which_they_came(writer, disk):
    """Whichever way they came in."""
    heard = []
    futures = []
    for number in range(6):
        if number % 2:
            writer.post(lambda _outbox, number=number: number, lambda result, _error: heard.append(result))
        else:
            futures.append(writer.submit(lambda _outbox, number=number: number))
            futures[-1].add_done_callback(lambda future: heard.append(future.result()))
    disk.go_on()
    await after_all(writer)

    assert [[0, 2, 4], [1, 3, 5]] == [[n for n in heard if n % 2 == odd] for odd in (0, 1)]


async def test_what_was_posted_runs_before_what_came_later(writer, disk):
    """A verdict that was posted before a claim is seen by it; each kind keeps its order."""
    ran = []
    for number in range(3):
        writer.post(lambda _outbox, number=number: ran.append(number), ignore)
        writer.submit(lambda _outbox, number=number: ran.append(number + 10))
    disk.go_on()
    await after_all(writer)

    assert [0, 1, 2] == [number for number in ran if number < 10]
    assert [10, 11, 12] == [number for number in ran if number >= 10]
    assert all(ran.index(number) < ran.index(number + 10) for number in range(3))


async def test_a_callback_that_fails_harms_no_other(writer, disk):
    """The jobs behind it have their results."""
    writer.post(lambda _outbox: 0, lambda result, _error: 1 / result)
    behind = writer.submit(lambda _outbox: 7)
    disk.go_on()

    assert 7 == await asyncio.wait_for(behind, SOON)


async def test_a_callback_that_fails_is_logged(writer, caplog):
    """It is our own mistake, and nobody else would say so."""
    writer.post(lambda _outbox: 0, lambda result, _error: 1 / result)
    await after_all(writer)

    assert ["taking note of what was stored failed in our own code"] == caplog.messages


async def test_a_step_that_fails_harms_no_other(writer, disk):
    """Each job of its batch is run again in a transaction of its own."""
    writer.post(fail, ignore)
    behind = writer.submit(Outbox.counts)
    disk.go_on()

    assert 0 == (await asyncio.wait_for(behind, SOON)).pending


async def test_what_waits_is_committed_before_the_end(writer, disk):
    """Closing drops nothing."""
    futures = [writer.submit(lambda _outbox, number=number: number) for number in range(3)]
    closing = asyncio.create_task(writer.close())
    disk.go_on()
    await asyncio.wait_for(closing, SOON)

    assert [0, 1, 2] == [future.result() for future in futures]


async def test_callbacks_have_run_before_the_end(writer):
    """Nothing is told after `close` has returned."""
    heard = []
    writer.post(lambda _outbox: 7, lambda result, _error: heard.append(result))
    await writer.close()

    assert [7] == heard


@pytest.mark.parametrize(
    "ask",
    [
        lambda writer: writer.submit(ignore),
        lambda writer: writer.submit_soon(ignore, SOON, ignore),
        lambda writer: writer.post(ignore, ignore),
    ],
    ids=["submit", "submit_soon", "post"],
)
async def test_nothing_is_taken_after_the_end(writer, ask):
    """Whoever asks hears so at once."""
    await writer.close()

    with pytest.raises(OutboxError, match="closed"):
        ask(writer)


async def test_closing_twice_is_closing(writer):
    """The second time there is nothing to do."""
    await writer.close()
    await asyncio.wait_for(writer.close(), SOON)


async def test_the_thread_ends(writer):
    """No thread outlives its writer."""
    await writer.close()

    assert writer._thread.is_alive() is False


async def store_too_late(writer, undo, late=ignore):
    """Has an item committed that nobody waits for any more."""
    given_up = threading.Event()

    def store(_outbox, items):
        given_up.wait(SOON)
        return items

    with pytest.raises(TooSlowError):
        await writer.submit_item(store, "item", 0.01, late, undo)
    given_up.set()
    await after_all(writer)


async def test_what_was_committed_too_late_is_undone_before_another_process_sees_it(writer):
    """The turn to write has not gone on by then."""
    undone = []

    def undo(_outbox, item):
        with writer.path.with_name("outbox.db-turn").open() as turn, pytest.raises(BlockingIOError):
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        undone.append(item)

    await store_too_late(writer, undo)

    assert ["item"] == undone


@pytest.mark.parametrize("undo", [break_down, fail])
async def test_who_comes_too_late_hears_of_it_where_undoing_fails(writer, undo):
    """It is committed, and must be taken back another way."""
    came_late = []
    await store_too_late(writer, lambda outbox, _item: undo(outbox), came_late.append)

    assert ["item"] == came_late


async def test_what_somebody_waits_for_is_not_undone(writer):
    """It came in time."""
    undone = []
    soon = writer.submit_item(lambda _outbox, items: items, "item", SOON, ignore, lambda *item: undone.append(item))

    assert ("item", []) == (await soon, undone)


async def test_no_step_overtakes_what_was_posted_before(writer, disk, monkeypatch):
    """However much was posted: a look for due calls must see every verdict."""
    monkeypatch.setattr(module, "MAX_BATCH", 3)
    done = []
    for number in range(10):
        writer.post(lambda _outbox, number=number: done.append(number), ignore)
    seen = writer.submit(lambda _outbox: list(done))
    disk.go_on()

    assert list(range(10)) == await asyncio.wait_for(seen, SOON)


class SlowLog(logging.Handler):
    """Takes its time over a line: whoever else has one to write comes in the meantime."""

    def __init__(self):
        super().__init__()
        self.lines = []
        self.has_begun = threading.Event()
        self.go_on = threading.Event()

    def handle(self, record):
        """Without the handler's own lock: as several handlers would do it."""
        self.lines.append(record.getMessage())
        self.has_begun.set()
        return self.go_on.wait(SOON)


async def test_a_fault_that_is_found_twice_at_once_is_logged_once(writer):
    """A commit that fails was slow, too: the thread and the event loop say so in the same moment."""
    log = SlowLog()
    logging.getLogger("storehop.deliver.writer").addHandler(log)
    try:
        failed = writer.submit(break_down)
        await asyncio.to_thread(log.has_begun.wait, SOON)
        held = asyncio.create_task(asyncio.to_thread(writer.hold_back, "slow"))
        await asyncio.wait([held], timeout=0.2)
        log.go_on.set()
        await asyncio.gather(held, failed, return_exceptions=True)
    finally:
        logging.getLogger("storehop.deliver.writer").removeHandler(log)

    assert [f"the outbox {writer.path} can't be used, clicks pass: disk I/O error"] == log.lines
