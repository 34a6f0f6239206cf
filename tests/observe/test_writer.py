"""The thread that writes the log: in order, bounded in bytes, with a count of what it dropped."""

import os
import threading
from collections import Counter

import pytest

from storehop.observe.writer import LogWriter, write_all, write_lines

WAIT_S = 60


class Reader:
    """A reader of the log that stops and goes on, or fails."""

    def __init__(self):
        self.texts = []
        self.error = None
        self.is_reading = threading.Event()
        self.is_reading.set()
        self.began = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)

    def write(self, data):
        self.began.release()
        assert self.is_reading.wait(WAIT_S)
        try:
            if self.error:
                raise self.error
            self.texts.append(data.decode())
        finally:
            self.ended.release()

    def saw(self, writes):
        """Waits for so many more writes."""
        for _ in range(writes):
            assert self.ended.acquire(timeout=WAIT_S)
        return self.texts


def notice(count, why):
    return f"{count} lost: {why}\n".encode()


@pytest.fixture
def reader():
    made = Reader()
    yield made
    made.is_reading.set()


@pytest.fixture
def writer(reader):
    """Holds ten bytes."""
    made = LogWriter(reader.write, notice, most_bytes=10)
    yield made
    reader.is_reading.set()
    made.close()


def stick(reader, writer):
    """A reader that does not read: the thread waits in the write of `first`."""
    reader.is_reading.clear()
    writer.put(b"first\n", 1)
    assert reader.began.acquire(timeout=WAIT_S)


def test_what_is_put_is_written_in_order(reader, writer):
    """Each piece by one write."""
    for data in (b"a\n", b"b\n", b"c\n"):
        writer.put(data, 1)
    writer.close()

    assert ["a\n", "b\n", "c\n"] == reader.texts


def test_a_stuck_reader_holds_nobody_up(reader, writer):
    """What fits waits for it, the rest is dropped and counted."""
    stick(reader, writer)
    writer.put(b"2nd\n", 1)
    writer.put(b"too long\n", 2)

    assert (2, []) == (writer.dropped, reader.texts)


def test_the_gap_is_in_one_place_and_named(reader, writer):
    """What came before it, how many lines are missing, what came after."""
    stick(reader, writer)
    writer.put(b"2nd\n", 1)
    writer.put(b"too long\n", 2)
    writer.put(b"x\n", 1)
    reader.is_reading.set()
    texts = list(reader.saw(3))
    writer.put(b"after\n", 1)

    assert ["first\n", "2nd\n", "3 lost: the log was not read\n"] == texts
    assert "after\n" == reader.saw(1)[-1]


def test_a_gap_is_named_without_another_line(reader, writer):
    """Whoever looks sees it at once."""
    writer.put(b"longer than all\n", 7)

    assert ["7 lost: the log was not read\n"] == reader.saw(1)


def test_what_cannot_be_written_is_counted(reader, writer):
    """A full disk: the next line that can be written says what is missing."""
    reader.error = OSError(28, "No space left on device")
    writer.put(b"a\n", 1)
    reader.saw(1)
    writer.put(b"b\n", 2)
    reader.saw(1)
    reader.error = None
    writer.put(b"c\n", 1)

    assert ["3 lost: the log could not be written (No space left on device)\nc\n"] == reader.saw(1)
    assert 3 == writer.dropped


def test_the_end_does_not_wait_for_a_stuck_reader(reader, writer):
    """Not longer than it is told to."""
    stick(reader, writer)
    writer.close(patience_s=0.01)

    assert [] == reader.texts


@pytest.fixture
def pipe():
    """Its ends: ours to read, theirs to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("is_blocking", [True, False], ids=["blocking", "not blocking"])
def test_a_long_piece_is_written_whole(pipe, is_blocking):
    """Also where whoever shares the other end has made it one that does not block."""
    ours, theirs = pipe
    os.set_blocking(theirs, is_blocking)
    size = 1 << 18  # four times what a pipe holds
    thread = threading.Thread(target=write_all, args=(theirs, b"x" * size))
    thread.start()
    read = 0
    while read < size:
        read += len(os.read(ours, 1 << 16))
    thread.join(WAIT_S)

    assert (size, False) == (read, thread.is_alive())


def test_lines_of_two_processes_stay_whole(pipe):
    """On one pipe, whose reader is slower than they are."""
    ours, theirs = pipe
    sorts = [bytes([letter]) * 99 + b"\n" for letter in b"ab"]
    pieces = [sort * 2_000 for sort in sorts]
    threads = [threading.Thread(target=write_lines, args=(theirs, piece)) for piece in pieces]
    for thread in threads:
        thread.start()
    data = b""
    while len(data) < sum(map(len, pieces)):
        data += os.read(ours, 777)
    for thread in threads:
        thread.join(WAIT_S)

    assert dict.fromkeys(sorts, 2000) == Counter(data.splitlines(keepends=True))


def test_a_line_longer_than_a_pipe_is_written(pipe):
    """In parts, as it can't be otherwise."""
    ours, theirs = pipe
    line = b"x" * (1 << 17) + b"\n"
    thread = threading.Thread(target=write_lines, args=(theirs, b"first\n" + line + b"last\n"))
    thread.start()
    data = b""
    while not data.endswith(b"last\n"):
        data += os.read(ours, 1 << 16)
    thread.join(WAIT_S)

    assert b"first\n" + line + b"last\n" == data


def test_a_file_has_room(tmp_path):
    """However long the piece is."""
    file = tmp_path / "log"
    with file.open("wb") as stream:
        write_lines(stream.fileno(), b"x\n" * 10_000)

    assert b"x\n" * 10_000 == file.read_bytes()
