"""Options in a file: `STOREHOP_NAME=value` lines, as systemd's EnvironmentFile and Docker's --env-file have them."""

from __future__ import annotations

from pathlib import Path

import typer

from storehop.cli.fail import fail
from storehop.options import RunOptions, rows

_NAMES = {row.variable: row.name for row in rows(RunOptions) if row.variable}


def read_defaults(context: typer.Context, file: Path | None) -> Path | None:
    """Takes the file's values as defaults: flags and the environment are stronger. Exits with 1 and every fault."""
    if file is None:
        return None
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--options {file}: cannot be read: {getattr(error, 'strerror', None) or error}")
    values, faults = {}, []
    for number, line in enumerate(map(str.strip, lines), 1):
        variable, is_set, value = line.partition("=")
        if not line or line.startswith("#"):
            continue
        if is_set and variable in _NAMES:
            values[_NAMES[variable]] = value.strip("\"'")
        else:
            faults.append(f"{file}:{number}: expected STOREHOP_NAME=value, an option of storehop run; not {variable!r}")
    if faults:
        fail("\n".join(faults))
    context.default_map = values
    return file
