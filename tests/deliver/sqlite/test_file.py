"""The file: who may read it, how it is brought up to date, what becomes of a corrupt one."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from importlib import resources

import pytest

from storehop.deliver.engine import EngineError
from storehop.deliver.operations import Accept, Answer, ClaimDue, ListCalls, Recall, Remember
from storehop.deliver.sqlite import file as module
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.deliver.sqlite.file import schema
from tests.deliver.sqlite.conftest import LEASE_S, ORIGIN, accept

SHIPPED = {
    1: "7c5cfd73",
    2: "470540fb",
    3: "68c91c1a",
}
"""The first digits of the SHA-256 of each schema script that was shipped: none is ever edited."""


def claimed(engine, **which):
    (leased,) = engine.run([ClaimDue(9, "other:1", LEASE_S, **which)])
    return [one.call.id for one in leased]


def test_no_schema_that_was_shipped_is_edited():
    """Files that were made by it keep what it was: a change is a further script."""
    digests = {n: hashlib.sha256(text.encode()).hexdigest()[:8] for n, text in enumerate(schema(), start=1)}

    assert SHIPPED == digests


def test_the_file_is_for_its_owner_alone(engine, path):
    """Links hold personal data; the side files take the mode over."""
    engine.run([accept()])
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}

    assert {
        "outbox.db": "0o600",
        "outbox.db-wal": "0o600",
        "outbox.db-shm": "0o600",
        "outbox.db-turn": "0o600",
    } == modes


def test_a_stored_call_comes_back_byte_for_byte(engine, clock):
    """Origin, target, headers with any characters, rule."""
    call = accept(headers=(("User-Agent", 'ü 😀 "\\'), ("X", ""))).call
    engine.run([Accept(call, "me:1", 0.0)])
    (leased,) = engine.run([ClaimDue(1, "other:1", LEASE_S)])

    assert [call] == [one.call for one in leased]


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
def test_an_impossible_state_is_unstorable(engine, change):
    """The schema itself refuses what the state machine does not know."""
    engine.run([accept()])

    with pytest.raises(sqlite3.IntegrityError):
        engine._db.execute(f"UPDATE calls SET {change}")


# of another version


@pytest.fixture(params=[1, 2])
def older(request, path, clock):
    """An outbox as a version with fewer scripts made it: one call of each state."""
    folder = resources.files("storehop.deliver.sqlite") / "schema"
    with sqlite3.connect(path) as db:
        for number in range(1, request.param + 1):
            db.executescript((folder / f"{number}.sql").read_text())
        db.execute(f"PRAGMA user_version = {request.param}")
        db.execute("UPDATE machine SET boot_id = ?", (clock.boot_id,))
        head = "INSERT INTO calls (id, host, url, headers, rule, created_at, born, attempts, state"
        row = f"'{ORIGIN}', '{ORIGIN}/x?c=' || ?, '[[\"User-Agent\", \"ua \\u00e9\"]]', 'games', ?, ?, 1"
        for name, state, names, values in (
            ("leased", "leased", "holder, lease_until", "'old', 1006.0"),
            ("due", "due", "due_at", "999.0"),
            ("dead", "dead", "dead_at, reason", "1.0, 'rejected'"),
        ):
            times = (name, name, clock.unix, clock.up - 1)
            db.execute(f"{head}, {names}) VALUES (?, {row}, '{state}', {values})", times)
    db.close()
    return path


def test_an_older_outbox_keeps_its_calls(older, engine):
    """An upgrade loses none."""
    (stored,) = engine.run([ListCalls()])

    assert {"leased": "leased", "due": "due", "dead": "dead"} == {one.id: one.state for one in stored}


def test_an_older_outbox_s_due_calls_are_claimed(older, engine, clock):
    """The leased one as soon as its lease has lapsed."""
    at_once = claimed(engine)
    clock.pass_time(LEASE_S)

    assert (["due"], {"due", "leased"}) == (at_once, set(claimed(engine)))


def test_an_older_outbox_s_headers_are_read(older, engine):
    """They were escaped."""
    (leased,) = engine.run([ClaimDue(1, "other:1", LEASE_S)])

    assert (("User-Agent", "ua é"),) == leased[0].call.headers


def test_an_older_process_beside_us_keeps_its_lease(engine, clock):
    """It knows no tokens: what it has leased again is not settled by our stale one."""
    from storehop.deliver.operations import Settle  # noqa: PLC0415
    from storehop.model import Delivered  # noqa: PLC0415

    engine.run([accept(lease_s=0.0)])
    engine._db.execute("UPDATE calls SET holder = 'older', lease_until = ?", (clock.up + LEASE_S,))

    assert [False] == engine.run([Settle("c1", "me:1", Delivered(), "200")])


def test_an_outbox_of_a_newer_storehop_is_left_alone(engine, path, open_engine):
    """Nobody knows what it means."""
    engine._db.execute("PRAGMA user_version = 99")
    engine.close()

    with pytest.raises(EngineError, match="newer storehop"):
        open_engine().run([])


# reboots


def test_a_reboot_ends_all_leases(engine, open_engine, clock):
    """Whoever had them is gone; ages go by the wall clock."""
    engine.run([accept()])
    engine.close()
    clock.reboot(50.0)
    again = open_engine()
    (leased,) = again.run([ClaimDue(1, "other:1", LEASE_S)])

    assert [("c1", 50.0)] == [(one.call.id, one.age_s) for one in leased]


def test_no_answer_outlives_a_reboot(engine, open_engine, clock):
    """Its time can't be told any more."""
    engine.run([Remember(Answer(b"k", "text", 1000.0))])
    engine.close()
    clock.reboot(1.0)

    assert [None] == open_engine().run([Recall(b"k")])


