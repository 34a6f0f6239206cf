"""What is SQLite's own: bounds in bytes, the write-ahead log, batches."""

import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storehop.deliver.engine import EngineError, FullError, NoRoomError
from storehop.deliver.operations import Accept, Answer, ClaimDue, Extend, ListCalls, Probe, Remember, Settle, Sweep
from storehop.deliver.sqlite import upkeep
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.model import Dead, DeadReason, Delivered, RetryIn
from tests.deliver.sqlite.conftest import ORIGIN, accept
from tests.support.clocks import HandClock

MAX_BYTES = 2 * 1024 * 1024
READS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM calls").fetchall()
print("reading", flush=True)
sys.stdin.readline()
"""


def fill(engine, clock, *, dead, **call):
    """Stores calls until the file is full. Returns how many; they are dead, or due."""
    verdict = Dead(DeadReason.REJECTED) if dead else RetryIn(0.0)
    for number in range(100_000):
        clock.pass_time(0.001)
        try:
            engine.run([accept(f"c{number}", f"me:{number}", **call)])
            engine.run([Settle(f"c{number}", f"me:{number}", verdict, "400")])
        except EngineError as error:
            assert "full" in str(error)  # noqa: PT017
            return number
    raise AssertionError


@pytest.fixture
def bounded(open_engine):
    return open_engine(max_bytes=MAX_BYTES, power_safe=False)


def test_the_size_limit_holds(bounded, path, clock):
    """The file grows no further."""
    fill(bounded, clock, dead=False, length=900)
    bounded.close()

    assert path.stat().st_size <= MAX_BYTES


@pytest.mark.parametrize(
    "call",
    [
        {"length": 300},
        {"length": 1500},
        {"length": 2000},
        {"length": 300, "headers": (("User-Agent", "😀" * 900),)},
    ],
    ids=["short", "long", "longest", "900 emoji"],
)
def test_dead_letters_leave_half_of_the_file_to_clicks(bounded, clock, call):
    """By bytes: whatever a User-Agent is made of."""
    fill(bounded, clock, dead=True, **call)
    (swept,) = bounded.run([Sweep(120.0, 500)])
    clicks = MAX_BYTES // 2 // 4096 // 3  # three pages are more than such a call takes
    bounded.run([accept(f"new-{n}", f"me:new-{n}", **call) for n in range(clicks)])

    assert swept.dropped > 0


def test_the_oldest_dead_letters_go_first(bounded, clock):
    """People look at the newest."""
    stored = fill(bounded, clock, dead=True, length=900)
    bounded.run([Sweep(120.0, 500)])
    (left,) = bounded.run([ListCalls(dead=True)])
    numbers = sorted(int(one.id[1:]) for one in left)

    assert list(range(stored - len(numbers), stored)) == numbers


def test_what_makes_room_goes_first(bounded, clock):
    """In a file that is full to the last page old answers go, and then old calls can be given up."""
    bounded.run([Remember(Answer(b"%d" % n, "x" * 400, 1.0)) for n in range(400)])
    stored = fill(bounded, clock, dead=False, length=600)
    clock.pass_time(120.0)
    expired = 0
    while swept := bounded.run([Sweep(120.0, 500)])[0]:
        expired += len(swept.expired)
        if not swept.expired:
            break

    assert (True, 0) == (expired >= stored, swept.pending)


FEW_BYTES = 512 * 1024


@pytest.fixture
def small(open_engine):
    return open_engine(max_bytes=FEW_BYTES, power_safe=False)


@pytest.fixture
def full(small, clock):
    """Ids of the calls in a file that is full to the last page, and has been swept."""
    stored = fill(small, clock, dead=False, length=600)
    small.run([Sweep(1e6, 500)])
    return [f"c{number}" for number in range(stored)]


@pytest.mark.parametrize("kind", [Accept, Remember, Probe])
def test_a_full_outbox_takes_nothing_new(small, full, kind):
    """Its last eighth is for verdicts."""
    new = {Accept: accept("new", "me:new"), Remember: Remember(Answer(b"new", "x", 9.0)), Probe: Probe()}[kind]

    with pytest.raises(FullError, match="max_outbox is reached"):
        small.run([new])


@pytest.mark.parametrize("verdict", [Delivered(), RetryIn(0.25), Dead(DeadReason.REJECTED)], ids=type)
def test_a_full_outbox_goes_on_to_hand_out_and_to_settle(small, full, clock, verdict):
    """However full it is: so it gets empty again."""
    (leased,) = small.run([ClaimDue(9999, "me:a-long-name-of-a-process" * 2, 6.0)])
    settled = small.run([Settle(one.call.id, one.lease, verdict, "x" * 20) for one in leased])

    assert (set(full), {True}) == ({one.call.id for one in leased}, set(settled))


def test_a_batch_that_is_too_large_says_so(small):
    """Part of it may fit in."""
    with pytest.raises(NoRoomError, match="full"):
        small.run([accept(f"c{n}", f"me:{n}", length=2000) for n in range(500)])


def test_a_full_outbox_that_has_room_again_takes_clicks(small, full):
    """And its file is bounded as before."""
    (leased,) = small.run([ClaimDue(9999, "me:1", 6.0)])
    small.run([Settle(one.call.id, one.lease, Delivered(), "200") for one in leased])
    small.run([Probe()])

    assert "new" == small.run([accept("new", "me:new")])[0].call.id
    assert (FEW_BYTES // 4096,) == small._db.execute("PRAGMA max_page_count").fetchone()


def test_an_outbox_that_is_found_full_takes_nothing_new(small, full, open_engine):
    """From the first click on, and hands out all the same."""
    other = open_engine(max_bytes=FEW_BYTES)
    (leased,) = other.run([ClaimDue(9999, "other:a-long-name-of-a-process" * 2, 6.0)])

    assert len(full) == len(leased)
    with pytest.raises(FullError):
        other.run([accept("new", "other:new")])


def test_what_a_sweep_has_freed_stays_free(engine, clock, monkeypatch):
    """When the rest of it fails, there is room all the same."""

    def fail(*_):
        raise sqlite3.OperationalError("database or disk is full")

    engine.run([Remember(Answer(b"old", "x", 1.0))])
    clock.pass_time(1.0)
    monkeypatch.setattr(upkeep, "expire", fail)
    with pytest.raises(EngineError, match="full"):
        engine.run([Sweep(120.0, 500)])

    assert (0,) == engine._db.execute("SELECT count(*) FROM answers").fetchone()


def test_a_sweep_gives_up_so_many_at_once(engine, clock):
    """An hour's calls must not hold up the clicks of now; the oldest go first."""
    for number in range(10):
        engine.run([accept(f"c{number}", f"me:{number}", 0.0)])
        clock.pass_time(1.0)
    clock.pass_time(120.0)
    (swept,) = engine.run([Sweep(120.0, 4)])

    assert ({"c0", "c1", "c2", "c3"}, 6) == (set(swept.expired), swept.pending)


