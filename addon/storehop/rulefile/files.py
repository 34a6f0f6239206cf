"""Reads files and notices their changes. Regular files of a bounded size only; never waits for a pipe or a device.

We open a file first and check its kind by the open descriptor, so nothing can be swapped in between. Two looks are
equal if status and bytes are equal: times alone do not tell, since the clocks of file systems are coarse.
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

MAX_FILE_BYTES = 64 * 1024**2
"""A longer file is a fault."""
COARSE_CLOCK_S = 3.0
"""A second change within this time may leave a file's times as they are. FAT counts in steps of two seconds."""
SUFFIXES = {".yaml", ".yml"}
_READ_BYTES = 1024**2
"""Bytes of one system call."""
OUTSIDE = "leads out of the folder of the rule file: expected a file below it"
NO_FILE = "is no regular file: expected a file, not a folder, pipe, socket or device"


@dataclass(frozen=True, slots=True)
class Look:
    """The state of a file or folder at one time: enough to tell whether it has changed later."""

    path: Path
    status: tuple[int, ...]
    """Device, inode, size, mtime and ctime in ns; empty where there is no file."""
    digest: bytes
    """SHA-256 of the file's bytes, of the names of the folder's rule files, or of the reason why neither is there."""
    age: float
    """Seconds since the last change, at the least."""
    rule_file: Path | None = None
    """For an app file, the rule file that names it: the app file must lie below the rule file's folder."""

    def is_like(self, other: Look) -> bool:
        """Whether both saw the same file with the same bytes."""
        return (self.status, self.digest) == (other.status, other.digest)


type Stamp = tuple[Look, ...]
"""The state of every file that a set of rules was read from."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a path leads to: a file's bytes, the names of a folder's rule files, or why it is neither (`fault`)."""

    look: Look
    content: bytes = b""
    names: tuple[str, ...] | None = None
    fault: str = ""


def read(path: Path, rule_file: Path | None = None) -> Entry:
    """Reads the file, or the names in the folder. Never raises: whatever is wrong with the path is in `fault`.

    With `rule_file`, opens only what lies below that file's folder. Links are resolved first.
    """
    if rule_file is None:
        return _open(path)
    real = _inside(path, rule_file)
    entry = _open(path) if real else _missing(path, OUTSIDE)
    if real and entry.look.status[:2] != _status(real)[:2]:  # somebody changed a link meanwhile
        entry = _missing(path, OUTSIDE)
    return replace(entry, look=replace(entry.look, rule_file=rule_file))


def _inside(path: Path, rule_file: Path) -> Path | None:
    """The resolved path; None unless it is below the folder of the rule file, or of the file that this links to."""
    try:
        real, folders = path.resolve(), (rule_file.parent.resolve(), rule_file.resolve().parent)
    except (OSError, RuntimeError, ValueError):  # a circle of links, or a name that no file can have
        return path
    return real if any(map(real.is_relative_to, folders)) else None


def _open(path: Path) -> Entry:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # a ValueError: no file can have that name
        return _missing(path, _why(error))
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            names = tuple(sorted(filter(_is_rule_file, os.listdir(descriptor))))  # noqa: PTH208  of what was opened
            return Entry(_look(path, status, "\0".join(names).encode("utf-8", "surrogateescape")), names=names)
        if not stat.S_ISREG(status.st_mode):
            return Entry(_look(path, status, b""), fault=NO_FILE)
        content = _bytes_of(descriptor)
    except OSError as error:
        return _missing(path, _why(error))
    finally:
        os.close(descriptor)
    too_long = f"is longer than {MAX_FILE_BYTES // 1024**2} MB" if len(content) > MAX_FILE_BYTES else ""
    return Entry(_look(path, status, content), b"" if too_long else content, fault=too_long)


def are_unchanged(stamp: Stamp) -> bool:
    """Whether every file is as it was, to the byte. Reads all of them."""
    return all(new_look.is_like(look) for new_look, look in zip(look_again(stamp), stamp, strict=True))


def still_current(stamp: Stamp) -> Stamp | None:
    """A new stamp, if no file changed; else None. Reads only the files that changed a moment ago."""
    glances = tuple([_glance(look) for look in stamp])
    return None if None in glances else tuple(filter(None, glances))


def look_again(stamp: Stamp) -> Stamp:
    """A stamp of the same files as they are now. Reads all of them."""
    return tuple([read(look.path, look.rule_file).look for look in stamp])


def content_of(stamp: Stamp) -> tuple[tuple[Path, bytes], ...]:
    """The content of the files without their times: equal if files were only touched."""
    return tuple((look.path, look.digest) for look in stamp)


def _glance(look: Look) -> Look | None:
    if _status(look.path) != look.status:
        return None
    if look.age > COARSE_CLOCK_S:
        return look
    new_look = read(look.path, look.rule_file).look
    return new_look if new_look.is_like(look) else None


def _bytes_of(descriptor: int) -> bytes:
    """The content, up to the first byte that is too many. Files in /proc do not say their size."""
    parts, remaining = [], MAX_FILE_BYTES + 1
    while remaining and (part := os.read(descriptor, min(remaining, _READ_BYTES))):
        parts.append(part)
        remaining -= len(part)
    return b"".join(parts)


def _look(path: Path, status: os.stat_result, content: bytes) -> Look:
    age = min(map(_age, (status.st_mtime_ns, status.st_ctime_ns)))
    return Look(path, _numbers(status), hashlib.sha256(content).digest(), age)


def _age(changed: int) -> float:
    """Seconds since `changed` (ns), at the least. A time in whole seconds may come from a coarse clock."""
    age = abs(time() - changed / 1e9)
    return age if changed % 10**9 else max(0.0, age - COARSE_CLOCK_S)


def _missing(path: Path, why: str) -> Entry:
    look = Look(path, _status(path), hashlib.sha256(why.encode()).digest(), age=inf)
    if why == OUTSIDE:
        return Entry(look, fault=why)
    is_socket = look.status and why == os.strerror(errno.ENXIO)
    return Entry(look, fault=NO_FILE if is_socket else f"cannot be read: {why}")


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
    """Whether a folder's file is a rule file. Hidden files belong to editors and operating systems."""
    return Path(name).suffix in SUFFIXES and not name.startswith(".")