def test_a_boot_is_told_without_a_boot_id(engine, open_engine, clock):
    """A call that was stored later than now was stored before a reboot."""
    engine.run([accept()])
    engine.close()
    boot_id = clock.boot_id
    clock.reboot(5.0)
    clock.boot_id = boot_id

    assert ["c1"] == claimed(open_engine())


# what lies there instead


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_corrupt_file_is_set_aside_whole(path, open_engine, content):
    """Nothing is deleted, the fault says where it lies, and the next batch has a new file."""
    path.write_bytes(content)
    engine = open_engine()
    with pytest.raises(EngineError, match="it was corrupt") as caught:
        engine.run([accept()])
    (aside,) = path.parent.glob("outbox.db.corrupt-*")

    assert (content, True) == (aside.read_bytes(), str(aside) in str(caught.value))
    assert ["c1"] == [leased.call.id for leased in engine.run([accept()])]


def test_a_corrupt_index_is_recognised(engine, path, open_engine):
    """quick_check at the opening."""
    engine.run([accept(f"c{n}", f"me:{n}", length=900) for n in range(50)])
    engine.close()
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)

    with pytest.raises(EngineError, match="corrupt"):
        open_engine().run([])


def test_a_file_that_is_gone_is_made_anew(engine, path):
    """Somebody deleted it: its inode is no more the one of that name."""
    engine.run([accept()])
    path.unlink()

    assert [[]] == engine.run([ListCalls()])


SETS_ASIDE = """
import sys, time
from pathlib import Path
from storehop.deliver.sqlite import engine as module
from storehop.deliver.operations import Accept, ListCalls
from storehop.model import S2SCall
from storehop.deliver.engine import EngineError
real = module.set_aside
def slowly(path, inode):  # between finding it corrupt and moving it
    print("found", flush=True)
    sys.stdin.readline()
    return real(path, inode)
module.set_aside = slowly
engine = module.SqliteEngine(Path(sys.argv[1]))
try:
    engine.run([])
except EngineError as error:
    print(error, flush=True)
engine.run([Accept(S2SCall(sys.argv[2], "https://af.test", "/x", ()), "a:1", 60.0)])
print("accepted", flush=True)
"""


