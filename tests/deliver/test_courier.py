"""The courier with a real outbox and a server on loopback: accepted, held, amended, sent again, let go."""

import asyncio
from dataclasses import dataclass

import pytest

from storehop.deliver import policy, recovery
from storehop.deliver.courier import Courier, NotAcceptedError
from storehop.deliver.operations import Accept, Answer, Remember
from storehop.deliver.outbox import Outbox
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.deliver.wire import Wire
from storehop.model import Dead, DeadReason, Delivered, OutboxCounts, Reason, RetryIn, S2SCall
from storehop.settings import Delivery
from tests.support.clocks import HandClock

SOON_S = 60.0
"""Time in which whatever a test waits for has happened."""
LONG_S = 600.0
"""Time that no test waits for."""


class Watcher:
    """Hands out what it hears, one after another."""

    def __init__(self):
        self.heard = asyncio.Queue()
        self.expired_ids = asyncio.Queue()

    def settled(self, settled):
        self.heard.put_nowait(settled)

    def expired(self, call_ids):
        self.expired_ids.put_nowait(call_ids)

    async def verdict(self):
        return (await asyncio.wait_for(self.heard.get(), SOON_S)).verdict


@dataclass
class Process:
    """What one process has of its own."""

    courier: Courier
    outbox: Outbox
    watcher: Watcher


@pytest.fixture
async def start(path):
    """Starts one more process on the same outbox, with tasks that start at once, as mitmproxy has them."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    started = []

    def make(delivery=Delivery(timeout=SOON_S), engine=None, workers=1):  # noqa: B008  it is frozen
        watcher = Watcher()
        outbox = Outbox(engine or SqliteEngine(path), f"process-{len(started)}")
        outbox.patience_s = SOON_S  # a busy machine's disk is no slow disk
        courier = Courier(Wire.through(None), outbox, delivery, watcher, workers)
        started.append(courier)
        return Process(courier, outbox, watcher)

    yield make
    for courier in started:
        if not courier._closing.is_set():
            await courier.close(0.0)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Probes and looks at the outbox come sooner than in production."""
    monkeypatch.setattr(policy, "PROBE_PAUSE_S", 0.2)
    monkeypatch.setattr(recovery, "IDLE_LOOK_S", 0.2)


@pytest.fixture
async def one(start):
    return start()


@pytest.fixture
async def two(start, one):
    return start()


def call(appsflyer, name="c1", query="", headers=()):
    return S2SCall(name, appsflyer.origin, f"/{name}{query}", headers)


def answered(text="https://play", key=b"click"):
    return Answer(key, text, 10.0)


def stored(path):
    """Ids and states of what stands in the outbox."""
    from storehop.deliver.operations import ListCalls  # noqa: PLC0415

    engine = SqliteEngine(path)
    try:
        return {one.id: one.state for one in engine.run([ListCalls()])[0]}
    finally:
        engine.close()


async def until(is_so):
    """Returns when it is so."""
    async with asyncio.timeout(SOON_S):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_call_goes_at_once(one, appsflyer):
    """With no poll in between."""
    await one.courier.accept(call(appsflyer))

    assert Delivered() == await one.watcher.verdict()


async def test_a_delivered_call_is_stored_no_more(one, appsflyer, path):
    """The outbox holds what is not delivered yet."""
    await one.courier.accept(call(appsflyer))
    await one.watcher.verdict()

    assert {} == stored(path)


async def test_a_call_is_sent_again_when_it_is_time(one, appsflyer):
    """An ordinary retry has a timer of its own."""
    appsflyer.statuses = [503, 503]
    await one.courier.accept(call(appsflyer))
    verdicts = [await one.watcher.verdict() for _ in range(3)]

    assert [RetryIn, RetryIn, Delivered] == [type(verdict) for verdict in verdicts]


async def test_ordinary_retries_are_not_paced(start, appsflyer):
    """Pacing is for recovery: many calls that meet a 503 are all sent again within their own waits."""
    one = start(Delivery(timeout=SOON_S, recovery_rate=0.1))
    appsflyer.statuses = [503] * 4
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await asyncio.gather(*(one.courier.accept(call(appsflyer, f"c{n}")) for n in range(4)))
    verdicts = [await one.watcher.verdict() for _ in range(8)]

    assert 4 == verdicts.count(Delivered())
    assert loop.time() - begin < 10  # at the recovery's rate: 40 s


