"""Each line names its process."""

import json
import logging
import os

import pytest

from storehop.observe.lines import JsonLines, TextLines

RECORD = {"name": "storehop", "levelno": logging.INFO, "levelname": "INFO", "msg": "hello", "created": 0}


def record(**changes):
    return logging.makeLogRecord(RECORD | changes)


@pytest.mark.parametrize(("worker", "words"), [(None, "INFO hello"), (2, "INFO [worker 2] hello")])
def test_text_names_the_worker(worker, words):
    """Where there are several."""
    assert TextLines(worker).format(record()).endswith(f" {words}")


@pytest.mark.parametrize(("worker", "place"), [(None, {}), (2, {"worker": 2})])
def test_json_names_process_and_worker(worker, place):
    """Machines get both as numbers."""
    entry = json.loads(JsonLines(worker).format(record()))

    expected = {"time": "1970-01-01T00:00:00.000+00:00", "level": "info", "pid": os.getpid()}
    assert expected | place | {"logger": "storehop", "message": "hello"} == entry


def test_json_holds_a_traceback_in_a_field():
    """A line stays a line."""
    error = ValueError("why")
    line = JsonLines().format(record(exc_info=(ValueError, error, None)))

    assert (1, "ValueError: why") == (len(line.splitlines()), json.loads(line)["exception"])
