"""What the supervisor does with workers that do not do what they should."""

from __future__ import annotations

import asyncio
import fcntl
import signal
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from tornado.netutil import bind_unix_socket

from storehop.deliver.sqlite.engine import SqliteEngine
from storehop.observe.admin import AdminServer
from storehop.observe.metrics import Metrics
from storehop.observe.readiness import Readiness
from storehop.workers import release as releasing
from storehop.workers import supervisor as module
from storehop.workers import worker
from storehop.workers.supervisor import Supervisor
from tests.support.patience import SOON_S

pytestmark = pytest.mark.process

HANGS = ("sh", "-c", "exec sleep 100")


@pytest_asyncio.fixture
async def hung(monkeypatch, tmp_path):
    """A supervisor of one worker that never says a word."""
    monkeypatch.setattr(worker, "START_S", 0.2)
    supervisor = Supervisor(HANGS, 1, tmp_path, SqliteEngine(tmp_path / "outbox.db"))
    running = asyncio.create_task(supervisor.run())
    yield supervisor._places[0]
    supervisor.end(signal.SIGTERM)
    await running


async def _begun(place, after=None):
    """The next process in this place."""
    async with asyncio.timeout(SOON_S):
        while place.worker.process in (None, after):
            await asyncio.sleep(0.01)
    return place.worker.process


async def test_a_worker_that_never_gets_ready_is_replaced(hung):
    """It is killed after a while, and the next one is started."""
    first = await _begun(hung)
    await _begun(hung, after=first)

    assert -signal.SIGKILL == first.returncode


async def test_a_worker_that_hangs_later_is_replaced(hung, monkeypatch):
    """One that was ready and does not answer any more is killed, too."""
    monkeypatch.setattr(worker, "START_S", 60)
    monkeypatch.setattr(worker, "SILENCE_S", 0.2)
    monkeypatch.setattr(worker, "READY_LOOK_S", 0.01)
    first = await _begun(hung)
    admin = AdminServer([bind_unix_socket(str(hung.worker.socket))], Readiness, Metrics().registry)
    async with asyncio.timeout(SOON_S):
        while not hung.worker.is_ready:
            await asyncio.sleep(0.01)
    admin.close()
    await _begun(hung, after=first)

    assert -signal.SIGKILL == first.returncode


async def test_a_probe_that_meets_a_handover_hears_that_the_address_is_served(tmp_path):
    """By the next process: no load balancer takes this host out meanwhile."""
    supervisor = Supervisor(HANGS, 1, tmp_path, SqliteEngine(tmp_path / "outbox.db"))
    before = await supervisor._readiness()
    supervisor.retire(1)

    assert (False, True) == (before.is_ready, (await supervisor._readiness()).is_ready)


async def test_workers_that_end_before_they_are_ready_end_it(tmp_path, monkeypatch):
    """Where none can start, however long it takes to find out, the exit code is theirs."""
    monkeypatch.setattr(module, "YOUNG_S", 0.0)
    supervisor = Supervisor(("sh", "-c", "exit 3"), 2, tmp_path, SqliteEngine(tmp_path / "outbox.db"))

    assert 3 == await supervisor.run()


async def test_a_command_that_cannot_run_is_tried_again(tmp_path, caplog):
    """A fault of the machine while a worker is started ends nothing."""
    supervisor = Supervisor([str(tmp_path / "none")], 1, tmp_path, SqliteEngine(tmp_path / "outbox.db"))
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(SOON_S):
        while caplog.text.count("could not be started") < 2:
            await asyncio.sleep(0.01)
    supervisor.end(signal.SIGTERM)

    assert 0 == await running


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_worker_that_does_not_end_is_killed(tmp_path, monkeypatch, caplog, signals):
    """Whatever it is told: an end that waits for it would be none."""
    monkeypatch.setattr(module, "END_S", 0.2)
    sign = tmp_path / "deaf"
    deaf = f"trap '' TERM INT; echo > {sign}; exec sleep 100"
    supervisor = Supervisor(("sh", "-c", deaf), 1, tmp_path, SqliteEngine(tmp_path / "outbox.db"))
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(SOON_S):
        while not sign.exists():
            await asyncio.sleep(0.01)
        for _ in range(signals):
            supervisor.end(signal.SIGTERM)
        await running

    assert "worker 1 does not end: it is killed" in caplog.text


@pytest.fixture
def outbox(tmp_path):
    """An outbox that is there."""
    file = tmp_path / "outbox.db"
    engine = SqliteEngine(file)
    engine.run([])
    engine.close()
    return file


@contextmanager
def locked(outbox):
    """Another process writes and does not come to an end."""
    with Path(f"{outbox}-turn").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def test_a_dead_worker_is_replaced_while_the_outbox_is_locked(tmp_path, outbox):
    """The next one is started first; what the dead one had leased can wait."""
    supervisor = Supervisor(HANGS, 1, tmp_path, SqliteEngine(outbox))
    with locked(outbox):
        running = asyncio.create_task(supervisor.run())
        first = await _begun(supervisor._places[0])
        first.kill()
        with suppress(TimeoutError):
            await _begun(supervisor._places[0], after=first)
        is_replaced = supervisor._places[0].worker.process is not first
    supervisor.end(signal.SIGTERM)
    await running

    assert is_replaced


async def test_the_end_does_not_wait_for_a_locked_outbox(tmp_path, outbox, monkeypatch, caplog):
    """It comes soon, and says that leases are left."""
    monkeypatch.setattr(releasing, "PATIENCE_S", 0.1)
    supervisor = Supervisor(HANGS, 1, tmp_path, SqliteEngine(outbox))
    with locked(outbox):
        running = asyncio.create_task(supervisor.run())
        (await _begun(supervisor._places[0])).kill()
        supervisor.end(signal.SIGTERM)
        async with asyncio.timeout(SOON_S):
            code = await running

    assert (0, True) == (code, "wait for their leases to end" in caplog.text)
