"""Where commands show tables: a console that takes it well when nobody reads on, as in `storehop demo | head`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from rich.console import Console


class Screen(Console):
    """Rich's console; a reader that went away ends the command with 0, not with an error."""

    def on_broken_pipe(self) -> NoReturn:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be written goes nowhere
        raise SystemExit(0)
