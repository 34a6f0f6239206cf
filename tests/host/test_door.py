"""The door for clients, on loopback: who finds no room waits in the kernel's queue."""

import asyncio
import errno
import socket
from collections import Counter
from functools import partial

import pytest

from storehop.host.admission import Admission
from storehop.host.door import HeldPortLoop
from tests.support.patience import SOON_S


class House:
    """A server that lets clients in until they leave."""

    def __init__(self):
        self.inside = 0
        self.left = asyncio.Event()
        """Nobody is inside any more."""
        self.admission = Admission(lambda: self.inside, 2)

    async def serve(self, reader, writer):
        self.inside += 1
        self.left.clear()
        writer.write(b"welcome")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        self.inside -= 1
        if not self.inside:
            self.left.set()


def in_house(scene):
    """Runs `scene(house, door, connect)` at a door that is still closed."""
    house, held = House(), socket.create_server(("127.0.0.1", 0))
    port = held.getsockname()[1]

    async def run():
        door = await asyncio.start_server(house.serve)
        async with asyncio.timeout(SOON_S):
            await scene(house, door, partial(asyncio.open_connection, "127.0.0.1", port))
            door.close()
            await house.left.wait()

    asyncio.run(run(), loop_factory=partial(HeldPortLoop, [held], house.admission))


def test_who_finds_no_room_waits():
    """And is let in as soon as somebody leaves; nobody is turned away."""

    async def scene(house, door, connect):
        clients = [await connect() for _ in range(5)]
        door.open()
        reads = [asyncio.ensure_future(reader.read(7)) for reader, _ in clients]
        most = 0
        while len(done := [read for read in reads if read.done()]) < len(reads):
            most = max(most, house.inside)
            for read, (_, writer) in zip(reads, clients, strict=True):
                if read in done:
                    writer.close()
            await asyncio.sleep(0.001)
        assert (2, {b"welcome"}) == (most, {read.result() for read in reads})
        for _, writer in clients:
            writer.close()

    in_house(scene)


@pytest.mark.parametrize(
    ("inside", "coming", "expected"),
    [(0, 10, [4, 4, 2]), (24, 10, [6, 4]), (100, 10, [10]), (9_000, 40, [32, 8])],
)
def test_a_few_come_in_at_each_turn(monkeypatch, inside, coming, expected):
    """So that others on the same queue get their share; more where many are in, whose turns are long."""
    turn, accepted = 0, Counter()
    accept = socket.socket.accept

    def counted(self):
        came = accept(self)
        accepted[turn] += 1
        return came

    def count_turns():
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(count_turns)

    monkeypatch.setattr(socket.socket, "accept", counted)

    async def scene(house, door, connect):
        house.admission.most, house.inside = 10_000, inside
        clients = [await connect() for _ in range(coming)]
        count_turns()
        door.open()
        for reader, writer in clients:
            await reader.readexactly(7)
            writer.close()
        assert expected == list(accepted.values())
        house.inside -= inside

    in_house(scene)


def test_a_door_that_closes_meanwhile_stays_closed():
    """Nobody waits at it any more."""

    async def scene(_house, door, connect):
        door.open()
        clients = [await connect() for _ in range(3)]
        await clients[0][0].readexactly(7)
        door.close()
        for _, writer in clients:
            writer.close()
        await asyncio.sleep(0.1)  # two looks for room

    in_house(scene)


def test_a_kernel_without_files_is_asked_again_soon(monkeypatch):
    """No traceback, no busy loop; who waits is let in when there are files again."""
    refusals = iter([OSError(errno.ENFILE, "")] * 3)
    accept = socket.socket.accept

    def poor(self):
        if refused := next(refusals, None):
            raise refused
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", poor)

    async def scene(house, door, connect):
        door.open()
        reader, writer = await connect()
        assert b"welcome" == await reader.readexactly(7)
        assert house.admission.fault() is None
        writer.close()

    in_house(scene)
