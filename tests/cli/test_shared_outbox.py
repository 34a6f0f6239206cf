"""`storehop outbox` and `storehop check --outbox` on a real server."""

import json
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from storehop.cli.app import app
from storehop.deliver.engines import engine_for
from storehop.deliver.operations import Accept, Marks, Settle
from storehop.model import Dead, DeadReason, S2SCall
from storehop.settings import Delivery
from tests.support.processes import free_port
from tests.support.redis_servers import RedisServer

pytestmark = pytest.mark.process

ALONE = "outbox_replicas: 0"


@pytest.fixture(scope="module")
def server():
    with RedisServer() as one:
        one.config("requirepass", "s3cr3t")
        yield one


@pytest.fixture
def storehop(monkeypatch):
    """The command, on an outbox whose password stands in the environment."""
    monkeypatch.setenv("STOREHOP_OUTBOX_PASSWORD", "s3cr3t")
    return lambda *words: CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, words)))


@pytest.fixture
def rules(tmp_path):
    """Of an outbox of the test's own, which no replica has."""
    name = f"test-{uuid4().hex}"
    file = tmp_path / "rules.yaml"
    file.write_text(f"version: 1\ndelivery: {{{ALONE}, outbox_name: {name}}}\n")
    return file


@pytest.fixture
def dead(server, rules, storehop):
    """The name of an outbox with one dead letter."""
    name = rules.read_text().partition("outbox_name: ")[2].rstrip("}\n")
    engine = engine_for(server.url, Delivery(outbox_name=name, outbox_replicas=0))
    call = S2SCall("one", "https://app.appsflyer.com", "/com.example.game?clickid=one", ())
    engine.run([Accept(call, "test:1", 60.0)])
    engine.run([Settle("one", "test:1", Dead(DeadReason.REJECTED), "404")])
    engine.close()
    return name


def ids(listed):
    return [json.loads(line)["id"] for line in listed.stdout.splitlines()]


def test_the_outbox_of_the_rules_is_listed(server, storehop, rules, dead):
    """By their name for it."""
    assert ["one"] == ids(storehop("outbox", "list", "--outbox", server.url, "--rules", rules, "--json"))


def test_the_outbox_of_a_name_is_listed(server, storehop, dead):
    """One flag is enough to look."""
    assert ["one"] == ids(storehop("outbox", "list", "--outbox", server.url, "--outbox-name", dead, "--json"))


def test_another_name_is_another_outbox(server, storehop, dead):
    """With nothing in it."""
    result = storehop("outbox", "list", "--outbox", server.url, "--outbox-name", "other")

    assert (0, "nothing is stored\n") == (result.exit_code, result.stdout)


def test_dead_letters_are_revived(server, storehop, rules, dead):
    """They are due again."""
    where = ("--outbox", server.url, "--rules", rules)
    said = storehop("outbox", "retry", "one", "--yes", *where).stdout
    row = json.loads(storehop("outbox", "list", "--json", *where).stdout)

    assert ("1 dead letter due again: a running storehop sends them within seconds\n", "due") == (said, row["state"])


def test_dead_letters_are_purged(server, storehop, rules, dead):
    """For good."""
    where = ("--outbox", server.url, "--rules", rules)
    said = storehop("outbox", "purge", "--older-than", "1ms", "--yes", *where).stdout

    assert ("1 dead letter deleted\n", []) == (said, ids(storehop("outbox", "list", "--json", *where)))


@pytest.mark.parametrize("words", [("outbox", "list"), ("outbox", "purge", "--older-than", "1d"), ("check",)])
def test_a_server_that_is_away_is_one_sentence(storehop, words):
    """With exit 1."""
    url = f"redis://127.0.0.1:{free_port()}"
    result = storehop(*words, "--outbox", url)

    assert (1, "", 1) == (result.exit_code, result.stdout, len(result.stderr.splitlines()))
    assert result.stderr.startswith(f"storehop: {url}: ")


def test_a_wrong_password_is_said(server, storehop, monkeypatch):
    """And not shown."""
    monkeypatch.setenv("STOREHOP_OUTBOX_PASSWORD", "wr0ng")
    result = storehop("check", "--outbox", server.url)

    assert (1, True) == (result.exit_code, "password" in result.stderr)
    assert "wr0ng" not in result.output


def test_a_server_that_stores_clicks_is_told(server, storehop, rules):
    """In one line, with what the rules ask of it."""
    result = storehop("check", rules, "--outbox", server.url)

    assert (0, True) == (result.exit_code, f"{server.url}: redis, stores clicks of the outbox test-" in result.stdout)


def test_a_server_without_replicas_is_refused(server, storehop):
    """Where the rules want one."""
    result = storehop("check", "--outbox", server.url)

    assert (1, "", True) == (result.exit_code, result.stdout, "replica" in result.stderr)


def test_a_server_that_evicts_is_refused(storehop):
    """It would lose clicks in silence."""
    with RedisServer(maxmemory="100mb", maxmemory_policy="allkeys-lru") as cache:
        cache.config("requirepass", "s3cr3t")
        result = storehop("check", "--outbox", cache.url, "--outbox-replicas", 0)

    assert (1, "", True) == (result.exit_code, result.stdout, "evict" in result.stderr)


def test_who_can_not_be_asked_is_said(server, storehop):
    """Too few replicas acknowledge the question: why is said, and no mark of it stays."""
    name = f"test-{uuid4().hex}"
    result = storehop("canary", "status", "--outbox", server.url, "--outbox-name", name)
    engine = engine_for(server.url, Delivery(outbox_name=name, outbox_replicas=0))

    assert (0, "no rule is stopped\n") == (result.exit_code, result.stdout)
    assert "can't be asked who runs on it: " in result.stderr
    assert "replica" in result.stderr
    assert [{}] == engine.run([Marks()])
    engine.close()