async def test_a_call_that_is_not_sent_again_in_time_is_no_load(start, appsflyer, path):
    """AppsFlyer asks for a pause that is longer than the click counts: it waits in the outbox until it is too old."""
    one = start(Delivery(timeout=SOON_S, max_age=LONG_S))
    appsflyer.statuses, appsflyer.retry_after = [429], 2 * LONG_S
    await one.courier.accept(call(appsflyer))
    await one.watcher.verdict()
    await until(lambda: not any(task.get_name() == "c1" for task in one.courier._tasks))

    assert (0, {"c1": "due"}) == (one.courier._pausing.total(), stored(path))


async def test_a_call_whose_lease_lapses_as_it_is_sent_is_sent_once(start, appsflyer, path):
    """As when the machine sleeps: this very process may claim it again, and settles it by the new lease."""
    clock = HandClock()
    one = start(engine=SqliteEngine(path, clock=clock))
    appsflyer.statuses = [0]
    await one.courier.accept(call(appsflyer))
    await asyncio.wait_for(appsflyer.was_called.wait(), SOON_S)
    (under_way,) = one.courier._attempts._under_way.values()
    first = under_way.claim
    clock.pass_time(1.2 * SOON_S)
    await until(lambda: under_way.claim != first)
    appsflyer.writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert Delivered() == await one.watcher.verdict()
    assert (["/c1"], {}) == (appsflyer.targets, stored(path))


async def test_what_another_process_left_is_sent(one, start, appsflyer, path):
    """After its lease has lapsed."""
    left = Outbox(SqliteEngine(path), "left")
    await left.accept(call(appsflyer), 0.0)
    await left.close()

    assert Delivered() == await one.watcher.verdict()


async def test_what_gets_too_old_is_given_up(start, appsflyer, path):
    """A click is worth nothing later; somebody hears of it."""
    left = Outbox(SqliteEngine(path), "left")
    await left.accept(call(appsflyer), 0.0)
    await left.close()
    one = start(Delivery(max_age=0.0))

    assert ("c1",) == await asyncio.wait_for(one.watcher.expired_ids.get(), SOON_S)


async def test_workers_share_a_concurrency(start):
    """A process's calls at the same time are over all its workers."""
    assert [16, 1] == [start(Delivery(concurrency=c), workers=4).courier._attempts.concurrency for c in (64, 2)]


# held calls


async def test_a_held_call_is_stored_before_it_goes(one, appsflyer, path):
    """A crash while it waits loses nothing."""
    await one.courier.accept(call(appsflyer), hold_s=LONG_S)

    assert ({"c1": "leased"}, []) == (stored(path), appsflyer.targets)


async def test_a_held_call_goes_when_its_time_has_come(one, appsflyer):
    """As it was, where nobody has amended it."""
    await one.courier.accept(call(appsflyer), hold_s=0.01)
    await one.watcher.verdict()

    assert ["/c1"] == appsflyer.targets


async def test_a_held_call_that_has_gone_is_not_amended(one, appsflyer):
    """Whoever comes too late changes nothing."""
    await one.courier.accept(call(appsflyer), hold_s=0.01)
    await one.watcher.verdict()

    assert (False, ["/c1"]) == (await one.courier.amend(call(appsflyer, query="?more")), appsflyer.targets)


async def test_an_amended_call_goes_at_once_in_place_of_the_first(one, appsflyer):
    """One call, with what came later in it; the watcher hears of it as it went."""
    await one.courier.accept(call(appsflyer), hold_s=LONG_S)
    await one.courier.amend(call(appsflyer, query="?more"))
    settled = await asyncio.wait_for(one.watcher.heard.get(), SOON_S)

    assert (call(appsflyer, query="?more"), ["/c1?more"]) == (settled.call, appsflyer.targets)


async def test_a_call_is_amended_once(one, appsflyer):
    """The second time it has gone."""
    await one.courier.accept(call(appsflyer), hold_s=LONG_S)

    assert [True, False] == [await one.courier.amend(call(appsflyer, query=f"?{n}")) for n in range(2)]


