"""What rules/fleet/README.md gives to other programs: servers, Sentinels and load balancers take it and obey."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import redis
from redis.exceptions import NoPermissionError

from storehop.deliver.operations import Probe
from storehop.deliver.redis.engine import RedisEngine
from storehop.deliver.redis.place import Place
from storehop.deliver.redis.script import script
from storehop.settings import Delivery
from tests.support.balancers import start_haproxy, start_nginx
from tests.support.needs import need
from tests.support.pages import blocks
from tests.support.processes import ROOT, free_port
from tests.support.redis_servers import DURABLE, RedisServer, need_redis

PAGE = ROOT / "rules" / "fleet" / "README.md"
SENTINEL_YAML = ROOT / "rules" / "packaging" / "kubernetes" / "sentinel.yaml"
VERSIONS = pytest.mark.parametrize("version", ["7.0", "8.2"])
CLIENTS = [f"81.2.69.{number}" for number in range(1, 41)]
ADDRESSES = ("10.0.0.1:8080", "10.0.0.2:8080")


def block(language):
    """The one block of the page in this language."""
    (text,) = (text for name, text in blocks(PAGE) if name == language)
    return text


def settings(text):
    return dict(line.split(maxsplit=1) for line in text.splitlines())


@pytest.fixture
def server(version):
    """With the page's redis.conf."""
    names = {name.replace("-", "_"): value for name, value in settings(block("redis")).items()}
    with RedisServer(version, **names | {"save": "", "requirepass": None, "masterauth": None}) as one:
        yield one


@VERSIONS
def test_a_server_takes_the_settings(server):
    """All of them, as they are written."""
    sizes = {"maxmemory": str(512 * 1024**2), "repl-backlog-size": str(64 * 1024**2)}
    wanted = settings(block("redis")) | sizes | {"save": "", "requirepass": "", "masterauth": ""}

    assert wanted == server.client().config_get(*wanted)


@pytest.mark.parametrize("text", [block("redis"), SENTINEL_YAML.read_text()], ids=["page", "pods"])
def test_the_servers_are_set_as_those_of_the_tests(text):
    """What is promised was checked with these settings. The others are the tests' own: nobody else waits for them."""
    wanted = DURABLE | {"save": '""'}
    own = {"protected-mode", "repl-ping-replica-period"}

    assert [] == [name for name, value in wanted.items() if name not in own and f"{name} {value}\n" not in text]


