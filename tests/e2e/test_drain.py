"""SIGTERM: the sidecar says so, lets clients go, finishes what is under way, and ends with 0 (design §6)."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
from contextlib import closing, contextmanager, suppress

import pytest
import pytest_asyncio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded

from tests.support.clients import Answer, connection, fields_http2, get, read_answer, request
from tests.support.load import pending, until
from tests.support.patience import SOON_S
from tests.support.processes import free_port, start_sidecar
from tests.support.scenes import RULES, link_of, new_id, play, write_rules
from tests.support.standins import echo, in_two_parts, response

PAGE_BYTES = 6 << 20
"""More than the kernel buffers for a slow client."""
READ_BYTES = 1 << 15


@pytest.fixture
def upstream(ads):
    return f"http://127.0.0.1:{ads.port}"


async def test_readiness_falls_at_once(start, upstream, rules, tmp_path):
    """/readyz says 503 draining from the signal on, while the process still answers."""
    admin = free_port()
    host = await start(start_sidecar, upstream, rules, tmp_path, "--admin", f"127.0.0.1:{admin}", "--drain", "30")
    host.process.send(signal.SIGTERM)
    await host.log.saw("draining")
    answer = await get(admin, "/readyz")
    host.process.send(signal.SIGTERM)  # the second one ends it at once

    assert (503, b"draining\n") == (answer.status, answer.body)


async def test_liveness_stays(start, upstream, rules, tmp_path):
    """/healthz stays 200 while draining: nobody must restart what is about to end."""
    admin = free_port()
    host = await start(start_sidecar, upstream, rules, tmp_path, "--admin", f"127.0.0.1:{admin}", "--drain", "30")
    host.process.send(signal.SIGTERM)
    await host.log.saw("draining")
    answer = await get(admin, "/healthz")
    host.process.send(signal.SIGTERM)

    assert 200 == answer.status


async def test_new_clicks_are_answered_while_draining(start, upstream, ads, rules, tmp_path, appsflyer):
    """For the grace period clicks go direct as ever."""
    host = await start(start_sidecar, upstream, rules, tmp_path, "--drain", "30")
    host.process.send(signal.SIGTERM)
    await host.log.saw("draining")
    click_id = new_id()
    answer = await get(host.port, ads.redirect(link_of(click_id)))
    await appsflyer.next_click()
    host.process.send(signal.SIGTERM)

    assert play(click_id) == answer.location


async def test_kept_connections_are_let_go(start, upstream, ads, rules, tmp_path):
    """While draining, answers tell clients to come back on another connection."""
    host = await start(start_sidecar, upstream, rules, tmp_path, "--drain", "30")
    async with connection(host.port) as (reader, writer):
        writer.write(request(ads.serve(response("200 OK"))))
        await read_answer(reader)
        host.process.send(signal.SIGTERM)
        await host.log.saw("draining")
        writer.write(request(ads.serve(response("200 OK"))))
        answer = await read_answer(reader)
    host.process.send(signal.SIGTERM)

    assert ["close"] == answer.all("Connection")


async def test_a_websocket_may_begin_while_draining(start, upstream, ads, rules, tmp_path):
    """The handshake of a WebSocket keeps its Connection header."""
    host = await start(start_sidecar, upstream, rules, tmp_path, "--drain", "30")
    host.process.send(signal.SIGTERM)
    await host.log.saw("draining")
    handshake = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec_websocket_version": "13",
        "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with connection(host.port) as (reader, writer):
        writer.write(request(ads.serve(echo), **handshake))
        answer = Answer(await reader.readuntil(b"\r\n\r\n"))
    host.process.send(signal.SIGTERM)

    assert (101, ["upgrade"]) == (answer.status, [value.lower() for value in answer.all("Connection")])


async def test_an_answer_under_way_is_finished(start, upstream, ads, rules, tmp_path):
    """A response that the ad stack is still giving reaches the user whole."""
    more = asyncio.Event()

    host = await start(start_sidecar, upstream, rules, tmp_path)
    async with connection(host.port) as (reader, writer):
        writer.write(request(ads.serve(in_two_parts(more))))
        await reader.readuntil(b"first")
        host.process.send(signal.SIGTERM)
        await host.log.saw("stopped")
        more.set()
        rest = await reader.read(5)

    assert b"-last" == rest


@pytest_asyncio.fixture(loop_scope="session")
async def taken(start, upstream, ads, rules, tmp_path):
    """How much two slow clients, of HTTP/1.1 and of HTTP/2, got of a page; SIGTERM came at its begin."""
    host = await start(start_sidecar, upstream, rules, tmp_path, "--h2c")
    path = ads.serve(response("200 OK", body=bytes(PAGE_BYTES)))
    with slow_client(host.port) as one, slow_client(host.port) as two:
        head, stream = await begin(one, path), await begin_http2(two, path)
        host.process.send(signal.SIGTERM)
        async with asyncio.timeout(SOON_S):
            return await asyncio.gather(rest(one, len(head)), rest_http2(two, stream))


@contextmanager
def slow_client(port):
    """Its kernel buffers little for it, so that most of an answer has to wait at the other side."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        yield client