@pytest.mark.process
def test_a_reader_from_outside_can_not_grow_the_log_without_end(open_engine, path):
    """While it holds a transaction open clicks pass, and it heals when the reader goes."""
    engine = open_engine(max_wal_bytes=300_000)
    engine.run([accept()])
    with subprocess.Popen(
        [sys.executable, "-c", READS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        reader.stdout.readline()
        for number in range(300):
            engine.run([accept(f"c{number + 2}", f"me:{number + 2}", length=1000)])
        engine.run([Sweep(120.0, 500)])
        with pytest.raises(EngineError, match="a reader from outside holds it open"):
            engine.run([accept("late", "me:late")])
        settled = engine.run([Settle("c2", "me:2", Delivered(), "200")])
        with pytest.raises(EngineError, match="a reader from outside"):
            engine.run([Probe()])
        reader.communicate("\n", timeout=60)
    engine.run([Probe()])

    assert [True] == settled
    assert engine._wal_bytes() < 300_000
    assert "late" == engine.run([accept("late", "me:late")])[0].call.id


OPERATIONS = st.one_of(
    st.builds(lambda n, k: accept(f"c{n}", f"me:{n}", answer=Answer(k, f"{n}", 10.0) if k else None),
              st.integers(0, 5), st.sampled_from([None, b"a", b"b"])),
    st.builds(lambda n, last: Settle(f"c{n}", f"me:{n}", Delivered(), last), st.integers(0, 5), st.just("200")),
    st.builds(lambda n: Settle(f"c{n}", f"me:{n}", RetryIn(1.0), "503"), st.integers(0, 5)),
    st.builds(lambda n: Extend(f"c{n}", f"me:{n}", 9.0), st.integers(0, 5)),
)  # fmt: skip


@given(batch=st.lists(OPERATIONS, max_size=12, unique_by=lambda one: one if not hasattr(one, "call") else one.call.id))
@settings(deadline=None)
def test_a_batch_is_its_operations_one_by_one(tmp_path_factory, batch):
    """Several calls share a statement, and that shows nowhere: neither in results nor in rows."""
    folder, clock = tmp_path_factory.mktemp("batches"), HandClock()
    together = SqliteEngine(folder / "together.db", power_safe=False, clock=clock)
    alone = SqliteEngine(folder / "alone.db", power_safe=False, clock=clock)
    results = together.run(batch), [alone.run([one])[0] for one in batch]
    rows = [engine.run([ListCalls()])[0] for engine in (together, alone)]
    for engine in (together, alone):
        engine.close()

    assert results[0] == results[1]
    assert sorted(rows[0], key=lambda row: row.id) == sorted(rows[1], key=lambda row: row.id)


def test_the_same_call_twice_is_our_own_mistake(engine):
    """A click has one row; no fault of the engine's."""
    engine.run([accept()])

    with pytest.raises(sqlite3.IntegrityError):
        engine.run([accept()])


def test_a_url_is_stored_as_it_goes(engine):
    """For people, and for a version before."""
    engine.run([accept()])

    assert (ORIGIN, f"{ORIGIN}/com.x.y?clickid=c1") == engine._db.execute("SELECT host, url FROM calls").fetchone()


def test_reading_waits_for_nobody(engine, open_engine):
    """Whoever looks at a large outbox holds no click up, and a writer that hangs does not hold the look up."""
    reader = open_engine()
    reader.run([ListCalls()])
    with engine.exclusive():
        engine.run([accept()])
        (stored,) = reader.run([ListCalls()])

    assert ["c1"] == [one.id for one in stored]
