"""The outbox: one step at a time, with clocks that the tests move."""

import sqlite3
import stat
import subprocess
import sys

import pytest

from storehop.deliver import outbox_file
from storehop.deliver.courier import DEAD_LETTER
from storehop.deliver.outbox import NewCall, Note, Outbox
from storehop.deliver.outbox_file import CorruptOutboxError, OutboxError, set_aside
from storehop.model import Dead, DeadReason, Delivered, OutboxCounts, RetryAt, S2SCall
from tests.support.clocks import HandClock

HOST = "https://app.appsflyer.com"
LEASE = 6.0


def call(name="c1"):
    return S2SCall(name, HOST, f"/com.x.y?clickid={name}&redirect=false", (("User-Agent", "ua"),), "games")


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "outbox.db"


@pytest.fixture
def outbox(path, clock):
    opened = Outbox.open(path, clock)
    yield opened
    opened.close()


def step(outbox, do):
    with outbox.transaction():
        return do(outbox)


def add(outbox, name="c1", holder="me"):
    return step(outbox, lambda o: o.add_all([NewCall(call(name), HOST, holder, LEASE)])[0])


def claim(outbox, holder="me", limit=10, **hosts):
    return step(outbox, lambda o: o.claim(limit, holder, LEASE, **hosts))


def settle(outbox, claimed, verdict, holder="me", last="500"):
    return step(outbox, lambda o: o.settle(claimed, holder, verdict, last))


def answer(outbox, said="https://play", key=b"click", seconds=10.0):
    return step(outbox, lambda o: o.leave_all([Note(key, said, seconds)])[0])


def ids(claims):
    return [claimed.call.id for claimed in claims]


def test_the_file_is_for_its_owner_alone(outbox, path):
    """Clicks are personal data: file mode 0600, side files too."""
    add(outbox)

    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}


def test_a_new_call_is_leased_to_whoever_stored_it(outbox):
    """Nobody else claims a call whose first attempt is under way."""
    add(outbox, holder="me")

    assert [] == claim(outbox, holder="other")


def test_a_stored_call_comes_back_byte_for_byte(outbox, clock):
    """A retry sends the frozen URL and headers, whatever the rules say by then."""
    add(outbox)
    clock.pass_time(LEASE)

    assert [call()] == [claimed.call for claimed in claim(outbox, holder="other")]


def test_a_lapsed_lease_is_anybodys(outbox, clock):
    """After a crash the lease ends, and another process takes over."""
    add(outbox)
    clock.pass_time(LEASE)

    assert ["c1"] == ids(claim(outbox, holder="other"))


def test_a_lapsed_holder_settles_nothing(outbox, clock):
    """A result is written only by the holder of the lease."""
    mine = add(outbox)
    clock.pass_time(LEASE)
    claim(outbox, holder="other")

    assert settle(outbox, mine, Delivered()) is False


def test_a_lapsed_claim_of_the_same_holder_settles_nothing(outbox, clock):
    """A lease is one claim's, not one process's."""
    first = add(outbox)
    clock.pass_time(LEASE)
    claim(outbox)

    assert settle(outbox, first, Delivered()) is False


def test_delivered_calls_are_gone(outbox):
    """What is delivered needs no place."""
    settle(outbox, add(outbox), Delivered(), last="200")

    assert OutboxCounts(0, 0, None) == outbox.counts()


def test_a_retry_waits_for_its_time(outbox, clock):
    """A call is not claimed before it is due."""
    settle(outbox, add(outbox), RetryAt(clock.up + 3))

    assert [] == claim(outbox)


def test_a_due_call_counts_its_attempts(outbox, clock):
    """The second attempt is number two."""
    settle(outbox, add(outbox), RetryAt(clock.up))

    assert [2] == [claimed.attempt for claimed in claim(outbox)]


def test_an_attempt_that_was_put_off_is_given_back(outbox, clock):
    """Waiting for a breaker or a shutdown spends no attempt."""
    settle(outbox, add(outbox), RetryAt(clock.up, spent=False), last=None)

    assert [1] == [claimed.attempt for claimed in claim(outbox)]


