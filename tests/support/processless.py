"""A guard: a test without the mark `process` can't start one. So `make quick` stays what it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

STARTS = frozenset({
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "subprocess.Popen",
})  # fmt: skip
"""The interpreter's audit events that come before a process is started, asyncio's included."""


class ProcessStartedError(AssertionError):
    """A test that does not say so was about to start a process."""


class _Guard:
    is_on = False
    has_hook = False


def _watch(event: str, _arguments: tuple[object, ...]) -> None:
    if _Guard.is_on and event in STARTS:
        raise ProcessStartedError(f"{event}: mark the test with pytest.mark.process")


@contextmanager
def no_process() -> Iterator[None]:
    """Within this, starting a process raises ProcessStartedError, in all threads."""
    if not _Guard.has_hook:
        sys.addaudithook(_watch)  # it stays for good: there is no way to take one away
        _Guard.has_hook = True
    _Guard.is_on = True
    try:
        yield
    finally:
        _Guard.is_on = False