async def test_the_end_of_a_hold_changes_nothing_of_an_amended_call_under_way(one, appsflyer, path):
    """It settles by its own lease."""
    appsflyer.statuses = [0]
    await one.courier.accept(call(appsflyer), hold_s=0.2)
    await one.courier.amend(call(appsflyer, query="?more"))
    await asyncio.wait_for(appsflyer.was_called.wait(), SOON_S)
    await until(lambda: [task.get_name() for task in one.courier._tasks].count("c1") == 1)
    appsflyer.writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert Delivered() == await one.watcher.verdict()
    assert (["/c1?more"], {}) == (appsflyer.targets, stored(path))


async def test_a_call_that_is_not_held_can_not_be_amended(one, appsflyer):
    """It is on its way."""
    appsflyer.statuses = [0]
    await one.courier.accept(call(appsflyer))

    assert await one.courier.amend(call(appsflyer, query="?more")) is False


async def test_an_amended_call_is_sent_again_as_amended(one, appsflyer):
    """A retry is the same bytes."""
    appsflyer.statuses = [503]
    await one.courier.accept(call(appsflyer), hold_s=LONG_S)
    await one.courier.amend(call(appsflyer, query="?more"))
    verdicts = [await one.watcher.verdict(), await one.watcher.verdict()]

    assert (["/c1?more"] * 2, [RetryIn, Delivered]) == (appsflyer.targets, [type(v) for v in verdicts])


async def test_a_call_that_another_process_holds_is_amended(one, two, appsflyer):
    """The browser's retry may come to any of them; one call is sent."""
    await one.courier.accept(call(appsflyer), hold_s=LONG_S)
    await two.courier.amend(call(appsflyer, query="?more"))
    await two.watcher.verdict()
    await one.courier.close(SOON_S)

    assert ["/c1?more"] == appsflyer.targets


async def test_a_hold_that_another_process_ended_is_no_lost_lease(one, two, appsflyer, caplog):
    """It is the ordinary way: nobody is warned."""
    await one.courier.accept(call(appsflyer), hold_s=LONG_S)
    await two.courier.amend(call(appsflyer, query="?more"))
    await one.courier.close(SOON_S)

    assert [] == caplog.messages


async def test_two_processes_amend_a_call_once(one, two, appsflyer):
    """Whichever is first."""
    await one.courier.accept(call(appsflyer), hold_s=LONG_S)
    amended = await asyncio.gather(
        *(process.courier.amend(call(appsflyer, query=f"?{n}")) for n, process in enumerate((one, two)))
    )

    assert [False, True] == sorted(amended)


async def test_nothing_is_sent_under_a_lease_that_is_nearly_over(start, engine, appsflyer, path):
    """A commit that took seconds has used it up: somebody else might send the call meanwhile."""
    one = start(Delivery(timeout=0.05), engine=engine)
    await one.courier.accept(call(appsflyer), hold_s=0.01)
    engine.close_gate()
    await asyncio.to_thread(engine.waits.wait, SOON_S)
    await asyncio.sleep(1.1)  # the lease's length: a commit that takes so long
    engine.open_gate()
    await one.courier.close(SOON_S)

    assert ([], {"c1": "leased"}) == (appsflyer.targets, stored(path))


# the same click


async def test_the_first_of_equal_clicks_is_taken(one, appsflyer):
    """Nobody has answered it yet."""
    assert await one.courier.accept(call(appsflyer), answer=answered()) is None


async def test_the_same_click_on_another_process_has_the_same_answer_and_is_not_sent(one, two, appsflyer, path):
    """AppsFlyer counts it once."""
    await one.courier.accept(call(appsflyer, "c1"), answer=answered())
    text = await two.courier.accept(call(appsflyer, "c2"), answer=answered("https://elsewhere"))
    await one.watcher.verdict()
    await two.courier.close(SOON_S)

    assert ("https://play", ["/c1"], {}) == (text, appsflyer.targets, stored(path))


