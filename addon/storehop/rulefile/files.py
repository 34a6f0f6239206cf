"""Files as they were found. Regular files only, of a bounded size; a look never waits for a pipe or a device.

A file is opened first and judged then, by the descriptor that is read: nothing can take its place in between.
Two looks are equal where status and bytes are: the clocks of file systems are coarse, and sizes often equal.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import time

LONGEST = 64 * 1024**2
"""Bytes of one file."""
COARSE = 3.0
"""Seconds within which a second change may leave a file's times as they are. FAT counts in steps of two."""
SUFFIXES = {".yaml", ".yml"}
_PART = 1024**2
"""Bytes of one read."""
OUTSIDE = "leads out of the folder of the rule file: expected a file below it"
NO_FILE = "is no regular file: expected a file, not a folder, pipe, socket or device"


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a file or folder found, enough to tell whether a later one finds the same."""

    path: Path
    status: tuple[int, ...]
    """Device, inode, size, time of change of the content and of anything else in ns; empty where there is none."""
    digest: bytes
    """Of the file's bytes, of the names of the folder's rule files, or of what was in the way."""
    age: float
    """Seconds since it changed, at the least."""
    beside: Path | None = None
    """The rule file below whose folder it has to lie."""

    def is_like(self, other: Look) -> bool:
        return (self.status, self.digest) == (other.status, other.digest)


type Stamp = tuple[Look, ...]
"""Everything that was read for a set of rules."""


@dataclass(frozen=True, slots=True)
class Found:
    """A look, and what it found: bytes, the names of a folder's rule files, or what was in the way."""

    look: Look
    content: bytes = b""
    names: tuple[str, ...] | None = None
    fault: str = ""


def find(path: Path, beside: Path | None = None) -> Found:
    """Reads the file, or the names of the folder. Never raises for what a path may lead to.

    With `beside`, only what lies below that rule file's folder is opened, both resolved.
    """
    if beside is None:
        return _open(path)
    real = _inside(path, beside)
    found = _open(path) if real else _missing(path, OUTSIDE)
    if real and found.look.status[:2] != _status(real)[:2]:  # a link was turned meanwhile
        found = _missing(path, OUTSIDE)
    return replace(found, look=replace(found.look, beside=beside))


def _inside(path: Path, beside: Path) -> Path | None:
    """Where the path leads, when that is below the folder of the rule file or of what the rule file leads to."""
    try:
        real, folders = path.resolve(), (beside.parent.resolve(), beside.resolve().parent)
    except (OSError, RuntimeError, ValueError):  # links that go in circles; a name that no file can have
        return path
    return real if any(map(real.is_relative_to, folders)) else None


def _open(path: Path) -> Found:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # a ValueError: no file can have that name
        return _missing(path, _why(error))
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            names = tuple(sorted(filter(_is_rule_file, os.listdir(descriptor))))  # noqa: PTH208  of what was opened
            return Found(_look(path, status, "\0".join(names).encode("utf-8", "surrogateescape")), names=names)
        if not stat.S_ISREG(status.st_mode):
            return Found(_look(path, status, b""), fault=NO_FILE)
        content = _bytes_of(descriptor)
    except OSError as error:
        return _missing(path, _why(error))
    finally:
        os.close(descriptor)
    too_long = f"is longer than {LONGEST // 1024**2} MB" if len(content) > LONGEST else ""
    return Found(_look(path, status, content), b"" if too_long else content, fault=too_long)


def found_again(seen: Stamp) -> bool:
    """Whether a second look finds every file as it was, to the byte."""
    return all(now.is_like(look) for now, look in zip(again(seen), seen, strict=True))


def still_current(seen: Stamp) -> Stamp | None:
    """The same files after a look that costs little; None where one of them changed."""
    glances = tuple([_glance(look) for look in seen])
    return None if None in glances else tuple(filter(None, glances))


def again(seen: Stamp) -> Stamp:
    """The same files, as they are now."""
    return tuple([find(look.path, look.beside).look for look in seen])


def content_of(seen: Stamp) -> tuple[tuple[Path, bytes], ...]:
    """What was read, whatever its times are: the same where files were only touched."""
    return tuple((look.path, look.digest) for look in seen)


def _glance(look: Look) -> Look | None:
    if _status(look.path) != look.status:
        return None
    if look.age > COARSE:
        return look
    now = find(look.path, look.beside).look
    return now if now.is_like(look) else None


def _bytes_of(descriptor: int) -> bytes:
    """The content, up to the first byte that is too many: what /proc holds has no size beforehand."""
    parts, left = [], LONGEST + 1
    while left and (part := os.read(descriptor, min(left, _PART))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _look(path: Path, status: os.stat_result, content: bytes) -> Look:
    age = min(map(_age, (status.st_mtime_ns, status.st_ctime_ns)))
    return Look(path, _numbers(status), hashlib.sha256(content).digest(), age)


def _age(changed: int) -> float:
    """Seconds since that time in ns, at the least: one of whole seconds may be of a clock that has no other."""
    age = abs(time() - changed / 1e9)
    return age if changed % 10**9 else max(0.0, age - COARSE)


def _missing(path: Path, why: str) -> Found:
    look = Look(path, _status(path), hashlib.sha256(why.encode()).digest(), age=inf)
    if why == OUTSIDE:
        return Found(look, fault=why)
    is_socket = look.status and why == os.strerror(errno.ENXIO)
    return Found(look, fault=NO_FILE if is_socket else f"cannot be read: {why}")


def _status(path: Path) -> tuple[int, ...]:
    try:
        return _numbers(path.stat())
    except (OSError, ValueError):
        return ()


def _numbers(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _is_rule_file(name: str) -> bool:
    """Hidden files are editors' and operating systems' own."""
    return Path(name).suffix in SUFFIXES and not name.startswith(".")
