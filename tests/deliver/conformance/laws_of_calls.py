"""Laws 1 to 8: who has a call, and what becomes of it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from storehop.deliver import operations as op
from storehop.model import Dead, DeadReason, Delivered, RetryIn
from tests.deliver.conformance.steps import (
    LEASE_S,
    accept,
    accept_until_refused,
    answer,
    call,
    claim,
    ids,
    is_refused,
    needs,
    one,
    states,
)


def law_1_what_is_accepted_survives_a_crash(kit):
    """1: what was accepted survives a kill of the process."""
    client = kit.client()
    client.run([accept("c1"), accept("c2", "a:2")])
    kit.crash(client)
    kit.pass_time(LEASE_S)

    assert {"c1", "c2"} == set(ids(one(kit.client(), claim())))


@needs("can_fill_up")
def law_2_what_is_refused_is_never_handed_out(kit):
    """2: what a full outbox refused was never stored, whatever else is."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1", lease_s=0.0)])
    kit.fill_up()
    stored, refused = accept_until_refused(client)
    kit.make_room()
    handed_out = set(ids(one(other, claim(most=500))))

    assert ({"c1"} | stored, False) == (handed_out, refused in handed_out)


def law_2_what_is_withdrawn_is_never_handed_out(kit):
    """2: nobody gets a call that was withdrawn, not even when its lease would have lapsed."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1"), accept("c2", "a:2")])
    withdrawn = one(client, op.Withdraw("c1", "a:1", None, "outbox_down"))
    kit.pass_time(LEASE_S)

    assert (True, ["c2"]) == (withdrawn, ids(one(other, claim())))


def law_2_a_withdrawn_click_s_answer_says_otherwise(kit):
    """2: the same click must not get the answer of a call that was withdrawn."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1", answer=answer())])
    client.run([op.Withdraw("c1", "a:1", answer(), "outbox_down")])

    assert "outbox_down" == one(other, accept("c2", "b:1", answer=answer("elsewhere")))


def law_2_withdrawing_leaves_the_answer_of_another_click(kit):
    """2: a click that came after the window has an answer of its own, whatever becomes of the one before."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1", answer=answer("first"))])
    kit.pass_time(10.0)
    other.run([accept("c2", "b:2", answer=answer("second"))])
    client.run([op.Withdraw("c1", "a:1", answer("first"), "outbox_down")])

    assert "second" == one(other, op.Recall(b"click"))


def law_3_the_same_click_is_taken_once(kit):
    """3: of two accepts with one key the first is taken, for its seconds; in one batch or in two."""
    client, other = kit.client(), kit.client()
    first = client.run([accept("c1", answer=answer("first")), accept("c2", "a:2", answer=answer("second"))])
    again = one(other, accept("c3", "b:3", answer=answer("third")))
    kit.pass_time(10.0)
    late = one(other, op.Recall(b"click"))
    later = one(other, accept("c4", "b:4", answer=answer("fourth")))

    assert ("c1", "first", "first", None) == (first[0].call.id, first[1], again, late)
    assert op.Leased(call("c4"), "b:4", 1, 0.0) == later


def law_4_a_call_has_one_live_lease(kit):
    """4: while a lease lives nobody else gets the call; a held one not before hold and lease are over."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1"), accept("c2", "a:2", hold_s=10.0)])
    kit.pass_time(LEASE_S - kit.edge_s)
    early = one(other, claim()) + one(other, claim("b:0", ids=("c1", "c2")))
    kit.pass_time(kit.edge_s)
    lapsed = one(other, claim("b:2"))
    again = one(client, claim("a:9"))
    kit.pass_time(10.0)
    held = one(client, claim("a:10", ids=("c2",)))

    assert ([], ["c1"], [], ["c2"]) == (ids(early), ids(lapsed), ids(again), ids(held))


def law_4_two_claims_at_the_same_time_never_share_a_call(kit):
    """4: processes that claim in the same moment get different calls, and all of them together."""
    clients = [kit.client(), kit.client()]
    clients[0].run([accept(f"c{number}", f"a:{number}", 0.0) for number in range(60)])
    barrier = Barrier(len(clients))

    def claim_often(client, holder):
        barrier.wait()
        return [name for number in range(60) for name in ids(one(client, claim(f"{holder}:{number}", 2, 1000.0)))]

    with ThreadPoolExecutor() as pool:
        shares = list(pool.map(claim_often, clients, "bc"))

    assert sorted(f"c{number}" for number in range(60)) == sorted(shares[0] + shares[1])


