"""Restart and upgrade of one host: no connection is refused, none is reset, whoever holds the socket (design §13)."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import connection, get, read_answer, request
from tests.support.load import until
from tests.support.needs import need
from tests.support.patience import IS_LONG, START_S
from tests.support.processes import Process, free_port, sidecar_command
from tests.support.scenes import path_of
from tests.support.standins import in_two_parts, response
from tests.support.tally import milliseconds

KEPT, NEW = 6, 2
"""Clients that keep their connection, and clients that come anew for each request."""
AT_LEAST = 10_000 if IS_LONG else 300
"""Requests while processes are replaced."""


@dataclass(slots=True)
class Visitors:
    """Clients of both kinds, who come all the time, and what became of their requests."""

    port: int
    admin: int
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    is_over: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(KEPT):
                group.create_task(self._stay())
            for _ in range(NEW):
                group.create_task(self._come_and_go())
            group.create_task(self._probe())

    async def _probe(self) -> None:
        """As a load balancer does: no probe may be refused, or told to go elsewhere."""
        while not self.is_over:
            try:
                answer = await get(self.admin, "/readyz")
                self.failed += [] if answer.status == 200 else [f"/readyz says {answer.body.decode()}"]
            except (OSError, EOFError) as error:
                self.failed.append(f"/readyz: {error!r}")
            await asyncio.sleep(0.05)

    async def _stay(self) -> None:
        """Keeps a connection as long as its answers do not say that it ends."""
        while not self.is_over:
            with suppress(OSError, EOFError):  # it is counted
                async with connection(self.port) as (reader, writer):
                    while not self.is_over and await self._ask(reader, writer):
                        await asyncio.sleep(0.01)

    async def _come_and_go(self) -> None:
        while not self.is_over:
            try:
                async with connection(self.port) as (reader, writer):
                    await self._ask(reader, writer)
            except OSError as error:
                self.failed.append(repr(error))
            await asyncio.sleep(0.01)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays."""
        begin = asyncio.get_running_loop().time()
        try:
            writer.write(request("/page"))
            answer = await read_answer(reader)
        except (OSError, EOFError) as error:
            self.failed.append(repr(error))
            raise
        self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - begin)
        if answer.status == 200:
            self.answered += 1
        else:
            self.failed.append(f"status {answer.status}")
        return "close" not in answer.all("Connection")

    def report(self, what: str) -> None:
        """Prints a row of the manual's table; pytest shows it only when asked."""
        asked = self.answered + len(self.failed)
        print(f"\nrestarts: | {what} | {asked:,} | {len(self.failed)} | {milliseconds(self.slowest_s)} |")  # noqa: T201

    async def at_least(self, more: int) -> None:
        """Returns when so many more were answered."""
        wanted = self.answered + more
        async with asyncio.timeout(300 if IS_LONG else START_S):
            while self.answered < wanted:
                await asyncio.sleep(0.05)


@dataclass(slots=True)
class Site:
    """An address, and how to start a storehop on it."""

    port: int
    admin: int
    command: list[str | Path]
    start: Callable[..., object]

    async def open(self, *extra: str) -> Process:
        return await self.start(Process.start, *self.command, *extra)

    async def readiness(self) -> int:
        return (await get(self.admin, "/readyz")).status


@pytest.fixture
def site(start, ads, rules, tmp_path):
    ads.routes["*"] = response("200 OK", body=b"page")
    port, admin = free_port(), free_port()
    command = sidecar_command(f"http://127.0.0.1:{ads.port}", rules, f"127.0.0.1:{port}", tmp_path)
    return Site(port, admin, [*command, "--admin", f"127.0.0.1:{admin}"], start)


@pytest_asyncio.fixture(loop_scope="session")
async def visitors(site):
    """They come as soon as the first process listens; at the end the test says when."""
    visitors = Visitors(site.port, site.admin)
    yield visitors
    visitors.is_over = True


