"""What an engine promises of claims that choose, of holders that have ended, of calls that age, and of people."""

from dataclasses import replace

from storehop.deliver import operations as op
from storehop.model import Dead, DeadReason, Delivered, RetryIn
from tests.deliver.conformance.steps import LEASE_S, accept, call, claim, ids, one, states

OTHER = "https://other.test"
AGED_S = 20.0


def bury(client, *names):
    """Stores calls and has them die, whatever was there."""
    client.run([accept(name, f"x:{name}") for name in names])
    verdict = Dead(DeadReason.REJECTED)
    client.run([op.Settle(name, f"x:{name}", verdict, "404") for name in names])


def law_of_claims_only_what_is_wanted_is_leased(kit):
    """By id, by origin, without an origin, and only what has been due for a while."""
    client = kit.client()
    to_other = op.Accept(call("c2", OTHER), "a:2", 0.0)
    client.run([accept("c1", lease_s=0.0), to_other, accept("c3", "a:3", 0.0)])
    overdue = ids(one(client, claim("b:1", overdue_s=AGED_S)))
    by_id = ids(one(client, claim("b:2", ids=("c3", "none"), but=(OTHER,))))
    only = ids(one(client, claim("b:3", only=OTHER, lease_s=0.0)))
    but = ids(one(client, claim("b:4", but=(OTHER,), lease_s=0.0)))
    kit.pass_time(AGED_S)
    late = ids(one(client, claim("b:5", overdue_s=AGED_S / 2)))

    assert ([], ["c3"], ["c2"], ["c1"]) == (overdue, by_id, only, but)
    assert {"c1", "c2", "c3"} == set(late)


def law_of_claims_a_pause_is_kept(kit):
    """Nobody gets a call before its time; an attempt that was not made does not count."""
    client = kit.client()
    client.run([accept("c1"), accept("c2", "a:2")])
    client.run(
        [op.Settle("c1", "a:1", RetryIn(LEASE_S), "503"), op.Settle("c2", "a:2", RetryIn(0.0, is_spent=False), None)]
    )
    (unspent,) = one(client, claim("b:1"))
    kit.pass_time(LEASE_S - kit.edge_s)
    early = one(client, claim("b:2", ids=("c1",)))
    kit.pass_time(kit.edge_s)
    (again,) = one(client, claim("b:3", ids=("c1",)))

    assert ("c2", 1, [], "c1", 2) == (unspent.call.id, unspent.attempt, early, again.call.id, again.attempt)
    assert "503" == one(client, op.ListCalls(call_id="c1"))[0].last


def law_5_a_verdict_ends_a_lease(kit):
    """5: a second verdict by the same lease changes nothing, whatever the first one was."""
    client = kit.client()
    client.run([accept("c1"), accept("c2", "a:2")])
    client.run(
        [op.Settle("c1", "a:1", RetryIn(AGED_S), "503"), op.Settle("c2", "a:2", Dead(DeadReason.REJECTED), "404")]
    )
    second = client.run([op.Settle(name, lease, Delivered(), "200") for name, lease in (("c1", "a:1"), ("c2", "a:2"))])

    handed_out = one(client, claim(ids=("c1", "c2")))

    assert ([False, False], {"c1": "due", "c2": "dead"}, []) == (second, states(client), handed_out)


def law_of_amending_the_new_call_is_sent(kit):
    """In place of the held one, to its own origin, by whoever amended it; nobody else gets the old one."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1", hold_s=LEASE_S)])
    better = replace(call("c1", OTHER), target="/better")
    amended = one(other, op.Amend(better, "b:1", LEASE_S))
    kit.pass_time(LEASE_S)
    old, new = one(client, claim("a:2", only="https://af.test")), one(client, claim("a:3", only=OTHER))

    assert ((better, 1), []) == ((amended.call, amended.attempt), old)
    assert [better] == [leased.call for leased in new]


def law_of_release_a_holder_that_has_ended_lets_go(kit):
    """All that it has leased or holds is due at once; what others have stays theirs, also one of a longer name."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1"), accept("c2", "a:2", hold_s=AGED_S), accept("c3", "ab:1"), accept("c4", "b:1")])
    released = one(other, op.Release("a"))
    leased = ids(one(other, claim("b:2")))
    stale = one(client, op.Extend("c1", "a:1", LEASE_S))

    assert (2, {"c1", "c2"}, False, 0) == (released, set(leased), stale, one(other, op.Release("nobody")))


