"""What a server may say in place of a result: nothing is half done, people are told, it heals by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError, UnknownError
from tests.deliver.conformance.steps import accept, claim, is_refused, one, states
from tests.support.patience import SOON_S, wait_until
from tests.support.redis_servers import RedisServer, shared_server
from tests.support.spoiled_redis import SpoiledRedis

pytestmark = pytest.mark.process

SAID = {
    "READONLY": (b"-READONLY You can't write against a read only replica.", "a read only replica"),
    "LOADING": (b"-LOADING Redis is loading the dataset in memory", "loading the dataset"),
    "MASTERDOWN": (b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is 'no'.", "MASTER is down"),
    "NOREPLICAS": (b"-NOREPLICAS Not enough good replicas to write.", "Not enough good replicas"),
    "BUSY": (b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL", "SCRIPT KILL"),
    "MOVED": (b"-MOVED 3999 10.0.0.7:6381", "its slot is at 10.0.0.7:6381 now; the URL of a cluster begins with"),
    "ASK": (b"-ASK 3999 10.0.0.7:6381", "its slot is at 10.0.0.7:6381 now"),
    "TRYAGAIN": (b"-TRYAGAIN Multiple keys request during rehashing of slot", "rehashing of slot"),
    "CLUSTERDOWN": (b"-CLUSTERDOWN The cluster is down", "The cluster is down"),
    "NOAUTH": (b"-NOAUTH Authentication required.", "required: expected the outbox's user and password"),
    "WRONGPASS": (b"-WRONGPASS invalid username-password pair", "pair: expected the outbox's user and password"),
    "NOPERM": (b"-NOPERM this user has no permissions to run the 'evalsha' command", "expected an ACL with the rights"),
    "MISCONF": (b"-MISCONF Errors writing to the AOF file: No space left on device", "No space left on device"),
    "UNBLOCKED": (b"-UNBLOCKED client unblocked via CLIENT UNBLOCK", "unblocked"),
    "HTTP": (b"HTTP/1.1 400 Bad Request", "Protocol Error"),
}
"""By its name, a server's error, and what people read of it."""


@pytest.fixture
def spoiled():
    with SpoiledRedis(shared_server("7.0").port) as made:
        yield made


@pytest.fixture
def engine(spoiled, engine_at):
    """It works, before anything is spoiled."""
    made = engine_at(spoiled.url)
    made.run([op.Probe()])
    return made


@pytest.fixture
def server():
    with RedisServer() as made:
        yield made


def heals(engine):
    """Whether it takes clicks again, soon and without a restart."""
    wait_until(lambda: not is_refused(engine, op.Probe()), SOON_S, "that it heals")
    return not is_refused(engine, accept("after", "a:after"))


@pytest.mark.parametrize("name", SAID)
def test_what_a_server_says_for_the_script_is_told_to_people(spoiled, engine, name):
    """Where it is, what it says, and what to do about that."""
    said, expected = SAID[name]
    spoiled.says = {"EVALSHA": said}

    with pytest.raises(EngineError) as caught:
        engine.run([accept("c1")])

    assert f"127.0.0.1:{spoiled.port}: " in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", SAID)
def test_what_a_server_refuses_is_not_stored(spoiled, engine, name):
    """And it heals by itself."""
    spoiled.says = {"EVALSHA": SAID[name][0]}
    refused = is_refused(engine, accept("c1"))
    spoiled.says = {}

    assert (True, True, {"after": "leased"}) == (refused, heals(engine), states(engine))


@pytest.mark.parametrize("name", SAID)
def test_what_a_server_says_to_a_first_question_is_told(spoiled, engine_at, name):
    """At the start, when it is asked what it is."""
    said, expected = SAID[name]
    spoiled.says = {"INFO": said}
    engine = engine_at(spoiled.url)

    with pytest.raises(EngineError, match=f"(?s).*{expected}"):
        engine.run([op.Probe()])
    spoiled.says = {}

    assert heals(engine)


FINE = {"WAIT": b":1", "ROLE": b"*3\r\n$6\r\nmaster\r\n:1\r\n*0"}
"""What they say of a primary whose replica acknowledges."""


