"""The admin endpoints over real sockets, without a sidecar (design §5)."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter
from tornado.netutil import bind_unix_socket

from storehop.addresses import Address
from storehop.listening.sockets import bind
from storehop.observe import admin
from storehop.observe.admin import AdminServer
from storehop.observe.readiness import Readiness
from tests.support.patience import SOON_S


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "admin.sock"


@contextmanager
def serving(*arguments):
    place, *rest = arguments
    server = AdminServer([bind_unix_socket(str(place))] if isinstance(place, Path) else bind(place), *rest)
    try:
        yield
    finally:
        server.close()


async def ask(place, target, accept="*/*", method="GET"):
    """(status, headers, body) of an answer; `place` is a path or an address."""
    opened = asyncio.open_connection(*place) if isinstance(place, tuple) else asyncio.open_unix_connection(place)
    reader, writer = await opened
    writer.write(f"{method} {target} HTTP/1.1\r\nHost: admin\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    status, *lines = head.split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/readyz?strict"])
async def test_all_is_well(path, registry, target):
    """200, and a word for people."""
    with serving(path, Readiness, registry):
        status, _, body = await ask(path, target)

    assert (200, "ok\n") == (status, body)


DRAINING = Readiness(("draining",), ("outbox: disk full",))


async def _later():
    return DRAINING


@pytest.mark.parametrize("get_readiness", [lambda: DRAINING, _later], ids=["now", "awaited"])
async def test_not_ready_says_why(path, registry, get_readiness):
    """503 and a line for each reason, whether they are there at once or have to be found out."""
    with serving(path, get_readiness, registry):
        status, _, body = await ask(path, "/readyz")

    assert (503, "draining\ndegraded: outbox: disk full\n") == (status, body)


@pytest.mark.parametrize(("target", "expected"), [("/readyz", 200), ("/readyz?strict", 503), ("/readyz?strict=1", 503)])
async def test_degraded_is_ready_unless_it_is_strict(path, registry, target, expected):
    """Clicks that pass are answered; whoever wants to hear of it asks `?strict`. Both say what it is."""
    with serving(path, lambda: Readiness(degraded=("outbox: disk full",)), registry):
        status, _, body = await ask(path, target)

    assert (expected, "degraded: outbox: disk full\n") == (status, body)


async def test_not_ready_is_alive(path, registry):
    """A process that drains is not to be killed."""
    with serving(path, lambda: Readiness(("draining",)), registry):
        assert 200 == (await ask(path, "/healthz"))[0]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_metrics_come_in_the_format_that_is_accepted(path, registry, accept, content_type):
    """Prometheus's text, or OpenMetrics."""
    Counter("clicks", "Clicks.", registry=registry).inc()
    with serving(path, Readiness, registry):
        status, headers, body = await ask(path, "/metrics", accept)

    assert (200, content_type) == (status, headers["content-type"].partition(";")[0])
    assert "clicks_total 1.0" in body


async def test_metrics_are_refreshed_before_they_are_written(path, registry):
    """Collectors that have to ask others do it first."""
    clicks = Counter("clicks", "Clicks.", registry=registry)

    async def refresh():
        clicks.inc(7)

    with serving(path, Readiness, registry, refresh):
        assert "clicks_total 7.0" in (await ask(path, "/metrics"))[2]


@pytest.mark.parametrize("target", ["/", "/healthz", "/readyz", "/metrics"])
async def test_no_answer_is_kept_or_names_the_server(path, registry, target):
    """A cache would tell of a moment that is over."""
    with serving(path, Readiness, registry):
        _, headers, _ = await ask(path, target)

    assert ("no-store", None) == (headers["cache-control"], headers.get("server"))


@pytest.mark.parametrize(
    ("method", "target", "words"),
    [
        ("GET", "/favicon.ico", "404 Not Found\n"),
        ("POST", "/x", "404 Not Found\n"),
        ("POST", "/", "405 Method Not Allowed\n"),
    ],
)
async def test_other_requests_are_refused_in_plain_text(path, registry, method, target, words):
    """Without a word about the server."""
    with serving(path, Readiness, registry):
        status, headers, body = await ask(path, target, method=method)

    assert (int(words[:3]), words) == (status, body)
    assert ("text/plain; charset=utf-8", None) == (headers["content-type"], headers.get("server"))


async def test_a_failure_is_said_in_plain_text(path, registry, caplog):
    """What it was stands in the log alone."""
    with serving(path, lambda: 1 / 0, registry):
        status, headers, body = await ask(path, "/readyz")

    assert (500, "500 Internal Server Error\n", None) == (status, body, headers.get("server"))
    assert "ZeroDivisionError" in caplog.text


async def test_the_first_page_lists_the_others(path, registry):
    """Each of them is there."""
    with serving(path, Readiness, registry):
        _, _, body = await ask(path, "/")
        pages = [line.split()[0] for line in body.splitlines()]
        statuses = [(await ask(path, page))[0] for page in pages]

    assert (["/healthz", "/readyz", "/readyz?strict", "/metrics"], [200] * 4) == (pages, statuses)


async def test_it_listens_on_an_address(registry):
    """HOST:PORT, as `--admin` names it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = Address(*probe.getsockname())
    with serving(address, Readiness, registry):
        assert 200 == (await ask(address, "/healthz"))[0]


async def test_a_closed_one_answers_nobody(path, registry):
    """The end is at once."""
    with serving(path, Readiness, registry):
        pass

    with pytest.raises(ConnectionError):
        await ask(path, "/healthz")


async def test_a_head_that_never_ends_is_not_waited_for(path, registry, monkeypatch):
    """Half a request is no reason to keep a descriptor."""
    monkeypatch.setattr(admin, "HEAD_S", 0.05)
    with serving(path, Readiness, registry):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        async with asyncio.timeout(SOON_S):
            said = await reader.read()
        writer.close()

    assert b"" == said


async def test_so_many_connections_and_no_more(path, registry, monkeypatch):
    """One too many is closed at once; when one has gone, the next is served."""
    monkeypatch.setattr(admin, "MAX_CONNECTIONS", 2)
    with serving(path, Readiness, registry):
        held = [await asyncio.open_unix_connection(path) for _ in range(3)]
        async with asyncio.timeout(SOON_S):
            said = await held[2][0].read()
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(SOON_S):
            status, body = 0, b""
            while status != 200:
                with suppress(ValueError, ConnectionError):  # closed at once
                    status, _, body = await ask(path, "/healthz")

    assert (b"", "ok\n") == (said, body)


async def test_a_body_is_not_read(path, registry):
    """Nobody posts here: it would only fill the memory."""
    with serving(path, Readiness, registry):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        async with asyncio.timeout(SOON_S):
            said = await reader.read()
        writer.close()

    assert b"200" not in said.partition(b"\r\n")[0]


async def test_probes_may_ask_by_head(path, registry):
    """The status is what they want."""
    with serving(path, Readiness, registry):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"HEAD /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()

    assert (b"HTTP/1.1 200 OK", b"") == (head.split(b"\r\n")[0], body)