async def receive(client):
    """The next bytes, at the pace of a slow network."""
    await asyncio.sleep(0.004)
    return await asyncio.get_running_loop().sock_recv(client, READ_BYTES)


async def begin(client, path):
    await asyncio.get_running_loop().sock_sendall(client, request(path))
    received = b""
    while b"\r\n\r\n" not in received:
        received += await receive(client)
    return received.partition(b"\r\n\r\n")[2]


async def rest(client, got):
    """The size of the whole body."""
    while got < PAGE_BYTES and (data := await receive(client)):
        got += len(data)
    return got


async def begin_http2(client, path):
    protocol = H2Connection(H2Configuration(header_encoding="utf-8"))
    protocol.initiate_connection()
    protocol.send_headers(1, fields_http2("ads.network.example", path), end_stream=True)
    await asyncio.get_running_loop().sock_sendall(client, protocol.data_to_send())
    return protocol


async def rest_http2(client, protocol):
    """The size of the body, to the stream's end or the connection's."""
    got = 0
    while data := await receive(client):
        for event in protocol.receive_data(data):
            if isinstance(event, DataReceived):
                got += len(event.data)
                protocol.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, StreamEnded):
                return got
        with suppress(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(client, protocol.data_to_send())
    return got


async def test_who_reads_slowly_gets_all(taken):
    """The last bytes of an answer are in buffers of this process when the ad stack has long given them all."""
    assert [PAGE_BYTES, PAGE_BYTES] == taken


async def test_a_call_under_way_is_finished(start, upstream, ads, rules, tmp_path, appsflyer):
    """The process waits for AppsFlyer's answer to the last click, and leaves nothing behind."""
    be_patient(rules)
    host = await start(start_sidecar, upstream, rules, tmp_path)
    appsflyer.hold()
    await get(host.port, ads.redirect(link_of(new_id())))
    await appsflyer.next_click()
    host.process.send(signal.SIGTERM)
    await host.log.saw("stopped")
    appsflyer.unhold()
    await host.process.ended()

    assert 0 == pending(tmp_path, dead=None)


async def test_it_ends_with_0(start, upstream, rules, tmp_path):
    """A drained end is a good end."""
    host = await start(start_sidecar, upstream, rules, tmp_path)

    assert 0 == await host.process.stop()


async def test_a_second_process_on_the_same_outbox_waits_for_nothing(start, upstream, ads, rules, tmp_path, appsflyer):
    """While the first one drains with a call under way, the second one serves, and sends only its own clicks."""
    be_patient(rules)  # the second one starts meanwhile
    first = await start(start_sidecar, upstream, rules, tmp_path)
    appsflyer.hold()
    mine, other = new_id(), new_id()
    await get(first.port, ads.redirect(link_of(mine)))
    came = [dict((await appsflyer.next_click()).params)["clickid"]]
    first.process.send(signal.SIGTERM)
    second = await start(start_sidecar, upstream, rules, tmp_path)
    appsflyer.unhold()
    await get(second.port, ads.redirect(link_of(other)))
    came.append(dict((await appsflyer.next_click()).params)["clickid"])

    assert [mine, other] == came


async def test_a_start_after_a_crash_delivers_what_is_young_enough(crashed, start, upstream, tmp_path, appsflyer):
    """Clicks that were stored when the process was killed go out at the next start."""
    rules, click_id = crashed
    await start(start_sidecar, upstream, rules, tmp_path)
    came = dict((await appsflyer.next_click()).params)["clickid"]

    assert click_id == came


async def test_a_start_after_a_crash_gives_up_what_is_too_old(crashed, start, upstream, tmp_path, appsflyer):
    """An old click is never sent: it goes to the dead letters."""
    rules, _ = crashed
    _change(tmp_path, "UPDATE calls SET born = born - 1000")
    await start(start_sidecar, upstream, rules, tmp_path)
    is_dead = await until(lambda: pending(tmp_path, dead=True) == 1, SOON_S)

    assert (True, True) == (is_dead, appsflyer.clicks_waiting() == 0)


@pytest_asyncio.fixture(loop_scope="session")
async def crashed(start, upstream, ads, tmp_path, appsflyer, dead_port):
    """Rules and click id after a kill with one stored click, whose AppsFlyer was down and is back."""
    rules = write_rules(tmp_path, RULES.replace("{appsflyer}", str(dead_port)), appsflyer)
    first = await start(start_sidecar, upstream, rules, tmp_path)
    click_id = new_id()
    await get(first.port, ads.redirect(link_of(click_id)))
    first.process.send(signal.SIGKILL)
    await first.process.ended()
    old, new = (f"http://127.0.0.1:{port}" for port in (dead_port, appsflyer.port))
    _change(tmp_path, "UPDATE calls SET host = ?, url = replace(url, ?, ?)", new, old, new)
    return rules, click_id


def be_patient(rules):
    """A call may take a minute: none is made again while a test holds it up."""
    rules.write_text(rules.read_text().replace("delivery: {", "delivery: {timeout: 60s, "))


def _change(folder, query, *values):
    with closing(sqlite3.connect(folder / "outbox.db")) as db, db:
        db.execute(query, values)