def test_a_dead_call_keeps_its_reason(outbox):
    """A dead letter says why, and what the last answer was."""
    settle(outbox, add(outbox), Dead(DeadReason.REJECTED), last="404")

    assert [("dead", "rejected", "404", 1)] == [(r.state, r.reason, r.last, r.attempts) for r in outbox.rows()]


def test_newest_first(outbox, clock):
    """Recovery begins with the clicks that are still worth most."""
    for name in ("old", "middle", "new"):
        settle(outbox, add(outbox, name), RetryAt(clock.up))
        clock.pass_time(1)

    assert ["new", "middle"] == ids(claim(outbox, limit=2))


def test_hosts_can_be_left_alone(outbox, clock):
    """Calls of a host whose breaker is open are not claimed."""
    settle(outbox, add(outbox), RetryAt(clock.up))

    assert [] == claim(outbox, but=(HOST,))


def test_one_host_can_be_asked_for(outbox, clock):
    """A probe takes a call of its own host."""
    settle(outbox, add(outbox), RetryAt(clock.up))

    assert [] == claim(outbox, only="https://brand.onelink.me")


def test_a_renewed_lease_is_the_one_that_counts(outbox, clock):
    """Renewing moves the lease's end for everybody else."""
    mine = add(outbox)
    clock.pass_time(LEASE - 1)
    step(outbox, lambda o: o.renew(mine, "me", LEASE))
    clock.pass_time(2)

    assert [] == claim(outbox, holder="other")


def test_a_lost_lease_is_not_renewed(outbox, clock):
    """Whoever lost a call learns it before sending."""
    mine = add(outbox)
    clock.pass_time(LEASE)
    claim(outbox, holder="other")

    assert step(outbox, lambda o: o.renew(mine, "me", LEASE)) is None


def test_old_calls_are_given_up(outbox, clock):
    """A click older than max_age goes to the dead letters."""
    settle(outbox, add(outbox), RetryAt(clock.up + 1))
    clock.pass_time(120)

    assert ["c1"] == step(outbox, lambda o: o.expire(120.0))


def test_a_call_under_way_is_not_given_up(outbox, clock):
    """Age does not take a call from the hands of its holder."""
    clock.pass_time(1)
    add(outbox)

    assert [] == step(outbox, lambda o: o.expire(0.0))


def test_a_revived_call_is_young_again(outbox, clock):
    """A retry by hand begins a new life: max_age counts from now."""
    settle(outbox, add(outbox), Dead(DeadReason.REJECTED))
    clock.pass_time(1000)
    step(outbox, lambda o: o.revive("c1"))

    assert [(clock.up, 1)] == [(claimed.born, claimed.attempt) for claimed in claim(outbox)]


def test_only_the_dead_are_purged(outbox):
    """A pending click is never deleted by hand."""
    add(outbox)

    assert step(outbox, lambda o: o.purge("c1")) is False


@pytest.mark.parametrize("jump", [-86400.0, 86400.0, -3.0, 3.0])
def test_a_jump_of_the_wall_clock_moves_no_lease(outbox, clock, jump):
    """Time servers may set the clock: leases go by the uptime."""
    add(outbox)
    clock.unix += jump

    assert [] == claim(outbox, holder="other")


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_a_jump_of_the_wall_clock_ages_no_call(outbox, clock, jump):
    """Age goes by the uptime too."""
    settle(outbox, add(outbox), RetryAt(clock.up + 1))
    clock.unix += jump

    assert [] == step(outbox, lambda o: o.expire(120.0))


def test_a_reboot_ends_all_leases(outbox, path, clock):
    """After a reboot no process is left that could hold one, and uptimes begin anew."""
    add(outbox)
    outbox.close()
    clock.up, clock.unix, clock.boot = 5.0, clock.unix + 30, "boot-2"
    again = Outbox.open(path, clock)
    found = [(claimed.call.id, claimed.born) for claimed in claim(again)]
    again.close()

    assert [("c1", -25.0)] == found


def test_a_wall_clock_set_back_over_a_reboot_makes_no_call_younger_than_now(outbox, path, clock):
    """An age is never negative."""
    add(outbox)
    outbox.close()
    clock.up, clock.unix, clock.boot = 5.0, clock.unix - 1000, "boot-2"
    again = Outbox.open(path, clock)
    found = [claimed.born for claimed in claim(again)]
    again.close()

    assert [5.0] == found


