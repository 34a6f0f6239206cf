"""Lookups: whatever hangs in one holds up nothing else, not even the end of the process."""

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest

from storehop.deliver.wire import dial
from storehop.model import Failure, Fault, S2SCall
from tests.deliver.wire.standins import SOON, through, until

CALL = S2SCall("c1", "http://af.test", "/x", ())
WAYS = pytest.mark.parametrize("proxy", [None, "http://proxy.test:3128"], ids=["straight", "proxied"])
IN_TIME_S = 2.0
"""How long the end of a process may take whose lookup hangs."""

HANGS = """
import asyncio, socket, time
socket.getaddrinfo = lambda *_arguments, **_options: time.sleep(3600)
from storehop.deliver.wire import Wire
from storehop.model import S2SCall

async def main():
    wire = Wire.through({proxy!r})
    outcome = await wire.send(S2SCall("c1", "http://af.test", "/x", ()), 0.2)
    await wire.close()
    print(outcome.fault, flush=True)

asyncio.run(main())
"""


@WAYS
async def test_a_name_that_is_looked_up_too_long_was_surely_not_sent(hanging_lookup, proxy):
    """Looking up the name is connecting: no byte has left."""
    async with through(proxy) as wire:
        assert Failure(Fault.CONNECT_TIMEOUT, maybe_sent=False) == await wire.send(CALL, 0.4)


@WAYS
async def test_lookups_that_hang_are_few_and_leave_the_loop_s_threads_alone(hanging_lookup, proxy):
    """Mitmproxy looks up the ad stack in those."""
    async with through(proxy) as wire:
        sending = [asyncio.create_task(wire.send(CALL, SOON)) for _ in range(100)]
        await until(lambda: len(hanging_lookup) >= dial.LOOKUPS)
        is_free = await asyncio.wait_for(asyncio.to_thread(lambda: True), SOON)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    assert (dial.LOOKUPS, True) == (len(hanging_lookup), is_free)


@WAYS
async def test_calls_that_gave_up_make_no_room_for_more_lookups(hanging_lookup, proxy):
    """The threads still hang: more would pile up for as long as DNS is away."""
    async with through(proxy) as wire:
        for _ in range(2):
            await asyncio.gather(*(wire.send(CALL, 0.2) for _ in range(2 * dial.LOOKUPS)))

    assert dial.LOOKUPS == len(hanging_lookup)


@WAYS
async def test_lookups_go_on_when_those_that_hung_have_ended(monkeypatch, proxy):
    """An outage of DNS heals without a restart."""
    is_over = threading.Event()

    def fail(*_arguments, **_options):
        is_over.wait(SOON)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    async with through(proxy) as wire:
        await asyncio.gather(*(wire.send(CALL, 0.2) for _ in range(2 * dial.LOOKUPS)))
        is_over.set()

        assert Failure(Fault.CONNECT, maybe_sent=False) == await wire.send(CALL, SOON)


async def test_a_thread_that_can_t_be_started_keeps_no_place(monkeypatch):
    """A machine that is out of threads for a while is a failure for a while."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    async with through(None) as wire:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            outcomes = [await wire.send(CALL, SOON) for _ in range(dial.LOOKUPS + 1)]
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            origin = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            outcomes.append(await wire.send(S2SCall("c1", origin, "/x", ()), SOON))

    assert {Failure(Fault.CONNECT, maybe_sent=False)} == set(outcomes)


@pytest.mark.process
@WAYS
def test_a_lookup_that_hangs_does_not_delay_the_end_of_the_process(proxy):
    """The interpreter waits for no thread of ours."""
    child = subprocess.Popen(
        [sys.executable, "-c", HANGS.format(proxy=proxy)], stdout=subprocess.PIPE, text=True, cwd="/"
    )
    try:
        said = child.stdout.readline()
        begin = time.monotonic()
        status = child.wait(SOON)
        took_s = time.monotonic() - begin
    finally:
        child.kill()
        child.stdout.close()

    assert ("connect_timeout\n", 0) == (said, status)
    assert took_s < IN_TIME_S
