"""`storehop run` as a command line of its own: the other commands' imports would keep the first click waiting.

`storehop.__main__` comes here. With what stands before `run`, such as --help, the command line as a whole answers.
"""

from __future__ import annotations

from typing import Any

import typer

from storehop.cli import run as running
from storehop.cli.parameters import with_run_options
from storehop.options import WEB


def command_line(**more: Any) -> typer.Typer:
    """What all commands have in common. `more` goes to typer as it is."""
    return typer.Typer(
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_show_locals=False,
        **more,
    )


app = command_line()


@app.command()
@with_run_options
def run(context: typer.Context, **values: object) -> None:
    """The sidecar: stands in front of the ad stack. SIGHUP reloads the rules, SIGTERM drains and ends it."""
    running.run(context, values)


def with_defaults(arguments: list[str]) -> list[str]:
    """The command line, with a value for a `--web` that has none: typer has no options with an optional value."""
    followers = [*arguments[1:], "--"]
    pairs = zip(arguments, followers, strict=False)
    return [f"--web={WEB}" if (word, after[:1]) == ("--web", "-") else word for word, after in pairs]