def test_the_first_answer_is_news(outbox):
    """A click that nobody has answered gets the answer that is at hand."""
    assert answer(outbox) is None


def test_the_same_click_again_has_its_answer(outbox):
    """Whoever comes second learns what the first one said."""
    answer(outbox, "https://play")

    assert "https://play" == answer(outbox, "https://elsewhere")


def test_the_first_answer_stands(outbox):
    """A later one never takes its place, however often it is tried."""
    answer(outbox, "first")
    answer(outbox, "second")

    assert "first" == answer(outbox, "third")


def test_another_click_has_its_own_answer(outbox):
    """Answers are told apart by their key."""
    answer(outbox, key=b"one")

    assert answer(outbox, key=b"other") is None


def test_an_answer_holds_until_its_time_is_over(outbox, clock):
    """A moment before the end it is still the same click."""
    answer(outbox, "first", seconds=10.0)
    clock.pass_time(9.9)

    assert "first" == answer(outbox, "second")


def test_an_answer_whose_time_is_over_counts_no_more(outbox, clock):
    """The same click after that is a new one."""
    answer(outbox, seconds=10.0)
    clock.pass_time(10.0)

    assert answer(outbox) is None


def test_an_answer_in_the_place_of_an_old_one_holds(outbox, clock):
    """The new click's time begins with its own answer."""
    answer(outbox, "old", seconds=10.0)
    clock.pass_time(10.0)
    answer(outbox, "new", seconds=10.0)
    clock.pass_time(9.0)

    assert "new" == answer(outbox, "newest")


def test_asking_again_makes_no_answer_last_longer(outbox, clock):
    """Its time counts from the first click."""
    answer(outbox, seconds=10.0)
    clock.pass_time(6.0)
    answer(outbox, seconds=10.0)
    clock.pass_time(6.0)

    assert answer(outbox) is None


def test_a_call_that_is_stored_while_another_process_opens_the_outbox_stays_leased(outbox, path, clock, monkeypatch):
    """It is younger than that process's first look at the clock, and tells of no reboot."""
    transaction = Outbox.transaction

    def wait_for_the_turn(opened):
        if opened is not outbox:
            monkeypatch.setattr(Outbox, "transaction", transaction)
            clock.pass_time(0.01)
            add(outbox)
        return transaction(opened)

    monkeypatch.setattr(Outbox, "transaction", wait_for_the_turn)
    other = Outbox.open(path, clock)
    claims = claim(other, holder="other")
    other.close()

    assert [] == claims


def test_no_answer_outlives_a_reboot(outbox, path, clock):
    """Uptimes begin anew, so its end would be far away."""
    answer(outbox)
    outbox.close()
    clock.up, clock.boot = 5.0, "boot-2"
    again = Outbox.open(path, clock)
    found = answer(again)
    again.close()

    assert found is None


def test_an_answer_outlives_a_restart_of_the_process(outbox, path, clock):
    """What a worker has answered holds for the one that takes its place."""
    answer(outbox, "first")
    outbox.close()
    again = Outbox.open(path, clock)
    found = answer(again, "second")
    again.close()

    assert "first" == found


def test_only_answers_whose_time_is_over_are_forgotten(outbox, clock):
    """Forgetting makes room and changes nothing else."""
    answer(outbox, key=b"old", seconds=5.0)
    answer(outbox, key=b"young", seconds=10.0)
    clock.pass_time(5.0)
    step(outbox, Outbox.forget_notes)

    assert [(b"young",)] == outbox._db.execute("SELECT key FROM answers").fetchall()


def test_what_a_holder_had_leased_is_due_at_once(outbox):
    """Whoever comes next need not wait for the leases of a process that has ended."""
    add(outbox, holder="gone")
    step(outbox, lambda o: o.release("gone"))

    assert ["c1"] == ids(claim(outbox, holder="other"))


def test_a_release_says_how_many(outbox):
    """One for each call that was under way."""
    add(outbox, "c1", holder="gone")
    add(outbox, "c2", holder="gone")

    assert 2 == step(outbox, lambda o: o.release("gone"))


