"""Lines in batches: fewer system calls, and the same words in the same order."""

import asyncio
import json
import logging
import re
import sys
import threading
import weakref

import pytest

from storehop.model import (
    Click,
    Dead,
    DeadReason,
    Delivered,
    Direct,
    Likeness,
    Pass,
    Platform,
    Reason,
    Reply,
    S2SCall,
    Settled,
)
from storehop.observe import batches
from storehop.observe.batches import BatchHandler
from storehop.observe.lines import JsonLines, TextLines
from storehop.observe.log import ClickLog
from storehop.settings import Store

CALL = S2SCall("c1", "https://app.appsflyer.com", "/com.x.y?af_ip=81.2.69.142", (), "games")
CLICK = Click("c1", "GET", "https://app.appsflyer.com/com.x.y?é", {"user-agent": "Pixel 5"}, "81.2.69.142")
DIRECT = Direct(
    "games", "com.x.y", Platform.ANDROID, Store.GOOGLE_PLAY, "N_1", "https://play", CALL, (), Likeness(b"key", "")
)
TIME = {
    False: re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", re.MULTILINE),
    True: re.compile(r'^\{"time": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", ', re.MULTILINE),
}
LINES = {False: TextLines, True: JsonLines}


class Stream:
    """A writer that remembers each piece."""

    dropped = 0

    def __init__(self):
        self.writes = []
        self.lines = 0
        self.written = asyncio.Event()
        self.is_closed = False

    def put(self, data, lines):
        self.writes.append(data.decode())
        self.lines += lines
        self.written.set()

    def close(self):
        self.is_closed = True

    @property
    def text(self):
        return "".join(self.writes)


@pytest.fixture
async def stream():
    return Stream()


@pytest.fixture
async def logger():
    """One whose lines go to the handlers of a test alone."""
    made = logging.getLogger("storehop.click")
    propagate, level = made.propagate, made.level
    made.propagate = False
    made.setLevel(logging.INFO)
    yield made
    made.handlers.clear()
    made.propagate = propagate
    made.setLevel(level)


@pytest.fixture
async def handler(stream, logger):
    made = BatchHandler(stream, TextLines())
    logger.addHandler(made)
    return made


def said(stream):
    """The lines of each write, without their time."""
    return [TIME[False].sub("", text) for text in stream.writes]


async def test_the_lines_of_a_moment_are_one_write(handler, logger, stream):
    """A busy host pays for one system call."""
    logger.info("one")
    logger.info("two")
    await asyncio.wait_for(stream.written.wait(), 60)

    assert ["INFO one\nINFO two\n"] == said(stream)


async def test_lines_of_clicks_and_others_are_one_write(handler, logger, stream):
    """They go the same way, in the order in which they came."""
    logger.info("one")
    handler.write(logging.INFO, "direct", {"click": "c1"})
    logger.info("three")
    handler.flush()

    assert ["INFO one\nINFO direct click=c1\nINFO three\n"] == said(stream)


async def test_the_lines_of_the_next_moment_are_another_write(handler, logger, stream):
    """Waiting begins anew after each write."""
    logger.info("one")
    await asyncio.wait_for(stream.written.wait(), 60)
    stream.written.clear()
    logger.info("two")
    await asyncio.wait_for(stream.written.wait(), 60)

    assert ["INFO one\n", "INFO two\n"] == said(stream)


async def test_a_click_s_line_is_not_lost_to_another_thread(handler, stream):
    """It is added without the lock under which others write what there is."""
    is_over = threading.Event()

    def write_what_there_is():
        while not is_over.is_set():
            handler.flush()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        writing = asyncio.create_task(asyncio.to_thread(write_what_there_is))
        await asyncio.sleep(0)
        for number in range(5_000):
            handler.write(logging.INFO, "direct", {"click": number})
    finally:
        is_over.set()
        sys.setswitchinterval(interval)
    await writing
    handler.flush()

    assert [f"INFO direct click={number}" for number in range(5_000)] == "".join(said(stream)).splitlines()


async def test_a_warning_is_written_at_once(handler, logger, stream):
    """With all that came before it, in order."""
    logger.info("one")
    logger.warning("two")

    assert ["INFO one\nWARNING two\n"] == said(stream)


async def test_clicks_warnings_wait_for_others(handler, stream):
    """An outage's dead letters come all at once: a system call each would hold up the clicks that come meanwhile."""
    for name in ("c1", "c2"):
        handler.write(logging.WARNING, "s2s_dead", {"click": name})
    await asyncio.wait_for(stream.written.wait(), 60)

    assert ["WARNING s2s_dead click=c1\nWARNING s2s_dead click=c2\n"] == said(stream)


async def test_what_another_thread_says_is_written_at_once(handler, logger, stream):
    """It can't wake the event loop, so it waits for nothing; what came before goes first."""
    logger.info("one")
    await asyncio.to_thread(logger.info, "two")

    assert ["INFO one\nINFO two\n"] == said(stream)


async def test_what_is_left_is_written_at_the_end(handler, logger, stream):
    """Python's logging flushes its handlers when the process ends."""
    logger.info("one")
    logging.shutdown([weakref.ref(handler)])

    assert (["INFO one\n"], True) == (said(stream), stream.is_closed)


