"""The outbox's file: its schema, how it is opened and brought up to date, and what becomes of a corrupt one."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

BUSY_TIMEOUT = 1.0
"""Seconds to wait for another process's transaction."""

_MIGRATIONS = (
    """
    CREATE TABLE calls (
        id          TEXT PRIMARY KEY CHECK (id <> ''),
        host        TEXT NOT NULL CHECK (host LIKE 'http%://%'),
        url         TEXT NOT NULL CHECK (substr(url, 1, length(host)) = host),
        headers     TEXT NOT NULL CHECK (json_valid(headers)),
        rule        TEXT NOT NULL,
        created_at  REAL NOT NULL,                            -- wall clock, for people and over reboots
        born        REAL NOT NULL,                            -- uptime
        attempts    INTEGER NOT NULL CHECK (attempts >= 0),   -- spent ones
        last        TEXT,                                     -- outcome of the last attempt
        state       TEXT NOT NULL CHECK (state IN ('leased', 'due', 'dead')),
        due_at      REAL,                                     -- uptime
        holder      TEXT,
        lease_until REAL,                                     -- uptime
        dead_at     REAL,                                     -- wall clock
        reason      TEXT,
        CHECK ((state = 'leased') = (holder IS NOT NULL AND lease_until IS NOT NULL)),
        CHECK ((state = 'leased') OR (holder IS NULL AND lease_until IS NULL)),
        CHECK ((state = 'due') = (due_at IS NOT NULL)),
        CHECK ((state = 'dead') = (dead_at IS NOT NULL AND reason IS NOT NULL)),
        CHECK ((state = 'dead') OR (dead_at IS NULL AND reason IS NULL))
    ) STRICT;
    CREATE INDEX calls_due ON calls (due_at) WHERE state = 'due';
    CREATE INDEX calls_alive ON calls (born) WHERE state <> 'dead';
    CREATE INDEX calls_dead ON calls (dead_at) WHERE state = 'dead';
    CREATE TABLE machine (boot_id TEXT NOT NULL, probe BLOB) STRICT;
    INSERT INTO machine (boot_id) VALUES ('');
    """,
    """
    CREATE TABLE answers (
        key    BLOB PRIMARY KEY,
        until  REAL NOT NULL,                                 -- uptime
        answer TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
)


class OutboxError(Exception):
    """The outbox could not do it: disk full, locked, read-only, corrupt. The message is for people."""


class CorruptOutboxError(OutboxError):
    """The file is no outbox any more."""

    inode: int | None = None
    """Which file that is."""


@contextmanager
def translated() -> Iterator[None]:
    """sqlite3's errors as ours."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a state that must not be: our own mistake, and no fault of the outbox
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what SQLite adds to say more exactly
        is_corrupt = code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
        raise (CorruptOutboxError if is_corrupt else OutboxError)(str(error)) from error
    except OSError as error:
        raise OutboxError(error.strerror or str(error)) from error


class Turn:
    """Whose turn it is to write, among processes that share an outbox.

    SQLite lets them ask again and again, in pauses that grow: the unlucky one asks in vain for seconds while others
    write. Here they stand in a queue of the kernel's (flock), and a process that dies leaves it.
    """

    def __init__(self, path: Path) -> None:
        # Not the file itself: closing it would drop the locks that SQLite has on it (POSIX, fcntl).
        self._file = open(f"{path}-turn", "ab", opener=_private)  # noqa: SIM115  Path.open takes no opener
        self._depth = 0

    def __enter__(self) -> None:
        if self._depth == 0:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """May be called more than once."""
        self._file.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def transaction(db: sqlite3.Connection, turn: Turn) -> Iterator[None]:
    """All or nothing, and on the disk when it ends. Raises OutboxError."""
    with translated(), turn:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def connect(path: Path, turn: Turn, *, power_safe: bool, max_bytes: int | None) -> tuple[sqlite3.Connection, int]:
    """Opens or makes the file, mode 0600, and brings its schema up to date. Returns the connection and the inode.

    Raises CorruptOutboxError for a file that is none (see `set_aside`), OutboxError for anything else.
    """
    with translated():
        path = path.resolve()  # where a link leads to no file yet, O_EXCL would make none
        # A file that is there is never opened here: closing it would drop the locks that another connection of this
        # process has on it (POSIX, fcntl), and whoever closes the outbox next would delete its WAL.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if not path.is_file():
            raise OutboxError("it is no file")
        path.chmod(0o600)  # before SQLite makes its side files: they take the mode over
        inode = path.stat().st_ino
        # Autocommit, so that transactions are ours; used by the writer's thread, made and closed in others.
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        with translated():
            _prepare(db, power_safe=power_safe, max_bytes=max_bytes)
        _migrate(db, turn)
    except BaseException as error:
        db.close()
        if isinstance(error, CorruptOutboxError):
            error.inode = inode
        raise
    return db, inode


def _migrate(db: sqlite3.Connection, turn: Turn) -> None:
    with transaction(db, turn):
        (version,) = db.execute("PRAGMA user_version").fetchone()
        known = len(_MIGRATIONS)
        if version > known:
            raise OutboxError(f"it was made by a newer storehop (schema {version}, this one knows {known})")
        for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
            for statement in _statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def _prepare(db: sqlite3.Connection, *, power_safe: bool, max_bytes: int | None) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
    db.execute("PRAGMA journal_size_limit = 16777216")
    if max_bytes:
        page_size = db.execute("PRAGMA page_size").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_size)}")
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise CorruptOutboxError("quick_check finds it corrupt")


def _statements(script: str) -> Iterator[str]:
    """One at a time: executescript would commit the transaction."""
    return (statement for part in script.split(";") if (statement := part.strip()))


def set_aside(path: Path, inode: int | None = None) -> Path | None:
    """Moves a corrupt outbox out of the way, with its side files; nothing is deleted. Returns where it lies now.

    None where the file of that name is not the one that was found corrupt: another process was first.
    """
    if inode is not None and inode_of(path) != inode:
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
