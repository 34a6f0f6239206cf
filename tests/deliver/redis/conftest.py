"""A real server with an engine on it, alone in its outbox."""

from __future__ import annotations

import itertools
import os

import pytest

from storehop.deliver.redis.engine import RedisEngine
from storehop.deliver.redis.place import Place
from storehop.settings import Delivery

_NUMBERS = itertools.count()


@pytest.fixture
def outbox_name() -> str:
    """Each test has an outbox of its own."""
    return f"test-{os.getpid()}-{next(_NUMBERS)}"


@pytest.fixture
def engine_at(outbox_name):
    """Makes engines on the test's outbox, at this URL."""
    engines = []

    def make(url, replicas=0, **settings):
        settings = Delivery(outbox_replicas=replicas, outbox_name=outbox_name, **settings)
        engines.append(RedisEngine(Place.from_url(url), settings))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
