"""The courier with a real outbox and a server on loopback: calls that wait, clicks that several processes have."""

import asyncio
import threading
from dataclasses import dataclass, field, replace

import pytest

from storehop.deliver import courier as module
from storehop.deliver import writer as writer_module
from storehop.deliver.clock import SystemClock
from storehop.deliver.courier import Courier, NotAcceptedError
from storehop.deliver.notes import Notes
from storehop.deliver.outbox import NewCall, Note, Outbox
from storehop.deliver.outbox_file import OutboxError
from storehop.deliver.wire import Wire
from storehop.deliver.writer import Writer
from storehop.model import Dead, DeadReason, Delivered, OutboxCounts, Reason, RetryAt, S2SCall
from storehop.settings import Delivery

SOON = 60.0
"""Seconds in which whatever a test waits for has happened."""
LONG = 600.0
"""Seconds that no test waits for."""


@dataclass
class AppsFlyer:
    """Takes every click, apart from the statuses that it is told to answer first."""

    port: int = 0
    targets: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """0 is no answer."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.targets.append(head.split(b" ", 2)[1].decode())
                self.asked.set()
                status = self.statuses.pop(0) if self.statuses else 200
                if status == 0:
                    continue
                writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def call(self, name="c1", query="", host="127.0.0.1", headers=()):
        return S2SCall(name, f"http://{host}:{self.port}", f"/{name}{query}", headers)


class Watcher:
    """Hands out what it is told, one after another."""

    def __init__(self):
        self.told = asyncio.Queue()

    def settled(self, settled):
        self.told.put_nowait(settled)

    def expired(self, call_ids):
        """No call of a test gets too old."""

    async def verdict(self):
        return (await asyncio.wait_for(self.told.get(), SOON)).verdict


@pytest.fixture
async def appsflyer():
    made = AppsFlyer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for writer in made.writers:
        writer.close()
    await server.wait_closed()


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine's disk is no slow disk."""
    monkeypatch.setattr(module, "PATIENCE", SOON)


@pytest.fixture
async def eager():
    """Tasks start at once, as mitmproxy has them."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@dataclass
class Process:
    """What one process has of its own."""

    courier: Courier
    writer: Writer
    watcher: Watcher


@pytest.fixture
async def start(path, eager, monkeypatch):
    """Starts one more process on the same outbox; neither the disk nor a server is too slow for it."""
    monkeypatch.setattr(module, "PATIENCE", SOON)
    started = []

    def make(delivery=Delivery(timeout=SOON)):  # noqa: B008  it is frozen
        watcher = Watcher()
        writer = Writer(path, SystemClock(), delivery)
        courier = Courier(Wire.through(None), writer, SystemClock(), delivery, watcher)
        started.append(courier)
        return Process(courier, writer, watcher)

    yield make
    for courier in started:
        await courier.close(0.0)


@pytest.fixture
async def one(start):
    return start()


@pytest.fixture
async def other(start):
    return start()


def stored(path):
    """What stands in the outbox."""
    outbox = Outbox.open(path, SystemClock())
    try:
        return outbox.counts()
    finally:
        outbox.close()


def ignore():
    """Of no interest."""


def noted(answer="https://play", key=b"click"):
    return Note(key, answer, 10.0)


async def hold(process, appsflyer, name="c1"):
    """Has the process hold a call; tells the lease apart that it is held under."""
    await process.courier.accept(appsflyer.call(name), hold=LONG)
    return process.courier.held(name).lease_until


def let_go(process, name="c1"):
    """The call's time has come: nobody has amended it."""
    process.courier._let_go(name)


async def amend(process, call, lease_until):
    """Whether the process sends this in place of the call that is held under that lease."""
    done = asyncio.Event()
    process.courier.amend(call, lease_until, done.set)
    await written(process)
    await asyncio.sleep(0)
    return done.is_set()


async def test_a_call_that_is_not_held_goes_at_once(one, appsflyer):
    """Holding is the exception."""
    await one.courier.accept(appsflyer.call())

    assert Delivered() == await one.watcher.verdict()


async def test_a_call_that_is_not_held_can_not_be_amended(one, appsflyer):
    """It is on its way."""
    await one.courier.accept(appsflyer.call())

    assert one.courier.held("c1") is None


async def test_a_held_call_is_stored_before_it_goes(one, appsflyer, path):
    """A crash while it waits loses nothing."""
    await one.courier.accept(appsflyer.call(), hold=LONG)

    assert (1, []) == (stored(path).pending, appsflyer.targets)


