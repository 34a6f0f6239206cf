"""The outbox: accepted within patience or never visible to anybody; no verdict is forgotten."""

import asyncio
import logging
import threading

import pytest

from storehop.deliver.batcher import CALM_S
from storehop.deliver.engine import EngineError, FullError
from storehop.deliver.operations import Accept, Answer, Probe, Settle, Sweep
from storehop.deliver.outbox import Outbox, TooSlowError
from storehop.deliver.tickets import OutboxError
from storehop.model import Dead, DeadReason, Delivered, Reason, RetryIn, S2SCall

LEASE_S = 6.0
SOON_S = 60.0
ANSWER = Answer(b"click", "https://play", 10.0)


def call(name="c1"):
    return S2SCall(name, "https://af.test", f"/{name}", (("User-Agent", "ua"),), "games")


@pytest.fixture
def impatient(engine, outbox):
    """Clicks wait no longer than a moment."""
    outbox.patience_s = 0.01


async def waiting(engine):
    """Returns when the thread stands before the gate."""
    assert await asyncio.to_thread(engine.waits.wait, SOON_S)


async def accept_too_late(engine, outbox, **more):
    """A click whose call is stored when nobody waits for it any more."""
    engine.close_gate()
    with pytest.raises(TooSlowError):
        await outbox.accept(call(), LEASE_S, **more)
    await waiting(engine)
    engine.open_gate()
    await outbox.sweep(120)  # behind it


async def test_an_accepted_call_is_a_claim(outbox):
    """The right to send it, from the first attempt on."""
    claim = await outbox.accept(call(), LEASE_S)

    assert (call(), 1) == (claim.call, claim.attempt)


async def test_a_claim_ends_with_its_lease(outbox):
    """Counted from when it was asked for: never later than the engine's own lease."""
    claim = await outbox.accept(call(), LEASE_S)

    assert claim.born + LEASE_S == pytest.approx(claim.until)


async def test_a_held_claim_ends_after_its_hold(outbox):
    """The lease begins to count when the hold is over."""
    claim = await outbox.accept(call(), LEASE_S, hold_s=100.0)

    assert claim.born + 100 + LEASE_S == pytest.approx(claim.until)


async def test_a_call_that_takes_too_long_is_refused(engine, outbox, impatient):
    """Its click waits no longer than the engine's patience."""
    engine.close_gate()

    with pytest.raises(TooSlowError):
        await outbox.accept(call(), LEASE_S)


async def test_too_slow_is_a_fault(engine, outbox, impatient):
    """No more clicks queue up before an engine that hangs."""
    await accept_too_late(engine, outbox)

    with pytest.raises(OutboxError, match="longer than"):
        await outbox.accept(call("c2"), LEASE_S)


async def test_a_call_that_nobody_waits_for_is_not_stored(engine, outbox, impatient):
    """It was abandoned before the engine had it: no batch holds it."""
    engine.close_gate()
    first = asyncio.ensure_future(outbox.sweep(120))
    await waiting(engine)
    with pytest.raises(TooSlowError):
        await outbox.accept(call(), LEASE_S)
    engine.open_gate()
    await first
    await outbox.sweep(120)

    assert [] == [one for batch in engine.batches for one in batch if isinstance(one, Accept)]


async def test_a_call_that_is_stored_too_late_is_withdrawn(engine, outbox, impatient):
    """Its click passed: it must never be sent."""
    await accept_too_late(engine, outbox)

    assert [] == await outbox.stored()


async def test_the_same_click_passes_where_the_first_one_passed_late(engine, outbox, impatient, other):
    """AppsFlyer has it by the old redirect: another process must not send it to the store."""
    await accept_too_late(engine, outbox, answer=ANSWER)

    assert Reason.OUTBOX_DOWN == await other.accept(call("c2"), LEASE_S, answer=ANSWER)


async def test_a_late_call_is_withdrawn_before_another_process_sees_it(engine, outbox, impatient, other):
    """The lock has not gone on by then, so the answer was never visible."""
    engine.close_gate()
    with pytest.raises(TooSlowError):
        await outbox.accept(call(), LEASE_S, answer=ANSWER)
    await waiting(engine)
    second = asyncio.ensure_future(other.accept(call("c2"), LEASE_S, answer=ANSWER))
    await asyncio.sleep(0)
    engine.open_gate()

    assert Reason.OUTBOX_DOWN == await second


