"""The suite catches each broken law: engines that are wrong in one way, and the law that must fail on them."""

import time
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import pytest

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.model import Delivered
from tests.deliver.conformance.laws import LAWS
from tests.support.engines import MemoryKit
from tests.support.memory_engine import MemoryEngine


class ForgetsWhenItCrashes(MemoryEngine):
    """Keeps in the client what it should have stored."""

    def run(self, batch):
        if not hasattr(self, "mine"):
            self.mine = replace(self.outbox, calls=deepcopy(self.outbox.calls))
        self.outbox = self.mine
        return super().run(batch)


class KeepsWhatItRefuses(MemoryEngine):
    def run(self, batch):
        try:
            return super().run(batch)
        except EngineError:
            capacity, self.outbox.capacity = self.outbox.capacity, None
            super().run(batch)
            self.outbox.capacity = capacity
            raise


class LeavesWhatIsWithdrawn(MemoryEngine):
    def _withdraw(self, one):
        return self._holds(one)


class KeepsTheAnswerOfWhatIsWithdrawn(MemoryEngine):
    def _withdraw(self, one):
        return super()._withdraw(op.Withdraw(one.call_id, one.lease, None, one.text))


class ChangesAnybodysAnswer(MemoryEngine):
    def _withdraw(self, one):
        self.outbox.answers[one.answer.key] = one.text, self.now + 10.0
        return super()._withdraw(one)


class RemembersAClickForEver(MemoryEngine):
    def _recall(self, one):
        return self.outbox.answers.get(one.key, (None, 0.0))[0]


class TakesTheSameClickTwice(MemoryEngine):
    def _accept(self, one):
        return super()._accept(op.Accept(one.call, one.lease, one.lease_s, None, one.retry, one.hold_s))


class HandsOutWhatIsLeased(MemoryEngine):
    def _is_due(self, row, _one):
        return row.state != "dead"


class DoesNotHold(MemoryEngine):
    def _accept(self, one):
        return super()._accept(replace(one, hold_s=0.0))


class ClaimsWithoutALock(MemoryEngine):
    """Another process comes between what it reads and what it writes."""

    def _alone(self):
        return nullcontext()

    def _is_due(self, row, one):
        is_due = super()._is_due(row, one)
        time.sleep(0.0001)
        return is_due


class KeepsNobodyAway(MemoryEngine):
    def exclusive(self):
        return nullcontext()


class SettlesForAnybody(MemoryEngine):
    def _holds(self, one):
        return one.call_id in self.outbox.calls


class DeliversByACrossProduct(MemoryEngine):
    """Any lease of the batch will do."""

    def _settle(self, one):
        if isinstance(one.verdict, Delivered):
            return bool(self.outbox.calls.pop(one.call_id, None))
        return super()._settle(one)


class NeverLetsALeaseLapse(MemoryEngine):
    def _is_due(self, row, one):
        return row.state == "due" and super()._is_due(row, one)


class ExtendsForAnybody(MemoryEngine):
    def _extend(self, one):
        super()._extend(one)
        return True


class AmendsWhatIsNotHeld(MemoryEngine):
    def _amend(self, one):
        row = self.outbox.calls.get(one.call.id)
        return self._lease(row, one.lease, one.lease_s) if row else None


class SendsTheOldestFirst(MemoryEngine):
    def _claimdue(self, one):
        rows = sorted((row for row in self.outbox.calls.values() if self._is_due(row, one)), key=lambda row: row.born)
        return [self._lease(row, f"{one.lease}.{n}", one.lease_s) for n, row in enumerate(rows[: one.most])]


class NeedsRoomBeforeItMakesRoom(MemoryEngine):
    def _sweep(self, one):
        self._check_room()
        return super()._sweep(one)


class StaysFull(MemoryEngine):
    is_broken = False

    def _check_room(self):
        self.is_broken = self.is_broken or self.outbox.capacity is not None
        if self.is_broken:
            self.outbox.capacity = 0
        super()._check_room()


class HandsNothingOutWhenFull(MemoryEngine):
    def _claimdue(self, one):
        self._check_room()
        return super()._claimdue(one)


class StaysBroken(MemoryEngine):
    fault = None

    def run(self, batch):
        self.outbox.fault = self.fault = self.outbox.fault or self.fault
        return super().run(batch)


class StoresHalfABatch(MemoryEngine):
    def run(self, batch):
        return [result for one in batch for result in super(StoresHalfABatch, self).run([one])]


class HasABudgetOfItsOwn(MemoryEngine):
    own = (0.0, 0.0)

    def _claimdue(self, one):
        self.outbox.budget, shared = self.own, self.outbox.budget
        result = super()._claimdue(one)
        self.own, self.outbox.budget = self.outbox.budget, shared
        return result


MUTATIONS = {
    ForgetsWhenItCrashes: "law_1_what_is_accepted_survives_a_crash",
    KeepsWhatItRefuses: "law_2_what_is_refused_is_never_handed_out",
    LeavesWhatIsWithdrawn: "law_2_what_is_withdrawn_is_never_handed_out",
    ChangesAnybodysAnswer: "law_2_withdrawing_leaves_the_answer_of_another_click",
    KeepsTheAnswerOfWhatIsWithdrawn: "law_2_a_withdrawn_click_s_answer_says_otherwise",
    TakesTheSameClickTwice: "law_3_the_same_click_is_taken_once",
    RemembersAClickForEver: "law_3_the_same_click_is_taken_once",
    DoesNotHold: "law_4_a_call_has_one_live_lease",
    ClaimsWithoutALock: "law_4_two_claims_at_the_same_time_never_share_a_call",
    KeepsNobodyAway: "law_4_what_is_accepted_exclusively_is_nobody_else_s_meanwhile",
    HandsOutWhatIsLeased: "law_4_a_call_has_one_live_lease",
    SettlesForAnybody: "law_5_a_stale_lease_changes_nothing",
    DeliversByACrossProduct: "law_5_a_stale_delivery_deletes_nothing",
    NeverLetsALeaseLapse: "law_6_a_lapsed_lease_is_due",
    ExtendsForAnybody: "law_7_what_is_gone_is_said",
    AmendsWhatIsNotHeld: "law_7_what_is_gone_is_said",
    SendsTheOldestFirst: "law_8_the_newest_goes_first",
    NeedsRoomBeforeItMakesRoom: "law_9_sweep_makes_room_before_it_needs_room",
    StaysFull: "law_10_a_full_outbox_heals_without_a_restart",
    HandsNothingOutWhenFull: "law_10_a_full_outbox_hands_out_and_settles",
    StaysBroken: "law_10_a_fault_heals_without_a_restart",
    StoresHalfABatch: "law_of_batches_all_or_nothing",
    HasABudgetOfItsOwn: "law_of_rates_recovery_has_one_budget",
}


@pytest.mark.parametrize(("engine", "law"), MUTATIONS.items(), ids=lambda one: getattr(one, "__name__", one))
def test_a_broken_law_is_caught(engine, law):
    """The engine is right but for one thing, and the law that says so fails."""
    kit = MemoryKit()
    kit.engine = engine

    with pytest.raises((AssertionError, ValueError, EngineError)):
        LAWS[law](kit)


def test_every_law_has_a_mutation():
    """None of them is there for nothing."""
    assert set(LAWS) == set(MUTATIONS.values())
