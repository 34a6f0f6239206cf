"""What a server's error means, in a sentence for people, without what we sent: that may be a click or a password."""

from __future__ import annotations

import re

from redis.exceptions import AskError, AuthenticationError, MovedError, NoPermissionError
from redis.exceptions import TimeoutError as LateError

_ECHO = re.compile(r",? with args beginning with.*| script: \w+.*|(?<= on) @user_script.*", re.DOTALL)
"""An unknown command is shown with its arguments; a script's error with a number that says nothing."""
_ASKS_FOR_NONE = ("without any password configured", "no password is set")
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (NoPermissionError, "expected an ACL with the rights that the manual names"),
    (AuthenticationError, "expected the outbox's user and password"),
)


def meaning(error: Exception) -> str:
    """What the server says, and what to do where that does not say it; or why nothing came from it."""
    if isinstance(error, LateError):
        return "it does not answer in time"
    if isinstance(error.__context__, OSError):  # redis-py's own words name the address again
        return error.__context__.strerror or str(error.__context__)
    if isinstance(error, MovedError | AskError):
        return f"its slot is at {error.host}:{error.port} now; the URL of a cluster begins with redis+cluster://"
    text = _ECHO.sub("", str(error)).strip()
    if any(said in text for said in _ASKS_FOR_NONE):
        return "it has no password, and one was given"
    advice = next((said for kind, said in _ADVICE if isinstance(error, kind)), None)
    return f"{text.rstrip('.')}: {advice}" if advice else text
