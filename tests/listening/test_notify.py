"""What systemd hears, by a stand-in for its socket."""

from __future__ import annotations

import asyncio
import os
import socket

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
        (ServiceManager.ready, "READY=1"),
        (ServiceManager.stopping, "STOPPING=1"),
        (lambda service: service.succeeded_by(12), "MAINPID=12"),
    ],
    ids=["ready", "stopping", "succeeded"],
)
def test_it_hears(manager, say, wanted):
    """One datagram, by path and by abstract name."""
    heard, environment = manager
    say(ServiceManager(environment))

    assert wanted in heard.recv(1000).decode().splitlines()


async def test_the_watchdog_is_fed_twice_as_often_as_asked(manager):
    """As long as the event loop turns."""
    heard, environment = manager
    feeding = asyncio.create_task(ServiceManager(environment | {"WATCHDOG_USEC": "20000"}).keep_alive())
    fed = [await asyncio.to_thread(heard.recv, 1000) for _ in range(3)]
    feeding.cancel()

    assert [b"WATCHDOG=1"] * 3 == fed


async def test_another_process_s_watchdog_is_not_fed(manager):
    """WATCHDOG_PID says for whom it is."""
    _, environment = manager
    await ServiceManager(environment | {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}).keep_alive()


def test_where_no_systemd_is_nothing_happens():
    """And nothing fails; nor where its socket has gone."""
    ServiceManager({}).ready()
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/notify"}).ready()