def law_of_people_what_is_revived_is_as_new(kit):
    """Due at once, with all its attempts and a young age, but as old as it is for people; only what is dead."""
    client = kit.client()
    bury(client, "c1", "c2")
    client.run([accept("c3", "a:3")])
    kit.pass_time(LEASE_S / 2)
    revived = one(client, op.Revive(("c1", "c3", "none")))
    again = one(client, op.Revive(("c1",)))
    (shown,) = one(client, op.ListCalls(call_id="c1"))
    (leased,) = one(client, claim("b:1"))
    swept = one(client, op.Sweep(AGED_S, 9))

    assert (1, 0, "c1", 1, True) == (revived, again, leased.call.id, leased.attempt, kit.is_about(0.0, leased.age_s))
    assert ("due", None, True) == (shown.state, shown.reason, kit.is_about(LEASE_S / 2, shown.age))
    assert (2, 0, 1) == (swept.pending, swept.due, swept.dead)


def law_of_people_only_the_dead_are_purged(kit):
    """What waits to be sent stays; counts go down."""
    client = kit.client()
    bury(client, "c1", "c2")
    client.run([accept("c3", "a:3")])
    purged = one(client, op.Purge(("c1", "c3", "none")))

    assert (1, {"c2": "dead", "c3": "leased"}) == (purged, states(client))
    assert 1 == one(client, op.Sweep(AGED_S, 9)).dead


def law_of_sweeps_what_is_too_old_is_given_up(kit):
    """Not before, not while somebody may send it, and no more than asked for; the rest is counted."""
    client = kit.client()
    client.run([accept("c1", lease_s=0.0), accept("c2", "a:2", 0.0), accept("c3", "a:3", 2 * AGED_S)])
    early = one(client, op.Sweep(AGED_S, 9))
    kit.pass_time(AGED_S)
    client.run([accept("c4", "a:4", 0.0)])
    first, second = one(client, op.Sweep(AGED_S, 1)), one(client, op.Sweep(AGED_S, 9))

    assert ((), 3, 2, 0) == (early.expired, early.pending, early.due, early.dead)
    assert (1, {"c1", "c2"}) == (len(first.expired), {*first.expired, *second.expired})
    assert (2, 1, 2, True) == (second.pending, second.due, second.dead, kit.is_about(AGED_S, second.oldest_s))
    assert ["c4"] == ids(one(client, claim()))


def law_of_sweeps_a_lapsed_lease_saves_nothing(kit):
    """Its holder will not send it."""
    client = kit.client()
    client.run([accept("c1")])
    kit.pass_time(AGED_S)
    swept = one(client, op.Sweep(AGED_S, 9))

    assert (("c1",), "too_old") == (swept.expired, one(client, op.ListCalls())[0].reason)


def law_of_sweeps_what_has_left_is_not_due(kit):
    """Calls that were due and found, and then leased, delivered or withdrawn, are not counted as due."""
    client = kit.client()
    client.run([accept(f"c{number}", f"a:{number}", 0.0) for number in range(4)])
    client.run([claim("b:1", most=1, lease_s=AGED_S)])
    found = one(client, op.Sweep(AGED_S, 9))
    client.run([op.Withdraw(f"c{number}", f"a:{number}", None, "error") for number in range(4)])
    left = states(client)
    swept = one(client, op.Sweep(AGED_S, 9))

    assert ((4, 3), (1, 0)) == ((found.pending, found.due), (swept.pending, swept.due))
    assert ["leased"] == list(left.values())


def law_of_clocks_nothing_goes_by_the_wall(kit):
    """Where somebody sets the clock back, leases and answers last as long as they should."""
    client = kit.client()
    client.run([accept("c1", answer=op.Answer(b"click", "https://play", LEASE_S))])
    if kit.can_move_time:
        kit.jump(-3600.0)
    kit.pass_time(LEASE_S)

    assert (None, ["c1"]) == (one(client, op.Recall(b"click")), ids(one(client, claim())))


def law_of_lost_replies_what_is_withdrawn_twice_is_gone_once(kit):
    """Whoever does not know whether a click was stored, or withdrawn, may ask again: it changes nothing more."""
    client, other = kit.client(), kit.client()
    stored = op.Answer(b"click", "https://play", 10.0)
    withdraw = op.Withdraw("c1", "a:1", stored, "outbox_down")
    before = one(client, withdraw)
    client.run([accept("c1", answer=stored)])
    results = [one(client, withdraw), one(client, withdraw), one(other, accept("c2", "b:1", answer=stored))]

    assert (False, [True, False, "outbox_down"], {}) == (before, results, states(other))