def test_a_release_leaves_the_calls_of_others_alone(outbox):
    """A process that lives goes on with what it has."""
    add(outbox, holder="alive")
    step(outbox, lambda o: o.release("gone"))

    assert [] == claim(outbox, holder="other")


def test_a_release_leaves_dead_letters_dead(outbox):
    """Only what is under way is let go."""
    settle(outbox, add(outbox), Dead(DeadReason.REJECTED))
    step(outbox, lambda o: o.release("me"))

    assert ["dead"] == [row.state for row in outbox.rows()]


def test_a_released_holder_settles_nothing(outbox):
    """Its lease is over, should it live after all."""
    mine = add(outbox)
    step(outbox, lambda o: o.release("me"))

    assert settle(outbox, mine, Delivered()) is False


def test_a_release_spends_no_attempt(outbox):
    """Nobody knows of one."""
    add(outbox, holder="gone")
    step(outbox, lambda o: o.release("gone"))

    assert [1] == [claimed.attempt for claimed in claim(outbox)]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'sent'",
        "state = 'due'",
        "state = 'dead'",
        "holder = NULL",
        "lease_until = NULL",
        "due_at = 1.0",
        "dead_at = 1.0",
        "reason = 'rejected'",
        "attempts = -1",
        "id = ''",
        "url = 'https://elsewhere.example/'",
        "headers = 'no json'",
    ],
)
def test_an_impossible_state_is_unstorable(outbox, change):
    """The schema itself refuses what the state machine does not know."""
    add(outbox)

    with pytest.raises(sqlite3.IntegrityError):
        outbox._db.execute(f"UPDATE calls SET {change}")


def test_the_same_call_twice_is_refused(outbox):
    """A click has one row."""
    add(outbox)

    with pytest.raises(sqlite3.IntegrityError):
        add(outbox)


