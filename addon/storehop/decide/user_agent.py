"""A User-Agent in its parts (RFC 9110 §10.1.5): comments in parentheses, and fields between their semicolons.

Everything here takes time in proportion to the length, whatever a stranger writes.
"""

from __future__ import annotations

import re

MAX_OS_VERSION = 12
MAX_MODEL = 64
"""Characters of af_os_version and af_model (appsflyer-clicks.md §2.4)."""

_PARENTHESIS = re.compile(r"[()]")
_VERSION = re.compile(r"\d+(?:\.\d+)*+", re.ASCII)
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_NO_MODEL = frozenset({"", "k", "u", "wv", "unknown"})


def comments(user_agent: str) -> tuple[str, ...]:
    """The text of each outermost comment that is closed, with the comments within it."""
    found: list[str] = []
    depth = start = 0
    for hit in _PARENTHESIS.finditer(user_agent):
        if hit[0] == "(":
            if depth == 0:
                start = hit.end()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                found.append(user_agent[start : hit.start()])
    return tuple(found)


def fields(comment: str) -> list[str]:
    """What stands between a comment's semicolons, without the spaces around it."""
    return [field.strip() for field in comment.split(";")]


def os_version(text: str) -> str | None:
    """Numbers and dots, short enough for `af_os_version`; else None."""
    text = text.rstrip(".")
    return text if _VERSION.fullmatch(text) and len(text) <= MAX_OS_VERSION else None


def major(version: str) -> int:
    """The first number of a version."""
    return int(version.partition(".")[0])


def model(text: str) -> str | None:
    """A model fit for `af_model`: printable ASCII, and no word that stands for an unknown one; else None."""
    text = text.strip()
    if text.lower() in _NO_MODEL or len(text) > MAX_MODEL:
        return None
    return text if _PRINTABLE.fullmatch(text) else None
