"""The Lua script that moves an outbox's keys: the files of this folder, joined in the order of their names."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple


class Script(NamedTuple):
    """What Redis runs by EVAL, and by EVALSHA once it knows it."""

    text: str
    sha: str


@cache
def script(flags: str = "") -> Script:
    """The script with these flags, which the server heeds (Redis 7.0: "Script flags"). Without: it is no stranger's
    memory that a full server gives.
    """
    parts = sorted((one for one in resources.files(__package__).iterdir() if one.name.endswith(".lua")), key=str)
    text = "\n".join([f"#!lua flags={flags}" if flags else "#!lua", *(one.read_text() for one in parts)])
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
