"""Fixtures of the end-to-end tests: real processes, real sockets, loopback only."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.certificates import Authority
from tests.support.processes import STARTERS, Host, Process
from tests.support.scenes import RULES, World, write_rules
from tests.support.standins import AdStack, AppsFlyer

HERE = Path(__file__).parent

type Start = Callable[..., Awaitable[Host]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all of them: stand-ins live as long as the process that talks to them."""
    for item in items:
        if item.path.is_relative_to(HERE) and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def appsflyer() -> AsyncIterator[AppsFlyer]:
    server = AppsFlyer()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ads() -> AsyncIterator[AdStack]:
    server = AdStack()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="module")
def rules_text() -> str:
    """The rules of a module's hosts; `{appsflyer}` is the stand-in's port."""
    return RULES


@pytest.fixture(scope="module")
def module_rules(tmp_path_factory, rules_text, appsflyer) -> Path:
    """The rule file of a module's hosts, which no test changes."""
    return write_rules(tmp_path_factory.mktemp("rules"), rules_text, appsflyer)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worlds(tmp_path_factory, ads, appsflyer, module_rules) -> AsyncIterator[dict[str, World]]:
    """Both hosts, started once a module and at the same time."""
    starting = (
        start(f"http://127.0.0.1:{ads.port}", module_rules, tmp_path_factory.mktemp(kind))
        for kind, start in STARTERS.items()
    )
    hosts = await asyncio.gather(*starting)
    yield {kind: World(host, ads, appsflyer) for kind, host in zip(STARTERS, hosts, strict=True)}
    appsflyer.unhold()
    await asyncio.gather(*(host.process.stop() for host in hosts))


@pytest.fixture(params=STARTERS)
def world(request, worlds) -> World:
    """Each of both hosts in turn."""
    return worlds[request.param]


@pytest.fixture
def rules(tmp_path, rules_text, appsflyer) -> Path:
    """A rule file of the test's own."""
    return write_rules(tmp_path, rules_text, appsflyer)


@pytest_asyncio.fixture(loop_scope="session")
async def start() -> AsyncIterator[Start]:
    """Starts what the test needs by one of `processes.start_*` or Process.start, and ends it with the test."""
    running: list[Process] = []

    async def begin(starter: Callable[..., Awaitable[Host | Process]], *args: object, **options: object):
        made = await starter(*args, **options)
        running.append(made.process if isinstance(made, Host) else made)
        return made

    yield begin
    ends = await asyncio.gather(*(process.stop() for process in running), return_exceptions=True)
    for fault in ends:
        if isinstance(fault, BaseException):
            raise fault


@pytest.fixture
def launch(tmp_path, start, ads, appsflyer) -> Callable[..., Awaitable[World]]:
    """Starts a host of the test's own: `launch("sidecar", RULES)`, with more arguments of its command line."""

    async def begin(kind: str, text: str, *extra: str | Path, upstream: str = "") -> World:
        rules = write_rules(tmp_path, text, appsflyer)
        host = await start(STARTERS[kind], upstream or f"http://127.0.0.1:{ads.port}", rules, tmp_path, *extra)
        return World(host, ads, appsflyer)

    return begin


@pytest.fixture(scope="session")
def dead_port() -> Iterator[int]:
    """A port that refuses connections: taken, so that nobody else comes to listen there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    """A certificate authority that only the tests trust."""
    return Authority.make(tmp_path_factory.mktemp("authority"))
