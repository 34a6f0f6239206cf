"""A command's parameters, made from the table of options: flags, environment variables, help."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer

from storehop.cli.fail import fail
from storehop.cli.option_file import read_defaults
from storehop.options import Row, RunOptions, row_of, rows


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `context` and a parameter for each of `RunOptions`, which it gets as keywords.

    A value is what the user wrote: text where the option has a `read`, None where it is not set at all.
    """
    context = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *(_parameter(row) for row in rows(RunOptions))]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return command


def run_option(name: str) -> Any:
    """The flag and environment variable of this option of `RunOptions`, for a command of another kind."""
    return _flag(row_of(RunOptions, name))


def read_value(name: str, value: Any) -> Any:
    """What the user wrote for this option of `RunOptions`, in a command of another kind. Exits with 2."""
    row = row_of(RunOptions, name)
    if value is None or row.option.read is None:
        return value
    try:
        return row.option.read(value)
    except ValueError as error:
        fail(f"{row.flag} {value!r}: {error}", 2)


def _flag(row: Row) -> Any:
    option = row.option
    is_file_of_options = row.name == "options"
    return typer.Option(
        row.flag,
        metavar=option.metavar,
        envvar=row.variable,
        help=option.help,
        min=option.least,
        max=option.most,
        hidden=not option.is_for_users,
        is_eager=is_file_of_options,  # the others are read after it
        callback=read_defaults if is_file_of_options else None,
        show_default=option.shown_default or True,
    )


def _parameter(row: Row) -> Parameter:
    default = None if row.option.shown_default else row.default
    kind = row.type
    if row.option.read:
        kind = str if default is not None or row.is_required else str | None
        default = None if default is None else str(default)
    return Parameter(
        row.name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if row.is_required else default,
        annotation=Annotated[kind, _flag(row)],
    )
