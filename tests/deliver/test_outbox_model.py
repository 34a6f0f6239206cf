"""The outbox against a simple model: whatever happens in whatever order, no click is lost and none has two holders."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from storehop.deliver.outbox import NewCall, Outbox
from storehop.model import Dead, DeadReason, Delivered, RetryAt, S2SCall
from tests.support.clocks import HandClock

HOST = "https://app.appsflyer.com"
LEASE = 6.0
MAX_AGE = 120.0
HOLDERS = st.sampled_from(["worker-1", "worker-2"])


class OutboxMachine(RuleBasedStateMachine):
    """`calls` is the model: id -> [state, holder, lease_until, due_at, attempts, born]."""

    claims = Bundle("claims")

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.db"
        self.clock = HandClock()
        self.outbox = Outbox.open(self.path, self.clock)
        self.calls = {}
        self.delivered = set()

    def teardown(self):
        self.outbox.close()
        self.folder.cleanup()

    def step(self, do):
        with self.outbox.transaction():
            return do(self.outbox)

    @rule(target=claims, holder=HOLDERS)
    def add(self, holder):
        name = f"c{len(self.calls) + len(self.delivered)}"
        call = S2SCall(name, HOST, f"/x?c={name}", (("User-Agent", "ua"),), "r")
        claim = self.step(lambda o: o.add_all([NewCall(call, HOST, holder, LEASE)])[0])
        self.calls[name] = {"state": "leased", "holder": holder, "until": claim.lease_until, "attempts": 0}
        self.calls[name]["born"] = self.clock.up
        return holder, claim

    def claimable(self):
        def is_free(call):
            is_due = call["state"] == "due" and call["due"] <= self.clock.up
            return is_due or (call["state"] == "leased" and call["until"] <= self.clock.up)

        free = [(call["born"], name) for name, call in self.calls.items() if is_free(call)]
        return sorted(free, reverse=True)

    @rule(target=claims, holder=HOLDERS, limit=st.integers(1, 4))
    def claim(self, holder, limit):
        expected = self.claimable()
        found = self.step(lambda o: o.claim(limit, holder, LEASE))
        assert [born for born, _ in expected[:limit]] == [claim.born for claim in found]
        for claim in found:
            model = self.calls[claim.call.id]
            assert (claim.born, claim.call.id) in expected
            assert model["attempts"] + 1 == claim.attempt
            model.update(state="leased", holder=holder, until=claim.lease_until)
        return multiple(*((holder, claim) for claim in found))

    def holds(self, holder, claim):
        model = self.calls.get(claim.call.id)
        if model is None or model["state"] != "leased":
            return False
        return (model["holder"], model["until"]) == (holder, claim.lease_until)

    @rule(held=consumes(claims))
    def deliver(self, held):
        holder, claim = held
        expected = self.holds(holder, claim)
        assert expected == self.step(lambda o: o.settle(claim, holder, Delivered(), "200"))
        if expected:
            del self.calls[claim.call.id]
            self.delivered.add(claim.call.id)

    @rule(held=consumes(claims), wait=st.floats(0, 40), spent=st.booleans())
    def put_off(self, held, wait, spent):
        holder, claim = held
        when = self.clock.up + wait
        expected = self.holds(holder, claim)
        assert expected == self.step(lambda o: o.settle(claim, holder, RetryAt(when, spent), "500"))
        if expected:
            model = self.calls[claim.call.id]
            model.update(state="due", due=when, attempts=model["attempts"] + spent)

    @rule(held=consumes(claims))
    def give_up(self, held):
        holder, claim = held
        expected = self.holds(holder, claim)
        assert expected == self.step(lambda o: o.settle(claim, holder, Dead(DeadReason.REJECTED), "404"))
        if expected:
            model = self.calls[claim.call.id]
            model.update(state="dead", attempts=model["attempts"] + 1)

    @rule(target=claims, held=consumes(claims))
    def renew(self, held):
        holder, claim = held
        renewed = self.step(lambda o: o.renew(claim, holder, LEASE))
        assert self.holds(holder, claim) == (renewed is not None)
        if renewed is None:
            return multiple()
        self.calls[claim.call.id]["until"] = renewed.lease_until
        return holder, renewed

    @rule()
    def expire(self):
        now = self.clock.up
        expected = {
            name
            for name, call in self.calls.items()
            if call["born"] <= now - MAX_AGE
            and (call["state"] == "due" or (call["state"] == "leased" and call["until"] <= now))
        }
        assert expected == set(self.step(lambda o: o.expire(MAX_AGE)))
        for name in expected:
            self.calls[name]["state"] = "dead"

    @rule(seconds=st.sampled_from([0.1, 1.0, LEASE, 30.0, MAX_AGE]))
    def time_passes(self, seconds):
        self.clock.pass_time(seconds)

    @rule(jump=st.floats(-100_000, 100_000))
    def wall_clock_jumps(self, jump):
        self.clock.unix += jump

    @rule()
    def crash_and_reopen(self):
        self.outbox.close()
        self.outbox = Outbox.open(self.path, self.clock)

    @rule(data=st.data())
    def revive(self, data):
        dead = sorted(name for name, call in self.calls.items() if call["state"] == "dead")
        if not dead:
            return
        name = data.draw(st.sampled_from(dead))
        assert self.step(lambda o: o.revive(name))
        self.calls[name].update(state="due", due=self.clock.up, born=self.clock.up, attempts=0)

    @invariant()
    def what_is_stored_is_what_the_model_says(self):
        """Nothing is lost, nothing appears, and every state is the model's."""
        found = {row.id: (row.state, row.attempts) for row in self.outbox.rows()}

        assert {name: (call["state"], call["attempts"]) for name, call in self.calls.items()} == found


OutboxMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_the_outbox_behaves_like_the_model = OutboxMachine.TestCase
