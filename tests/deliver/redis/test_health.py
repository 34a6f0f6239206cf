"""Which servers may keep an outbox, by what they say of themselves."""

import pytest

from storehop.deliver.redis.health import examine, fields_of, no_primary, too_old

GOOD = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "aof_enabled": "1", "connected_slaves": "2"}


def health(appendfsync="always", replicas=1, **changes):
    return examine(GOOD | changes, appendfsync, replicas)


def test_a_server_as_the_manual_has_it_is_taken():
    """And nothing is to be said about it."""
    assert (None, ()) == health()[:2]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "expected maxmemory-policy noeviction, not allkeys-lru"),
        ({"maxmemory_policy": "volatile-ttl"}, "expected maxmemory-policy noeviction, not volatile-ttl"),
        ({"aof_enabled": "0"}, "expected appendonly yes"),
        ({"aof_enabled": "0", "replicas": 0}, "expected appendonly yes"),
        ({"aof_enabled": "0", "os": "Amazon ElastiCache"}, "expected appendonly yes"),
        ({"connected_slaves": "0"}, "0 of its replicas are connected, and outbox_replicas is 1"),
    ],
)
def test_what_may_lose_clicks_is_refused(changes, expected):
    """In a sentence that says what was expected."""
    found = health(**changes)

    assert (expected, ()) == (found.refusal[-len(expected) :], found.remarks)


@pytest.mark.parametrize("version", ["7.2.4", "8.2.3", "10.0.0"])
def test_newer_versions_are_taken(version):
    """Valkey calls itself 7.2.4 here."""
    assert too_old(GOOD | {"redis_version": version}) is None


@pytest.mark.parametrize("version", ["6.2.14", "5.0", "unknown"])
def test_older_versions_are_of_no_use(version):
    """They don't know our script."""
    assert f"it is version {version}: expected Redis 7.0 or newer, or Valkey" == too_old({"redis_version": version})


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"redis_mode": "sentinel"}, "it is a Sentinel: expected redis+sentinel://host,host,host/name"),
        ({"redis_mode": "standalone", "role": "slave"}, "it is a replica"),
        ({"redis_mode": "standalone", "role": "master"}, None),
        ({"redis_mode": "cluster", "role": "master"}, None),
    ],
)
def test_only_a_primary_is_asked(info, expected):
    """A Sentinel has no role: it is no replica."""
    assert expected == no_primary(info)


def test_a_service_that_keeps_a_log_of_its_own_is_taken():
    """MemoryDB has no file to append to; that its user counts on it is said."""
    managed = health(aof_enabled="0", os="Amazon MemoryDB", replicas=0)

    assert (None, 1) == (managed.refusal, len(managed.remarks))


@pytest.mark.parametrize(("appendfsync", "remarks"), [("everysec", 1), ("no", 1), ("always", 0), (None, 0)])
def test_what_weakens_the_promise_is_said(appendfsync, remarks):
    """Where it may be read."""
    assert remarks == len(health(appendfsync).remarks)


def test_info_is_read():
    """As servers write it, with comments."""
    assert {"role": "master", "slave0": "ip=a,port=1"} == fields_of(
        "# Replication\r\nrole:master\r\nslave0:ip=a,port=1"
    )
