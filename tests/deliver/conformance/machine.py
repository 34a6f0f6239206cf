"""Any operations in any order and batch, by two clients, over crashes, reboots, clock jumps and a full outbox.

The model is plain data; each rule says what the engine must give and what becomes of the model. Operations collect
into a batch until it is run, so that an engine that handles several at once is held to the same results.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.model import Dead, DeadReason, Delivered, RetryIn, S2SCall

ORIGINS = ("https://app.appsflyer.com", "https://eu.appsflyer.com")
MAX_AGE_S = 120.0
CLIENTS = st.integers(0, 1)
PICK = st.integers(0, 30)
KEYS = st.sampled_from([b"one", b"two", b"three"])
CLAIMS = st.tuples(
    st.integers(1, 3),
    st.sampled_from(["", ORIGINS[0]]),
    st.sampled_from([(), (ORIGINS[1],)]),
    st.sampled_from([0.0, 0.5]),
    st.booleans(),
)
"""most, only, but, overdue_s, and whether by ids."""
SHORT_S = st.sampled_from([0.0, 0.5, 5.0, 30.0])


@dataclass
class Row:
    """A call, as the model has it."""

    call: S2SCall
    born: float
    created_at: float
    state: str
    lease: str | None
    until: float
    is_held: bool
    attempts: int = 0
    last: str | None = None
    reason: str | None = None


class EngineMachine(RuleBasedStateMachine):
    """`kit` is the engine under test, see tests.support.engines."""

    kit_class = None

    def __init__(self):
        super().__init__()
        self.kit = self.kit_class()
        self.clients = [self.kit.client(), self.kit.client()]
        self.rows: dict[str, Row] = {}
        self.answers: dict[bytes, tuple[str, float]] = {}
        self.marks: dict[str, str] = {}
        self.leases: list[tuple[str, str]] = [("none", "x:0")]
        self.numbers = 0
        self.is_full = False
        self.batch = []
        self.saved = None

    def teardown(self):
        self.flush()
        self.kit.close()

    @initialize(count=st.integers(0, 6), hold_s=SHORT_S)
    def begin(self, count, hold_s):
        self.clients[0].run([])
        for _ in range(count):
            self.accept_call(None, 5.0, hold_s, "a", has_retry=False)

    # batches

    @property
    def now(self):
        return self.kit.clock.up

    def add(self, operation, expected):
        """Puts an operation into the batch; `expected` is its result, or checks it."""
        self.batch.append((operation, expected))

    def about_to_change(self):
        """The model as it was before the batch, in case that fails."""
        if self.saved is None:
            self.saved = deepcopy((self.rows, self.answers, self.marks))

    @rule(client=CLIENTS)
    def run(self, client):
        self.flush(client)

    def flush(self, client=0):
        batch, self.batch, saved, self.saved = self.batch, [], self.saved, None
        if not batch:
            return
        try:
            results = self.clients[client].run([operation for operation, _ in batch])
        except EngineError:
            assert self.is_full, "only a full outbox refuses"
            self.rows, self.answers, self.marks = saved or (self.rows, self.answers, self.marks)
            return
        for (operation, expected), result in zip(batch, results, strict=True):
            if callable(expected):
                expected(result)
            else:
                assert expected == result, operation

    def new_lease(self, holder="a"):
        self.numbers += 1
        return f"{holder}:{self.numbers}"

    def any_lease(self, pick):
        """Of a call that is still there, mostly: a stale one may then do harm."""
        leases = [one for one in self.leases if one[0] in self.rows and not self.holds(*one)] or self.leases
        leases = self.leases if pick % 5 == 0 else leases
        return leases[-1 - pick % len(leases)]

    def live_lease(self, pick):
        """One that holds, where there is one: most of what production asks is about these."""
        live = [(name, row.lease) for name, row in self.rows.items() if row.lease]
        return live[-1 - pick % len(live)] if live and pick % 3 else self.any_lease(pick)

    def any_id(self, pick):
        names = list(self.rows) or ["none"]
        return names[-1 - pick % len(names)]

    def holds(self, call_id, lease):
        row = self.rows.get(call_id)
        return row is not None and row.state == "leased" and row.lease == lease

    def answer_of(self, key):
        text, until = self.answers.get(key, (None, 0.0))
        return text if until > self.now else None

    # calls

    @rule(key=st.none() | KEYS, lease_s=SHORT_S, hold_s=SHORT_S, has_retry=st.booleans(), holder=st.sampled_from("abc"))
    def accept(self, key, lease_s, hold_s, has_retry, holder):
        self.accept_call(key, lease_s, hold_s, holder, has_retry=has_retry)

    @rule(keys=st.lists(st.none() | KEYS, min_size=2, max_size=5), lease_s=SHORT_S)
    def accept_many(self, keys, lease_s):
        """Clicks that came together."""
        for key in keys:
            self.accept_call(key, lease_s, 0.0, "b", has_retry=False)

    def accept_call(self, key, lease_s, hold_s, holder, *, has_retry):
        self.about_to_change()
        lease = self.new_lease(holder)
        name = f"c{self.numbers}"
        origin = ORIGINS[self.numbers % 2]
        call = S2SCall(name, origin, f"/{name}", (("User-Agent", "ü 😀"),), "games")
        answer = op.Answer(key, f"{name} - https://play", 10.0) if key else None
        retry = op.Answer(name.encode(), f"retry {name}", 10.0) if has_retry else None
        operation = op.Accept(call, lease, lease_s, answer, retry, hold_s)
        if key and (earlier := self.answer_of(key)):
            self.add(operation, earlier)
            return
        if answer:
            self.answers[key] = answer.text, self.now + 10
        if retry:
            self.answers[retry.key] = retry.text, self.now + 10
        until = self.now + hold_s + lease_s
        self.rows[name] = Row(call, self.now, self.kit.clock.unix, "leased", lease, until, hold_s > 0)
        self.leases.append((name, lease))
        self.add(operation, op.Leased(call, lease, 1, 0.0))

    @rule(pick=PICK, key=st.none() | KEYS)
    def withdraw(self, pick, key):
        self.about_to_change()
        name, lease = self.live_lease(pick)
        is_ours = self.holds(name, lease)
        if is_ours:
            del self.rows[name]
            if key in self.answers:
                self.answers[key] = "outbox_down", self.answers[key][1]
        self.add(op.Withdraw(name, lease, key, "outbox_down"), is_ours)

    @rule(pick=PICK, lease_s=SHORT_S)
    def amend(self, pick, lease_s):
        self.about_to_change()
        name, lease = self.any_id(pick), self.new_lease()
        row = self.rows.get(name)
        if row is None or not row.is_held:
            call = S2SCall(name, ORIGINS[0], "/amended", (), "games")
            self.add(op.Amend(call, lease, lease_s), None)
            return
        row.call = replace(row.call, target=f"{row.call.target}?more")
        row.lease, row.until, row.is_held = lease, self.now + lease_s, False
        self.leases.append((name, lease))
        leased = op.Leased(row.call, lease, row.attempts + 1, self.now - row.born)
        self.add(op.Amend(row.call, lease, lease_s), leased)

    @rule(pick=PICK, lease_s=SHORT_S)
    def extend(self, pick, lease_s):
        self.about_to_change()
        name, lease = self.live_lease(pick)
        is_ours = self.holds(name, lease)
        if is_ours:
            self.rows[name].until, self.rows[name].is_held = self.now + lease_s, False
        self.add(op.Extend(name, lease, lease_s), is_ours)

    @rule(
        pick=PICK,
        last=st.sampled_from(["503", None]),
        verdict=st.sampled_from(
            [
                Delivered(),
                Delivered(),
                RetryIn(0.0),
                RetryIn(3.0),
                RetryIn(0.0, is_spent=False),
                Dead(DeadReason.REJECTED),
            ]
        ),
    )
    def settle(self, pick, last, verdict):
        self.settle_call(pick, verdict, last)

    def settle_call(self, pick, verdict, last):
        self.about_to_change()
        name, lease = self.live_lease(pick)
        is_ours = self.holds(name, lease)
        if is_ours:
            self.apply(name, verdict, last)
        self.add(op.Settle(name, lease, verdict, last), is_ours)

    @rule(picks=st.lists(PICK, min_size=2, max_size=5))
    def deliver(self, picks):
        """Calls that AppsFlyer took together."""
        for pick in picks:
            self.settle_call(pick, Delivered(), "200")

    def apply(self, name, verdict, last):
        row = self.rows[name]
        row.lease, row.is_held, row.last = None, False, last or row.last
        match verdict:
            case Delivered():
                del self.rows[name]
            case RetryIn(seconds, is_spent):
                row.state, row.until, row.attempts = "due", self.now + seconds, row.attempts + is_spent
            case Dead(reason):
                row.state, row.reason, row.attempts = "dead", reason.value, row.attempts + 1

    # claims

    @rule(client=CLIENTS, pick=PICK, which=CLAIMS, lease_s=SHORT_S)
    def claim(self, client, pick, which, lease_s):
        """Ties of age leave the engine a choice, so the model takes over what it chose; the batch ends there."""
        most, only, but, overdue_s, by_ids = which
        self.about_to_change()
        lease = self.new_lease()
        ids = tuple({self.any_id(pick), self.any_id(pick + 1)}) if by_ids else None
        operation = op.ClaimDue(most, lease, lease_s, ids, only, but, overdue_s)

        def check(result):
            due = [row for row in self.rows.values() if self.is_due(row, operation)]
            newest = sorted((row.born for row in due), reverse=True)[:most]
            assert newest == [self.rows[one.call.id].born for one in result]
            for one in result:
                row = self.rows[one.call.id]
                assert row in due
                assert (row.call, row.attempts + 1, self.now - row.born) == (one.call, one.attempt, one.age_s)
                row.state, row.lease, row.until, row.is_held = "leased", one.lease, self.now + lease_s, False
                self.leases.append((one.call.id, one.lease))
            tokens = [one.lease for one in result]
            assert len(set(tokens)) == len(tokens)

        self.add(operation, check)
        self.flush(client)

    def is_due(self, row, operation):
        is_time = row.state != "dead" and row.until <= self.now - operation.overdue_s
        is_wanted = operation.ids is None or row.call.id in operation.ids
        origin = row.call.origin
        return is_time and is_wanted and operation.only in {"", origin} and origin not in operation.but

    @rule(holder=st.sampled_from("abcx"))
    def release(self, holder):
        self.about_to_change()
        rows = [row for row in self.rows.values() if row.lease and row.lease.startswith(f"{holder}:")]
        for row in rows:
            row.state, row.lease, row.until, row.is_held = "due", None, self.now, False
        self.add(op.Release(holder), len(rows))

    # answers and marks

    @rule(key=KEYS, text=st.sampled_from(["bot", "s2s_down"]))
    def remember(self, key, text):
        self.about_to_change()
        earlier = self.answer_of(key)
        if earlier is None:
            self.answers[key] = text, self.now + 10
        self.add(op.Remember(op.Answer(key, text, 10.0)), earlier)

    @rule(key=KEYS)
    def recall(self, key):
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

    @rule(name=st.sampled_from(["canary", "x"]), text=st.sampled_from(["stopped", ""]))
    def mark(self, name, text):
        self.about_to_change()
        self.marks[name] = text
        self.add(op.Mark(name, text), None)

    @rule(name=st.sampled_from(["canary", "x"]))
    def unmark(self, name):
        self.about_to_change()
        self.add(op.Unmark(name), self.marks.pop(name, None) is not None)

    @rule()
    def list_marks(self):
        self.add(op.Marks(), dict(self.marks))

    # health and people

    @rule(client=CLIENTS)
    def sweep(self, client):
        self.flush(client)
        try:
            (swept,) = self.clients[client].run([op.Sweep(MAX_AGE_S, 500)])
        except EngineError:
            assert self.is_full
            return
        if swept.dropped:
            left = {one.id for one in self.clients[client].run([op.ListCalls(dead=True)])[0]}
            gone = [name for name, row in self.rows.items() if row.state == "dead" and name not in left]
            assert swept.dropped == len(gone)
            for name in gone:
                del self.rows[name]
        old = {name for name, row in self.rows.items() if self.is_old(row)}
        assert old == set(swept.expired)
        for name in old:
            row = self.rows[name]
            row.state, row.lease, row.is_held, row.reason = "dead", None, False, DeadReason.TOO_OLD.value
        alive = [row for row in self.rows.values() if row.state != "dead"]
        due = sum(row.until <= self.now for row in alive)
        assert (len(alive), due, len(self.rows) - len(alive)) == (swept.pending, swept.due, swept.dead)
        assert max((self.now - row.born for row in alive), default=None) == swept.oldest_s

    def is_old(self, row):
        is_free = row.state == "due" or (row.state == "leased" and row.until <= self.now)
        return is_free and row.born <= self.now - MAX_AGE_S

    @rule()
    def probe(self):
        self.add(op.Probe(), None)

    @rule(pick=PICK)
    def revive(self, pick):
        self.about_to_change()
        names = tuple({self.any_id(pick), self.any_id(pick + 2)})
        dead = [name for name in names if name in self.rows and self.rows[name].state == "dead"]
        for name in dead:
            row = self.rows[name]
            row.state, row.until, row.born, row.reason, row.attempts = "due", self.now, self.now, None, 0
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

    @rule(seconds=st.sampled_from([0.1, 0.5, 3.0, 10.0, 60.0]))
    def pass_time(self, seconds):
        self.flush()
        self.kit.clock.pass_time(seconds)

    @rule(seconds=st.sampled_from([-3600.0, 3600.0]))
    def jump(self, seconds):
        """Somebody sets the wall clock: nothing that counts goes by it."""
        self.flush()
        self.kit.clock.unix += seconds

    @rule(client=CLIENTS)
    def crash(self, client):
        """What was run is stored; what was not never was."""
        self.flush(client)
        self.kit.crash(self.clients[client])
        self.clients[client] = self.kit.client()

    @precondition(lambda self: not self.is_full)
    @rule(seconds=st.sampled_from([5.0, 100.0]))
    def reboot(self, seconds):
        """No lease holds any more; ages go by the wall clock, and never are below nothing."""
        self.flush()
        self.kit.reboot(seconds)
        self.clients = [self.kit.client(), self.kit.client()]
        self.answers.clear()
        for row in self.rows.values():
            if row.state != "dead":
                row.born = self.now - max(0.0, self.kit.clock.unix - row.created_at)
                row.state, row.lease, row.until, row.is_held = "due", None, self.now, False

    @precondition(lambda self: not self.is_full)
    @rule()
    def fill_up(self):
        self.flush()
        self.kit.fill_up()
        self.is_full = True

    @precondition(lambda self: self.is_full)
    @rule()
    def make_room(self):
        """It heals without a restart."""
        self.flush()
        self.kit.make_room()
        self.is_full = False

    @invariant()
    def the_outbox_is_what_the_model_says(self):
        """At the end of each batch: no call is lost, none is there twice, none is in another state."""
        if self.batch:
            return
        stored = {
            one.id: (one.state, one.url, one.attempts, one.last, one.reason)
            for one in self.clients[0].run([op.ListCalls()])[0]
        }
        model = {name: (row.state, row.call.url, row.attempts, row.last, row.reason) for name, row in self.rows.items()}
        assert model == stored