@pytest.mark.parametrize("command", FINE)
@pytest.mark.parametrize("name", ["READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "NOPERM", "UNBLOCKED"])
def test_what_is_not_known_to_last_is_open(spoiled, engine_at, command, name):
    """It may be there, and is withdrawn once the server says what it should."""
    said, expected = SAID[name]
    spoiled.has()
    spoiled.says |= FINE
    engine = engine_at(spoiled.url, replicas=1)
    engine.run([op.Probe()])
    spoiled.says[command] = said

    with pytest.raises(UnknownError, match=expected):
        engine.run([accept("c1")])
    spoiled.says |= FINE

    assert (True, {}) == (one(engine, op.Withdraw("c1", "a:1", None, "outbox_down")), states(engine))


@pytest.mark.parametrize("name", ["LOADING", "NOAUTH"])
def test_who_is_turned_away_knows_that_nothing_is_done(spoiled, engine_at, name):
    """What follows the script is turned away as well: the library has given the connection up by then."""
    said, expected = SAID[name]
    spoiled.has()
    spoiled.says |= FINE
    engine = engine_at(spoiled.url, replicas=1)
    engine.run([op.Probe()])
    spoiled.says["EVALSHA"] = said

    with pytest.raises(EngineError, match=expected) as caught:
        engine.run([accept("c1")])

    assert caught.type is EngineError


def test_an_old_server_is_refused(spoiled, engine_at):
    """In a sentence that says so, whatever it is asked first: it does not know our script's first line."""
    spoiled.has(redis_version="6.2.14")
    spoiled.says["EVALSHA"] = b"-NOSCRIPT No matching script. Please use EVAL."
    spoiled.says["EVAL"] = b"-ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'"

    for operation in (op.Probe(), accept("c1"), claim(), op.Sweep(60.0, 9)):
        with pytest.raises(EngineError, match=r"it is version 6\.2\.14: expected Redis 7\.0 or newer"):
            engine_at(spoiled.url).run([operation])


def test_a_server_that_is_renewed_is_taken(spoiled, engine_at):
    """Without a restart of ours."""
    spoiled.has(redis_version="6.2.14")
    engine = engine_at(spoiled.url)
    is_refused(engine, op.Probe())
    spoiled.says = {}

    assert heals(engine)


def test_no_error_tells_what_was_sent(spoiled, engine_at):
    """A server that does not know a command says with what it was asked: a click, or a password."""
    echo = b"-ERR unknown command 'X', with args beginning with: 'bob' 'secret' '%s' "
    for command in ("AUTH", "EVALSHA", "INFO"):
        spoiled.says = {command: echo}
        engine = engine_at(spoiled.url.replace("//", "//bob:secret@") if command == "AUTH" else spoiled.url)
        with pytest.raises(EngineError, match=r"unknown command 'X'$") as caught:
            engine.run([op.Probe(), accept("c1")])
        assert "secret" not in str(caught.value)


def test_a_script_s_own_error_is_told_without_its_name(spoiled, engine):
    """That number says nothing to people."""
    spoiled.says = {"EVALSHA": b"-ERR it failed script: 31f39fa7916b187e48cb6d9820907ebf748ec1db, on @user_script:19."}

    with pytest.raises(EngineError, match=r"it failed$"):
        engine.run([accept("c1")])


# real servers


def test_a_script_cache_that_is_emptied_costs_nothing(engine_at, server):
    """NOSCRIPT: no click passes for it."""
    engine = engine_at(server.url)
    for number in range(20):
        server.client().script_flush()
        engine.run([accept(f"c{number}", f"a:{number}")])

    assert 20 == len(states(engine))


def test_a_promoted_replica_has_not_the_script(engine_at, server):
    """The first click there is stored."""
    engine = engine_at(server.url)
    engine.run([accept("c1")])
    with RedisServer(replica_of=server.address) as replica:
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up", SOON_S, "a replica")
        replica.client().replicaof("no", "one")

        assert one(engine_at(replica.url), accept("c2", "a:2")).call.id == "c2"


def test_a_demoted_primary_is_left(engine_at, server):
    """READONLY; nothing is stored there."""
    engine = engine_at(server.url)
    engine.run([accept("c1")])
    with RedisServer() as other:
        other.client().ping()
        server.client().replicaof(*other.address)
        refused = is_refused(engine, accept("c2", "a:2"))
        server.client().replicaof("no", "one")

        assert (True, True) == (refused, heals(engine))


def test_a_server_that_loads_is_waited_for(engine_at):
    """LOADING, after a restart; what it had is there."""
    with RedisServer(key_load_delay=1000, loading_process_events_interval_bytes=1024) as server:
        engine = engine_at(server.url)
        engine.run([accept("c1")])
        server.client().mset({f"other:{number}": "x" for number in range(2000)})
        server.client().execute_command("BGREWRITEAOF")
        wait_until(lambda: server.info("persistence")["aof_rewrite_in_progress"] == 0, SOON_S, "a new AOF")
        server.kill()
        server.begin()
        wait_until(lambda: "loading the dataset" in fault_of(engine), SOON_S, "that it says so")
        healed = heals(engine)

        assert (True, {"c1", "after"}) == (healed, set(states(engine)))


def fault_of(engine):
    """Why it takes no clicks now."""
    try:
        engine.run([op.Probe()])
    except EngineError as error:
        return str(error)
    return ""


def test_a_server_that_is_busy_is_refused_until_somebody_ends_it(engine_at, server):
    """BUSY, by somebody else's loop; SCRIPT KILL."""
    server.config("busy-reply-threshold", 10)
    engine = engine_at(server.url)
    engine.run([op.Probe()])
    with ThreadPoolExecutor() as pool:
        looping = pool.submit(server.client(socket_timeout=SOON_S).eval, "while true do end", 0)
        wait_until(lambda: not server.answers(), SOON_S, "a server that is busy")
        with pytest.raises(EngineError, match="BUSY"):
            engine.run([accept("c1")])
        server.client().script_kill()
        assert looping.exception(SOON_S)

    assert (True, {"after": "leased"}) == (heals(engine), states(engine))


def test_too_few_replicas_for_the_server_itself(engine_at, server):
    """NOREPLICAS, by min-replicas-to-write."""
    engine = engine_at(server.url)
    server.config("min-replicas-to-write", 1)
    with pytest.raises(EngineError, match="Not enough good replicas"):
        engine.run([accept("c1")])
    server.config("min-replicas-to-write", 0)

    assert (True, {"after": "leased"}) == (heals(engine), states(engine))


def test_a_password_that_is_set_while_it_runs(engine_at, server):
    """Who has it goes on, who has not is told; both heal when it is taken away."""
    url = server.url.replace("//", "//:secret@")
    server.config("requirepass", "secret")
    knows = engine_at(url)
    knows.run([op.Probe()])
    with pytest.raises(EngineError, match="Authentication required") as caught:
        engine_at(server.url).run([op.Probe()])
    with pytest.raises(EngineError, match="user and password") as wrong:
        engine_at(url.replace("secret", "guess")).run([op.Probe()])

    assert ("guess" in str(wrong.value), "secret" in str(caught.value)) == (False, False)
    assert heals(knows)


def test_a_password_that_nobody_asks_for(engine_at, server):
    """A server without one, or a Sentinel that was taken for a server: people read that theirs is too much."""
    with pytest.raises(EngineError, match=r"has no password, and one was given$") as caught:
        engine_at(server.url.replace("//", "//:s3cr3t@")).run([op.Probe()])

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("lacks", ["-eval -evalsha", "-wait", "-role", "-info", "resetkeys ~other"])
def test_a_user_without_a_right_is_told_and_heals(engine_at, outbox_name, server, lacks):
    """Nothing that it might not do is done."""
    server.client().acl_setuser("bob", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"])
    with RedisServer(replica_of=server.address):
        engine = engine_at(server.url.replace("//", "//bob:secret@"), replicas=1)
        wait_until(lambda: not is_refused(engine, op.Probe()), SOON_S, "a replica")
        server.client().execute_command("ACL", "SETUSER", "bob", *lacks.split())
        with pytest.raises(EngineError, match=r"(?i)no permissions.*expected an ACL"):
            engine.run([op.Probe(), accept("c1")])
        server.client().execute_command("ACL", "SETUSER", "bob", "+@all", "~*")

        assert heals(engine)


def test_a_client_that_is_unblocked_leaves_it_open(engine_at, server):
    """Somebody ends its WAIT while no replica answers."""
    with RedisServer(replica_of=server.address) as replica:
        engine = engine_at(server.url, replicas=1, outbox_wait=0.25)
        wait_until(lambda: not is_refused(engine, op.Probe()), SOON_S, "a replica")
        replica.stop()
        with ThreadPoolExecutor() as pool:
            storing = pool.submit(engine.run, [accept("c1")])
            wait_until(lambda: unblocked(server) or storing.done(), SOON_S, "a client that waits")
        replica.cont()

    assert isinstance(storing.exception(), UnknownError)


def unblocked(server):
    """How many clients that waited wait no more."""
    blocked = [one["id"] for one in server.client().client_list() if one["cmd"] == "wait" and "b" in one["flags"]]
    return sum(server.client().client_unblock(one, error=True) for one in blocked)
