"""A newcomer takes listening sockets over, in one process: what is handed on, when, and to whom."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import contextmanager

import pytest

from storehop.addresses import Address
from storehop.listening import handover as module
from storehop.listening import line as line_module
from storehop.listening import takeover
from storehop.listening.handover import Handover
from storehop.listening.line import HandoverError, name_of
from storehop.listening.sockets import Listeners, bind
from storehop.listening.takeover import ask_to_restart, take_over
from tests.support.patience import SOON_S
from tests.support.processes import free_port


class Serving:
    """A process that serves, as far as a newcomer can tell."""

    def __init__(self, address):
        self.listeners = Listeners(bind(address), bind(Address("127.0.0.1", 0)))
        self.listeners.listen()
        self.replaced_by = []
        self.restarts = 0
        self.fault = None
        self.handover = Handover(address, self.listeners, self.replaced_by.append, self._restart)

    async def _restart(self):
        self.restarts += 1
        if self.fault:
            raise HandoverError(self.fault)

    def close(self):
        self.handover.close()
        self.listeners.close()


@pytest.fixture
def address():
    return Address("127.0.0.1", free_port())


@pytest.fixture
async def serving(address):
    serving = Serving(address)
    serving.handover.open()
    yield serving
    serving.close()


async def taken_over(address):
    return await asyncio.to_thread(take_over, address)


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.001)


def test_where_nobody_serves_nobody_is_asked(address):
    """The newcomer binds the address itself."""
    assert take_over(address) is None


async def test_the_newcomer_has_the_same_sockets(serving, address):
    """Clients' and admin's, each told from the other."""
    taken = await taken_over(address)
    names = [[one.getsockname() for one in part] for part in (taken.listeners.clients, taken.listeners.admin)]
    taken.listeners.close()
    taken.name.close()
    taken.serving()

    assert [
        [one.getsockname() for one in part] for part in (serving.listeners.clients, serving.listeners.admin)
    ] == names
    assert os.getpid() == taken.process


async def test_a_connection_that_waits_is_the_newcomer_s(serving, address):
    """What came before the first process closed its end is neither refused nor reset."""
    with socket.create_connection(address) as client:
        taken = await taken_over(address)
        serving.close()
        client.sendall(b"hello")
        accepted, _ = taken.listeners.clients[0].accept()
        with accepted:
            assert b"hello" == accepted.recv(5)
    taken.listeners.close()
    taken.name.close()
    taken.serving()


async def test_the_first_one_retires_when_the_newcomer_serves(serving, address):
    """Not before, and it hears who that is."""
    taken = await taken_over(address)
    before = list(serving.replaced_by)
    taken.listeners.close()
    taken.name.close()
    taken.serving()
    await until(lambda: serving.replaced_by)

    assert ([], [os.getpid()]) == (before, serving.replaced_by)


async def test_a_newcomer_that_fails_changes_nothing(serving, address, caplog):
    """The line ends before it serves: the first one goes on, and the next newcomer is welcome."""
    failed = await taken_over(address)
    failed.listeners.close()
    failed.name.close()
    failed._line.close()
    await until(lambda: "goes on serving" in caplog.text)
    taken = await taken_over(address)
    taken.listeners.close()
    taken.name.close()
    taken.serving()
    await until(lambda: serving.replaced_by)

    assert [os.getpid()] == serving.replaced_by


async def test_two_newcomers_at_once(serving, address):
    """The second one is told who came first."""
    taken = await taken_over(address)
    with pytest.raises(HandoverError, match=f"process {os.getpid()} is just taking {address} over"):
        await taken_over(address)
    taken.listeners.close()
    taken.name.close()
    taken.serving()


async def test_the_newcomer_answers_the_next_one(serving, address):
    """It has the name, too: there is no moment in which nobody answers."""
    taken = await taken_over(address)
    taken.serving()
    await until(lambda: serving.replaced_by)
    serving.handover.close()
    second = Serving(Address("127.0.0.1", 0))
    second.handover = Handover(address, second.listeners, second.replaced_by.append, second._restart)
    second.handover.open(taken.name)
    third = await taken_over(address)
    third.listeners.close()
    third.name.close()
    third.serving()
    await until(lambda: second.replaced_by)
    taken.listeners.close()
    second.close()

    assert [os.getpid()] == second.replaced_by


async def test_another_user_gets_nothing(serving, address, monkeypatch):
    """Root may, others may not."""
    monkeypatch.setattr(module, "is_trusted", lambda _user: False)
    reader, writer = await asyncio.open_unix_connection(name_of(address))
    said = await reader.read()
    writer.close()

    assert b"is served by user" in said


async def test_another_user_s_sockets_are_not_taken(serving, address, monkeypatch, caplog):
    """Who listens there may be anybody: the newcomer binds the address itself, or hears that it is taken."""
    monkeypatch.setattr(takeover, "is_trusted", lambda _user: False)

    assert (None, True) == (await taken_over(address), "nothing is taken over from it" in caplog.text)


def test_a_crowded_name_is_said(address):
    """It is not taken for a free one: then two would serve."""
    with socket.socket(socket.AF_UNIX) as name, closing_all() as lines:
        name.bind(name_of(address))
        name.listen(0)
        lines.append(connect_soon(address))  # one may wait
        with pytest.raises(HandoverError, match="is busy"):
            connect_soon(address)


@contextmanager
def closing_all():
    lines = []
    yield lines
    for line in lines:
        line.close()


def connect_soon(address):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_module, "PATIENCE_S", 0.05)
        return line_module.connect(address)


async def test_a_restart_is_asked_for(serving, address):
    """The answer comes when it is done."""
    process = await asyncio.to_thread(ask_to_restart, address, SOON_S)

    assert (os.getpid(), 1) == (process, serving.restarts)


async def test_a_restart_that_fails_says_why(serving, address):
    """In the words of who serves."""
    serving.fault = "the new process ended with 1"
    with pytest.raises(HandoverError, match="the new process ended with 1"):
        await asyncio.to_thread(ask_to_restart, address, SOON_S)


def test_nobody_to_restart(address):
    """None: the caller says that nobody serves there."""
    assert ask_to_restart(address, SOON_S) is None


async def test_a_restart_is_answered_though_its_process_is_replaced_by_it(serving, address):
    """A process without workers is: who asked still hears that it is done."""

    async def restart():
        serving.handover.close()

    serving.handover._restart = restart

    assert os.getpid() == await asyncio.to_thread(ask_to_restart, address, SOON_S)


async def test_some_lines_at_a_time(serving, address):
    """Who holds many and says nothing is refused, and the process goes on."""
    lines = [await asyncio.open_unix_connection(f"\0storehop {address}") for _ in range(module.MAX_LINES + 1)]
    reader, _ = lines[-1]
    said = await reader.read()
    for _, writer in lines:
        writer.close()

    assert b"busy" in said


async def test_a_line_without_a_word_ends(serving, address, monkeypatch, caplog):
    """After a while."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    reader, writer = await asyncio.open_unix_connection(f"\0storehop {address}")
    said = await reader.read()
    writer.close()

    assert (b"", True) == (said, "goes on serving" in caplog.text)


@pytest.mark.parametrize("message", [b"", b"nonsense\n", b"[]\n", b"{}\n"])
async def test_nonsense_on_the_line_changes_nothing(serving, address, message, caplog):
    """Whatever comes, this process goes on."""
    reader, writer = await asyncio.open_unix_connection(f"\0storehop {address}")
    writer.write(message)
    writer.write_eof()
    await reader.read()
    writer.close()

    assert ([], True) == (serving.replaced_by, "goes on serving" in caplog.text)
