"""How a file was when it was read: one stat, no events to miss (works with ConfigMap symlinks too)."""

from __future__ import annotations

from pathlib import Path

type FileStamp = tuple[Path, int, int, int]
"""Path, inode, modification time in ns, size; zeros for a missing file."""
type Stamp = tuple[FileStamp, ...]


def stamp_of(file: Path) -> FileStamp:
    try:
        found = file.stat()
    except (OSError, ValueError):  # a ValueError: no file can have that name
        return file, 0, 0, 0
    return file, found.st_ino, found.st_mtime_ns, found.st_size


def is_current(seen: Stamp) -> bool:
    """Whether every file, and the folder that holds them, is as it was."""
    return all(stamp_of(stamp[0]) == stamp for stamp in seen)
