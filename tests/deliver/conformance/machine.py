"""Any operations in any order and batch, by two clients, over crashes, reboots, faults and a full outbox."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.model import DeadReason
from tests.deliver.conformance.calls import Calls
from tests.deliver.conformance.model import ANSWER_S, CLIENTS, KEYS, PICK

MAX_AGE_S = 120.0
NAMES = st.sampled_from(["canary", "x"])


class EngineMachine(Calls):
    """What is beside a call's way: answers, marks, health, people, and what happens to machines."""

    @rule(client=CLIENTS)
    def run(self, client):
        self.flush(client)

    @precondition(lambda self: self.kit.is_exclusive)
    @rule(client=CLIENTS)
    def run_exclusively(self, client):
        with self.clients[client].exclusive():
            self.flush(client)

    @precondition(lambda self: self.kit.can_break_down)
    @rule(client=CLIENTS)
    def run_while_it_is_broken(self, client):
        """All or nothing; what only reads may succeed."""
        self.kit.break_down()
        self.is_broken = True
        self.flush(client)
        self.is_broken = False
        self.kit.mend()

    @precondition(lambda self: self.rows)
    @rule(client=CLIENTS, pick=PICK)
    def run_with_a_mistake_at_its_end(self, client, pick):
        """The same id twice: an engine may call that what it likes, but nothing of the batch is stored."""
        self.about_to_change()
        call = self.rows[self.any_id(pick)].call
        batch = [*(operation for operation, _ in self.batch), op.Accept(call, self.new_lease(), 5.0)]
        (self.rows, self.answers, self.marks), self.saved, self.batch = self.saved, None, []
        try:
            self.clients[client].run(batch)
        except Exception:  # noqa: BLE001  see above
            return
        raise AssertionError("a call is there twice")

    # answers and marks

    @rule(key=KEYS, text=st.sampled_from(["bot", "s2s_down"]))
    def remember(self, key, text):
        self.about_to_change()
        earlier = self.answer_of(key)
        if earlier is None:
            self.answers[key] = text, self.now + self.seconds(ANSWER_S)
        self.add(op.Remember(op.Answer(key, text, self.seconds(ANSWER_S))), earlier)

    @rule(pick=PICK)
    def recall(self, pick):
        """Of a click, or of a browser's retry."""
        keys = list(self.answers) or [b"none"]
        key = keys[-1 - pick % len(keys)]
        self.add(op.Recall(key), self.answer_of(key))

    @rule(key=KEYS, is_right=st.booleans())
    def forget(self, key, is_right):
        """One that counts no more may be there yet or not."""
        self.about_to_change()
        text = self.answer_of(key)
        if text is None:
            return
        if is_right:
            del self.answers[key]
        self.add(op.Forget(key, text if is_right else "another's"), is_right)

    @rule(name=NAMES, text=st.sampled_from(["stopped", ""]))
    def mark(self, name, text):
        self.about_to_change()
        self.marks[name] = text
        self.add(op.Mark(name, text), None)

    @rule(name=NAMES)
    def unmark(self, name):
        self.about_to_change()
        self.add(op.Unmark(name), self.marks.pop(name, None) is not None)

    @rule()
    def list_marks(self):
        self.add(op.Marks(), dict(self.marks))

    # health and people

    @rule(client=CLIENTS, max_age_s=st.sampled_from([0.0, MAX_AGE_S]), most=st.sampled_from([1, 500]))
    def sweep(self, client, max_age_s, most):
        self.flush(client)
        max_age_s = self.seconds(max_age_s)
        try:
            (swept,) = self.clients[client].run([op.Sweep(max_age_s, most)])
        except EngineError:
            assert self.is_full
            return
        self.check_dropped(client, swept)
        old = {name for name, row in self.rows.items() if self.is_old(row, max_age_s)}
        assert set(swept.expired) <= old
        assert min(most, len(old)) == len(swept.expired)
        for name in swept.expired:
            row = self.rows[name]
            row.state, row.lease, row.is_held, row.reason = "dead", None, False, DeadReason.TOO_OLD.value
        self.check_counts(swept)

    def check_dropped(self, client, swept):
        if not swept.dropped:
            return
        left = {one.id for one in self.clients[client].run([op.ListCalls(dead=True)])[0]} - set(swept.expired)
        gone = [name for name, row in self.rows.items() if row.state == "dead" and name not in left]
        assert swept.dropped == len(gone)
        for name in gone:
            del self.rows[name]

    def check_counts(self, swept):
        alive = [row for row in self.rows.values() if row.state != "dead"]
        due = sum(row.until <= self.now for row in alive)
        assert (len(alive), due, len(self.rows) - len(alive)) == (swept.pending, swept.due, swept.dead)
        assert self.kit.is_about(max((self.now - row.born for row in alive), default=None), swept.oldest_s)

    def is_old(self, row, max_age_s):
        is_free = row.state == "due" or (row.state == "leased" and row.until <= self.now)
        return is_free and row.born <= self.now - max_age_s

    @rule(client=CLIENTS)
    def probe(self, client):
        self.flush()
        self.add(op.Probe(), None)
        self.flush(client)

    @rule(pick=PICK, dead=st.sampled_from([None, True, False]), by_id=st.booleans())
    def list_calls(self, pick, dead, by_id):
        call_id = self.any_id(pick) if by_id else ""
        rows = {
            name: (self.shown(row), row.created_at, max(0.0, self.wall - row.created_at))
            for name, row in self.rows.items()
            if call_id in {"", name} and dead in {None, row.state == "dead"}
        }

        def check(stored):
            assert {name: shown for name, (shown, _, _) in rows.items()} == {
                one.id: (one.url, one.state, one.attempts, one.last, one.reason) for one in stored
            }
            assert all(self.kit.is_about(rows[one.id][2], one.age) for one in stored)
            created = [rows[one.id][1] for one in stored]
            assert sorted(created, reverse=True) == created

        self.add(op.ListCalls(dead, call_id), check)

    @rule(pick=PICK)
    def revive(self, pick):
        self.about_to_change()
        names = tuple({self.any_id(pick), self.any_id(pick + 2)})
        dead = [name for name in names if name in self.rows and self.rows[name].state == "dead"]
        for name in dead:
            row = self.rows[name]
            self.make_due(row, self.now)
            row.born, row.reason, row.attempts = self.now, None, 0
        self.add(op.Revive(names), len(dead))

    @rule(pick=PICK)
    def purge(self, pick):
        self.about_to_change()
        names = (self.any_id(pick),)
        dead = [name for name in names if name in self.rows and self.rows[name].state == "dead"]
        for name in dead:
            del self.rows[name]
        self.add(op.Purge(names), len(dead))

    # what happens to machines

    @precondition(lambda self: self.kit.can_move_time)
    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0, 10.0, 60.0]))
    def pass_time(self, seconds):
        self.flush()
        self.kit.pass_time(seconds)

    @precondition(lambda self: self.kit.can_move_time)
    @rule(seconds=st.sampled_from([-3600.0, 3600.0]))
    def jump(self, seconds):
        """Somebody sets the wall clock: nothing that counts goes by it."""
        self.flush()
        self.kit.jump(seconds)

    @rule(client=CLIENTS)
    def crash(self, client):
        """What was run is stored; what was not never was."""
        self.flush(client)
        self.kit.crash(self.clients[client])
        self.clients[client] = self.kit.client()

    @rule(client=CLIENTS)
    def close(self, client):
        """The next `run` opens it again."""
        self.flush(client)
        self.clients[client].close()

    @precondition(lambda self: self.kit.can_reboot and not self.is_full)
    @rule(seconds=st.sampled_from([5.0, 100.0]))
    def reboot(self, seconds):
        """No lease holds any more; ages go by the wall clock, and never are below nothing."""
        self.flush()
        self.kit.reboot(seconds)
        self.clients = [self.kit.client(), self.kit.client()]
        self.answers.clear()
        self.rated = [(self.now, 0)]
        for row in self.rows.values():
            if row.state != "dead":
                row.born = self.now - max(0.0, self.wall - row.created_at)
                self.make_due(row, self.now)

    @precondition(lambda self: self.kit.can_fill_up and not self.is_full)
    @rule(client=CLIENTS)
    def fill_up(self, client):
        self.flush()
        self.kit.fill_up()
        self.is_full = True
        self.accept_alone(client)

    @precondition(lambda self: self.is_full)
    @rule(client=CLIENTS)
    def make_room(self, client):
        """It heals without a restart."""
        self.flush()
        self.kit.make_room()
        self.is_full = False
        self.accept_alone(client)

    def accept_alone(self, client):
        self.accept_call(None, 5.0, 0.0, "a", has_retry=False)
        self.flush(client)