async def test_the_same_click_on_two_processes_at_once_is_one(one, two, appsflyer):
    """One of them takes it, and the other has its answer."""
    texts = await asyncio.gather(
        one.courier.accept(call(appsflyer, "c1"), answer=answered("one's")),
        two.courier.accept(call(appsflyer, "c2"), answer=answered("two's")),
    )

    assert texts in (["two's", None], [None, "one's"])


# refusals


async def refusal(process, appsflyer, name="c2"):
    with pytest.raises(NotAcceptedError) as caught:
        await process.courier.accept(call(appsflyer, name))
    return caught.value.reason


async def test_an_outbox_with_a_fault_takes_nothing(start, engine, appsflyer, disk_full):
    """The click passes at once."""
    one = start(engine=engine)
    engine.error = disk_full

    assert [Reason.OUTBOX_DOWN] * 2 == [await refusal(one, appsflyer, name) for name in ("c1", "c2")]


async def test_an_open_breaker_takes_nothing(one, appsflyer):
    """New clicks pass while AppsFlyer fails."""
    appsflyer.statuses = [503] * 5
    for number in range(5):
        await one.courier.accept(call(appsflyer, f"c{number}"))
    await until(lambda: one.courier.open_breakers)

    assert Reason.S2S_DOWN == await refusal(one, appsflyer, "late")


async def test_an_origin_that_hangs_holds_up_no_other(start, appsflyer, other_appsflyer, monkeypatch):
    """What waits for it is sent when it is back; clicks to others need not pass for that."""
    monkeypatch.setattr(policy, "MAX_WAIT_S", 0.5)
    one = start(Delivery(timeout=0.5, concurrency=5))
    appsflyer.statuses = [0] * 1000
    await asyncio.gather(*(one.courier.accept(call(appsflyer, f"c{n}")) for n in range(50)))
    await until(lambda: one.courier._recovery.swept.due > 25)

    assert (appsflyer.origin,) == one.courier.open_breakers
    assert await one.courier.accept(call(other_appsflyer, "healthy")) is None


async def test_the_log_says_when_a_breaker_opens_and_closes(one, appsflyer, caplog):
    """Which origin, and why; and for how long."""
    appsflyer.statuses = [503] * 5
    for number in range(5):
        await one.courier.accept(call(appsflyer, f"c{number}"))
    await until(lambda: one.courier.open_breakers)
    await until(lambda: not one.courier.open_breakers)
    opened, closed = [line for line in caplog.messages if line.startswith("breaker")]

    assert f"breaker open: {appsflyer.origin} fails (it answers 503): new clicks pass, stored ones wait" == opened
    assert closed.startswith(f"breaker closed: {appsflyer.origin} is back after ")


async def test_stored_calls_wait_for_a_breaker_without_spending_attempts(one, appsflyer):
    """They are sent when AppsFlyer is back."""
    appsflyer.statuses = [503] * 6
    for number in range(5):
        await one.courier.accept(call(appsflyer, f"c{number}"))
    delivered = 0
    while delivered < 5:
        delivered += await one.watcher.verdict() == Delivered()

    assert [] == appsflyer.statuses


async def test_bytes_that_make_no_request_are_dead(one, appsflyer):
    """Nothing is sent, now or later."""
    await one.courier.accept(call(appsflyer, headers=(("User-Agent", "ua\r\nX-Forged: 1"),)))

    assert (Dead(DeadReason.UNSENDABLE), []) == (await one.watcher.verdict(), appsflyer.targets)


# the end


async def test_the_end_lets_held_calls_go(one, appsflyer, path):
    """Nobody will amend them any more."""
    await one.courier.accept(call(appsflyer, "c1"), hold_s=LONG_S)
    await one.courier.accept(call(appsflyer, "c2"), hold_s=LONG_S)
    await one.courier.close(SOON_S)

    assert (["/c1", "/c2"], {}) == (sorted(appsflyer.targets), stored(path))


async def test_the_end_sends_what_waits_for_a_slot(start, appsflyer, path):
    """As long as the grace lasts."""
    one = start(Delivery(timeout=SOON_S, concurrency=1))
    await asyncio.gather(*(one.courier.accept(call(appsflyer, f"c{n}")) for n in range(5)))
    await one.courier.close(SOON_S)

    assert (5, {}) == (len(appsflyer.targets), stored(path))