async def test_a_held_call_waits(one, appsflyer):
    """Until it goes it can be amended."""
    await one.courier.accept(appsflyer.call(), hold=LONG)

    assert appsflyer.call() == one.courier.held("c1").call


async def test_a_held_call_goes_when_its_time_has_come(one, appsflyer):
    """As it was, where nobody has amended it."""
    await one.courier.accept(appsflyer.call(), hold=0.01)
    await one.watcher.verdict()

    assert ["/c1"] == appsflyer.targets


async def test_a_held_call_that_has_gone_is_not_amended(one, appsflyer):
    """Whoever comes too late changes nothing."""
    lease_until = await hold(one, appsflyer)
    let_go(one)
    await one.watcher.verdict()

    assert (False, ["/c1"]) == (await amend(one, appsflyer.call(query="?more"), lease_until), appsflyer.targets)


async def test_an_amended_call_goes_at_once_in_place_of_the_first(one, appsflyer):
    """One call, with what came later in it."""
    one.courier.amend(appsflyer.call(query="?more"), await hold(one, appsflyer), ignore)
    await one.watcher.verdict()

    assert ["/c1?more"] == appsflyer.targets


async def test_an_amended_call_is_told_of_as_it_went(one, appsflyer):
    """Logs show what AppsFlyer got."""
    one.courier.amend(appsflyer.call(query="?more"), await hold(one, appsflyer), ignore)
    settled = await asyncio.wait_for(one.watcher.told.get(), SOON)

    assert appsflyer.call(query="?more") == settled.call


async def test_a_call_is_amended_once(one, appsflyer):
    """The second time it has gone."""
    lease_until = await hold(one, appsflyer)
    amended = [await amend(one, appsflyer.call(query=query), lease_until) for query in ("?more", "?most")]

    assert [True, False] == amended


async def test_an_amended_call_is_held_no_more(one, appsflyer):
    """It is on its way."""
    one.courier.amend(appsflyer.call(query="?more"), await hold(one, appsflyer), ignore)

    assert one.courier.held("c1") is None


async def test_another_call_is_not_amended(one, appsflyer):
    """Calls are told apart by their click."""
    lease_until = await hold(one, appsflyer)

    assert await amend(one, appsflyer.call("c2"), lease_until) is False


async def test_an_amended_call_is_sent_again_as_amended(one, appsflyer):
    """A retry is the same bytes."""
    appsflyer.statuses = [503]
    one.courier.amend(appsflyer.call(query="?more"), await hold(one, appsflyer), ignore)
    verdicts = [await one.watcher.verdict(), await one.watcher.verdict()]

    assert (["/c1?more"] * 2, [RetryAt, Delivered]) == (appsflyer.targets, [type(v) for v in verdicts])


async def test_a_call_that_can_not_be_amended_goes_as_it_was(one, appsflyer):
    """The outbox refuses a call to another host: what it has still counts."""
    one.courier.amend(appsflyer.call(query="?more", host="localhost"), await hold(one, appsflyer), ignore)
    await one.watcher.verdict()

    assert ["/c1"] == appsflyer.targets


async def test_nothing_is_sent_under_a_lease_that_is_nearly_over(one, appsflyer, path, monkeypatch):
    """A commit that took seconds has used it up: somebody else might send the call meanwhile."""
    renew = Outbox.renew

    def renew_slowly(*arguments):
        return replace(renew(*arguments), lease_until=SystemClock().uptime() + 1.0)

    monkeypatch.setattr(Outbox, "renew", renew_slowly)
    await one.courier.accept(appsflyer.call(), hold=LONG)
    await one.courier.close(SOON)

    assert ([], 1) == (appsflyer.targets, stored(path).pending)


async def test_a_reload_does_not_let_dead_letters_fill_the_outbox(start, path):
    """The file keeps the size limit that it was opened with."""
    outbox = Outbox.open(path, SystemClock())
    with outbox.transaction():
        calls = [NewCall(S2SCall(f"c{n}", "http://af.test", "/x", ()), "http://af.test", "me", 1.0) for n in range(200)]
        for claim in outbox.add_all(calls):
            outbox.settle(claim, "me", Dead(DeadReason.REJECTED), "400")
    outbox.close()
    one = start(Delivery(max_outbox=2**20))
    one.courier.configure(Delivery(max_outbox=2**26))

    async with asyncio.timeout(SOON):
        while one.courier.counts.dead != 2**19 // module.DEAD_LETTER:
            await asyncio.sleep(0.05)