async def test_a_late_call_that_can_not_be_withdrawn_yet_is_never_claimed(engine, outbox, impatient, disk_full):
    """The withdrawal stays in mind until it can be written."""
    run = engine.run

    def fail_after_accept(batch):
        results = run(batch)
        if isinstance(batch[0], Accept):
            engine.error = disk_full
        return results

    engine.run = fail_after_accept
    engine.close_gate()
    with pytest.raises(TooSlowError):
        await outbox.accept(call(), 0.0)
    await waiting(engine)
    engine.open_gate()
    with pytest.raises(OutboxError):
        await outbox.sweep(120)
    engine.error = None
    await outbox.check()
    outbox._batcher._calm_until = 0.0

    assert ([], []) == (await outbox.claim(9, LEASE_S), await outbox.stored())


async def test_a_cancelled_click_s_call_is_never_sent(engine, outbox):
    """Nobody waits for it, and nobody gets a redirect to the store."""
    engine.close_gate()
    task = asyncio.ensure_future(outbox.accept(call(), LEASE_S))
    await asyncio.sleep(0)
    await waiting(engine)
    task.cancel()
    await asyncio.wait([task])
    engine.open_gate()
    await outbox.sweep(120)

    assert [] == await outbox.stored()


async def test_verdicts_share_a_commit(engine, outbox):
    """Those of one moment are one batch."""
    claims = [await outbox.accept(call(f"c{n}"), LEASE_S) for n in range(3)]
    await asyncio.gather(*(outbox.settle(claim, Delivered(), "200") for claim in claims))

    assert [Settle, Settle, Settle] == [type(one) for one in engine.batches[-1]]


async def test_no_step_overtakes_a_verdict(engine, outbox):
    """A look for due calls sees every verdict that came before it."""
    claim = await outbox.accept(call(), LEASE_S)
    settled = asyncio.ensure_future(outbox.settle(claim, RetryIn(0.0), "503"))
    await asyncio.sleep(0)

    assert ["c1"] == [one.call.id for one in await outbox.claim(9, LEASE_S)]
    assert await settled


async def test_a_lost_lease_is_said(outbox, other):
    """Whoever has it now decides."""
    claim = await outbox.accept(call(), 0.0)
    await other.claim(1, LEASE_S)

    assert await outbox.settle(claim, Delivered(), "200") is False


async def test_a_verdict_that_can_not_be_written_is_written_later(engine, outbox, disk_full):
    """Nobody has to ask for it."""
    claim = await outbox.accept(call(), LEASE_S)
    engine.error = disk_full
    is_ours = await outbox.settle(claim, Delivered(), "200")
    engine.error = None
    async with asyncio.timeout(SOON_S):
        while await outbox.stored():
            await asyncio.sleep(0.01)

    assert is_ours


async def test_a_call_whose_verdict_is_not_written_is_never_claimed(engine, outbox, disk_full):
    """It was counted: sending it again would count it twice. The verdict goes by the new lease."""
    claim = await outbox.accept(call(), 0.0)
    run = engine.run

    def only_claims(batch):
        if any(isinstance(one, Settle) for one in batch):
            raise disk_full
        return run(batch)

    engine.run = only_claims
    await outbox.settle(claim, Delivered(), "200")
    outbox._batcher._debts.pay = lambda: None  # the engine takes claims and no verdicts: the worst of both
    outbox._batcher.set_fault(None)
    claimed = await outbox.claim(9, LEASE_S)
    del outbox._batcher._debts.pay
    engine.run = run
    await outbox.sweep(120)

    assert ([], []) == (claimed, await outbox.stored())


@pytest.mark.parametrize("error", [EngineError("locked"), OSError("input/output error"), MemoryError()], ids=type)
async def test_no_error_drops_a_verdict(engine, outbox, error):
    """Whatever went wrong in writing it, it is written later: else its call would be sent again."""
    claim = await outbox.accept(call(), LEASE_S)
    engine.error = error
    await outbox.settle(claim, Delivered(), "200")
    engine.error = None
    await outbox.check()

    assert [] == await outbox.stored()


async def test_a_verdict_that_can_never_be_written_stops_no_other(engine, outbox, disk_full, caplog):
    """By a mistake of ours: each is written alone then."""
    claims = [await outbox.accept(call(f"c{n}"), LEASE_S) for n in range(3)]
    engine.error = disk_full
    await asyncio.gather(*(outbox.settle(claim, Delivered(), "200") for claim in claims))
    run = engine.run

    def fail_on_one(batch):
        if any(isinstance(one, Settle) and one.call_id == "c1" for one in batch):
            raise ValueError
        return run(batch)

    engine.run, engine.error = fail_on_one, None
    await outbox.check()

    assert ["c1"] == [one.id for one in await outbox.stored()]
    assert "a verdict can't be written by our own fault: its call may be sent again" in caplog.messages


