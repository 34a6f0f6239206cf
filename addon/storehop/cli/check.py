"""`storehop check`: rule files, with every fault and warning at once. Both go to stderr; only faults exit with 1."""

from __future__ import annotations

from pathlib import Path

import typer

from storehop.decide.rules import RuleSet
from storehop.rulefile import read, summary


def load_or_fail(path: Path, *, warn: bool = False) -> RuleSet:
    """The rules; every fault on stderr and exit 1 where they can't be used. `warn`: every warning too."""
    loaded = read(path)
    for said in (*loaded.faults, *(loaded.warnings if warn else ())):
        typer.echo(str(said), err=True)
    if loaded.rules is None:
        raise typer.Exit(1)
    return loaded.rules


def check(path: Path) -> None:
    rules = load_or_fail(path, warn=True)
    typer.echo(f"{path}: {summary(rules)}")
    for _, rule in rules.rules:
        share = "" if rule.percent == 100 else f", {rule.percent:g} % of clicks"  # noqa: PLR2004  per cent
        typer.echo(f"  {rule.name}: {rule.mode} to {rule.store}{share}")
