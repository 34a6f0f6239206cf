"""A log that nobody reads, that can't be written or that is closed stops nothing (design §13)."""

from __future__ import annotations

import asyncio
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.support.clients import Answer, get
from tests.support.load import Load, to_appsflyer
from tests.support.patience import SOON_S
from tests.support.processes import Process, free_port, listening, sidecar_command
from tests.support.scenes import path_of

LONG = "Mozilla/5.0 " + "x" * 30_000
"""A User-Agent that makes a click's line this long where it is logged."""
CLICKS = 40
WORKERS = {"one worker": 1, "two workers": 2}


@dataclass(slots=True)
class Pipe:
    """A named pipe of 64 KB, as a process's standard error. Nobody reads it but `read`."""

    path: str
    end: int
    text: str = ""

    def read(self) -> str:
        """All that is in it now, behind what was read before."""
        with suppress(BlockingIOError):
            while data := os.read(self.end, 1 << 20):
                self.text += data.decode()
        return self.text

    async def read_until(self, wanted: str) -> None:
        async with asyncio.timeout(SOON_S):
            while wanted not in self.read():
                await asyncio.sleep(0.01)


@dataclass(slots=True)
class Scene:
    """What was seen while the log's reader was stuck, when it read again, and at the end beside one that is stuck."""

    health: Answer | None = None
    clicks: Load = field(default_factory=lambda: Load("unread-"))
    dropped: float = 0.0
    text: str = ""
    after: str = ""
    code: int | None = None
    end_s: float = 0.0
    port: int = 0
    workers: int = 0
    output: str = ""


async def dropped_lines(admin: int) -> float:
    body = (await get(admin, "/metrics")).body.decode()
    return float(re.search(r"^storehop_log_lines_dropped_total (\S+)", body, re.MULTILINE)[1])


async def fill(port: int, admin: int) -> float:
    """Clicks until lines are dropped. Returns how many were."""
    before = await dropped_lines(admin)
    async with asyncio.timeout(SOON_S):
        while (now := await dropped_lines(admin)) == before:
            path = path_of("long", app="com.example.off")
            await asyncio.gather(*(get(port, path, host="app.appsflyer.com", user_agent=LONG) for _ in range(20)))
    return now


async def start_with(redirection: str, *command: str | os.PathLike[str]) -> Process:
    """A process whose standard output and error a shell redirects."""
    return await Process.start("sh", "-c", f'exec "$@" {redirection}', "sh", *command)


def command_of(ads, rules, folder, port, *more):
    return [*sidecar_command(f"http://127.0.0.1:{ads.port}", rules, f"127.0.0.1:{port}", folder), *map(str, more)]


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=WORKERS.values(), ids=WORKERS)
async def scene(request, tmp_path_factory, ads, module_rules):
    folder, port, admin = tmp_path_factory.mktemp("unread"), free_port(), free_port()
    ads.routes["*"] = to_appsflyer
    os.mkfifo(folder / "log")
    pipe = Pipe(folder / "log", os.open(folder / "log", os.O_RDWR | os.O_NONBLOCK))
    options = ("--admin", f"127.0.0.1:{admin}", "--workers", request.param, "--log-personal-data")
    process = await start_with(f"2>{pipe.path}", *command_of(ads, module_rules, folder, port, *options))
    seen = Scene(port=port, workers=request.param)
    try:
        await listening(port, process)
        await pipe.read_until("[worker 2] storehop: " if request.param > 1 else "storehop: ")
        await fill(port, admin)
        seen.health = await get(admin, "/healthz")
        await seen.clicks.run(port, most=CLICKS)
        seen.dropped = await dropped_lines(admin)
        await pipe.read_until("log lines were dropped")
        seen.text = pipe.text
        await fill(port, admin)
    finally:
        begin = time.monotonic()
        seen.code = await process.stop()
        seen.end_s = time.monotonic() - begin
        seen.after, seen.output = pipe.read(), process.output.text
        os.close(pipe.end)
    return seen


async def test_users_are_answered(scene):
    """Every click goes to the store."""
    clicks = scene.clicks.clicks

    assert (CLICKS, CLICKS) == (clicks.all, len(clicks.direct))


async def test_the_process_is_alive(scene):
    """/healthz answers, so nobody kills it."""
    assert (200, b"ok\n") == (scene.health.status, scene.health.body)


async def test_what_was_dropped_is_counted(scene):
    """In the metrics at once, and in the log when it is read again."""
    line = re.search(
        r"^.* WARNING (?:\[worker \d\] )?[\d,]+ log lines were dropped: the log was not read$", scene.text, re.MULTILINE
    )

    assert (True, True) == (scene.dropped > 0, line is not None)


async def test_the_start_is_told(scene):
    """Once, whether there is a supervisor or not."""
    expected = f"storehop \\S+ listens on 127.0.0.1:{scene.port} for .*; {scene.workers} worker"

    assert 1 == len(re.findall(expected, scene.text))


async def test_the_end_does_not_wait_for_the_reader(scene):
    """The process ends as it does with a reader, a second later at the most, and without a traceback."""
    assert (0, "") == (scene.code, scene.output)
    assert "Traceback" not in scene.after
    assert scene.end_s < 10


@pytest.mark.parametrize(
    "redirection", [">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"], ids=["full", "closed", "all closed"]
)
async def test_a_log_that_cannot_be_written_stops_nothing(redirection, ads, module_rules, tmp_path):
    """Clicks are answered, and the end is an end."""
    port = free_port()
    ads.routes["*"] = to_appsflyer
    process = await start_with(redirection, *command_of(ads, module_rules, tmp_path, port))
    load = Load("full-")
    try:
        await listening(port, process)
        await load.run(port, most=CLICKS)
    finally:
        code = await process.stop()

    assert (0, CLICKS) == (code, len(load.clicks.direct))