async def test_the_end_lets_held_calls_go(one, appsflyer, path):
    """Nobody will amend them any more."""
    await one.courier.accept(appsflyer.call("c1"), hold=LONG)
    await one.courier.accept(appsflyer.call("c2"), hold=LONG)
    await one.courier.close(SOON)

    assert (["/c1", "/c2"], OutboxCounts(0, 0, None)) == (sorted(appsflyer.targets), stored(path))


async def test_the_end_waits_for_a_call_that_is_being_amended(one, appsflyer, path):
    """It is sent, or stays in the outbox: never both, never neither."""
    one.courier.amend(appsflyer.call(query="?more"), await hold(one, appsflyer), ignore)
    await one.courier.close(SOON)

    assert 1 == len(appsflyer.targets) + stored(path).pending


async def test_the_end_does_not_wait_for_a_disk_that_hangs(one, appsflyer, monkeypatch):
    """What could not be written is found again by its lease."""
    for where in (module, writer_module):
        monkeypatch.setattr(where, "HANGS", 0.1)
    go_on = threading.Event()
    one.writer.post(lambda _outbox: go_on.wait(LONG), lambda _result, _error: None)
    try:
        await asyncio.wait_for(one.courier.close(0.1), SOON)
    finally:
        go_on.set()


async def test_nothing_is_accepted_after_the_end(one, appsflyer):
    """The click passes."""
    await one.courier.close(SOON)
    with pytest.raises(NotAcceptedError) as caught:
        await one.courier.accept(appsflyer.call(), hold=LONG)

    assert Reason.OUTBOX_DOWN == caught.value.reason


async def test_bytes_that_make_no_request_are_dead(one, appsflyer):
    """Nothing is sent, now or later."""
    await one.courier.accept(appsflyer.call(headers=(("User-Agent", "ua\r\nX-Forged: 1"),)))

    assert (Dead(DeadReason.UNSENDABLE), []) == (await one.watcher.verdict(), appsflyer.targets)


async def test_the_first_of_equal_clicks_is_taken(one, appsflyer):
    """Nobody has answered it yet."""
    assert await one.courier.accept(appsflyer.call(), note=noted()) is None


async def test_the_same_click_on_another_process_has_the_same_answer(one, other, appsflyer):
    """Whatever that process would have said."""
    await one.courier.accept(appsflyer.call("c1"), note=noted("https://play"))

    assert "https://play" == await other.courier.accept(appsflyer.call("c2"), note=noted("https://elsewhere"))


async def test_the_same_click_on_another_process_is_not_sent(one, other, appsflyer, path):
    """AppsFlyer counts it once."""
    await one.courier.accept(appsflyer.call("c1"), note=noted())
    await other.courier.accept(appsflyer.call("c2"), note=noted())
    await one.watcher.verdict()
    await other.courier.close(SOON)

    assert (["/c1"], OutboxCounts(0, 0, None)) == (appsflyer.targets, stored(path))


async def test_the_same_click_on_two_processes_at_once_is_one(one, other, appsflyer):
    """One of them takes it, and the other has its answer."""
    known = await asyncio.gather(
        one.courier.accept(appsflyer.call("c1"), note=noted("one's")),
        other.courier.accept(appsflyer.call("c2"), note=noted("other's")),
    )

    assert known in (["other's", None], [None, "one's"])


async def test_the_same_click_on_another_process_holds_nothing(one, other, appsflyer):
    """There is no call that could be amended."""
    await one.courier.accept(appsflyer.call("c1"), note=noted())
    await other.courier.accept(appsflyer.call("c2"), hold=LONG, note=noted())

    assert other.courier.held("c2") is None


async def test_another_click_is_taken(one, other, appsflyer):
    """Clicks are told apart by their key."""
    await one.courier.accept(appsflyer.call("c1"), note=noted(key=b"one"))

    assert await other.courier.accept(appsflyer.call("c2"), note=noted(key=b"other")) is None


async def written(process):
    """Returns when the process has written what it was asked to."""
    await asyncio.wait_for(process.writer.submit(lambda _outbox: None), SOON)


async def test_a_note_without_a_call_counts(one, other, appsflyer, path):
    """The same click passes on another process, too, and nothing is stored for it."""
    await Notes(one.writer).leave(noted("bot"))

    assert ("bot", 0) == (await other.courier.accept(appsflyer.call(), note=noted()), stored(path).pending)