@pytest.mark.process
def test_two_processes_that_meet_a_corrupt_file_lose_nothing(path):
    """While one sets it aside nobody else can: else the second would move the first one's new file away."""
    path.write_bytes(b"no database" * 500)
    command = [sys.executable, "-c", SETS_ASIDE, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "one"], **pipes) as one, subprocess.Popen([*command, "two"], **pipes) as two:
        processes = {child.stdout.fileno(): child for child in (one, two)}
        import select  # noqa: PLC0415

        ready, _, _ = select.select(list(processes), [], [], 60)
        first = processes[ready[0]]
        second = two if first is one else one
        first.communicate("go\n", timeout=60)
        second.communicate("go\n", timeout=60)
    engine = SqliteEngine(path)
    (stored,) = engine.run([ListCalls()])
    engine.close()

    assert {"one", "two"} == {call.id for call in stored}
    assert 1 == len(list(path.parent.glob("outbox.db.corrupt-*")))


def test_a_folder_is_left_alone(path, open_engine):
    """It is no file."""
    path.mkdir()

    with pytest.raises(EngineError, match="it is no file"):
        open_engine().run([])


def test_all_lies_where_a_link_leads(path, open_engine, tmp_path):
    """Lock, side files and what is set aside lie beside the file, and both spellings share one lock."""
    home = tmp_path / "disk"
    home.mkdir()
    (home / "real.db").write_bytes(b"no database" * 500)
    path.symlink_to(home / "real.db")
    engine = open_engine(path)
    with pytest.raises(EngineError):
        engine.run([])
    engine.run([accept()])

    assert path.is_symlink()
    assert {"real.db", "real.db-turn"} <= {file.name for file in home.iterdir()}
    assert 1 == len(list(home.glob("real.db.corrupt-*")))
    assert [path] == [file for file in tmp_path.iterdir() if file.name.startswith("outbox")]


def test_a_file_system_without_a_write_ahead_log_is_refused(path, open_engine, monkeypatch):
    """SQLite says so in its answer, and would go on without one."""

    class Refusing(sqlite3.Connection):
        def execute(self, sql, *values):
            return super().execute(sql.replace("journal_mode = WAL", "journal_mode = DELETE"), *values)

    connect = sqlite3.connect
    monkeypatch.setattr(module.sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Refusing))

    with pytest.raises(EngineError, match="write-ahead log"):
        open_engine().run([])


@pytest.mark.parametrize(("power_safe", "level"), [(True, 2), (False, 1)])
def test_the_durability_is_the_settings(open_engine, power_safe, level):
    """FULL survives a power cut, NORMAL a crash of the process."""
    engine = open_engine(power_safe=power_safe)
    engine.run([])

    assert (level,) == engine._db.execute("PRAGMA synchronous").fetchone()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into another user's outbox")
def test_root_leaves_an_outbox_to_its_owner(path, open_engine):
    """What a look of root's makes beside it belongs to the service, which still starts."""
    engine = open_engine()
    engine.run([accept()])
    engine.close()
    path.with_name("outbox.db-turn").unlink()
    for file in (path.parent, path):
        os.chown(file, 12345, 12345)
    looking = open_engine()
    looking.run([ListCalls()])
    owners = {file.name: file.stat().st_uid for file in path.parent.iterdir()}

    assert {12345} == set(owners.values())


def test_the_boot_id_is_read_while_there_are_descriptors(path, monkeypatch):
    """Without one the engine says why it can't be used, and no other error comes out."""
    engine = SqliteEngine(path)

    def none_left(*_arguments, **_more):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("storehop.deliver.sqlite.lock.os.open", none_left)
    with pytest.raises(EngineError, match="Too many open files"):
        engine.run([])
    monkeypatch.undo()
    engine.run([])
    engine.close()


def test_a_folder_that_is_deleted_is_made_anew(open_engine, tmp_path):
    """And all processes queue up at one lock again."""
    folder = tmp_path / "state"
    one, two = (open_engine(folder / "outbox.db") for _ in range(2))
    one.run([accept("c1")])
    two.run([])
    shutil.rmtree(folder)
    one.run([accept("c2", "me:2")])
    two.run([accept("c3", "me:3")])

    assert {"c2", "c3"} == {call.id for call in one.run([ListCalls()])[0]}
    assert os.path.samestat(os.fstat(one._lock._file), os.fstat(two._lock._file))
