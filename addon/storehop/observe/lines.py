"""How a log line looks: text for people or a JSON object, and whose process it is."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]

CLICK_LOGGER = "storehop.click"
"""The logger of clicks' lines."""

type Fields = dict[str, object]


def without_none(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def in_words(event: str, fields: Fields) -> str:
    """An event and its fields, but for those that are None, as one line of text."""
    return (
        f"{event} {' '.join([f'{name}={_plain(str(value))}' for name, value in fields.items() if value is not None])}"
    )


def _plain(value: str) -> str:
    """The value, in quotes if it could be read as another field or line: strangers write their User-Agents."""
    return value if value.isprintable() and " " not in value else json.dumps(value)


class TextLines(logging.Formatter):
    """Time, level and words; `[worker 2]` before them where several processes write one log."""

    def __init__(self, worker: int | None = None) -> None:
        self._whose = f"[worker {worker}] " if worker else ""
        super().__init__(f"%(asctime)s %(levelname)s {self._whose}%(message)s")

    def of_click(self, now: float, level: int, event: str, fields: Fields) -> str:
        """The line that `format` makes of a click's event. A field that is None is left out."""
        second, fraction = divmod(now, 1)
        return (
            f"{_clock(int(second))},{int(fraction * 1000):03} {_LEVELS[level]} {self._whose}{in_words(event, fields)}"
        )


class JsonLines(logging.Formatter):
    """An object a line: time, level, process, logger, and a click's event and fields or the message of another."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._whose: Fields = without_none({"pid": os.getpid(), "worker": worker})
        whose = _in_json(self._whose)[1:-1]
        self._heads = {
            level: f'"level": "{name.lower()}", {whose}, "logger": "{CLICK_LOGGER}", "event": "'
            for level, name in _LEVELS.items()
        }

    def of_click(self, now: float, level: int, event: str, fields: Fields) -> str:
        """The line that `format` makes of a click's event. A field that is None is left out."""
        shown = without_none(fields) if None in fields.values() else fields
        return f'{{"time": "{_stamp(now)}", {self._heads[level]}{event}", {_in_json(shown)[1:]}'

    def format(self, record: logging.LogRecord) -> str:
        entry: Fields = {"time": _stamp(record.created), "level": record.levelname.lower(), **self._whose}
        entry["logger"] = record.name
        fields = getattr(record, "fields", None)
        if fields is None:
            entry["message"] = record.getMessage()
        else:
            entry |= {"event": getattr(record, "event", ""), **fields}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return _in_json(entry)


@lru_cache(maxsize=4)
def _clock(second: int) -> str:
    return time.strftime(logging.Formatter.default_time_format, time.localtime(second))


@lru_cache(maxsize=4)
def _utc(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _stamp(created: float) -> str:
    return f"{_utc(int(created))}.{int(created % 1 * 1000):03}+00:00"


# What json's own encoder makes anew for each call, which takes longer than a line.
_CHUNKS = c_make_encoder(None, str, encode_basestring_ascii, None, ": ", ", ", False, False, True)


def _in_json(fields: Fields) -> str:
    return "".join(_CHUNKS(fields, 0))


_LEVELS = {level: logging.getLevelName(level) for level in (logging.INFO, logging.WARNING)}