async def test_a_note_changes_no_answer(one, other, appsflyer):
    """The first one stands."""
    await one.courier.accept(appsflyer.call(), note=noted("first"))
    known = await Notes(one.writer).leave(noted("second"))

    assert ("first", "first") == (known, await other.courier.accept(appsflyer.call("c2"), note=noted("third")))


async def test_a_note_is_taken_once(one, other):
    """Among all processes."""
    await Notes(one.writer).leave(noted("text"))
    taken = [await Notes(process.writer).take(b"click", lambda text: text) for process in (other, one)]

    assert ["text", None] == taken


async def test_a_note_that_does_not_fit_stays(one, other):
    """Somebody else may come for it."""
    await Notes(one.writer).leave(noted("text"))
    taken = [
        await Notes(other.writer).take(b"click", lambda text, fits=fits: text if fits == text else None)
        for fits in ("no", "text")
    ]

    assert [None, "text"] == taken


@pytest.mark.parametrize("use", [lambda notes: notes.leave(noted()), lambda notes: notes.take(b"click", str)])
async def test_notes_do_not_wait_for_a_broken_disk(one, use):
    """Nothing queues up before a disk that hangs."""
    one.writer.hold_back("it hangs")

    with pytest.raises(OutboxError, match="it hangs"):
        await use(Notes(one.writer))


async def test_a_call_that_another_process_holds_is_amended(one, other, appsflyer):
    """The browser's retry may come to any of them; one call is sent."""
    lease_until = await hold(one, appsflyer)
    await amend(other, appsflyer.call(query="?more"), lease_until)
    await other.watcher.verdict()
    await one.courier.close(SOON)

    assert ["/c1?more"] == appsflyer.targets


async def test_a_call_that_another_process_has_sent_is_not_amended(one, other, appsflyer, path):
    """It has gone as it was."""
    lease_until = await hold(one, appsflyer)
    let_go(one)
    await one.watcher.verdict()
    is_amended = await amend(other, appsflyer.call(query="?more"), lease_until)

    assert (False, ["/c1"], 0) == (is_amended, appsflyer.targets, stored(path).pending)


async def test_a_call_that_is_being_sent_is_not_amended(one, other, appsflyer):
    """Who holds it takes a new lease before it sends."""
    appsflyer.statuses = [0]
    lease_until = await hold(one, appsflyer)
    let_go(one)
    await asyncio.wait_for(appsflyer.asked.wait(), SOON)

    assert await amend(other, appsflyer.call(query="?more"), lease_until) is False


async def test_two_processes_amend_a_call_once(one, other, appsflyer):
    """Whichever is first."""
    lease_until = await hold(one, appsflyer)
    amended = await asyncio.gather(
        *(amend(process, appsflyer.call(query=f"?{n}"), lease_until) for n, process in enumerate((one, other)))
    )

    assert [False, True] == sorted(amended)


@pytest.fixture
def slow_disk(one, patient, monkeypatch):
    """A disk that takes longer than a click waits, until it is told to go on."""
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    go_on = threading.Event()
    one.writer.post(lambda _outbox: go_on.wait(SOON), lambda _result, _error: None)
    yield go_on
    go_on.set()


async def test_a_click_that_waits_too_long_for_the_disk_passes(one, appsflyer, slow_disk):
    """The old redirect is better than no answer."""
    with pytest.raises(NotAcceptedError) as caught:
        await one.courier.accept(appsflyer.call(), note=noted())

    assert Reason.OUTBOX_DOWN == caught.value.reason


async def test_a_click_that_passed_while_it_was_stored_passes_again(one, other, appsflyer, slow_disk):
    """AppsFlyer has it by the old redirect: the same click on another process must not go direct."""
    with pytest.raises(NotAcceptedError):
        await one.courier.accept(appsflyer.call(), note=noted())
    slow_disk.set()
    await written(one)
    await written(one)

    assert Reason.OUTBOX_DOWN == await other.courier.accept(appsflyer.call("c2"), note=noted())


async def test_a_click_that_passed_while_it_was_stored_is_never_sent(one, appsflyer, path, slow_disk):
    """AppsFlyer has it by the old redirect."""
    with pytest.raises(NotAcceptedError):
        await one.courier.accept(appsflyer.call(), hold=LONG, note=noted())
    slow_disk.set()
    await written(one)
    await one.courier.close(SOON)

    assert ([], OutboxCounts(0, 0, None)) == (appsflyer.targets, stored(path))
