"""Bytes go to their handler as they come, and nobody is read while a peer takes too little."""

import asyncio
import types

from storehop.host.lean.reading import MOST_A_TURN_BYTES, MOST_UNSENT_BYTES, Congestion, Reading


class Transport:
    """Holds `waiting` bytes that could not be sent yet; its high-water mark is at 10."""

    def __init__(self, waiting=0):
        self.waiting = waiting
        self.is_reading = True
        self.is_ending = False
        self.told = []
        self.protocol = types.SimpleNamespace(
            pause_writing=lambda: self.told.append("pause"),
            resume_writing=lambda: self.told.append("resume"),
            eof_received=lambda: self.told.append("eof") or True,
            connection_lost=self.told.append,
        )

    def set_write_buffer_limits(self, high):
        self.high = high

    def is_closing(self):
        return self.is_ending

    def get_write_buffer_size(self):
        return self.waiting

    def get_protocol(self):
        return self.protocol

    def set_protocol(self, protocol):
        self.protocol = protocol

    def pause_reading(self):
        assert not self.is_ending  # uvloop's would raise
        self.is_reading = False

    def resume_reading(self):
        assert not self.is_ending
        self.is_reading = True


def read(congestion, waiting=0):
    """A transport that is read so, and what came from it."""
    transport, came = Transport(waiting), []
    Reading.begin(transport, came.append, congestion)
    return transport, came


def test_bytes_go_to_their_handler():
    """At once, and reading goes on."""
    transport, came = read(Congestion())
    transport.protocol.data_received(b"a")
    transport.protocol.data_received(b"b")

    assert ([b"a", b"b"], True) == (came, transport.is_reading)


def test_streams_hear_of_all_else():
    """Their drain and their end work as before."""
    transport, _ = read(Congestion())
    error = OSError()
    transport.protocol.pause_writing()
    transport.protocol.resume_writing()

    assert transport.protocol.eof_received() is True
    transport.protocol.connection_lost(error)
    assert ["pause", "resume", "eof", error] == transport.told


def test_nobody_is_read_while_a_peer_takes_too_little():
    """What has come already is handled; then reading pauses until the peer goes on."""
    congestion = Congestion()
    client, came = read(congestion)
    upstream, _ = read(congestion)
    upstream.protocol.pause_writing()
    client.protocol.data_received(b"a")

    assert ([b"a"], False, True) == (came, client.is_reading, upstream.is_reading)
    upstream.protocol.resume_writing()
    assert client.is_reading


def test_it_goes_on_when_the_last_slow_one_does():
    """Each of them counts."""
    congestion = Congestion()
    client, _ = read(congestion)
    slow, slower = read(congestion)[0], read(congestion)[0]
    slow.protocol.pause_writing()
    slower.protocol.pause_writing()
    client.protocol.data_received(b"a")
    slow.protocol.resume_writing()

    assert not client.is_reading
    slower.protocol.resume_writing()
    assert client.is_reading


def test_it_goes_on_when_the_slow_one_is_gone():
    """Nobody waits for a peer that left."""
    congestion = Congestion()
    client, _ = read(congestion)
    upstream, _ = read(congestion)
    upstream.protocol.pause_writing()
    client.protocol.data_received(b"a")
    upstream.protocol.connection_lost(None)

    assert (True, False) == (client.is_reading, bool(congestion))


def test_one_that_was_slow_before_counts():
    """Its streams were told before it was read so."""
    congestion = Congestion()
    client, _ = read(congestion)
    upstream, _ = read(congestion, waiting=MOST_UNSENT_BYTES + 1)
    client.protocol.data_received(b"a")

    assert not client.is_reading
    upstream.protocol.resume_writing()
    assert client.is_reading


async def test_one_who_sends_fast_is_read_once_a_turn():
    """Then others have theirs: a loop may read one socket until it is empty."""
    congestion = Congestion()
    fast, _ = read(congestion)
    fast.protocol.data_received(bytes(MOST_A_TURN_BYTES + 1))

    assert not fast.is_reading
    await asyncio.sleep(0)
    assert fast.is_reading


async def test_the_end_of_a_turn_is_not_the_end_of_a_slow_peer():
    """Reading goes on when the peer does."""
    congestion = Congestion()
    (fast, _), (slow, _) = read(congestion), read(congestion)
    slow.protocol.pause_writing()
    fast.protocol.data_received(bytes(MOST_A_TURN_BYTES + 1))
    await asyncio.sleep(0)

    assert not fast.is_reading
    slow.protocol.resume_writing()
    assert fast.is_reading


def test_what_ends_is_left_alone():
    """It is read no more; of the others one waits no longer."""
    congestion = Congestion()
    (ending, _), (client, _), (slow, _) = read(congestion), read(congestion), read(congestion)
    slow.protocol.pause_writing()
    client.protocol.data_received(b"a")
    ending.protocol.data_received(b"a")
    ending.is_ending = True
    slow.protocol.resume_writing()

    assert (True, False) == (client.is_reading, ending.is_reading)


def test_the_marks_are_the_same_in_every_loop():
    """Uvloop's own low mark is 16 bytes."""
    transport, _ = read(Congestion())

    assert transport.high == MOST_UNSENT_BYTES
