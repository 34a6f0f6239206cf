"""A call's way, as the model has it: accepted, withdrawn, amended, extended, claimed, settled, released."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from storehop.deliver import operations as op
from storehop.model import Dead, DeadReason, Delivered, RetryIn, S2SCall
from tests.deliver.conformance.model import ANSWER_S, CLIENTS, KEYS, ORIGINS, PICK, SHORT_S, OutboxModel, Row

RATE = 10.0
PAUSE_S = 1.0
"""After so long without a claim, a rate lets one through."""
CLAIMS = st.tuples(
    st.integers(1, 3),
    st.sampled_from(["", ORIGINS[0]]),
    st.sampled_from([(), (ORIGINS[1],)]),
    st.sampled_from([0.0, 0.5]),
    st.booleans(),
)
"""most, only, but, overdue_s, and whether by ids."""
VERDICTS = (
    Delivered(),
    Delivered(),
    RetryIn(0.0),
    RetryIn(3.0),
    RetryIn(0.0, is_spent=False),
    Dead(DeadReason.REJECTED),
)


class Calls(OutboxModel):
    """Each rule says what the engine must give and what becomes of the model."""

    @initialize(keys=st.lists(st.none() | KEYS, max_size=6), hold_s=SHORT_S)
    def begin(self, keys, hold_s):
        self.clients[0].run([])
        for key in keys:
            self.accept_call(key, 5.0, hold_s, "a", has_retry=False)
        self.begin_with_stale_leases(len(keys) // 2)

    def begin_with_stale_leases(self, count):
        """Another process has claimed these calls since: their first holder may do harm."""
        for _ in range(count):
            self.accept_call(None, 0.0, 0.0, "a", has_retry=False)
        self.claim_due(1, op.ClaimDue(9, self.new_lease("b"), self.seconds(30.0)))

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
        lease_s, hold_s, answer_s = self.seconds(lease_s), self.seconds(hold_s), self.seconds(ANSWER_S)
        lease = self.new_lease(holder)
        name = f"c{self.numbers}"
        call = S2SCall(name, ORIGINS[self.numbers % 2], f"/{name}", (("User-Agent", "ü 😀"),), "games")
        answer = op.Answer(key, f"{name} - https://play", answer_s) if key else None
        retry = op.Answer(name.encode(), f"retry {name}", answer_s) if has_retry else None
        operation = op.Accept(call, lease, lease_s, answer, retry, hold_s)
        if key and (earlier := self.answer_of(key)):
            self.add(operation, earlier)
            return
        for one in (answer, retry):
            if one:
                self.answers[one.key] = one.text, self.now + answer_s
        until = self.now + hold_s + lease_s
        self.rows[name] = Row(call, self.now, self.wall, "leased", lease, until, hold_s > 0, answer)
        self.leases.append((name, lease))
        self.add(operation, op.Leased(call, lease, 1, 0.0))

    @rule(pick=PICK)
    def withdraw(self, pick):
        """By whoever accepted it, who knows its answer; a later click's stays."""
        self.about_to_change()
        name, lease = self.live_lease(pick)
        is_ours = self.holds(name, lease)
        own = self.rows[name].answer if is_ours else None
        if is_ours:
            del self.rows[name]
        if own and self.answers.get(own.key, ("",))[0] == own.text:
            self.answers[own.key] = "outbox_down", self.answers[own.key][1]
        self.add(op.Withdraw(name, lease, own, "outbox_down"), is_ours)

    @rule(pick=PICK, lease_s=SHORT_S)
    def amend(self, pick, lease_s):
        self.about_to_change()
        lease_s = self.seconds(lease_s)
        name, lease = self.any_id(pick), self.new_lease()
        row = self.rows.get(name)
        if row is None or not row.is_held:
            call = S2SCall(name, ORIGINS[0], "/amended", (), "games")
            self.add(op.Amend(call, lease, lease_s), None)
            return
        row.call = replace(row.call, target=f"{row.call.target}?more")
        self.add(op.Amend(row.call, lease, lease_s), self.expect_leased(row, lease))
        self.lease(row, lease, lease_s)

    def lease(self, row, lease, lease_s):
        row.state, row.lease, row.until, row.is_held = "leased", lease, self.now + lease_s, False
        self.leases.append((row.call.id, lease))

    def expect_leased(self, row, lease):
        """What the holder of a new lease hears, as things stand in this moment."""
        expected, age_s = (row.call, lease, row.attempts + 1), self.now - row.born

        def check(leased):
            assert leased is not None
            assert expected == leased[:3]
            assert self.kit.is_about(age_s, leased.age_s)

        return check

    @rule(pick=PICK, lease_s=SHORT_S)
    def extend(self, pick, lease_s):
        self.about_to_change()
        lease_s = self.seconds(lease_s)
        name, lease = self.live_lease(pick)
        is_ours = self.holds(name, lease)
        if is_ours:
            self.rows[name].until, self.rows[name].is_held = self.now + lease_s, False
        self.add(op.Extend(name, lease, lease_s), is_ours)

    @rule(pick=PICK, last=st.sampled_from(["503", None]), verdict=st.sampled_from(VERDICTS))
    def settle(self, pick, last, verdict):
        self.settle_call(pick, verdict, last)

    @rule(picks=st.lists(PICK, min_size=2, max_size=5))
    def deliver(self, picks):
        """Calls that AppsFlyer took together."""
        for pick in picks:
            self.settle_call(pick, Delivered(), "200")

    def settle_call(self, pick, verdict, last):
        self.about_to_change()
        if isinstance(verdict, RetryIn):
            verdict = replace(verdict, seconds=self.seconds(verdict.seconds))
        name, lease = self.live_lease(pick)
        is_ours = self.holds(name, lease)
        if is_ours:
            self.apply(name, verdict, last)
        self.add(op.Settle(name, lease, verdict, last), is_ours)

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

    @rule(client=CLIENTS, pick=PICK, which=CLAIMS, lease_s=SHORT_S)
    def claim(self, client, pick, which, lease_s):
        most, only, but, overdue_s, by_ids = which
        ids = tuple({self.any_id(pick), self.any_id(pick + 1)}) if by_ids else None
        times = self.seconds(lease_s), self.seconds(overdue_s)
        self.claim_due(client, op.ClaimDue(most, self.new_lease(), times[0], ids, only, but, times[1]))

    @precondition(lambda self: self.kit.can_move_time)
    @rule(client=CLIENTS, most=st.integers(1, 9), lease_s=SHORT_S)
    def claim_at_a_rate(self, client, most, lease_s):
        """As recovery does, in all processes together."""
        self.claim_due(client, op.ClaimDue(most, self.new_lease(), lease_s, rate=RATE))

    def claim_due(self, client, operation):
        """Ties of age leave the engine a choice, so the model takes over what it chose; the batch ends there."""
        self.about_to_change()

        def check(result):
            due = [row for row in self.rows.values() if self.is_due(row, operation)]
            newest = sorted((row.born for row in due), reverse=True)[: self.number_of(result, due, operation)]
            assert newest == [self.rows[one.call.id].born for one in result]
            assert len({one.lease for one in result}) == len({one.call.id for one in result}) == len(result)
            for one in result:
                row = self.rows[one.call.id]
                assert row in due
                self.expect_leased(row, one.lease)(one)
                self.lease(row, one.lease, operation.lease_s)

        self.add(operation, check)
        self.flush(client)

    def number_of(self, result, due, operation):
        """Of how many calls a claim is; with a rate the engine has a choice, within limits."""
        most = min(operation.most, len(due))
        if not operation.rate:
            return most
        has_paused = all(self.now - at >= PAUSE_S for at, _ in self.rated)
        self.rated.append((self.now, len(result)))
        for at, _ in self.rated:
            claimed = sum(number for when, number in self.rated if when >= at)
            assert claimed <= RATE * (self.now - at + self.kit.burst_s)
        assert result or not due or not has_paused
        return min(most, len(result))

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
            self.make_due(row, self.now)
        self.add(op.Release(holder), len(rows))
