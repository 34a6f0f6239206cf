"""A User-Agent in its parts (RFC 9110 §10.1.5): comments in parentheses, and fields between their semicolons.

Every function here is linear in the length of the text, whatever a stranger writes.
"""

from __future__ import annotations

import re

MAX_OS_VERSION_CHARACTERS = 12
MAX_MODEL_CHARACTERS = 64
"""Longest values of af_os_version and af_model (appsflyer-clicks.md §2.4)."""

_PARENTHESIS = re.compile(r"[()]")
_VERSION = re.compile(r"\d+(?:\.\d+)*+", re.ASCII)
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_NO_MODEL = frozenset({"", "k", "u", "wv", "unknown"})


def comments(user_agent: str) -> tuple[str, ...]:
    """The text of each outermost comment that is closed, including the comments within it."""
    texts: list[str] = []
    depth = start = 0
    for parenthesis in _PARENTHESIS.finditer(user_agent):
        if parenthesis[0] == "(":
            if depth == 0:
                start = parenthesis.end()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                texts.append(user_agent[start : parenthesis.start()])
    return tuple(texts)


def fields(comment: str) -> list[str]:
    """The fields between a comment's semicolons, without the spaces around them."""
    return [field.strip() for field in comment.split(";")]


def os_version(text: str) -> str | None:
    """The version, if it is numbers and dots and short enough for `af_os_version`; else None."""
    text = text.rstrip(".")
    return text if _VERSION.fullmatch(text) and len(text) <= MAX_OS_VERSION_CHARACTERS else None


def major(version: str) -> int:
    """The first number of a version."""
    return int(version.partition(".")[0])


def model(text: str) -> str | None:
    """The model, if it is printable ASCII, short enough, and no word for an unknown model; else None."""
    text = text.strip()
    if text.lower() in _NO_MODEL or len(text) > MAX_MODEL_CHARACTERS:
        return None
    return text if _PRINTABLE.fullmatch(text) else None