async def _with(visitors: Visitors, replace: Callable[[], object]) -> None:
    """Clients come before, while and after `replace` runs."""
    coming = asyncio.create_task(visitors.run())
    await visitors.at_least(AT_LEAST // 3)
    await replace()
    await visitors.at_least(AT_LEAST - AT_LEAST // 3)
    visitors.is_over = True
    await coming


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_run_takes_over(site, visitors, workers):
    """The same command again: it serves, the first one ends by itself with 0, and no client has noticed."""
    first = await site.open("--workers", workers)
    await first.output.saw("worker 2 is ready" if workers == "2" else "storehop: ", seconds=START_S)
    codes = []

    async def upgrade() -> None:
        second = await site.open("--workers", workers)
        await second.output.saw("is taken over from process", seconds=START_S)
        codes.append(await first.ended(START_S))
        codes.append(await site.readiness())

    await _with(visitors, upgrade)
    visitors.report(f"a second run takes over, --workers {workers}")

    assert ([], [0, 200]) == (visitors.failed, codes)


async def test_http2_clients_notice_nothing(site, authority):
    """One that keeps its connection gets GOAWAY behind an answer, and goes on over a new connection."""
    tls = ("--tls-cert", str(authority.sign("localhost")))
    first = await site.open(*tls)
    await first.output.saw("storehop: ", seconds=START_S)
    said = ("--write-out", r"%{http_version} %{http_code} %{num_connects}\n", "--output", "/dev/null", "--silent")
    url = f"https://localhost:{site.port}/page?[1-100000]"
    curl = (need("curl"), "--http2", "--cacert", authority.ca, "--rate", "100/s", *said, url)
    client = await site.start(Process.start, *curl)
    await client.output.saw("2 200 0", seconds=START_S)
    second = await site.open(*tls)
    await second.output.saw("is taken over from process", seconds=START_S)
    code = await first.ended(START_S)
    goes_on = await until(lambda: "2 200 1" in client.output.text.partition("2 200 0")[2], START_S)
    await client.stop()

    assert (0, True, {"2 200 0", "2 200 1"}) == (code, goes_on, set(client.output.text.splitlines()))


async def test_workers_are_replaced_one_by_one(site, visitors):
    """`storehop restart` comes back when the new ones serve; the supervisor stays, and no client has noticed."""
    host = await site.open("--workers", "2")
    await host.output.saw("worker 2 is ready", seconds=START_S)
    await host.output.saw("worker 1 is ready", seconds=START_S)
    codes = []

    async def restart() -> None:
        command = await Process.start(*restart_of(site))
        codes.append(await command.ended(START_S))

    await _with(visitors, restart)
    visitors.report("two workers are replaced one by one")

    assert ([], [0], 4) == (visitors.failed, codes, host.output.text.count("is ready"))
    assert host.is_alive


async def test_the_signal_replaces_a_process_without_workers(site, visitors):
    """SIGUSR2: it starts the same command, which takes over, and ends with 0."""
    host = await site.open()
    await host.output.saw("storehop: ", seconds=START_S)

    async def restart() -> None:
        host.send(signal.SIGUSR2)
        assert await until(lambda: not host.is_alive, START_S)

    await _with(visitors, restart)
    visitors.report("a process without workers replaces itself")
    answer = await get(site.port, "/page")
    newcomer = int((await host.output.saw(" serves ")).split("process ")[1].split()[0])
    os.kill(newcomer, signal.SIGTERM)  # it has this process's pipes, too

    assert ([], 0, 200) == (visitors.failed, host.process.returncode, answer.status)


async def test_the_command_replaces_a_process_without_workers(site):
    """`storehop restart` says that it is done, and a new process serves."""
    host = await site.open()
    await host.output.saw("storehop: ", seconds=START_S)
    command = await site.start(Process.start, *restart_of(site))
    code = await command.ended(START_S)
    assert await until(lambda: not host.is_alive, START_S)
    newcomer = int((await host.output.saw(" serves ")).split("process ")[1].split()[0])
    os.kill(newcomer, signal.SIGTERM)  # it has this process's pipes, too

    assert (0, 0) == (code, host.process.returncode)


async def test_an_upgrade_that_meets_a_restart_ends_it(site):
    """The first supervisor ends all the same, with the worker that it had just begun."""
    first = await site.open("--workers", "2", "--retire", "2")
    for number in (1, 2):
        await first.output.saw(f"worker {number} is ready", seconds=START_S)
    command = await site.start(Process.start, *restart_of(site))
    second = await site.open("--workers", "2")
    await second.output.saw("is taken over from process", seconds=START_S)

    assert 0 == await first.ended(START_S)
    await command.ended(START_S)


def restart_of(site: Site) -> list[str]:
    return [sys.executable, "-m", "storehop", "restart", "--listen", f"127.0.0.1:{site.port}"]


async def test_a_newcomer_that_cannot_start_changes_nothing(site, rules):
    """Its rules have become faulty: `storehop restart` says so, and the first process goes on."""
    host = await site.open()
    await host.output.saw("storehop: ", seconds=START_S)
    rules.write_text("nonsense")
    command = await Process.start(*restart_of(site))
    code = await command.ended(START_S)

    assert (1, True) == (code, "the new process ended with 1: this one goes on" in command.output.text)
    assert 200 == (await get(site.port, "/page")).status


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_newcomer_that_is_told_to_end_while_it_starts_takes_nothing(site, workers):
    """Ctrl-C on one that was started by mistake: the first one serves on."""
    first = await site.open()
    await first.output.saw("storehop: ", seconds=START_S)
    newcomer = await site.open("--workers", workers)
    await first.output.saw("asks for", seconds=START_S)
    newcomer.send(signal.SIGTERM)
    await newcomer.ended(START_S)

    assert (True, 200) == (first.is_alive, (await get(site.port, "/page")).status)


async def test_an_answer_under_way_is_finished_by_who_began_it(site, ads):
    """A download that takes longer than the handover reaches its client whole."""
    more = asyncio.Event()
    first = await site.open()
    await first.output.saw("storehop: ", seconds=START_S)
    async with connection(site.port) as (reader, writer):
        writer.write(request(ads.serve(in_two_parts(more))))
        await reader.readuntil(b"first")
        second = await site.open()
        await second.output.saw("is taken over from process", seconds=START_S)
        is_alive = first.is_alive
        more.set()
        rest = await reader.read(5)

    assert (True, b"-last") == (is_alive, rest)


async def test_sigterm_ends_one_that_retires(site, ads):
    """Its clients have stayed long enough."""
    first = await site.open()
    await first.output.saw("storehop: ", seconds=START_S)
    async with connection(site.port) as (reader, writer):
        writer.write(request(ads.serve(in_two_parts(asyncio.Event()))))
        await reader.readuntil(b"first")
        second = await site.open()
        await second.output.saw("is taken over from process", seconds=START_S)
        first.send(signal.SIGTERM)

        assert 0 == await first.ended(START_S)


async def test_systemd_keeps_the_socket(site, rules, ads, tmp_path):
    """Passed by the service manager it waits while nobody serves: a click that comes then is answered by the next."""
    with socket.create_server(("127.0.0.1", 0)) as held, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        first = await _passed(held, site, tmp_path / "notify")
        said = [await _hear(heard)]
        first.send(signal.SIGTERM)
        said.append(await _hear(heard))
        await first.ended(START_S)
        waiting = asyncio.create_task(get(held.getsockname()[1], path_of("waits")))
        await asyncio.sleep(0)
        second = await _passed(held, site, tmp_path / "notify")
        answer = await asyncio.wait_for(waiting, START_S)
        await second.stop()

    assert (200, ["READY=1", "STOPPING=1"]) == (answer.status, [line.split("\n")[0] for line in said])


async def _hear(heard: socket.socket) -> str:
    """The next thing that is no food for a watchdog."""
    async with asyncio.timeout(START_S):
        while True:
            said = (await asyncio.get_running_loop().sock_recv(heard, 1000)).decode()
            if not said.startswith("WATCHDOG"):
                return said


async def _passed(held: socket.socket, site: Site, notify: Path) -> Process:
    """As a service with a socket unit starts it: LISTEN_FDS by a shell that becomes the process."""
    environment = f"NOTIFY_SOCKET={notify} LISTEN_FDS=1 WATCHDOG_USEC=1000000"
    become = f"{environment} LISTEN_PID=$$ exec {shlex.join(map(str, site.command))}"
    code = f"import os; os.dup2({held.fileno()}, 3); os.execvp('sh', ['sh', '-c', {become!r}])"
    return await site.start(Process.start, sys.executable, "-c", code, fds=[held.fileno()])
