"""`storehop check`: rule files, with every fault at once."""

from __future__ import annotations

from pathlib import Path

import typer

from storehop.decide.rules import RuleSet
from storehop.rulefile import RuleFileError, load, summary


def load_or_fail(path: Path) -> RuleSet:
    """The rules; every fault on stderr and exit 1 where they can't be used."""
    try:
        return load(path)
    except RuleFileError as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(1) from error


def check(path: Path) -> None:
    rules = load_or_fail(path)
    typer.echo(f"{path}: {summary(rules)}")
    for _, rule in rules.rules:
        share = "" if rule.percent == 100 else f", {rule.percent:g} % of clicks"  # noqa: PLR2004  per cent
        typer.echo(f"  {rule.name}: {rule.mode} to {rule.store}{share}")
