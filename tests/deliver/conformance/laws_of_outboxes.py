"""Laws 9 and 10, and what an engine promises of batches and rates."""

from storehop.deliver import operations as op
from storehop.model import Dead, DeadReason, Delivered, RetryIn
from tests.deliver.conformance.steps import accept, accept_until_refused, claim, is_refused, needs, one, states

MAX_AGE_S = 15.0


@needs("can_fill_up")
def law_9_sweep_makes_room_before_it_needs_room(kit):
    """9: in a full outbox answers that count no more go, and then what is too old is given up."""
    client = kit.client()
    for start in range(0, 2000, 100):
        client.run([op.Remember(op.Answer(b"%d" % (start + n), "x" * 400, 10.0)) for n in range(100)])
        client.run([accept(f"c{start + n}", f"a:{start + n}", 0.0) for n in range(100)])
    kit.fill_up()
    kit.pass_time(MAX_AGE_S)
    swept = [one(client, op.Sweep(MAX_AGE_S, 200)) for _ in range(10)]

    assert (2000, 0) == (sum(len(each.expired) for each in swept), swept[-1].pending)


@needs("can_fill_up")
def law_10_a_full_outbox_heals_without_a_restart(kit):
    """10: what it refused it takes as soon as there is room."""
    client = kit.client()
    client.run([accept("c0")])
    kit.fill_up()
    _, refused = accept_until_refused(client)
    kit.make_room()

    assert refused == one(client, accept(refused, "a:late")).call.id


@needs("can_fill_up")
def law_10_a_full_outbox_hands_out_and_settles(kit):
    """10: so it gets empty again, whatever becomes of its calls."""
    client = kit.client()
    client.run([accept(f"c{number}", f"a:{number}", 0.0) for number in range(300)])
    kit.fill_up()
    leased = one(client, claim("a holder of a longer name:1", most=300))
    verdicts = [(Delivered(), RetryIn(0.0), Dead(DeadReason.REJECTED))[number % 3] for number in range(300)]
    settled = client.run(
        [op.Settle(it.call.id, it.lease, v, "what it answered") for it, v in zip(leased, verdicts, strict=True)]
    )

    assert [True] * 300 == settled
    assert is_refused(client, *(accept(f"d{number}", f"d:{number}", 0.0) for number in range(300)))


@needs("can_break_down")
def law_10_a_fault_heals_without_a_restart(kit):
    """10: while nothing can be stored nothing is; afterwards the same client goes on as if nothing had been."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1")])
    kit.break_down()
    refused = is_refused(client, accept("c2", "a:2"), op.Settle("c1", "a:1", Delivered(), "200"))
    kit.mend()
    left = states(other)
    results = client.run([accept("c2", "a:2"), op.Settle("c1", "a:1", Delivered(), "200")])

    assert (True, {"c1": "leased"}, True) == (refused, left, results[1])
    assert {"c2": "leased"} == states(other)


def law_of_batches_all_or_nothing(kit):
    """A batch that fails leaves nothing of itself."""
    client, other = kit.client(), kit.client()
    client.run([accept("c1")])
    failed = [
        _is_mistaken(client, op.Mark("a", "b"), accept("c2", "a:2"), accept(again, "a:3")) for again in ("c1", "c2")
    ]

    assert ([True, True], {"c1": "leased"}, {}) == (failed, states(other), one(other, op.Marks()))


def _is_mistaken(client, *batch):
    """Whatever the engine calls it: the same id twice is our own mistake."""
    try:
        client.run(batch)
    except Exception:  # noqa: BLE001
        return True
    return False


def law_of_rates_recovery_has_one_budget(kit):
    """Claims with a rate are no more than that for all processes together, and no burst after a pause."""
    client, other = kit.client(), kit.client()
    client.run([accept(f"c{number}", f"a:{number}", 0.0) for number in range(200)])
    kit.pass_time(5.0)
    claimed, begin = 0, kit.now()
    for step in range(50):
        kit.pass_time(0.1)
        for place, each in enumerate((client, other)):
            claimed += len(one(each, claim(f"x:{step}-{place}", most=99, rate=20.0)))
    most = 20.0 * (kit.now() - begin + kit.burst_s)

    assert claimed <= most
    assert claimed >= most - 10.0 or not kit.keeps_rates  # on a machine that stands still, a share is lost
