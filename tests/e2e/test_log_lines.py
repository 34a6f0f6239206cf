"""What stands in the log of several workers: who says it, what has started, and what is said once a minute only."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass

import pytest_asyncio

from tests.support.certificates import client_context
from tests.support.clients import connection, get, read_answer, request
from tests.support.load import to_appsflyer, until
from tests.support.patience import SOON_S, START_S
from tests.support.processes import Host, Process, free_port, listening, sidecar_command
from tests.support.scenes import RULES, new_id, path_of, write_rules

ADS = "ads.network.example"
TIMES = 12
NO_TLS = b"\x16\x03\x01\x00\x05hello" + bytes(50)


@dataclass(frozen=True, slots=True)
class Scene:
    host: Host
    admin: int
    lines: list[dict]

    def saying(self, words: str) -> list[dict]:
        return [line for line in self.lines if words in line.get("message", "")]


async def garble(port):
    """A client whose handshake fails."""
    async with connection(port, address="::1") as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(NO_TLS)
        await reader.read()


async def click(port, ca):
    async with connection(port, client_context(ca), ADS, "::1") as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(request(path_of(new_id())))
        await read_answer(reader)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(tmp_path_factory, ads, appsflyer, authority):
    """Two workers with a JSON log that trust no proxy, after clicks through one, and after handshakes that failed."""
    folder, port, admin = tmp_path_factory.mktemp("lines"), free_port(), free_port()
    ads.routes["*"] = to_appsflyer
    rules = write_rules(folder, RULES.replace("127.0.0.0/8", "192.0.2.0/24"), appsflyer)
    command = sidecar_command(f"http://127.0.0.1:{ads.port}", rules, f"[::]:{port}", folder)
    options = ("--workers", "2", "--log-format", "json", "--tls-cert", authority.sign(ADS))
    host = Host(port, await Process.start(*command, *options, "--admin", f"127.0.0.1:{admin}"), folder)
    try:
        for number in (1, 2):
            await host.log.saw(f"worker {number} is ready", seconds=START_S)
        await asyncio.gather(*(garble(port) for _ in range(TIMES)), *(click(port, authority.ca) for _ in range(TIMES)))
        assert await until(lambda: host.log.text.count('"event": "direct"') == TIMES, SOON_S), host.log.text
    finally:
        await host.process.stop()
    return Scene(host, admin, [json.loads(line) for line in host.log.text.splitlines()])


async def test_each_line_names_its_process(scene):
    """By pid; a worker's by its place too, a supervisor's by none."""
    whose = {(line["pid"], line.get("worker")) for line in scene.lines}

    assert {None: 1, 1: 1, 2: 1} == Counter(place for _, place in whose)
    assert (scene.host.process.process.pid, None) in whose


async def test_the_start_is_told_once(scene):
    """Where it listens as it was asked to, and what it works with."""
    (line,) = scene.saying("listens on")
    what, *others = line["message"].split("; ")

    assert re.fullmatch(rf"storehop \S+ listens on \[::\]:{scene.host.port} for http://127\.0\.0\.1:\d+", what)
    assert [f"admin 127.0.0.1:{scene.admin}", f"outbox {scene.host.folder}/outbox.db", "2 workers"] == others


async def test_each_worker_tells_its_rules(scene):
    """How many, how many of them are not direct, and which proxies they trust."""
    words = "storehop: 5 rules (1 observe, 1 off), 4 exact app ids, 1 OneLink"

    assert 2 == len(scene.saying(words))
    assert all(line["message"].endswith("; trusted proxies: 192.0.2.0/24") for line in scene.saying(words))


async def test_a_peer_that_is_not_trusted_is_told_once_a_minute(scene):
    """By each worker that has met one."""
    told = scene.saying("X-Forwarded-For from ::1, which is not in client_ip.trusted_proxies")

    assert {1} == set(Counter(line["worker"] for line in told).values())
    assert {"warning"} == {line["level"] for line in told}


async def test_failed_handshakes_are_told_once_a_minute(scene):
    """Anybody can make them."""
    told = Counter(line["worker"] for line in scene.saying("a TLS handshake failed"))

    assert {1} == set(told.values())


async def test_no_click_is_told_where_only_warnings_are_wanted(start, ads, tmp_path, appsflyer):
    """Warnings are."""
    port = free_port()
    rules = write_rules(tmp_path, RULES.replace("127.0.0.0/8", "192.0.2.0/24"), appsflyer)
    command = sidecar_command(f"http://127.0.0.1:{ads.port}", rules, f"127.0.0.1:{port}", tmp_path)
    process = await start(Process.start, *command, "--log-level", "warning")
    await listening(port, process)
    await get(port, path_of(new_id()), host="app.appsflyer.com")
    await process.stop()

    about_rules, about_peer = process.output.text.splitlines()
    assert " WARNING " in about_rules
    assert " WARNING X-Forwarded-For from 127.0.0.1, which is not" in about_peer
