"""The laws of storehop.deliver.engine, one plain check each. A check gets a kit (tests.support.engines) and asserts."""

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.model import Dead, DeadReason, Delivered, RetryIn, S2SCall

LEASE_S = 6.0
MAX_AGE_S = 120.0


def call(name, origin="https://af.test"):
    return S2SCall(name, origin, f"/{name}", (("User-Agent", "ua"),), "games")


def accept(name, lease="a:1", lease_s=LEASE_S, **more):
    return op.Accept(call(name), lease, lease_s, **more)


def answer(text="https://play", key=b"click"):
    return op.Answer(key, text, 10.0)


def claim(lease="b:1", most=9, lease_s=LEASE_S, **more):
    return op.ClaimDue(most, lease, lease_s, **more)


def one(client, operation):
    """The result of a batch of one."""
    (result,) = client.run([operation])
    return result


def states(client):
    return {stored.id: stored.state for stored in one(client, op.ListCalls())}


def ids(leased):
    return [one.call.id for one in leased]


def law_1_what_is_accepted_survives_a_crash(kit):
    """1: what was accepted survives a kill of the process."""
    client = kit.client()
    client.run([accept("c1"), accept("c2", "a:2")])
    kit.crash(client)
    kit.clock.pass_time(LEASE_S)

    assert {"c1", "c2"} == set(ids(one(kit.client(), claim())))


def law_2_what_is_refused_is_never_handed_out(kit):
    """2: what was refused or withdrawn is never handed out, whatever else was in its batch."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1")])
    kit.fill_up()
    refused = 0
    for number in range(200):
        try:
            client.run([accept(f"full-{number}", f"a:full-{number}", 0.0)])
        except EngineError:
            refused += 1
            break
    kit.make_room()
    stored = set(states(other))
    client.run([op.Withdraw("c1", "a:1", None, "outbox_down")])
    kit.clock.pass_time(LEASE_S)
    handed_out = set(ids(one(other, claim(most=500))))

    assert (1, stored - {"c1"}) == (refused, handed_out)


def law_2_a_withdrawn_click_s_answer_says_otherwise(kit):
    """2: the same click must not get the answer of a call that was withdrawn."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1", answer=answer())])
    client.run([op.Withdraw("c1", "a:1", b"click", "outbox_down")])

    assert "outbox_down" == one(other, accept("c2", "b:1", answer=answer("elsewhere")))


def law_3_the_same_click_is_taken_once(kit):
    """3: of two accepts with one key the first is taken, for its seconds; in one batch or in two."""
    client, other = kit.client(), kit.client()
    first = client.run([accept("c1", answer=answer("first")), accept("c2", "a:2", answer=answer("second"))])
    again = one(other, accept("c3", "b:3", answer=answer("third")))
    kit.clock.pass_time(10.0)
    later = one(other, accept("c4", "b:4", answer=answer("fourth")))

    assert ("c1", "first", "first", "c4") == (first[0].call.id, first[1], again, later.call.id)


def law_4_a_call_has_one_live_lease(kit):
    """4: while a lease lives nobody else gets the call; a held one not before hold and lease are over."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1"), accept("c2", "a:2", hold_s=20.0)])
    kit.clock.pass_time(LEASE_S - 0.1)
    early = one(other, claim())
    kit.clock.pass_time(0.1)
    lapsed = one(other, claim("b:2"))
    again = one(client, claim("a:9"))
    kit.clock.pass_time(20.0)
    held = one(client, claim("a:10", ids=("c2",)))

    assert ([], ["c1"], [], ["c2"]) == (ids(early), ids(lapsed), ids(again), ids(held))


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

    assert [False, True, False, False, False, False] == results
    assert {"c1": "leased", "c3": "leased"} == states(other)
    assert (
        other.run([op.Settle(each.call.id, each.lease, Delivered(), "200") for each in (taken, retaken)]) == [True] * 2
    )


def law_6_a_lapsed_lease_is_due(kit):
    """6: after its end anybody may claim the call, and the next attempt has the next number."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1")])
    client.run([op.Settle("c1", "a:1", RetryIn(3.0), "503")])
    kit.clock.pass_time(3.0)
    one(client, claim("a:2"))
    kit.clock.pass_time(LEASE_S)
    (again,) = one(other, claim())

    assert (2, 3.0 + LEASE_S) == (again.attempt, again.age_s)


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
        kit.clock.pass_time(1.0)

    assert ["c3", "c2"] == ids(one(client, claim(most=2)))


def law_9_sweep_makes_room_before_it_needs_room(kit):
    """9: in a full outbox answers that count no more go, and then what is too old is given up."""
    client = kit.client()
    for start in range(0, 2000, 500):
        client.run([op.Remember(op.Answer(b"%d" % (start + n), "x" * 400, 10.0)) for n in range(500)])
        client.run([accept(f"c{start + n}", f"a:{start + n}", 0.0) for n in range(500)])
    kit.fill_up()
    kit.clock.pass_time(MAX_AGE_S)
    swept = one(client, op.Sweep(MAX_AGE_S, 2000))

    assert (2000, 0) == (len(swept.expired), swept.pending)


def law_10_a_fault_heals_without_a_restart(kit):
    """10: what a full outbox refused is taken as soon as there is room."""
    client = kit.client()
    client.run([accept("c0")])
    kit.fill_up()
    fault = None
    for number in range(1, 200):
        try:
            client.run([accept(f"c{number}", f"a:{number}")])
        except EngineError as error:
            fault = error
            break
    kit.make_room()
    taken = one(client, accept("late", "a:late"))

    assert (True, "late") == (fault is not None, taken.call.id)


def law_11_all_or_nothing(kit):
    """A batch that fails leaves nothing of itself."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1")])
    try:
        client.run([op.Mark("a", "b"), accept("c2", "a:2"), accept("c1", "a:3")])
    except Exception:  # noqa: BLE001  whatever the engine calls it: the same id twice is our own mistake
        failed = True
    else:
        failed = False

    assert (True, {"c1": "leased"}, {}) == (failed, states(other), one(other, op.Marks()))


def law_12_recovery_has_one_budget(kit):
    """Claims with a rate are no more than that for all processes together, and no burst after a pause."""
    client, other = kit.client(), kit.client()
    client.run([accept(f"c{number}", f"a:{number}", 0.0) for number in range(200)])
    kit.clock.pass_time(60.0)
    claimed = 0
    for step in range(50):  # 5 s
        kit.clock.pass_time(0.1)
        for place, each in enumerate((client, other)):
            claimed += len(one(each, claim(f"x:{step}-{place}", most=99, rate=20.0)))

    assert 95 <= claimed <= 105


LAWS = {name: check for name, check in globals().items() if name.startswith("law_")}
