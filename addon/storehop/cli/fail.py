"""How a command says no."""

from __future__ import annotations

from typing import NoReturn

import typer


def fail(message: str, code: int = 1) -> NoReturn:
    """One sentence on stderr and out. 1: what was asked for can't be done; 2: it was asked for wrongly."""
    typer.echo(f"storehop: {message}", err=True)
    raise typer.Exit(code)
