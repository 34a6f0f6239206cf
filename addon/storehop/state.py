"""Where storehop keeps what must outlive the process (the XDG Base Directory Specification's state folder)."""

from __future__ import annotations

import os
import re
from pathlib import Path

VARIABLES = "STOREHOP_"
"""Every environment variable of ours begins so."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SQLITE = "sqlite:///"
_SHARED = re.compile(r"rediss?(\+[a-z]*)?://")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):[0-9]+([,/].*)?")
_EXPECTED = "expected a path, sqlite:///path, redis://host, redis+sentinel://host,…/name or redis+cluster://host,…"


def state_folder() -> Path:
    """`$STOREHOP_STATE`, `$XDG_STATE_HOME/storehop` or `~/.local/state/storehop`. Does not make it.

    A user without a home has `/var/lib/storehop` (Filesystem Hierarchy Standard §5.8).
    """
    if own := os.environ.get(f"{VARIABLES}STATE"):
        return Path(own)
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home) / "storehop"
    try:
        return Path.home() / ".local" / "state" / "storehop"
    except RuntimeError:
        return Path("/var/lib/storehop")


def outbox_path(folder: Path | None = None) -> Path:
    return (folder or state_folder()) / "outbox.db"


def is_shared(location: str) -> bool:
    """Whether an outbox lies on a server, by its URL: `storehop.deliver.redis.place` reads the rest of it."""
    return _SHARED.match(location) is not None


def outbox_file(location: str) -> Path:
    """The file of an outbox that a path or `sqlite:///path` names; the URL's path is absolute, `~` is the home folder.

    Raises ValueError that says what was expected.
    """
    path = location
    if _URL.match(location):
        path = "/" + location.removeprefix(_SQLITE).lstrip("/")
        if not location.startswith(_SQLITE) or path == "/":
            raise ValueError(_EXPECTED)
    elif not location:
        raise ValueError(_EXPECTED)
    elif _ADDRESS.fullmatch(location):
        raise ValueError(f"{_EXPECTED}; an address needs redis:// before it; ./ names a file")
    return Path(path).expanduser()


def parse_outbox(text: str) -> str:
    """The path or URL of an outbox, as it is. Raises ValueError that says what was expected."""
    if not is_shared(text):
        outbox_file(text)
    return text


def parse_outbox_name(text: str) -> str:
    """What the keys of a shared outbox begin with, as it is. Raises ValueError that says what was expected."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text):
        raise ValueError("expected only A-Z a-z 0-9 _ . -, 1 to 64 characters")
    return text
