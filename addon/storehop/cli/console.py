"""A console for what people may cut short."""

from __future__ import annotations

import rich.console


class Console(rich.console.Console):
    """Ends the command with 0 where its reader has seen enough (`… | head`), so that make sees no fault in it."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(0) from None
