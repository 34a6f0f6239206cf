"""Why nothing could be sent, in words for the log: the system's own, which hold nothing of a click."""

from __future__ import annotations

import os
import ssl

MAX_CHARACTERS = 200
"""A proxy chooses the words of its refusal."""


def cause_of(error: BaseException) -> str:
    """What the operating system, the resolver or TLS said first: `Name or service not known`; else the error's text."""
    root = error
    following: BaseException | None = error
    while following:
        if isinstance(following, OSError):
            root = following
        following = following.__cause__ or following.__context__  # httpcore hides the cause
    return plain(_words(root))


def plain(words: str) -> str:
    """One line, with an end."""
    return "".join(filter(str.isprintable, words))[:MAX_CHARACTERS]


def _words(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return str(getattr(error, "reason", None) or error).lower().replace("_", " ")
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case OSError(strerror=str(text)):  # the resolver's
            return text
    return str(error)
