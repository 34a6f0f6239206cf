"""Which engine keeps an outbox."""

import builtins
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from storehop.deliver.engines import SharedOutbox, check_location, engine_for
from storehop.deliver.operations import ListCalls
from storehop.deliver.redis.place import Place
from storehop.settings import Delivery


@pytest.mark.parametrize("prefix", ["", "sqlite://"])
def test_a_path_and_its_url_are_one_file(tmp_path, prefix):
    """The URL's path begins at the root."""
    path = tmp_path / "outbox.db"
    engine = engine_for(f"{prefix}{path}", Delivery())
    engine.run([ListCalls()])
    engine.close()

    assert path.is_file()


@pytest.mark.parametrize(("tidies", "bound"), [(False, 1), (True, None)])
def test_whoever_tidies_up_has_no_bound(tmp_path, tidies, bound):
    """The rule file says how large the outbox may be, and he does not read it."""
    engine = engine_for(str(tmp_path / "outbox.db"), Delivery(max_outbox=1), tidies=tidies)

    assert bound == engine._max_bytes


@pytest.mark.parametrize("location", ["postgres://host/name", "sqlite://", ""])
def test_another_url_is_refused(location):
    """With what was expected."""
    with pytest.raises(ValueError, match="expected a path, sqlite:///path, redis://host"):
        engine_for(location)


REDIS = "redis://me:s3cr3t@127.0.0.1:1"


@pytest.fixture
def made(monkeypatch):
    """What the engine over Redis is made of."""
    calls = []
    module = SimpleNamespace(RedisEngine=lambda *given: calls.append(given))
    monkeypatch.setitem(sys.modules, "storehop.deliver.redis.engine", module)
    return calls


def test_a_url_of_a_server_is_for_the_engine_over_redis(made):
    """It gets the place, the settings and who hears of it."""
    delivery, watcher = Delivery(outbox_name="ads"), object()
    engine_for(REDIS, delivery, watcher)

    assert [(Place.from_url(REDIS), delivery, watcher)] == made


def test_what_flags_say_counts_in_place_of_the_rules(made):
    """Each one on its own."""
    rules = Delivery(outbox_name="rules", outbox_replicas=2, outbox_wait=0.2)
    for shared in (SharedOutbox(), SharedOutbox(name="flag"), SharedOutbox(replicas=0), SharedOutbox(wait=0.05)):
        engine_for(REDIS, rules, shared=shared)

    assert [
        rules,
        replace(rules, outbox_name="flag"),
        replace(rules, outbox_replicas=0),
        replace(rules, outbox_wait=0.05),
    ] == [settings for _, settings, _ in made]


def test_credentials_come_from_the_environment_and_the_flag_s_file(made, monkeypatch, tmp_path):
    """When the engine is made."""
    monkeypatch.setenv("STOREHOP_OUTBOX_USERNAME", "ads")
    file = tmp_path / "password"
    file.write_text("s3cr3t\n")
    engine_for("redis://127.0.0.1:1", shared=SharedOutbox(password_file=file))

    ((place, _, _),) = made
    assert ("ads", "s3cr3t") == (place.username, place.password)


def test_a_missing_extra_is_named(monkeypatch):
    """As pip needs it; the credentials are not."""
    monkeypatch.delitem(sys.modules, "storehop.deliver.redis.engine", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_redis(builtins.__import__))
    with pytest.raises(ValueError, match=r"pip install 'storehop\[redis\]'") as raised:
        engine_for(REDIS)

    assert "the outbox redis://127.0.0.1:1 needs" in str(raised.value)


def without_redis(usual):
    """An import as on a machine without the library."""

    def import_module(name, *rest):
        if name in {"redis", "storehop.deliver.redis.engine"}:
            raise ModuleNotFoundError("No module named 'redis'", name="redis")
        return usual(name, *rest)

    return import_module


@pytest.mark.parametrize("location", ["redis://", "redis+other://s3cr3t@host", "rediss://:s3cr3t@host:x", "s3cr3t://a"])
def test_a_faulty_location_is_refused_without_its_credentials(location):
    """By whoever only reads it, too."""
    with pytest.raises(ValueError, match="expected") as raised:
        check_location(location)

    assert "s3cr3t" not in str(raised.value)
