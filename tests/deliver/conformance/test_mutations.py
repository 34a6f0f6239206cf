"""The suite catches each broken law: engines that are wrong in one way, and the law that must fail on them."""

import time
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import pytest

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.model import Delivered, RetryIn
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


class ClaimsAnyOrigin(MemoryEngine):
    def _claimdue(self, one):
        return super()._claimdue(replace(one, only="", but=()))


class ClaimsWhatIsHardlyDue(MemoryEngine):
    def _claimdue(self, one):
        return super()._claimdue(replace(one, overdue_s=0.0))


class RetriesAtOnce(MemoryEngine):
    def _settle(self, one):
        result = super()._settle(one)
        if one.call_id in self.outbox.calls:
            self.outbox.calls[one.call_id].until = self.now
        return result


class CountsWhatWasNotTried(MemoryEngine):
    def _settle(self, one):
        spent = RetryIn(one.verdict.seconds) if isinstance(one.verdict, RetryIn) else one.verdict
        return super()._settle(replace(one, verdict=spent))


class SettlesTwice(MemoryEngine):
    """A verdict leaves the lease."""

    def _settle(self, one):
        row = self.outbox.calls.get(one.call_id)
        settled = super()._settle(one)
        if settled:
            row.lease = one.lease
        return settled or (row is not None and row.lease == one.lease)


class SendsWhatWasAmended(MemoryEngine):
    def _amend(self, one):
        row = self.outbox.calls.get(one.call.id)
        return super()._amend(replace(one, call=row.call)) if row else None


class ReleasesLikeNames(MemoryEngine):
    def _release(self, one):
        holders = {row.lease.split(":")[0] for row in self.outbox.calls.values() if row.lease}
        return sum(super(ReleasesLikeNames, self)._release(op.Release(h)) for h in holders if h.startswith(one.holder))


class RevivesWithItsAge(MemoryEngine):
    def _revive(self, one):
        born = {name: row.born for name, row in self.outbox.calls.items()}
        count = super()._revive(one)
        for name in one.call_ids:
            if name in born:
                self.outbox.calls[name].born = born[name]
        return count


class PurgesAnything(MemoryEngine):
    def _purge(self, one):
        return sum(self.outbox.calls.pop(name, None) is not None for name in one.call_ids)


class GivesUpWhatIsLeased(MemoryEngine):
    def _sweep(self, one):
        for row in self.outbox.calls.values():
            row.until = min(row.until, self.now)
        return super()._sweep(one)


class KeepsWhatHasLapsed(MemoryEngine):
    def _sweep(self, one):
        leased = {name for name, row in self.outbox.calls.items() if row.state == "leased"}
        kept = {name: self.outbox.calls.pop(name) for name in leased}
        swept = super()._sweep(one)
        self.outbox.calls |= kept
        return swept


class CountsAllAsDue(MemoryEngine):
    def _sweep(self, one):
        swept = super()._sweep(one)
        return swept._replace(due=swept.pending)


class GoesByTheWall(MemoryEngine):
    def run(self, batch):
        self.outbox.clock.up, up = self.outbox.clock.unix, self.outbox.clock.up
        try:
            return super().run(batch)
        finally:
            self.outbox.clock.up = up


class SaysItIsGoneWhenItWasGone(MemoryEngine):
    def _withdraw(self, one):
        super()._withdraw(one)
        return True


class SendsTheOldestOfMany(MemoryEngine):
    """Beyond a page."""

    def _claimdue(self, one):
        page = dict(list(self.outbox.calls.items())[:100])
        self.outbox.calls, everything = page, self.outbox.calls
        try:
            return super()._claimdue(one)
        finally:
            self.outbox.calls = everything


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
    ClaimsAnyOrigin: "law_of_claims_only_what_is_wanted_is_leased",
    ClaimsWhatIsHardlyDue: "law_of_claims_only_what_is_wanted_is_leased",
    RetriesAtOnce: "law_of_claims_a_pause_is_kept",
    CountsWhatWasNotTried: "law_of_claims_a_pause_is_kept",
    SettlesTwice: "law_5_a_verdict_ends_a_lease",
    SendsWhatWasAmended: "law_of_amending_the_new_call_is_sent",
    ReleasesLikeNames: "law_of_release_a_holder_that_has_ended_lets_go",
    RevivesWithItsAge: "law_of_people_what_is_revived_is_as_new",
    PurgesAnything: "law_of_people_only_the_dead_are_purged",
    GivesUpWhatIsLeased: "law_of_sweeps_what_is_too_old_is_given_up",
    KeepsWhatHasLapsed: "law_of_sweeps_a_lapsed_lease_saves_nothing",
    CountsAllAsDue: "law_of_sweeps_what_has_left_is_not_due",
    GoesByTheWall: "law_of_clocks_nothing_goes_by_the_wall",
    SaysItIsGoneWhenItWasGone: "law_of_lost_replies_what_is_withdrawn_twice_is_gone_once",
    SendsTheOldestOfMany: "law_8_the_newest_of_many_goes_first",
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
