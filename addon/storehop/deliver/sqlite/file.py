"""The outbox's file: how it is opened and brought up to date, and what becomes of a corrupt one.

Everything here happens under the write lock: two processes that meet a corrupt file must not move each other's new one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import resources
from itertools import count
from pathlib import Path

from storehop.deliver.engine import EngineError, NoRoomError
from storehop.deliver.sqlite.clock import Clock

BUSY_S = 1.0
"""How long SQLite waits for whoever does not know our lock."""
_WAL_KEPT_BYTES = 16 * 1024 * 1024
"""Size to which the write-ahead log shrinks after it was larger."""


class CorruptError(EngineError):
    """The file is no outbox any more."""


_ERRORS = {
    sqlite3.SQLITE_CORRUPT: CorruptError,
    sqlite3.SQLITE_NOTADB: CorruptError,
    sqlite3.SQLITE_FULL: NoRoomError,
}


@contextmanager
def translated() -> Iterator[None]:
    """sqlite3's errors as an engine's."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a state that must not be: our own mistake, and no fault of the engine's
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what SQLite adds to say more exactly
        raise _ERRORS.get(code, EngineError)(str(error)) from error
    except OSError as error:
        raise EngineError(error.strerror or str(error)) from error


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and on the disk when it ends."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def connect(path: Path, clock: Clock, *, power_safe: bool) -> sqlite3.Connection:
    """Opens or makes the file, mode 0600, and brings it up to date. Raises EngineError, CorruptError."""
    with translated():
        # A file that is there is never opened here: closing it would drop the locks that another connection of this
        # process has on it (POSIX, fcntl), and whoever closes the outbox next would delete its write-ahead log.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if not path.is_file():
            raise EngineError("it is no file")
        with suppress(PermissionError):  # another user's, who let us write
            path.chmod(0o600)  # before SQLite makes its side files: they take the mode over
        # Autocommit, so that transactions are ours; used by one thread at a time, not always the same.
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db, power_safe=power_safe)
            with transaction(db):
                _migrate(db)
                _meet_machine(db, clock)
        except BaseException:
            db.close()
            raise
    return db


def _prepare(db: sqlite3.Connection, *, power_safe: bool) -> None:
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise EngineError(f"its file system can't keep a write-ahead log (SQLite says: journal mode {mode})")
    db.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
    db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise CorruptError("quick_check finds it corrupt")


def schema() -> list[str]:
    """The scripts that make the schema, in their order. One that has been shipped is never edited."""
    folder = resources.files(__package__) / "schema"
    scripts = []
    for number in count(1):
        file = folder / f"{number}.sql"
        if not file.is_file():
            break
        scripts.append(file.read_text())
    return scripts


def _migrate(db: sqlite3.Connection) -> None:
    scripts = schema()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(scripts):
        raise EngineError(f"it was made by a newer storehop (schema {version}, this one knows {len(scripts)})")
    for number, script in enumerate(scripts[version:], start=version + 1):
        for statement in _statements(script):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """One at a time: executescript would commit the transaction."""
    return (statement for part in script.split(";") if (statement := part.strip()))


def _meet_machine(db: sqlite3.Connection, clock: Clock) -> None:
    """After a reboot uptimes begin anew: no lease holds any more, and ages go by the wall clock.

    A call that was stored later than now tells of a reboot as well, where the machine has no boot id.
    """
    now, wall = clock.uptime(), clock.wall()
    (boot_id,) = db.execute("SELECT boot_id FROM machine").fetchone()
    (newest,) = db.execute("SELECT max(born) FROM calls WHERE state <> 'dead'").fetchone()
    if boot_id == clock.boot_id and (newest is None or newest <= now):
        return
    db.execute("UPDATE machine SET boot_id = ?, budget = 0, budget_at = ?", (clock.boot_id, now))
    db.execute("DELETE FROM answers")
    db.execute(
        "UPDATE calls SET born = ? - max(0.0, ? - created_at), due_at = ?, state = 'due', holder = NULL,"
        " lease_until = NULL, lease = NULL, is_held = 0 WHERE state <> 'dead'",
        (now, wall, now),
    )


def set_aside(path: Path, inode: int | None) -> Path | None:
    """Moves a corrupt outbox out of the way, with its side files; nothing is deleted. Returns where it lies now.

    None where the file at `path` is not the one of this inode, which was found corrupt: another process was first.
    """
    if inode_of(path) != inode:
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    with translated():
        for suffix in ("", "-wal", "-shm"):
            file = path.with_name(path.name + suffix)
            if file.exists():
                file.rename(aside.with_name(aside.name + suffix))
    return aside


def inode_of(path: Path) -> int | None:
    """The file's identity, or None where it is gone."""
    try:
        return path.stat().st_ino
    except OSError:
        return None
