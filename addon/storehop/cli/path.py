"""`storehop path`: where the shipped files lie, and what each one is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import typer

from storehop.assets import asset, assets
from storehop.cli.fail import fail

_OF_JSON = {
    "rules/storehop.schema.json": "JSON Schema of rule files, for editors",
    "rules/monitoring/grafana.json": "Dashboard for Grafana: import it",
}
"""JSON has no comment that could say it."""
_DIRECTIVE = re.compile(r"# (yaml-language-server:|syntax=)")
"""A line for programs."""
_MARKS = " #\"'"


def path(name: str) -> None:
    """Prints the path of this one, and nothing else; a name that is none: exit 1, and on stderr all that there are."""
    try:
        typer.echo(asset(name))
    except FileNotFoundError as error:
        fail(f"{error}. There are:\n{listing()}")


def listing() -> str:
    """Every shipped file, a line each: its name and what it is."""
    files = {name: file for name, file in assets().items() if file.is_file()}
    width = max(map(len, files))
    return "\n".join(f"{name:{width}}  {what_it_is(name, file)}" for name, file in files.items())


def what_it_is(name: str, file: Path) -> str:
    """In some words: what its first line says, up to a full stop or colon."""
    if file.suffix == ".json":
        return _OF_JSON.get(name) or str(json.loads(file.read_text()).get("title", ""))
    lines = (line.strip(_MARKS) for line in file.read_text().splitlines() if not _DIRECTIVE.match(line))
    first = next(filter(None, lines), "")
    return re.split(r"[.:;](?: |$)", first)[0]
