"""What the laws do in a word."""

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.model import S2SCall

LEASE_S = 6.0


def needs(ability):
    """Marks a law that a kit without this flag can't show."""

    def mark(law):
        law.ability = ability
        return law

    return mark


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


def is_refused(client, *batch):
    try:
        client.run(batch)
    except EngineError:
        return True
    return False


def accept_until_refused(client):
    """Ids of the calls that were stored, and the one that was refused."""
    for number in range(200):
        name = f"full-{number}"
        if is_refused(client, accept(name, f"a:{name}", 0.0)):
            return {f"full-{n}" for n in range(number)}, name
    raise AssertionError("it is never full")