async def test_nothing_is_written_where_nothing_was_said(handler, stream):
    """No empty lines."""
    handler.flush()

    assert [] == stream.writes


def test_what_comes_after_the_loop_s_end_is_written_at_once(logger):
    """Nobody would write it later."""

    async def make():
        return BatchHandler(Stream(), TextLines())

    handler = asyncio.run(make())
    logger.addHandler(handler)
    logger.info("late")

    assert ["INFO late\n"] == said(handler._writer)


async def test_an_exception_has_its_trace(handler, logger, stream):
    """Lines that are no click's are written as any handler writes them."""
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logger.exception("failed")

    assert said(stream)[0].startswith("ERROR failed\nTraceback (most recent call last):\n")


async def test_a_line_that_makes_no_text_harms_nobody(handler, logger, stream, capsys):
    """It is said in the log, not on stderr, whose reader may be stuck; and the next line is written."""
    handler.handle(logging.LogRecord("storehop", logging.WARNING, "", 0, "%d", ("no number",), None))
    logger.warning("next")

    failed, following = said(stream)
    assert failed.startswith("A log line of storehop could not be made: Traceback (most recent call last):\n")
    assert ("WARNING next\n", "") == (following, capsys.readouterr().err)


async def test_the_writer_knows_how_many_lines_it_gets(handler, logger, stream):
    """It counts what it drops."""
    for word in ("one", "two", "three"):
        logger.info(word)
    handler.flush()

    assert 3 == stream.lines


SAYINGS = {
    "direct": lambda log: log.answered(CLICK, DIRECT),
    "pass": lambda log: log.answered(CLICK, Pass(Reason.NO_RULE, app="com.x.y")),
    "delivered": lambda log: log.settled(Settled(CALL, Reply(200), Delivered(), 1, 0.034)),
    "dead": lambda log: log.settled(Settled(CALL, Reply(404), Dead(DeadReason.REJECTED), 1, 0.034)),
    "expired": lambda log: log.expired(("c1", "c2")),
}


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "JSON"])
@pytest.mark.parametrize("personal_data", [False, True], ids=["", "personal"])
@pytest.mark.parametrize("worker", [None, 2], ids=["", "worker"])
@pytest.mark.parametrize("say", SAYINGS.values(), ids=SAYINGS)
async def test_both_ways_write_the_same(logger, say, personal_data, as_json, worker):
    """A click's line past Python's logging is the line that logging would have written."""
    ways = []
    for is_direct in (False, True):
        stream = Stream()
        handler = BatchHandler(stream, LINES[as_json](worker))
        logger.handlers = [handler]
        say(ClickLog(personal_data=personal_data, lines=handler if is_direct else None))
        handler.flush()
        ways.append(TIME[as_json].subn("", stream.text))

    assert ways[0] == ways[1]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "JSON"])
async def test_both_ways_have_the_same_time(logger, monkeypatch, as_json):
    """To the millisecond, in the same notation."""
    now = 1_700_000_000_123_000_000
    monkeypatch.setattr(batches.time, "time", lambda: now / 1e9)
    monkeypatch.setattr(batches.time, "time_ns", lambda: now)
    texts = []
    for is_direct in (False, True):
        handler = BatchHandler(Stream(), LINES[as_json]())
        logger.handlers = [handler]
        ClickLog(lines=handler if is_direct else None).expired(("c1",))
        handler.flush()
        texts.append(handler._writer.text)

    assert texts[0] == texts[1]


async def test_a_level_that_is_not_shown_is_not_written(handler, logger, stream):
    """Whoever wants warnings alone gets no line for each click."""
    logger.setLevel(logging.WARNING)
    ClickLog(lines=handler).answered(CLICK, DIRECT)
    logger.setLevel(logging.ERROR)
    ClickLog(lines=handler).expired(("c1",))
    handler.flush()

    assert [] == stream.writes


async def test_a_click_s_line_as_json_is_an_object(logger, stream):
    """Fields stand for themselves."""
    handler = BatchHandler(stream, JsonLines())
    ClickLog(lines=handler).answered(CLICK, DIRECT)
    handler.flush()
    entry = json.loads(stream.text)

    assert ("direct", "c1", "info") == (entry["event"], entry["click"], entry["level"])


async def test_a_click_that_comes_while_another_thread_flushes_is_written():
    """Between the copy and the end of what it took, another line may come, which sees no need of a timer."""

    class Lines(list):
        def __getitem__(self, key):
            copy = list.__getitem__(self, key)
            if isinstance(key, slice) and threading.current_thread() is other:
                copied.set()
                added.wait(10)
            return copy

    copied, added, stream = threading.Event(), threading.Event(), Stream()
    handler = BatchHandler(stream, TextLines(None))
    handler._lines = Lines()
    other = threading.Thread(target=handler._add, args=("first",), kwargs={"is_urgent": False})
    other.start()
    assert await asyncio.to_thread(copied.wait, 10)

    handler.write(logging.INFO, "direct", {"click": "c1"})
    added.set()
    other.join()
    stream.written.clear()
    await asyncio.wait_for(stream.written.wait(), 10)

    assert "click=c1" in stream.text