async def test_the_end_frees_what_was_never_started(start, appsflyer, path):
    """Another process need not wait for the lease to end; what is under way keeps it."""
    one = start(Delivery(timeout=SOON_S, concurrency=1))
    appsflyer.statuses = [0]
    await one.courier.accept(call(appsflyer, "c1"))
    await asyncio.wait_for(appsflyer.was_called.wait(), SOON_S)
    await one.courier.accept(call(appsflyer, "c2"))
    await one.courier.close(0.01)

    assert {"c1": "leased", "c2": "due"} == stored(path)


async def test_the_end_does_not_wait_for_a_retry(one, appsflyer, path):
    """It stays due in the outbox."""
    appsflyer.statuses = [429]
    await one.courier.accept(call(appsflyer))
    await one.watcher.verdict()
    await asyncio.wait_for(one.courier.close(SOON_S), SOON_S / 2)

    assert {"c1": "due"} == stored(path)


async def test_the_end_does_not_wait_for_a_disk_that_hangs(start, engine, appsflyer, monkeypatch):
    """What could not be written is found again by its lease."""
    for module in ("courier", "outbox"):
        monkeypatch.setattr(f"storehop.deliver.{module}.END_PATIENCE_S", 0.1)
    one = start(engine=engine)
    engine.close_gate()
    await asyncio.to_thread(engine.waits.wait, SOON_S)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await one.courier.close(0.1)
    seconds = loop.time() - begin
    engine.open_gate()

    assert seconds < 5


async def test_the_end_waits_for_a_click_that_is_being_stored(start, engine, appsflyer, path):
    """It is sent and settled like any other: else it would be sent again by the next start."""
    one = start(engine=engine)
    await until(lambda: engine.batches)
    engine.close_gate()
    accepted = asyncio.ensure_future(one.courier.accept(call(appsflyer)))
    await asyncio.to_thread(engine.waits.wait, SOON_S)
    closing = asyncio.ensure_future(one.courier.close(SOON_S))
    await asyncio.sleep(0)
    engine.open_gate()
    await asyncio.gather(accepted, closing)

    assert (["/c1"], {}) == (appsflyer.targets, stored(path))


@pytest.mark.parametrize("hold_s", [0.0, LONG_S], ids=["to be sent", "held"])
async def test_what_is_stored_after_the_grace_is_not_sent(start, engine, appsflyer, path, hold_s):
    """Nobody could write down what became of it; another process sends it at once."""
    one = start(engine=engine)
    await until(lambda: engine.batches)
    engine.close_gate()
    accepted = asyncio.ensure_future(one.courier.accept(call(appsflyer), hold_s=hold_s))
    await asyncio.to_thread(engine.waits.wait, SOON_S)
    closing = asyncio.ensure_future(one.courier.close(0.0))
    await asyncio.sleep(0.05)
    engine.open_gate()
    await asyncio.gather(accepted, closing)
    await asyncio.sleep(0.05)

    assert ([], {"c1": "due"}) == (appsflyer.targets, stored(path))


async def test_nothing_is_accepted_after_the_end(one, appsflyer):
    """The click passes."""
    await one.courier.close(SOON_S)

    assert Reason.OUTBOX_DOWN == await refusal(one, appsflyer)


async def test_the_counts_are_those_of_the_last_look(one, appsflyer, path):
    """For the metrics."""
    await one.courier.accept(call(appsflyer), hold_s=LONG_S)
    await until(lambda: one.courier.counts.pending == 1)

    assert OutboxCounts(1, 0, pytest.approx(0, abs=SOON_S)) == one.courier.counts


async def test_a_held_click_costs_its_user_one_commit(start, engine, appsflyer):
    """The answer of the same click and that of the browser's retry are stored with the call."""
    one = start(engine=engine)
    retry = Answer(b"retry", "the first answer", 10.0)
    await one.courier.accept(call(appsflyer), answer=answered(), retry=retry, hold_s=LONG_S)
    writes = [one for batch in engine.batches for one in batch if isinstance(one, Accept | Remember)]

    assert [Accept] == [type(one) for one in writes]
    assert ("the first answer", "https://play") == (
        await one.outbox.recall(b"retry"),
        await one.outbox.recall(b"click"),
    )
