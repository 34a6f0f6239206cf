"""What is wrong with the machine of one server: its disk is slow, or its wall clock jumps.

A library before its own does it, told by a file: `RedisServer(prefix=fault.prefix)`. libfaketime ends Debian's
redis-server at its start: its jemalloc asks for the time.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.needs import need


@functools.cache
def _library() -> Path:
    """Made once by each test process."""
    compiler = need("gcc")
    folder = Path(tempfile.mkdtemp(prefix="storehop-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library, source = folder / "machine_faults.so", Path(__file__).with_suffix(".c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", source, "-o", library, "-ldl"]
    subprocess.run(command, check=True)
    return library


class _Fault:
    """The file holds milliseconds, and is read whenever the server does what they are about."""

    variable: str

    def __init__(self, folder: Path) -> None:
        self._path = folder / self.variable.lower()
        self._write(0)
        self.prefix = ("env", f"LD_PRELOAD={_library()}", f"{self.variable}={self._path}")

    def _write(self, milliseconds: float) -> None:
        next_one = self._path.with_suffix(".next")
        next_one.write_text(f"{milliseconds:.0f}")
        next_one.rename(self._path)  # nobody reads half of it


class SlowDisk(_Fault):
    """A disk whose fsync takes as long as it is told to."""

    variable = "STOREHOP_TEST_DISK"

    def delay(self, seconds: float) -> None:
        """By so much each fsync takes longer, from now on."""
        self._write(seconds * 1000)

    def hang(self) -> None:
        """Each fsync waits for the next `delay`."""
        self._write(-1)


class JumpingClock(_Fault):
    """A wall clock that is ahead of ours or behind it; what counts up is left alone."""

    variable = "STOREHOP_TEST_CLOCK"

    def jump(self, seconds: int) -> None:
        """So many seconds ahead of ours."""
        self._write(seconds * 1000)
