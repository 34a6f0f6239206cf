"""What the supervisor does with workers that do not do what they should."""

from __future__ import annotations

import asyncio
import signal

import pytest
import pytest_asyncio

from storehop.observe.admin import AdminServer
from storehop.observe.metrics import Metrics
from storehop.workers import supervisor as module
from storehop.workers.supervisor import Supervisor
from tests.support.patience import SOON_S

HANGS = ("sh", "-c", "exec sleep 100")


@pytest_asyncio.fixture
async def hung(monkeypatch, tmp_path):
    """A supervisor of one worker that never says a word."""
    monkeypatch.setattr(module, "START_S", 0.2)
    supervisor = Supervisor(HANGS, 1, tmp_path, str(tmp_path / "outbox.db"))
    running = asyncio.create_task(supervisor.run(None))
    yield supervisor._places[0]
    supervisor._end(signal.SIGTERM)
    await running


async def _begun(place, after=None):
    """The next process in this place."""
    async with asyncio.timeout(SOON_S):
        while place.process is after:
            await asyncio.sleep(0.01)
    return place.process


async def test_a_worker_that_never_gets_ready_is_replaced(hung):
    """It is killed after a while, and the next one is started."""
    first = await _begun(hung)
    await _begun(hung, after=first)

    assert -signal.SIGKILL == first.returncode


async def test_a_worker_that_hangs_later_is_replaced(hung, monkeypatch):
    """One that was ready and does not answer any more is killed, too."""
    monkeypatch.setattr(module, "START_S", 60)
    monkeypatch.setattr(module, "SILENCE_S", 0.2)
    monkeypatch.setattr(module, "READY_LOOK_S", 0.01)
    first = await _begun(hung)
    admin = AdminServer(hung.socket, list, Metrics().registry)
    async with asyncio.timeout(SOON_S):
        while not hung.is_ready:
            await asyncio.sleep(0.01)
    admin.close()
    await _begun(hung, after=first)

    assert -signal.SIGKILL == first.returncode


async def test_workers_that_end_before_they_are_ready_end_it(tmp_path, monkeypatch):
    """Where none can start, however long it takes to find out, the exit code is theirs."""
    monkeypatch.setattr(module, "YOUNG_S", 0.0)
    supervisor = Supervisor(("sh", "-c", "exit 3"), 2, tmp_path, str(tmp_path / "outbox.db"))

    assert 3 == await supervisor.run(None)


async def test_a_command_that_cannot_run_is_tried_again(tmp_path, caplog):
    """A fault of the machine while a worker is started ends nothing."""
    supervisor = Supervisor([str(tmp_path / "none")], 1, tmp_path, str(tmp_path / "outbox.db"))
    running = asyncio.create_task(supervisor.run(None))
    async with asyncio.timeout(SOON_S):
        while caplog.text.count("could not be started") < 2:
            await asyncio.sleep(0.01)
    supervisor._end(signal.SIGTERM)

    assert 0 == await running


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_worker_that_does_not_end_is_killed(tmp_path, monkeypatch, caplog, signals):
    """Whatever it is told: an end that waits for it would be none."""
    monkeypatch.setattr(module, "END_S", 0.2)
    sign = tmp_path / "deaf"
    deaf = f"trap '' TERM INT; echo > {sign}; exec sleep 100"
    supervisor = Supervisor(("sh", "-c", deaf), 1, tmp_path, str(tmp_path / "outbox.db"))
    running = asyncio.create_task(supervisor.run(None))
    async with asyncio.timeout(SOON_S):
        while not sign.exists():
            await asyncio.sleep(0.01)
        for _ in range(signals):
            supervisor._end(signal.SIGTERM)
        await running

    assert "worker 1 does not end: it is killed" in caplog.text