async def test_what_deletes_a_call_is_written_before_what_needs_room(engine, outbox, disk_full):
    """In a full outbox the one makes room for the other."""
    claims = [await outbox.accept(call(f"c{n}"), LEASE_S) for n in range(2)]
    engine.error = disk_full
    await asyncio.gather(*map(outbox.settle, claims, (RetryIn(9.0), Delivered()), ("503", "200")))
    engine.error = None
    await outbox.check()
    settled = [one.call_id for batch in engine.batches[-3:] for one in batch if isinstance(one, Settle)]

    assert ["c1", "c0"] == settled


async def test_a_fault_fails_what_it_met(engine, outbox, disk_full):
    """Whoever waits hears why."""
    engine.error = disk_full

    with pytest.raises(OutboxError, match="disk is full"):
        await outbox.accept(call(), LEASE_S)


async def test_a_fault_is_known_until_a_check_finds_it_over(engine, outbox, disk_full):
    """It heals without a restart."""
    engine.error = disk_full
    with pytest.raises(OutboxError):
        await outbox.accept(call(), LEASE_S)
    before = outbox.fault
    await outbox.check()
    meanwhile = outbox.fault
    engine.error = None
    await outbox.check()

    assert ("database or disk is full", "database or disk is full", None) == (before, meanwhile, outbox.fault)


async def test_nothing_is_claimed_right_after_a_fault(engine, outbox, other, disk_full):
    """First the holders write the verdicts that it held up."""
    await other.accept(call(), 0.0)
    engine.error = disk_full
    with pytest.raises(OutboxError):
        await outbox.sweep(120)
    engine.error = None
    await outbox.check()
    at_once = await outbox.claim(1, LEASE_S)
    outbox._batcher._calm_until -= CALM_S
    later = await outbox.claim(1, LEASE_S)

    assert ([], ["c1"]) == (at_once, [claim.call.id for claim in later])


async def test_what_is_stored_is_claimed_while_only_clicks_are_refused(engine, outbox, other, impatient):
    """An engine that is slow, or full, loses none of what it has."""
    await other.accept(call("c0"), 0.0)
    await accept_too_late(engine, outbox)

    assert outbox.fault
    assert ["c0"] == [claim.call.id for claim in await outbox.claim(9, LEASE_S)]


async def test_a_full_engine_hands_out_and_settles(engine, outbox, other):
    """Else it would be full until all it has is too old."""
    await other.accept(call(), 0.0)
    engine.error = FullError("it is full")
    with pytest.raises(OutboxError):
        await outbox.accept(call("c1"), LEASE_S)
    engine.error = None
    (claim,) = await outbox.claim(9, LEASE_S)

    assert (True, "it is full") == (await outbox.settle(claim, Delivered(), "200"), outbox.fault)


async def test_a_sweep_ends_no_calm(engine, outbox, other, disk_full):
    """It may have nothing to write, while the disk is as full as before."""
    await other.accept(call(), 0.0)
    engine.error = disk_full
    with pytest.raises(OutboxError):
        await outbox.sweep(120)
    engine.error = None
    await outbox.sweep(120)
    outbox._batcher._calm_until = 0.0

    assert [] == await outbox.claim(9, LEASE_S)


async def test_a_probe_that_is_refused_as_clicks_are_ends_a_fault_of_the_rest(engine, outbox, other, disk_full):
    """It has been written: what is stored goes on."""
    await other.accept(call(), 0.0)
    engine.error = disk_full
    with pytest.raises(OutboxError):
        await outbox.sweep(120)
    engine.error = FullError("it is full")
    await outbox.check()
    engine.error, outbox._batcher._calm_until = None, 0.0

    assert ["c1"] == [claim.call.id for claim in await outbox.claim(9, LEASE_S)]


async def test_a_sweep_does_not_wait_for_what_is_owed(engine, outbox, other, disk_full):
    """It may make the very room that a verdict needs."""
    claim = await outbox.accept(call(), LEASE_S)
    run = engine.run

    def take_no_verdict(batch):
        if any(isinstance(one, Settle) for one in batch):
            raise disk_full
        return run(batch)

    engine.run = take_no_verdict
    await outbox.settle(claim, RetryIn(9.0), "503")
    swept = await outbox.sweep(120)
    engine.run = run

    assert (1, []) == (swept.pending, await outbox.claim(9, LEASE_S))


