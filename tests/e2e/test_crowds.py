"""More clients than there may be, or than there are files for: who waits, what is said, and that it passes."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded

from tests.support.clients import Answer, connection, fields_http2, get, read_answer, request
from tests.support.patience import SOON_S
from tests.support.processes import free_port, sidecar_command, start_sidecar, started
from tests.support.scenes import World, link_of, new_id, play
from tests.support.standins import in_two_parts, response

FILES = 128
"""The limit of open files of the poor host: 32 clients, by the manual."""
MOST = 5
STREAMS = 60
"""Of one client at a time."""
FEWEST = 30
"""So many of them have a connection to the ad stack: half of the files that clients have, minus a few."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def poor(tmp_path_factory, ads, appsflyer, module_rules):
    """A sidecar that may open few files, and its admin port."""
    folder, port, admin = tmp_path_factory.mktemp("poor"), free_port(), free_port()
    command = sidecar_command(f"http://127.0.0.1:{ads.port}", module_rules, f"127.0.0.1:{port}", folder)
    limited = ("sh", "-c", f'ulimit -n {FILES} && exec "$0" "$@"', *command, "--h2c", "--admin", f"127.0.0.1:{admin}")
    host = await started(port, folder, *limited)
    yield World(host, ads, appsflyer), admin
    await host.process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def small(tmp_path_factory, ads, appsflyer, module_rules):
    """A sidecar for few clients at a time, and its admin port."""
    folder, admin = tmp_path_factory.mktemp("small"), free_port()
    options = ("--max-connections", str(MOST), "--admin", f"127.0.0.1:{admin}")
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", module_rules, folder, *options)
    yield World(host, ads, appsflyer), admin
    await host.process.stop()


async def readiness(admin):
    answer = await get(admin, "/readyz")
    return answer.status, answer.body.decode()


async def is_ready(admin):
    """Waits until it is."""
    async with asyncio.timeout(SOON_S):
        while (await readiness(admin))[0] != 200:
            await asyncio.sleep(0.02)
    return True


def processor_s(process):
    """Processor time that it took so far."""
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_more_clients_than_files(poor):
    """It says so once, does nothing while it waits, and serves who waits as soon as others leave."""
    world, admin = poor
    before = len(world.host.log.text)
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connection(world.port)) for _ in range(100)]
        await world.host.log.saw("connections: all 32 are in use: new ones wait", before)
        waiting = [asyncio.create_task(get(world.port, world.ads.redirect(link_of(new_id())))) for _ in range(20)]
        began = processor_s(world.host.process)
        await asyncio.sleep(1)  # what is measured is a second of doing nothing
        spent, ready = processor_s(world.host.process) - began, await readiness(admin)
        assert not any(task.done() for task in waiting)
        for _, writer in idle:
            writer.close()
        async with asyncio.timeout(SOON_S):
            answers = await asyncio.gather(*waiting)

    assert {302} == {answer.status for answer in answers}
    assert all("play.google.com" in answer.location for answer in answers)
    assert (503, "connections: all 32 are in use\n") == ready
    assert spent < 0.3
    assert await is_ready(admin)
    assert 1 == world.host.log.text.count("connections: ", before)
    assert "Traceback" not in world.host.log.text


async def test_clicks_find_files_when_all_clients_are_in(poor):
    """The last that were let in get their pages, and their clicks are sent: files are kept for both."""
    world, admin = poor
    await is_ready(admin)
    path = world.ads.serve(response("200 OK", body=b"page"))
    click_ids = [new_id() for _ in range(32)]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connection(world.port)) for _ in range(32)]
        for _, writer in clients:
            writer.write(request(path))
        pages = await asyncio.gather(*(read_answer(reader) for reader, _ in clients))
        for click_id, (_, writer) in zip(click_ids, clients, strict=True):
            writer.write(request(world.ads.redirect(link_of(click_id))))
        answers = await asyncio.gather(*(read_answer(reader) for reader, _ in clients))

    assert {b"page"} == {page.body for page in pages}
    assert [play(click_id) for click_id in click_ids] == [answer.location for answer in answers]
    for _ in click_ids:
        await world.appsflyer.next_click()


async def test_streams_leave_files_for_others(poor):
    """More streams than there are files: they wait, and new clients, their pages and the admin endpoints do not."""
    world, admin = poor
    await is_ready(admin)
    more = asyncio.Event()
    slow, page = world.ads.serve(in_two_parts(more)), world.ads.serve(response("200 OK", body=b"page"))
    streaming = [asyncio.create_task(ask_often(world.port, slow, STREAMS)) for _ in range(3)]
    world.ads.forget()
    for _ in range(FEWEST):
        await world.ads.next_request()
    answer, ready = await get(world.port, page), await readiness(admin)
    more.set()
    async with asyncio.timeout(SOON_S):
        answers = await asyncio.gather(*streaming)

    assert (b"page", 200) == (answer.body, ready[0])
    assert [["200"] * STREAMS] * 3 == answers


async def ask_often(port, path, times):
    """The statuses of so many requests for this path at once, by HTTP/2, when all their answers are there."""
    protocol = H2Connection(H2Configuration(header_encoding="utf-8"))
    protocol.initiate_connection()
    for stream in range(1, 2 * times, 2):
        protocol.send_headers(stream, fields_http2("ads.network.example", path), end_stream=True)
    statuses, ended = [], 0
    async with connection(port) as (reader, writer):
        writer.write(protocol.data_to_send())
        while ended < times and (data := await reader.read(1 << 16)):
            for event in protocol.receive_data(data):
                if isinstance(event, ResponseReceived):
                    statuses.append(dict(event.headers)[":status"])
                ended += isinstance(event, StreamEnded)
            writer.write(protocol.data_to_send())
    return statuses


async def test_no_more_clients_than_asked_for(small):
    """The sixth is served when one of the five leaves."""
    world, admin = small
    path = world.ads.serve(response("200 OK", body=b"page"))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connection(world.port)) for _ in range(MOST)]
        for reader, writer in clients:
            writer.write(request(path))
            await read_answer(reader)
        full = await readiness(admin)
        sixth = asyncio.create_task(get(world.port, path))
        await asyncio.sleep(0.2)
        was_waiting = not sixth.done()
        clients[0][1].close()
        async with asyncio.timeout(SOON_S):
            answer = await sixth

    assert (True, b"page", (503, "connections: all 5 are in use\n")) == (was_waiting, answer.body, full)
    assert await is_ready(admin)


async def test_a_crowd_is_served_in_turn(small):
    """A hundred at once, five at a time: nobody is turned away."""
    world, _ = small
    path = world.ads.serve(response("200 OK", body=b"page"))
    async with asyncio.timeout(SOON_S):
        answers: list[Answer] = await asyncio.gather(*(get(world.port, path) for _ in range(100)))

    assert {b"page"} == {answer.body for answer in answers}
    assert "Traceback" not in world.host.log.text
