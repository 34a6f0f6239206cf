"""A recording as it lies there: a file or stdin, packed or not, as one stream of bytes that is read once.

What is counted and hashed are the file's own bytes. What is packed is told by its first bytes, never by its name.
A file that ends in the middle, or is broken there, gives what stood before.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

from storehop.audit.exchange import RecordingError
from storehop.audit.others import advice_on

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

STDIN = "-"
HEAD_BYTES = 65536
"""What a format is told by."""
_CHUNK_BYTES = 262144
_UNPACKED_BYTES = 1 << 20
"""Most that is unpacked at once, however well it was packed."""
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
"""Behind a byte from 0x50 to 0x5f."""
_BOM = b"\xef\xbb\xbf"


class Source:
    """An opened recording's bytes, unpacked, without a byte order mark."""

    def __init__(self, path: str) -> None:
        """Raises RecordingError for a file that can't be opened or unpacked."""
        self.name = STDIN if path == STDIN else Path(path).name
        self.read_bytes = 0
        self.total_bytes: int | None = None
        self.is_truncated = False
        self.remarks: list[str] = []
        self._hash = hashlib.sha256()
        self._file = self._open(path)
        self._raw = self._chunks()
        try:
            pieces = self._unpacked()
            head = _gather(pieces, HEAD_BYTES).removeprefix(_BOM)
            self._refuse_others(head)
        except RecordingError:
            self.close()
            raise
        self.head = head[:HEAD_BYTES]
        """The first bytes of `stream`; empty where there is nothing at all."""
        self.stream: BinaryIO = io.BufferedReader(_Pieces(chain([head], pieces)), _CHUNK_BYTES)

    @property
    def sha256(self) -> str:
        """Of what was read so far: of the whole file once `finish` was called."""
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Reads on to the file's end, for its hash, and closes it."""
        for _ in self._raw:
            pass
        self.close()

    def _refuse_others(self, head: bytes) -> None:
        if advice := advice_on(head):
            raise RecordingError(f"{self.name}: {advice}")

    def close(self) -> None:
        if self._file is not sys.stdin.buffer:
            self._file.close()

    def _open(self, path: str) -> BinaryIO:
        if path == STDIN:
            return sys.stdin.buffer
        try:
            file = Path(path).open("rb", buffering=0)  # noqa: SIM115  the recording closes it
            status = os.fstat(file.fileno())
        except (OSError, ValueError) as error:
            raise RecordingError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        if stat.S_ISREG(status.st_mode):
            self.total_bytes = status.st_size
        return file

    def _chunks(self) -> Iterator[bytes]:
        """The file's own bytes."""
        while chunk := self._read():
            self.read_bytes += len(chunk)
            self._hash.update(chunk)
            yield chunk

    def _read(self) -> bytes:
        read = getattr(self._file, "read1", self._file.read)  # a pipe gives what it has
        try:
            return bytes(read(_CHUNK_BYTES))
        except (OSError, ValueError) as error:
            raise RecordingError(f"{self.name}: can't be read: {getattr(error, 'strerror', None) or error}") from error

    def _unpacked(self) -> Iterator[bytes]:
        first = _gather(self._raw, len(_ZSTD))
        chunks = chain([first], self._raw)
        if first.startswith(_GZIP):
            return self._unpack(chunks, _Gzip)
        if _is_zstd(first):
            return self._unpack(chunks, _Zstd)
        return chunks

    def _unpack(self, chunks: Iterator[bytes], member: type[_Gzip | _Zstd]) -> Iterator[bytes]:
        """Members (gzip) or frames (zstd) stand one behind the other."""
        packed: _Unpacker = member()
        is_inside = False
        given = 0
        rest = b""
        for chunk in chunks:
            data = rest + chunk
            rest = b""
            while data or not packed.needs_input:
                if not is_inside and len(data) < len(_ZSTD):
                    rest = data
                    break
                if not is_inside and not member.begins(data):
                    if data.strip(b"\0"):
                        self.remarks.append("what follows behind the packed part was left out")
                    return
                try:
                    piece = packed.unpack(data)
                except (zlib.error, ZstdError) as error:
                    if not given:
                        raise RecordingError(f"{self.name}: can't be unpacked: {error}") from error
                    self.is_truncated = True
                    return
                data, is_inside = b"", True
                given += len(piece)
                if piece:
                    yield piece
                if packed.eof:
                    data, packed, is_inside = packed.unused, member(), False
        self.is_truncated = is_inside or bool(rest.strip(b"\0"))


class _Unpacker(Protocol):
    """One packed member, unpacked in pieces."""

    @property
    def needs_input(self) -> bool: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused(self) -> bytes: ...
    def unpack(self, data: bytes) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._holds_more = False

    @staticmethod
    def begins(data: bytes) -> bool:
        return data.startswith(_GZIP)

    @property
    def needs_input(self) -> bool:
        return not self._member.unconsumed_tail and not self._holds_more

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused(self) -> bytes:
        return self._member.unused_data

    def unpack(self, data: bytes) -> bytes:
        piece = self._member.decompress(self._member.unconsumed_tail + data, _UNPACKED_BYTES)
        self._holds_more = len(piece) == _UNPACKED_BYTES and not self._member.eof
        return piece


class _Zstd:
    def __init__(self) -> None:
        self._frame = ZstdDecompressor()

    @staticmethod
    def begins(data: bytes) -> bool:
        return _is_zstd(data)

    @property
    def needs_input(self) -> bool:
        return self._frame.needs_input or self._frame.eof

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused(self) -> bytes:
        return self._frame.unused_data

    def unpack(self, data: bytes) -> bytes:
        return self._frame.decompress(data, _UNPACKED_BYTES)


def _is_zstd(data: bytes) -> bool:
    return data.startswith(_ZSTD) or (data[1:4] == _ZSTD_SKIPPABLE and data[:1] in b"PQRSTUVWXYZ[\\]^_")


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file. An empty piece ends nothing."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader hands in
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count


def _gather(pieces: Iterator[bytes], count: int) -> bytes:
    """At least this many bytes, where there are that many."""
    gathered = bytearray()
    while len(gathered) < count and (piece := next(pieces, None)) is not None:
        gathered += piece
    return bytes(gathered)