async def test_a_mistake_of_ours_harms_no_other(engine, outbox):
    """Each operation of its batch is run again alone."""
    engine.close_gate()
    held = asyncio.ensure_future(outbox.sweep(120))
    await waiting(engine)
    first = asyncio.ensure_future(outbox.accept(call("c1"), LEASE_S))
    twin = asyncio.ensure_future(outbox.accept(call("c1"), LEASE_S))
    third = asyncio.ensure_future(outbox.accept(call("c3"), LEASE_S))
    await asyncio.sleep(0)
    engine.open_gate()
    done = await asyncio.gather(held, first, twin, third, return_exceptions=True)

    assert ["Claim", "IntegrityError", "Claim"] == [type(one).__name__ for one in done[1:]]


async def test_a_mistake_of_ours_is_no_fault_of_the_engine(outbox):
    """Other clicks go on."""
    await outbox.accept(call(), LEASE_S)
    with pytest.raises(Exception, match="UNIQUE"):
        await outbox.accept(call(), LEASE_S)

    assert outbox.fault is None


async def test_the_thread_goes_on_whatever_happens(engine, outbox, monkeypatch, caplog):
    """Its last guard: a mistake outside the engine fails who waits, and no more."""
    with monkeypatch.context() as broken:
        broken.setattr(outbox._batcher, "_store", lambda _live: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await outbox.accept(call(), LEASE_S)
    await outbox.check()

    assert "the outbox failed in our own code" in caplog.messages
    assert (await outbox.accept(call(), LEASE_S)).attempt == 1


@pytest.mark.parametrize(("kind", "ask"), [(Sweep, lambda outbox: outbox.sweep(120)), (Probe, Outbox.check)])
async def test_a_sweep_or_a_probe_is_alone(kind, ask, engine, outbox):
    """What a Sweep frees stays free, and what a Probe finds wrong undoes nothing, whatever their neighbours do."""
    engine.close_gate()
    held = asyncio.ensure_future(ask(outbox))
    await waiting(engine)
    rest = [asyncio.ensure_future(step) for step in (outbox.accept(call(), LEASE_S), ask(outbox))]
    await asyncio.sleep(0)
    engine.open_gate()
    await asyncio.gather(held, *rest)

    assert [1, 1] == [len(batch) for batch in engine.batches if any(isinstance(one, kind) for one in batch)]


async def test_what_waits_is_stored_before_the_end(engine, outbox, other):
    """Closing drops nothing."""
    engine.close_gate()
    accepted = asyncio.ensure_future(outbox.accept(call(), LEASE_S))
    await waiting(engine)
    closing = asyncio.ensure_future(outbox.close())
    await asyncio.sleep(0)
    engine.open_gate()
    await closing

    assert ("c1", 1) == ((await accepted).call.id, len(await other.stored()))


async def owing(engine, outbox, disk_full, count):
    """An outbox with so many verdicts that it can't write."""
    claims = await asyncio.gather(*(outbox.accept(call(f"c{n}"), LEASE_S) for n in range(count)))
    engine.error = disk_full
    await asyncio.gather(*(outbox.settle(claim, Delivered(), "200") for claim in claims))


async def test_the_end_writes_all_that_is_owed(engine, outbox, other, disk_full):
    """However many batches that takes."""
    engine.most = 2
    await owing(engine, outbox, disk_full, 7)
    engine.error = None
    await outbox.close()

    assert [] == await other.stored()


async def test_the_end_waits_a_moment_for_a_fault_to_pass(engine, outbox, other, disk_full):
    """What is owed is written then."""
    await owing(engine, outbox, disk_full, 1)
    closing = asyncio.ensure_future(outbox.close())
    await asyncio.sleep(0.01)
    engine.error = None
    await closing

    assert [] == await other.stored()


async def test_the_end_says_what_it_could_not_write(engine, outbox, disk_full, monkeypatch, caplog):
    """And lets the engine go."""
    monkeypatch.setattr("storehop.deliver.batcher.LAST_PAY_S", 0.0)
    await owing(engine, outbox, disk_full, 3)
    await outbox.close()

    assert f"the outbox {engine.where} keeps 3 verdicts unwritten: database or disk is full" == caplog.messages[-1]
    assert engine.is_closed


async def test_a_click_that_is_cancelled_while_the_outbox_closes_is_withdrawn(engine, outbox, other):
    """Its user gets no redirect to the store."""
    engine.close_gate()
    accepting = asyncio.ensure_future(outbox.accept(call(), LEASE_S))
    await waiting(engine)
    closing = asyncio.ensure_future(outbox.close())
    await asyncio.sleep(0)
    engine.open_gate()
    outbox._batcher._thread.join(0.5)  # the loop is busy, while the thread stores the call
    accepting.cancel()
    await asyncio.gather(accepting, closing, return_exceptions=True)

    assert (True, []) == (accepting.cancelled(), await other.stored())


async def test_nothing_is_taken_after_the_end(outbox):
    """Whoever asks hears so at once."""
    await outbox.close()

    with pytest.raises(OutboxError, match="closed"):
        await outbox.accept(call(), LEASE_S)


async def test_the_thread_ends(outbox):
    """No thread outlives its outbox."""
    await outbox.close()
    await asyncio.to_thread(outbox._batcher._thread.join, SOON_S)

    assert not outbox._batcher._thread.is_alive()


async def test_the_end_does_not_wait_for_an_engine_that_hangs(engine, outbox, monkeypatch, caplog):
    """What waits for it is not written, and the log says so."""
    monkeypatch.setattr("storehop.deliver.outbox.END_PATIENCE_S", 0.05)
    engine.close_gate()
    held = asyncio.ensure_future(outbox.sweep(120))
    await waiting(engine)
    await outbox.close()
    engine.open_gate()
    await held

    assert [f"the outbox {engine.where} hangs: what waits for it is not written"] == caplog.messages


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
        return self.go_on.wait(SOON_S)


async def test_a_fault_that_is_found_twice_at_once_is_logged_once(engine, outbox, disk_full):
    """A commit that fails was slow, too: the thread and the event loop say so in the same moment."""
    log = SlowLog()
    logging.getLogger("storehop.deliver.batcher").addHandler(log)
    engine.error = disk_full
    try:
        failed = asyncio.ensure_future(outbox.sweep(120))
        await asyncio.to_thread(log.has_begun.wait, SOON_S)
        second = asyncio.create_task(asyncio.to_thread(outbox._batcher.set_fault, "slow"))
        await asyncio.wait([second], timeout=0.2)
        log.go_on.set()
        await asyncio.gather(second, failed, return_exceptions=True)
    finally:
        logging.getLogger("storehop.deliver.batcher").removeHandler(log)

    assert [f"the outbox {engine.where} can't be used, clicks pass: database or disk is full"] == log.lines


async def test_an_answer_is_remembered_once(outbox, other):
    """The first one stands, for every process."""
    first = await outbox.remember(ANSWER)
    second = await other.remember(ANSWER._replace(text="bot"))

    assert (None, "https://play", "https://play") == (first, second, await outbox.recall(b"click"))


async def test_an_answer_is_forgotten_once(outbox, other):
    """Of two processes that take it, one has it."""
    await outbox.remember(ANSWER)
    taken = await asyncio.gather(*(one.forget(b"click", "https://play") for one in (outbox, other)))

    assert [False, True] == sorted(taken)


@pytest.mark.parametrize(
    "ask",
    [
        lambda outbox: outbox.recall(b"click"),
        lambda outbox: outbox.remember(ANSWER),
        lambda outbox: outbox.forget(b"click", "https://play"),
    ],
    ids=["recall", "remember", "forget"],
)
async def test_no_user_waits_for_an_answer_beyond_the_patience(engine, outbox, impatient, ask):
    """An engine that hangs holds nobody up."""
    engine.close_gate()

    with pytest.raises(TooSlowError):
        await asyncio.wait_for(ask(outbox), SOON_S)


async def test_people_revive_and_purge_dead_calls(outbox):
    """By their ids; what is not dead is left alone."""
    for name in ("c1", "c2", "c3"):
        claim = await outbox.accept(call(name), LEASE_S)
        if name != "c3":
            await outbox.settle(claim, Dead(DeadReason.REJECTED), "404")

    assert (1, 1) == (await outbox.revive(["c1", "c3"]), await outbox.purge(["c1", "c2"]))
    assert {"c1": "due", "c3": "leased"} == {one.id: one.state for one in await outbox.stored()}


async def test_a_sweep_gives_up_no_more_than_a_batch_holds(engine, outbox):
    """So that it holds up nobody's click, at any host; the next look gives up more."""
    for number in range(5):
        claim = await outbox.accept(call(f"c{number}"), LEASE_S)
        await outbox.settle(claim, RetryIn(0.0), "503")
    engine.most = 3

    assert [3, 2] == [len((await outbox.sweep(0.0)).expired) for _ in range(2)]
