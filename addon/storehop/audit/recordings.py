"""Opens a recording: what it is, its content says; then the reader of that format reads it.

A further format is one module in `readers`, one row in `_FORMATS`, and a name in `exchange.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import BinaryIO

from storehop.audit.exchange import (
    AUTO,
    FORMATS,
    Asked,
    Exchange,
    Known,
    Recording,
    RecordingError,
    TruncatedError,
    Unreadable,
)
from storehop.audit.opening import Source
from storehop.audit.readers import alb, cloudfront, combined, flows, haproxy, har, json_lines, tables
from storehop.audit.readers.reading import Reading

EMPTY = "empty"
"""The format of a recording in which nothing stands."""


@dataclass(frozen=True, slots=True)
class _Format:
    """How one format is told and read."""

    name: str
    looks_like: Callable[[bytes], bool]
    """Whether a recording that begins so is of this format."""
    read: Callable[[BinaryIO, Asked], Reading]


def _whole(name: str, module: ModuleType) -> _Format:
    """A format that says everything by itself: no columns."""

    def read(stream: BinaryIO, _asked: Asked) -> Reading:
        return Reading(name, module.KNOWS, module.read(stream))

    return _Format(name, module.looks_like, read)


_FORMATS = (
    _whole("mitm", flows),
    _whole("har", har),
    _Format(cloudfront.NAME, cloudfront.looks_like, cloudfront.read),
    _Format(alb.NAME, alb.looks_like, alb.read),
    _Format(haproxy.NAME, haproxy.looks_like, haproxy.read),
    _Format(json_lines.NAME, json_lines.looks_like, json_lines.read),
    _Format(combined.NAME, combined.looks_like, combined.read),
    _Format(tables.CSV, tables.looks_like, tables.read),
    _Format(tables.TSV, tables.looks_like, tables.read),
)
"""In the order in which they are tried."""
_LOGGERS = {
    "nginx": (json_lines, combined),
    "apache": (json_lines, combined),
    "envoy": (json_lines, combined),
    "traefik": (json_lines, combined),
    "haproxy": (json_lines, haproxy),
    "caddy": (json_lines,),
    "cloudflare": (json_lines,),
    "gcp": (json_lines,),
}
"""Names of programs that log in one of these; the first that it looks like, else the last."""


def open_recording(path: str, asked: Asked) -> Recording:
    """Opens the file at `path` (`-` is stdin).

    Raises RecordingError, here or while it is read: the file can't be read, nobody knows its format, or it can't know
    the links.
    """
    if asked.format not in FORMATS:
        raise RecordingError(f"format {asked.format!r}: expected one of {', '.join(FORMATS)}")
    source = Source(path)
    try:
        return _Opened(source, _reading(source, asked))
    except RecordingError as error:
        source.close()
        raise RecordingError(f"{source.name}: {error}") from error


def _reading(source: Source, asked: Asked) -> Reading:
    if not source.head.strip():
        return Reading(EMPTY, frozenset(Known), iter(()))
    if asked.format in _LOGGERS:
        readers = _LOGGERS[asked.format]
        reader = next((one for one in readers if one.looks_like(source.head)), readers[-1])
        reading: Reading = reader.read(source.stream, asked)
        return reading
    for one in _FORMATS:
        if asked.format == one.name or (asked.format == AUTO and one.looks_like(source.head)):
            return one.read(source.stream, asked)
    raise RecordingError(
        "nobody knows what this is. Expected a flow file of mitmproxy, a HAR, JSON lines, CSV or TSV, or a log of a web"
        f" server or a load balancer; --format says which: {', '.join(FORMATS)}"
    )


class _Opened:
    """See `exchange.Recording`."""

    def __init__(self, source: Source, reading: Reading) -> None:
        self._source = source
        self._reading = reading
        self.name = source.name
        self.format = reading.format
        self.knows = reading.knows

    @property
    def remarks(self) -> tuple[str, ...]:
        return (*self._reading.remarks, *self._source.remarks)

    @property
    def sha256(self) -> str:
        return self._source.sha256

    @property
    def is_truncated(self) -> bool:
        return self._source.is_truncated

    @property
    def read_bytes(self) -> int:
        return self._source.read_bytes

    @property
    def total_bytes(self) -> int | None:
        return self._source.total_bytes

    def __iter__(self) -> Iterator[Exchange | Unreadable]:
        try:
            try:
                yield from self._reading.exchanges
            except TruncatedError:
                self._source.is_truncated = True
            self._source.finish()
        finally:
            self._source.close()