def test_a_failed_step_leaves_no_trace(outbox):
    """A transaction is all or nothing."""

    def fail(outbox):
        outbox.add_all([NewCall(call(), HOST, "me", LEASE)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        step(outbox, fail)

    assert OutboxCounts(0, 0, None) == outbox.counts()


def test_the_schema_has_a_version(outbox):
    """PRAGMA user_version tells a later storehop where to start."""
    assert (2,) == outbox._db.execute("PRAGMA user_version").fetchone()


@pytest.fixture
def first_schema(path, clock, monkeypatch):
    """An outbox as the first schema made it, with a call in it."""
    with monkeypatch.context() as then:
        then.setattr(outbox_file, "_MIGRATIONS", outbox_file._MIGRATIONS[:1])
        path.parent.mkdir(exist_ok=True)
        turn = outbox_file.Turn(path)
        db, inode = outbox_file.connect(path, turn, power_safe=True, max_bytes=None)
    before = Outbox(db, turn, clock, inode)
    add(before)
    before.close()
    return path


def test_an_older_schema_is_brought_up_to_date(first_schema, clock):
    """An outbox without answers takes them after the upgrade."""
    opened = Outbox.open(first_schema, clock)
    found = (opened._db.execute("PRAGMA user_version").fetchone(), answer(opened))
    opened.close()

    assert ((2,), None) == found


def test_an_upgrade_keeps_the_calls(first_schema, clock):
    """What an older storehop stored is sent by the newer one, byte for byte."""
    clock.pass_time(LEASE)
    opened = Outbox.open(first_schema, clock)
    found = [claimed.call for claimed in claim(opened, holder="other")]
    opened.close()

    assert [call()] == found


def test_a_folder_is_left_alone(path, clock):
    """Whoever names a folder by mistake gets in again."""
    path.mkdir(parents=True, mode=0o755)

    with pytest.raises(OutboxError, match="no file"):
        Outbox.open(path, clock)
    assert 0o755 == stat.S_IMODE(path.stat().st_mode)


def test_a_link_may_lead_to_it(path, clock, tmp_path):
    """Also while there is nothing yet where it leads."""
    elsewhere = tmp_path / "elsewhere.db"
    path.parent.mkdir()
    path.symlink_to(elsewhere)
    Outbox.open(path, clock).close()

    assert (True, 0o600) == (path.is_symlink(), stat.S_IMODE(elsewhere.stat().st_mode))


def test_an_outbox_of_a_newer_storehop_is_left_alone(outbox, path, clock):
    """A schema that we do not know is no place for our clicks."""
    outbox._db.execute("PRAGMA user_version = 99")
    outbox.close()

    with pytest.raises(OutboxError, match="newer storehop"):
        Outbox.open(path, clock)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_corrupt_file_is_recognised(path, clock, content):
    """A file that is no SQLite database, or a broken one, is told apart from a passing fault."""
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(CorruptOutboxError):
        Outbox.open(path, clock)


def test_a_corrupt_index_is_recognised(outbox, path, clock):
    """SQLite says more exactly what is corrupt, by a code of its own."""
    settle(outbox, add(outbox), RetryAt(0.0))
    outbox.close()
    behind_its_table(path, "calls_due", "UPDATE calls SET due_at = 1.0")
    corrupt = Outbox.open(path, clock)

    with pytest.raises(CorruptOutboxError):
        claim(corrupt)
    corrupt.close()


def behind_its_table(path, index, statement):
    """Hides an index from SQLite while the statement runs."""
    (row,) = with_the_schema(path, "SELECT * FROM sqlite_schema WHERE name = ?", (index,))
    with_the_schema(path, "DELETE FROM sqlite_schema WHERE name = ?", (index,))
    with_the_schema(path, statement, ())
    with_the_schema(path, "INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)


def with_the_schema(path, statement, values):
    """Runs a statement on a connection that may change the schema."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA writable_schema = ON")
    found = db.execute(statement, values).fetchall()
    db.close()
    return found


CLOSES = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT * FROM calls").fetchall()
db.close()
"""


@pytest.mark.process
def test_opening_it_twice_keeps_the_locks(path, clock):
    """While a connection of ours is open nobody takes its WAL away, though another one of this process has ended."""
    before, now = Outbox.open(path, clock), Outbox.open(path, clock)
    before.close()
    subprocess.run([sys.executable, "-c", CLOSES, path], check=True)
    has_wal = path.with_name("outbox.db-wal").exists()
    now.close()

    assert has_wal


def test_a_corrupt_file_is_set_aside_whole(path):
    """Setting aside moves, and deletes nothing."""
    path.parent.mkdir()
    path.write_bytes(b"precious")

    assert b"precious" == set_aside(path).read_bytes()


def test_the_size_limit_holds(path, clock):
    """Above its size limit the outbox takes no more clicks."""
    small = Outbox.open(path, clock, max_bytes=200_000)

    def fill():
        for number in range(10_000):
            add(small, f"c{number}")

    with pytest.raises(OutboxError, match="full"):
        fill()
    small.close()


@pytest.mark.parametrize("length", [300, 1500, 2000])
def test_dead_letters_fill_half_of_it(path, clock, length):
    """As many as are kept, however long they are: the other half is for clicks."""
    limit = 4 * 2**20
    small = Outbox.open(path, clock, max_bytes=limit)
    headers = (("User-Agent", "ua" * 100), ("X-Forwarded-For", "93.184.216.34"))
    calls = [
        S2SCall(f"{number:036}", HOST, "/com.x.y?".ljust(length - len(HOST), "x"), headers, "games")
        for number in range(limit // 2 // DEAD_LETTER)
    ]
    with small.transaction():
        for claimed in small.add_all([NewCall(one, HOST, "me", LEASE) for one in calls]):
            small.settle(claimed, "me", Dead(DeadReason.REJECTED), "400")
    small.close()

    assert path.stat().st_size <= limit / 2


def test_the_durability_is_full_by_default(outbox):
    """synchronous=FULL (2): a commit survives a power cut."""
    assert (2,) == outbox._db.execute("PRAGMA synchronous").fetchone()


def test_the_durability_can_be_normal(path, clock):
    """synchronous=NORMAL (1) is a setting."""
    opened = Outbox.open(path, clock, power_safe=False)
    found = opened._db.execute("PRAGMA synchronous").fetchone()
    opened.close()

    assert (1,) == found


def test_an_answer_that_is_taken_back_is_forgotten(outbox):
    """The next one to ask is the first."""
    answer(outbox)
    with outbox.transaction():
        outbox.take_note(b"click")

    assert answer(outbox) is None
