"""An old primary is known by its replica that leads now, also where Sentinels do not know that yet."""

from __future__ import annotations

import pytest

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.deliver.engines import engine_for
from storehop.settings import Delivery
from tests.deliver.conformance.steps import accept
from tests.support.patience import SOON_S, wait_until
from tests.support.sentinels import RedisSet

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def servers():
    with RedisSet() as made:
        yield made


@pytest.fixture
def promoted(servers):
    """A replica that leads, as the one that Sentinels have just promoted: they still name the old primary."""
    old = servers.primary()
    new, _ = (one for one in servers.servers if one is not old)
    new.client().replicaof("NO", "ONE")
    wait_until(lambda: old.info("replication")["connected_slaves"] == 1, SOON_S, "a replica that left")
    yield new
    new.client().replicaof(*old.address)
    servers.settled()


@pytest.fixture
def engine(servers, request):
    made = engine_for(servers.url, Delivery(outbox_name=request.node.name))
    yield made
    made.close()


def test_who_comes_then_stores_nothing(engine, promoted):
    """The other replica would acknowledge it, and all of that is lost."""
    with pytest.raises(EngineError, match="another server is the primary now"):
        engine.run([accept("c1", "a:1", 6.0)])


def test_who_was_there_does_not_come_back(engine, servers, request):
    """What it knew of the replicas it learns anew with each connection."""
    engine.run([op.Probe()])
    promoted = request.getfixturevalue("promoted")
    failed = []
    for number in range(3):
        with pytest.raises(EngineError) as caught:
            engine.run([accept(f"c{number}", f"a:{number}", 6.0)])
        failed.append(str(caught.value))

    assert promoted.role == "master"
    assert ["another server is the primary now"] * 3 == failed


def test_a_primary_of_before_has_no_say(servers, engine):
    """It is one for seconds after a failover: Sentinels, which call it a replica, tell it late."""
    old = servers.primary()
    servers.failover(settle=False)
    wait_until(lambda: works(engine), SOON_S, "an engine at the new primary")

    assert ["master"] * 2 == [old.role, servers.primary().role]


def works(engine):
    try:
        engine.run([op.Probe()])
    except EngineError:  # its replica has not followed yet
        return False
    return True
