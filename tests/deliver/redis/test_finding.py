"""Where the primary is: what Sentinels and clusters say, and what they say when they disagree."""

import pytest

from storehop.deliver.engine import EngineError
from storehop.deliver.redis.finding import Sentinels, finder_for
from storehop.deliver.redis.place import Place
from tests.support.processes import free_port
from tests.support.redis_cluster import RedisCluster
from tests.support.sentinels import NAME, RedisSet

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def servers():
    with RedisSet() as made:
        yield made


def sentinels(*hosts, name=NAME):
    text = ",".join(f"{host}:{port}" for host, port in hosts)
    return Sentinels(Place.from_url(f"redis+sentinel://{text}/{name}"))


def test_one_server_is_where_its_url_says():
    """Its name is looked up at each connection."""
    assert ("redis.test", 6380) == finder_for(Place.from_url("redis://redis.test:6380"), "{storehop}").find()


def test_sentinels_name_the_primary(servers):
    """All that answer are asked."""
    found = sentinels(*(one.address for one in servers.sentinels)).find()

    assert servers.primary().address == found


def test_a_sentinel_that_is_gone_stops_nobody(servers):
    """The others know as well."""
    found = sentinels(("127.0.0.1", free_port()), servers.sentinels[0].address).find()

    assert servers.primary().address == found


def test_one_sentinel_tells_whether_it_is_still_the_primary(servers):
    """Asked once a second."""
    finder = sentinels(servers.sentinels[0].address)

    assert (True, False) == (finder.is_still(finder.find()), finder.is_still(("127.0.0.1", 1)))


def test_where_no_sentinel_answers_nothing_is_concluded():
    """The server itself says more."""
    assert sentinels(("127.0.0.1", free_port())).is_still(("127.0.0.1", 1))


def test_that_no_sentinel_answers_is_said(servers):
    """Clicks go on, but nobody would make another server the primary; until one answers again."""
    gone = ("127.0.0.1", free_port())
    finder = sentinels(gone, servers.sentinels[0].address)
    primary, remarks = servers.primary().address, []
    finder._hosts = [gone, gone]
    for _ in range(2):
        remarks.append(len(finder.remarks))
        finder.is_still(primary)
    remarks.append(len(finder.remarks))
    finder._hosts = [servers.sentinels[0].address, gone]
    finder.is_still(primary)

    assert [0, 0, 1, 0] == [*remarks, len(finder.remarks)]


@pytest.mark.parametrize(
    ("name", "expected"), [("nobody", "knows no primary named nobody"), (NAME, "Connection refused")]
)
def test_what_is_wrong_is_said(servers, name, expected):
    """With the Sentinel's address."""
    host = servers.sentinels[0].address if name == "nobody" else ("127.0.0.1", free_port())

    with pytest.raises(EngineError, match=f"no Sentinel tells where {name} is: 127.0.0.1:.*{expected}"):
        sentinels(host, name=name).find()


def test_a_cluster_names_the_primary_of_the_outbox_s_slot():
    """Whichever node is asked."""
    with RedisCluster() as cluster:
        found = {
            finder_for(Place.from_url(f"redis+cluster://127.0.0.1:{port}"), "{storehop}").find()
            for _, port in Place.from_url(cluster.url).hosts
        }

    assert 1 == len(found)