@needs("is_exclusive")
def law_4_what_is_accepted_exclusively_is_nobody_else_s_meanwhile(kit):
    """`exclusive`: nobody else claims what `run` stores in it until it ends, leased or not."""
    client, other = kit.client(), kit.client()
    other.run([])
    with client.exclusive():
        client.run([accept("c1", lease_s=0.0)])
        is_kept_away = is_refused(other, claim()) or states(client) == {"c1": "leased"}
        withdrawn = one(client, op.Withdraw("c1", "a:1", None, "outbox_down"))

    assert (True, True, []) == (is_kept_away, withdrawn, one(other, claim("b:2")))


def law_5_a_stale_lease_changes_nothing(kit):
    """5: it settles, withdraws and extends nothing, and hears so; also beside a live one in the same batch."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1", lease_s=0.0), accept("c2", "a:2"), accept("c3", "a:3", lease_s=0.0)])
    (taken,) = one(other, claim(ids=("c1",)))
    (retaken,) = one(client, claim("a:9", ids=("c3",)))
    results = client.run(
        [
            op.Settle("c1", "a:1", Delivered(), "200"),
            op.Settle("c2", "a:2", Delivered(), "200"),
            op.Settle("c3", "a:3", Delivered(), "200"),
            op.Settle("c1", "a:1", Dead(DeadReason.REJECTED), "404"),
            op.Extend("c1", "a:1", LEASE_S),
            op.Withdraw("c1", "a:1", None, "error"),
        ]
    )

    left = states(other)
    settled = other.run([op.Settle(each.call.id, each.lease, Delivered(), "200") for each in (taken, retaken)])

    assert [False, True, False, False, False, False] == results
    assert ({"c1": "leased", "c3": "leased"}, [True, True]) == (left, settled)


def law_5_a_stale_delivery_deletes_nothing(kit):
    """5: as most verdicts come, several deliveries in one batch; nor does a lease count that stands beside it there."""
    client, other = kit.client(), kit.client()
    client.run([accept(name, f"a:{name}", 0.0) for name in ("c1", "c2", "c3")])
    leases = {leased.call.id: leased.lease for leased in one(other, claim())}
    stale = client.run([op.Settle(name, f"a:{name}", Delivered(), "200") for name in ("c1", "c2")])
    left = states(client)
    pairs = [("c1", "a:c1"), ("c1", leases["c1"]), ("c2", leases["c3"]), ("c3", leases["c3"]), ("c3", leases["c3"])]
    mixed = other.run([op.Settle(name, lease, Delivered(), "200") for name, lease in pairs])

    assert ([False, False], {"c1", "c2", "c3"}) == (stale, set(left))
    assert ([False, True, False, True, False], {"c2": "leased"}) == (mixed, states(client))


def law_6_a_lapsed_lease_is_due(kit):
    """6: after its end anybody may claim the call, and the next attempt has the next number."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1")])
    client.run([op.Settle("c1", "a:1", RetryIn(3.0), "503")])
    kit.pass_time(3.0)
    one(client, claim("a:2"))
    kit.pass_time(LEASE_S)
    (again,) = one(other, claim())

    assert (2, True) == (again.attempt, kit.is_about(3.0 + LEASE_S, again.age_s))


def law_7_what_is_gone_is_said(kit):
    """7: Extend and Amend say False and None where the lease or the held call is gone."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1", hold_s=1.0), accept("c2", "a:2", hold_s=1.0), accept("c3", "a:3")])
    amended = one(other, op.Amend(call("c1"), "b:1", LEASE_S))
    extended = one(client, op.Extend("c2", "a:2", LEASE_S))
    gone = client.run(
        [
            op.Extend("c1", "a:1", LEASE_S),
            op.Amend(call("c1"), "a:4", LEASE_S),
            op.Amend(call("c2"), "a:5", LEASE_S),
            op.Amend(call("c3"), "a:6", LEASE_S),
            op.Amend(call("none"), "a:7", LEASE_S),
        ]
    )

    assert ("b:1", True) == (amended.lease, extended)
    assert [False, None, None, None, None] == gone


def law_8_the_newest_goes_first(kit):
    """8: a click is worth less every second."""
    client = kit.client()
    for number in range(4):
        client.run([accept(f"c{number}", f"a:{number}", 0.0)])
        kit.pass_time(1.0)

    assert ["c3", "c2"] == ids(one(client, claim(most=2)))


def law_8_the_newest_of_many_goes_first(kit):
    """8: as many as there are after an outage, also of several origins."""
    client = kit.client()
    for start in range(0, 300, 100):
        origins = ("https://af.test", "https://other.test")
        calls = [call(f"c{start + n}", origins[n % 2]) for n in range(100)]
        client.run([op.Accept(each, f"a:{each.id}", 0.0) for each in calls])
        kit.pass_time(1.0)
    leased = one(client, claim(most=100))

    assert {f"c{number}" for number in range(200, 300)} == set(ids(leased))
