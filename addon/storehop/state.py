"""Where storehop keeps what must outlive the process (the XDG Base Directory Specification's state folder)."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """`$XDG_STATE_HOME/storehop`, or `~/.local/state/storehop`. Not made here."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "storehop"


def outbox_path(folder: Path | None = None) -> Path:
    return (folder or state_folder()) / "outbox.db"
