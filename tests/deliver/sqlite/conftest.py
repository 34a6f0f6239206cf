"""A file, a clock that a test moves, and engines on it."""

import pytest

from storehop.deliver.operations import Accept
from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.model import S2SCall
from tests.support.clocks import HandClock

ORIGIN = "https://app.appsflyer.com"
LEASE_S = 6.0


def accept(name="c1", lease="me:1", lease_s=LEASE_S, length=0, headers=(("User-Agent", "ua"),), **more):
    """A click's call; `length` is its URL's, at the least."""
    target = f"/com.x.y?clickid={name}".ljust(length - len(ORIGIN), "x")
    return Accept(S2SCall(name, ORIGIN, target, headers, "games"), lease, lease_s, **more)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def open_engine(path, clock):
    """Makes engines, closed when the test is over."""
    made = []

    def make(where=path, **settings):
        made.append(SqliteEngine(where, clock=clock, **settings))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(open_engine):
    made = open_engine()
    made.run([])
    return made
