"""What systemd hears, by a stand-in for its socket."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import closing

import pytest

from storehop.listening.notify import ServiceManager
from tests.support.patience import SOON_S


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A service manager's socket, and the environment that names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@storehop-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        heard.settimeout(SOON_S)
        yield heard, {"NOTIFY_SOCKET": name}


@pytest.mark.parametrize(
    ("say", "wanted"),
    [
        (ServiceManager.ready, b"READY=1"),
        (ServiceManager.stopping, b"STOPPING=1"),
        (lambda service: service.succeeded_by(12), b"MAINPID=12"),
    ],
    ids=["ready", "stopping", "succeeded"],
)
def test_it_hears(manager, say, wanted):
    """One datagram, by path and by abstract name."""
    heard, environment = manager
    with closing(ServiceManager(environment)) as service:
        say(service)

    assert wanted == heard.recv(1000)


async def test_the_watchdog_is_fed_twice_as_often_as_asked(manager):
    """As long as the event loop turns."""
    heard, environment = manager
    with closing(ServiceManager(environment | {"WATCHDOG_USEC": "20000"})) as service:
        feeding = asyncio.create_task(service.keep_alive())
        fed = [await asyncio.to_thread(heard.recv, 1000) for _ in range(3)]
        feeding.cancel()

    assert [b"WATCHDOG=1"] * 3 == fed


async def test_another_process_s_watchdog_is_not_fed(manager):
    """WATCHDOG_PID says for whom it is."""
    _, environment = manager
    with closing(ServiceManager(environment | {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"})) as service:
        await service.keep_alive()


def test_it_needs_no_further_descriptor(manager, monkeypatch):
    """None may be left when there is something to say."""
    heard, environment = manager
    with closing(ServiceManager(environment)) as service:
        monkeypatch.setattr(socket, "socket", None)
        service.stopping()
        monkeypatch.undo()

    assert b"STOPPING=1" == heard.recv(1000)


def test_where_no_systemd_is_nothing_happens():
    """And nothing fails."""
    with closing(ServiceManager({})) as service:
        service.ready()


def test_a_systemd_that_has_gone_is_said(caplog):
    """The process goes on."""
    with closing(ServiceManager({"NOTIFY_SOCKET": "/nowhere/notify"})) as service:
        service.ready()

    assert "systemd does not hear READY=1: " in caplog.text
