"""The outbox: accepted calls in one SQLite file, until they are delivered or dead.

State machine; the CHECK constraints make any other state unstorable:

    (none) ──add──▶ leased ──settle: Delivered──▶ (deleted)
                     │ ▲ └───settle: Dead──▶ dead ──retry by hand──▶ due
       settle: RetryAt │ claim               ▲
                     ▼ │                     │ expire: older than max_age
                     due ────────────────────┘

    leased   a process may send it until its lease ends. It entered by add or claim; a crash lets the lease lapse,
             after which anybody may claim it. Only the holder of the lease can settle it.
    due      waits for its time; any process claims it.
    dead     will not be sent; the reason stands beside it until somebody retries or purges it.

Every method is one step inside a transaction that the caller opens; times are arguments (storehop.deliver.clock).
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from storehop.deliver.clock import Clock
from storehop.deliver.outbox_file import Turn, connect, transaction, translated
from storehop.model import Claim, Dead, DeadReason, Delivered, OutboxCounts, RetryAt, S2SCall, Verdict

_PROBE = 4096
"""Bytes of the write that finds out whether the disk takes a click again."""


class Note(NamedTuple):
    """What a click was answered, for whoever gets the same click again, or for another process."""

    key: bytes
    """What the click is known by."""
    text: str
    seconds: float
    """How long it counts."""


class NewCall(NamedTuple):
    """A call to be stored, for whom, and for how long it is theirs."""

    call: S2SCall
    host: str
    holder: str
    lease: float
    """Seconds."""
    note: Note | None = None
    """Where the same click must be taken once: what it is answered."""


@dataclass(frozen=True, slots=True)
class Row:
    """A stored call, for people."""

    id: str
    rule: str
    url: str
    state: str
    age: float
    """Seconds since the click."""
    attempts: int
    last: str | None
    reason: str | None


class Outbox:
    """One connection to the file. Not for two threads at once, except where each call is awaited in turn."""

    def __init__(self, connection: sqlite3.Connection, turn: Turn, clock: Clock, inode: int) -> None:
        self._db = connection
        self._turn = turn
        self._clock = clock
        self.inode = inode

    @classmethod
    def open(cls, path: Path, clock: Clock, *, power_safe: bool = True, max_bytes: int | None = None) -> Outbox:
        """Opens or makes the file, see `outbox_file.connect`."""
        with translated():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            turn = Turn(path)
        try:
            db, inode = connect(path, turn, power_safe=power_safe, max_bytes=max_bytes)
        except BaseException:
            turn.close()
            raise
        outbox = cls(db, turn, clock, inode)
        try:
            outbox._meet_machine()
        except BaseException:
            outbox.close()
            raise
        return outbox

    @contextmanager
    def turn(self) -> Iterator[None]:
        """No other process writes or claims meanwhile. Raises OutboxError."""
        with translated(), self._turn:
            yield

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, and on the disk when it ends. Raises OutboxError."""
        return transaction(self._db, self._turn)

    def close(self) -> None:
        self._db.close()
        self._turn.close()

    # a call's way

    def take_all(self, new: Sequence[NewCall]) -> list[Claim | str]:
        """Adds the calls whose clicks nobody has answered yet; of the others, the answer that they had."""
        notes = [one.note for one in new if one.note]
        known = iter(self.leave_all(notes))
        answers = [next(known) if one.note else None for one in new]
        claims = iter(self.add_all([one for one, answer in zip(new, answers, strict=True) if answer is None]))
        return [next(claims) if answer is None else answer for answer in answers]

    def add_all(self, new: Sequence[NewCall]) -> list[Claim]:
        """Stores new calls, leased to their holders.

        In one statement: each one lets go of the interpreter, and has to wait for its turn again.
        """
        if not new:
            return []
        now, wall = self._clock.uptime(), self._clock.wall()
        values: list[str | float] = []
        for call, host, holder, lease, _ in new:
            headers = json.dumps(call.headers)
            values += (call.id, host, call.url, headers, call.rule, wall, now, holder, now + lease)
        row = "(?, ?, ?, ?, ?, ?, ?, 0, 'leased', ?, ?)"
        self._db.execute(
            "INSERT INTO calls (id, host, url, headers, rule, created_at, born, attempts, state, holder, lease_until)"  # noqa: S608  marks
            f" VALUES {', '.join([row] * len(new))}",
            values,
        )
        return [Claim(one.call, one.host, 1, now, now + one.lease) for one in new]

    def claim(self, limit: int, holder: str, lease: float, *, only: str = "", but: tuple[str, ...] = ()) -> list[Claim]:
        """Leases up to `limit` calls that are due or whose lease lapsed, newest first.

        `only` is one host, `but` hosts to leave alone.
        """
        now = self._clock.uptime()
        found = self._db.execute(
            # From the newest on, as far as it takes: sorting all that is due would hold up new clicks.
            "SELECT id FROM calls INDEXED BY calls_alive WHERE state <> 'dead'"
            " AND ((state = 'due' AND due_at <= ?) OR (state = 'leased' AND lease_until <= ?))"
            " AND (? = '' OR host = ?) AND host NOT IN (SELECT value FROM json_each(?))"
            " ORDER BY born DESC LIMIT ?",
            (now, now, only, only, json.dumps(but), limit),
        ).fetchall()
        claims = [self._lease(row[0], holder, now + lease) for row in found]
        return sorted(claims, key=lambda claim: claim.born, reverse=True)

    def _lease(self, call_id: str, holder: str, until: float) -> Claim:
        row = self._db.execute(
            "UPDATE calls SET state = 'leased', due_at = NULL, holder = ?, lease_until = ? WHERE id = ?"
            " RETURNING id, url, headers, rule, host, attempts, born",
            (holder, until, call_id),
        ).fetchone()
        headers = tuple((name, value) for name, value in json.loads(row[2]))
        call = S2SCall(row[0], row[4], row[1].removeprefix(row[4]), headers, row[3])
        return Claim(call, row[4], row[5] + 1, row[6], until)

    def renew(self, claim: Claim, holder: str, lease: float) -> Claim | None:
        """The claim with a fresh lease; None where it is no longer the holder's."""
        until = self._clock.uptime() + lease
        mine = self._db.execute(
            "UPDATE calls SET lease_until = ? WHERE id = ? AND holder = ? AND lease_until = ?",
            (until, claim.call.id, holder, claim.lease_until),
        )
        if mine.rowcount == 0:
            return None
        return Claim(claim.call, claim.host, claim.attempt, claim.born, until)

    def release(self, holder: str) -> int:
        """Makes every call that this holder leased due now: it has ended. Returns how many."""
        done = self._db.execute(
            "UPDATE calls SET state = 'due', due_at = ?, holder = NULL, lease_until = NULL"
            " WHERE state = 'leased' AND holder = ?",
            (self._clock.uptime(), holder),
        )
        return done.rowcount

    # what clicks were answered

    def leave_all(self, notes: Sequence[Note]) -> list[str | None]:
        """Leaves notes; for each, the text of the one with its key that counts already, if any.

        Of two with the same key the first counts.
        """
        if not notes:
            return []
        now = self._clock.uptime()
        values = [value for key, text, seconds in notes for value in (key, now + seconds, text)]
        insert = f"INSERT INTO answers (key, until, answer) VALUES {', '.join(['(?, ?, ?)'] * len(notes))}"  # noqa: S608  marks
        try:
            self._db.execute(insert, values)
        except sqlite3.IntegrityError:  # nothing of it happened: one of them is there, or was
            return self._leave_new(notes, insert, values, now)
        return [None] * len(notes)

    def _leave_new(
        self, notes: Sequence[Note], insert: str, values: list[bytes | float | str], now: float
    ) -> list[str | None]:
        left = self._db.execute(
            f"{insert} ON CONFLICT (key) DO UPDATE SET until = excluded.until, answer = excluded.answer"
            " WHERE until <= ? RETURNING key",
            [*values, now],
        )
        new = {key for (key,) in left}
        known: list[str | None] = []
        for note in notes:
            known.append(None if note.key in new else self.note(note.key))
            new.discard(note.key)
        return known

    def note(self, key: bytes) -> str | None:
        """The text of the note with this key, while it counts."""
        now = self._clock.uptime()
        row = self._db.execute("SELECT answer FROM answers WHERE key = ? AND until > ?", (key, now)).fetchone()
        return str(row[0]) if row else None

    def change_note(self, key: bytes, text: str) -> None:
        """Its click was answered otherwise."""
        self._db.execute("UPDATE answers SET answer = ? WHERE key = ?", (text, key))

    def take_note(self, key: bytes) -> None:
        """Takes a note away."""
        self._db.execute("DELETE FROM answers WHERE key = ?", (key,))

    def forget_notes(self) -> None:
        """Takes the notes away that do not count any more: of a few seconds' clicks, which takes no index."""
        self._db.execute("DELETE FROM answers WHERE until <= ?", (self._clock.uptime(),))

    # a call's way on

    def amend(self, call: S2SCall, lease_until: float, holder: str, lease: float) -> Claim | None:
        """Puts this call in the place of the stored one of the same id and host, and leases it to `holder`.

        None, and no change, where it is not under the lease that ends at `lease_until`: a lease's end tells it apart.
        """
        until = self._clock.uptime() + lease
        row = self._db.execute(
            "UPDATE calls SET url = ?, headers = ?, holder = ?, lease_until = ? WHERE id = ? AND lease_until = ?"
            " RETURNING host, attempts, born",
            (call.url, json.dumps(call.headers), holder, until, call.id, lease_until),
        ).fetchone()
        return Claim(call, row[0], row[1] + 1, row[2], until) if row else None

    def settle(self, claim: Claim, holder: str, verdict: Verdict, last: str | None) -> bool:
        """Writes down what became of an attempt; False, and no change, where the lease is not the holder's."""
        change, values = self._change(verdict, last)
        done = self._db.execute(
            f"{change} WHERE id = ? AND holder = ? AND lease_until = ?",
            (*values, claim.call.id, holder, claim.lease_until),
        )
        return done.rowcount == 1

    def deliver_all(self, claims: Sequence[tuple[Claim, str]]) -> list[bool]:
        """Settles claims, each with its holder, as delivered; says of each whether the lease was the holder's."""
        marks = ", ".join("?" * len(claims))
        found = self._db.execute(
            f"DELETE FROM calls WHERE id IN ({marks}) AND holder IN ({marks}) AND lease_until IN ({marks})"  # noqa: S608  marks
            " RETURNING id, holder, lease_until",
            [
                *(claim.call.id for claim, _ in claims),
                *(holder for _, holder in claims),
                *(claim.lease_until for claim, _ in claims),
            ],
        )
        gone = set(found.fetchall())
        return [(claim.call.id, holder, claim.lease_until) in gone for claim, holder in claims]

    def _change(self, verdict: Verdict, last: str | None) -> tuple[str, tuple[float | str | None, ...]]:
        unlease = "UPDATE calls SET holder = NULL, lease_until = NULL"
        spent = "attempts = attempts + ?, last = coalesce(?, last)"
        match verdict:
            case Delivered():
                return "DELETE FROM calls", ()
            case RetryAt(when, is_spent):
                return f"{unlease}, {spent}, state = 'due', due_at = ?", (int(is_spent), last, when)
            case Dead(reason):
                return f"{unlease}, {spent}, state = 'dead', dead_at = ?, reason = ?", (
                    1,
                    last,
                    self._clock.wall(),
                    reason,
                )

    def expire(self, max_age: float) -> list[str]:
        """Gives up the calls that nobody holds and that are older than `max_age` seconds. Returns their ids."""
        now = self._clock.uptime()
        rows = self._db.execute(
            "UPDATE calls SET state = 'dead', dead_at = ?, reason = ?, due_at = NULL, holder = NULL, lease_until = NULL"
            " WHERE state <> 'dead' AND born <= ? AND (state = 'due' OR lease_until <= ?) RETURNING id",
            (self._clock.wall(), DeadReason.TOO_OLD, now - max_age, now),
        ).fetchall()
        return [row[0] for row in rows]

    # by hand

    def rows(self, *, dead: bool | None = None, call_id: str = "") -> Iterator[Row]:
        """The stored calls, newest first; only the dead, only the living, or all."""
        now = self._clock.wall()
        for found, rule, url, state, created_at, attempts, last, reason in self._db.execute(
            "SELECT id, rule, url, state, created_at, attempts, last, reason FROM calls"
            " WHERE (? IS NULL OR (state = 'dead') = ?) AND (? = '' OR id = ?) ORDER BY created_at DESC",
            (dead, dead, call_id, call_id),
        ):
            yield Row(found, rule, url, state, max(0.0, now - created_at), attempts, last, reason)

    def revive(self, call_id: str) -> bool:
        """Makes a dead call due now, as young as a new one; False where there is no such dead call."""
        now = self._clock.uptime()
        done = self._db.execute(
            "UPDATE calls SET state = 'due', due_at = ?, born = ?, dead_at = NULL, reason = NULL, attempts = 0"
            " WHERE id = ? AND state = 'dead'",
            (now, now, call_id),
        )
        return done.rowcount == 1

    def purge(self, call_id: str) -> bool:
        """Deletes a dead call; False where there is no such dead call."""
        return self._db.execute("DELETE FROM calls WHERE id = ? AND state = 'dead'", (call_id,)).rowcount == 1

    # health

    def trim(self, most: int) -> int:
        """Deletes the oldest dead letters beyond `most`, so that they leave room for clicks. Returns how many."""
        done = self._db.execute(
            "DELETE FROM calls WHERE state = 'dead' AND id IN (SELECT id FROM calls INDEXED BY calls_dead"
            " WHERE state = 'dead' ORDER BY dead_at DESC LIMIT -1 OFFSET ?)",
            (most,),
        )
        return done.rowcount

    def counts(self) -> OutboxCounts:
        pending, oldest = self._db.execute("SELECT count(*), min(born) FROM calls WHERE state <> 'dead'").fetchone()
        (dead,) = self._db.execute("SELECT count(*) FROM calls WHERE state = 'dead'").fetchone()
        return OutboxCounts(pending, dead, None if oldest is None else max(0.0, self._clock.uptime() - oldest))

    def next_due(self) -> float:
        """Uptime at which the next call is due; infinity where none is."""
        (due,) = self._db.execute("SELECT min(due_at) FROM calls WHERE state = 'due'").fetchone()
        return math.inf if due is None else due

    def probe(self) -> None:
        """Writes as much as a click and takes it away again: raises where a click could not be stored."""
        self._db.execute("UPDATE machine SET probe = zeroblob(?)", (_PROBE,))
        self._db.execute("UPDATE machine SET probe = NULL")

    def _meet_machine(self) -> None:
        """After a reboot uptimes begin anew: no lease holds any more, and ages go by the wall clock.

        A call that was stored later than now tells of a reboot as well, where the machine has no boot id.
        """
        boot_id = self._clock.boot_id()
        with self.transaction():
            # Not before its turn has come: while it waits others may store calls.
            now, wall = self._clock.uptime(), self._clock.wall()
            (known,) = self._db.execute("SELECT boot_id FROM machine").fetchone()
            (newest,) = self._db.execute("SELECT max(born) FROM calls WHERE state <> 'dead'").fetchone()
            if known == boot_id and (newest is None or newest <= now):
                return
            self._db.execute("UPDATE machine SET boot_id = ?", (boot_id,))
            self._db.execute("DELETE FROM answers")
            self._db.execute(
                "UPDATE calls SET born = ? - max(0.0, ? - created_at), due_at = ?, state = 'due', holder = NULL,"
                " lease_until = NULL WHERE state <> 'dead'",
                (now, wall, now),
            )