@VERSIONS
def test_a_server_takes_the_passwords(version, tmp_path):
    """It starts with the block alone, and nobody comes in without the password."""
    port = free_port()
    (tmp_path / "redis.conf").write_text(f"bind 127.0.0.1\nport {port}\ndir {tmp_path}\n{block('redis')}")
    process = subprocess.Popen([need_redis(version), tmp_path / "redis.conf"], stdout=subprocess.PIPE, text=True)
    try:
        assert any("Ready to accept connections" in line for line in process.stdout)
        with redis.Redis("127.0.0.1", port, password="letters0and1digits") as client:
            assert client.ping()
        with redis.Redis("127.0.0.1", port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    finally:
        process.kill()
        process.communicate()


@VERSIONS
def test_a_sentinel_takes_the_settings(version, tmp_path):
    """It names the primary."""
    port = free_port()
    text = f"bind 127.0.0.1\nport {port}\ndir {tmp_path}\n{block('sentinel')}"
    (tmp_path / "sentinel.conf").write_text(text)
    command = [need_redis(version), tmp_path / "sentinel.conf", "--sentinel"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert any("+monitor master storehop 10.0.0.1 6379 quorum 2" in line for line in process.stdout)
        with redis.Redis("127.0.0.1", port) as client:
            assert 1000 == client.sentinel_master("storehop")["down-after-milliseconds"]
    finally:
        process.kill()
        process.communicate()


@VERSIONS
def test_the_user_may_do_no_more(server):
    """A user of the page's own line can't look at other keys, delete all or change the server."""
    _, name, *rules = block("acl").split()
    server.client().execute_command("ACL", "SETUSER", name, *rules)
    (password,) = (rule[1:] for rule in rules if rule.startswith(">"))
    user = server.client(username=name, password=password)
    for command in ("FLUSHALL", "KEYS *", "CONFIG SET appendonly no", "GET other", "REPLICAOF NO ONE"):
        with pytest.raises(NoPermissionError):
            user.execute_command(*command.split())

    assert "always" == user.config_get("appendfsync")["appendfsync"]
    assert "master" == user.role()[0]


@VERSIONS
def test_storehop_finds_no_fault(server):
    """A server with the page's settings, and a user of its own there: it stores, and has nothing to remark."""
    _, name, *rules = block("acl").split()
    server.client().execute_command("ACL", "SETUSER", name, *rules)
    server.config("min-replicas-to-write", 0)
    (password,) = (rule[1:] for rule in rules if rule.startswith(">"))
    place = Place.from_url(f"redis://{name}:{password}@127.0.0.1:{server.port}")
    engine = RedisEngine(place, Delivery(outbox_replicas=0))
    try:
        engine.run([Probe()])
        assert (None, ()) == (engine.refusal, engine.remarks)
    finally:
        engine.close()


def test_the_user_may_do_what_storehop_does():
    """The script's commands are those of the page's line, no more and no fewer; others come from outside of it."""
    allowed = {rule[1:] for rule in block("acl").split() if rule.startswith("+")}
    from_outside = {"eval", "evalsha", "wait", "role", "info", "ping", "select", "config|get", "cluster|slots"}
    text, _ = script()
    called = set(re.findall(r"\bcall\('([A-Z]+)'", text))

    assert {command.lower() for command in called} == allowed - from_outside
    assert from_outside <= allowed


def test_an_outbox_can_be_deleted():
    """The page's command leaves the other outbox where it is."""
    (command,) = re.findall(r"^redis-cli .*$", PAGE.read_text(), re.MULTILINE)
    with RedisServer("7.0") as one:
        client = one.client()
        client.mset({"{storehop}:state": "", "{storehop}:call:1": "", "{other}:state": ""})
        cli = f"{need('redis-cli')} -p {one.port}"
        subprocess.run(["bash", "-euc", command.replace("redis-cli", cli)], check=True, capture_output=True)

        assert ["{other}:state"] == client.keys()


@asynccontextmanager
async def named_servers():
    """Two that answer with their names: name -> port, and how each is closed."""

    async def serve(name, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n{name}".encode())
        await writer.drain()
        writer.close()

    async with AsyncExitStack() as stack:
        servers = {}
        for name in ("one", "two"):
            server = await asyncio.start_server(lambda *pair, name=name: serve(name, *pair), "127.0.0.1")
            stack.callback(server.close)
            servers[name] = server
        yield servers


def with_ports(text, servers):
    """The page's block, with these servers instead of its own."""
    for address, server in zip(ADDRESSES, servers.values(), strict=True):
        assert address in text
        text = text.replace(address, f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    return text


async def begin_nginx(folder, port, servers):
    server = f"server {{ listen 127.0.0.1:{port} proxy_protocol; location / {{ proxy_pass http://storehop; }} }}"
    return await start_nginx(folder, f"{with_ports(block('nginx'), servers)}\n{server}", "")


async def begin_haproxy(folder, port, servers):
    bind = f"bind 127.0.0.1:{port} accept-proxy"
    front = f"frontend clients\n    mode http\n    {bind}\n    default_backend storehop_by_source\n"
    return await start_haproxy(folder, f"{front}{with_ports(block('haproxy'), servers)}")


async def who_answers(port, client):
    """The name of the server that this client meets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"PROXY TCP4 {client} {client} 4711 80\r\nGET / HTTP/1.1\r\nHost: ads\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\r\n")[2].decode()


@pytest.mark.parametrize("begin", [begin_nginx, begin_haproxy], ids=["nginx", "HAProxy"])
async def test_a_client_meets_the_same_host(begin, start, tmp_path):
    """Each time; and both hosts have clients."""
    async with named_servers() as servers:
        port = free_port()
        await start(begin, tmp_path, port, servers)
        met = {client: {await who_answers(port, client) for _ in range(3)} for client in CLIENTS}
    hosts = Counter(name for names in met.values() for name in names)

    assert {1} == {len(names) for names in met.values()}
    assert min(hosts["one"], hosts["two"]) > len(CLIENTS) / 5


def test_each_promise_names_a_test_that_is_there():
    """Of a fleet, or of the engine alone."""
    _, _, promises = PAGE.read_text().partition("| sentence | test |")
    named = set(re.findall(r"`(test_\w+\.py)`", promises.partition("**Not promised:**")[0]))
    there = {
        file.name for folder in ("e2e/fleet", "deliver/redis") for file in (ROOT / "tests" / folder).glob("test_*.py")
    }

    assert set() == named - there
    assert len(named) > 9
