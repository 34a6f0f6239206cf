"""Metrics of all traffic of a running sidecar: each request counts once, each failure of the upstream by its kind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from tests.support.clients import connection, get
from tests.support.processes import Host, free_port, start_sidecar
from tests.support.scenes import link_of, new_id
from tests.support.scrapes import Samples, scrape, scraped
from tests.support.standins import closed, echo, response

CODE_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "none")
KINDS = ("connect", "incomplete", "protocol", "timeout", "tls")


@dataclass(frozen=True, slots=True)
class Measured:
    """A sidecar whose metrics can be read."""

    host: Host
    admin: int

    async def counts(self, name: str, labels: tuple[str, ...]) -> dict[str, float]:
        """The values of a counter by label, without those at 0."""
        samples = await scrape(self.admin)
        return {label: samples[name, label] for label in labels if samples[name, label]}


async def begin(upstream, rules, folder):
    admin = free_port()
    return Measured(await start_sidecar(upstream, rules, folder, "--admin", f"127.0.0.1:{admin}"), admin)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hosts(tmp_path_factory, ads, module_rules, dead_port):
    """Sidecars before an upstream that works, one that is not there, and one that speaks no TLS."""
    plain = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    upstreams = {
        "working": f"http://127.0.0.1:{ads.port}",
        "dead": f"http://127.0.0.1:{dead_port}",
        "plain": f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}",
    }
    folders = {name: tmp_path_factory.mktemp(name) for name in upstreams}
    started = await asyncio.gather(*(begin(url, module_rules, folders[name]) for name, url in upstreams.items()))
    yield dict(zip(upstreams, started, strict=True))
    await asyncio.gather(*(one.host.process.stop() for one in started))
    plain.close()


async def hang_up(_reader, writer):
    writer.write(b"no TLS here\r\n")
    await closed(writer)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fresh(hosts) -> Samples:
    """What is scraped before the first request."""
    return await scrape(hosts["working"].admin)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def after(hosts, fresh, ads, appsflyer) -> Samples:
    """What is scraped after requests of every kind, each once, but for two of 2xx."""
    assert fresh
    port = hosts["working"].host.port
    await get(port, ads.serve(response("200 OK", body=b"hello")))
    await get(port, ads.redirect(link_of(new_id())))
    await appsflyer.next_click()
    await get(port, ads.serve(response("404 Not Found")))
    await get(port, ads.serve(response("503 Service Unavailable")))
    await get(port, ads.serve(response("200 OK", "Content-Type: text/event-stream", body=b"data: 1\n\n")))
    async with connect(f"ws://127.0.0.1:{port}{ads.serve(echo)}") as web:
        await web.send("hello")
        await web.recv()
    return await scraped(hosts["working"].admin, {("storehop_connections",): 0.0})


async def test_all_series_are_there_from_the_start(fresh):
    """`increase()` sees the first error, since its series was scraped at 0 before."""
    names = [("storehop_requests_total", code_class) for code_class in CODE_CLASSES]
    names += [("storehop_upstream_errors_total", kind) for kind in KINDS]
    names += [("storehop_clicks_total", "pass", reason, "") for reason in ("error", "outbox_down", "s2s_down")]
    names += [("storehop_clicks_total", "direct", "", "games")]

    assert [0.0] * len(names) == [fresh.get(name) for name in names]


async def test_every_request_counts_once(after):
    """By the class of its status."""
    counts = {code_class: after["storehop_requests_total", code_class] for code_class in CODE_CLASSES}

    assert {"1xx": 1, "2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "none": 0} == counts


async def test_times_are_of_answers_that_end(after):
    """WebSockets and event streams are not among them."""
    assert (4.0, True) == (after["storehop_request_seconds_count",], 0 < after["storehop_request_seconds_sum",] < 4)


async def test_buckets_add_up(after):
    """The last bucket has all."""
    assert after["storehop_request_seconds_count",] == after["storehop_request_seconds_bucket", "+Inf"]


async def test_an_upstream_that_answers_has_no_errors(after):
    """Its 503 is none."""
    assert [0.0] * len(KINDS) == [after["storehop_upstream_errors_total", kind] for kind in KINDS]


async def test_connections_are_those_that_are_open(hosts):
    """Up with a client that comes, down when it goes."""
    async with connection(hosts["dead"].host.port), connection(hosts["dead"].host.port):
        await scraped(hosts["dead"].admin, {("storehop_connections",): 2.0})
    await scraped(hosts["dead"].admin, {("storehop_connections",): 0.0})


@pytest.mark.parametrize(("name", "kind"), [("dead", "connect"), ("plain", "tls")])
async def test_an_upstream_that_can_not_be_reached(hosts, name, kind):
    """Each request that got 502 for it counts as such, and its cause by its kind."""
    measured = hosts[name]
    statuses = [(await get(measured.host.port, "/")).status for _ in range(2)]
    errors = await measured.counts("storehop_upstream_errors_total", KINDS)
    requests = await measured.counts("storehop_requests_total", CODE_CLASSES)

    assert ([502, 502], {kind: 2.0}, {"5xx": 2.0}) == (statuses, errors, requests)


async def break_off(_request, _reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
    writer.close()


async def reset(_request, _reader, writer):
    writer.transport.abort()


async def garble(_request, _reader, writer):
    writer.write(b"this is no HTTP\r\n\r\n")


@pytest.mark.parametrize(
    ("route", "kind", "code_class"),
    [(break_off, "incomplete", "2xx"), (reset, "incomplete", "5xx"), (garble, "protocol", "5xx")],
)
async def test_an_answer_that_fails(hosts, ads, after, route, kind, code_class):
    """The upstream's failure counts by its kind; a request counts by the status that its client got."""
    assert after
    measured = hosts["working"]
    before = await scrape(measured.admin)
    await get(measured.host.port, ads.serve(route))
    keys = ("storehop_upstream_errors_total", kind), ("storehop_requests_total", code_class)
    now = await scraped(measured.admin, {key: before[key] + 1 for key in keys})

    changed = [
        key for key, value in now.items() if "storehop" in key[0] and "_total" in key[0] and value != before[key]
    ]
    assert sorted(keys) == sorted(changed)
