"""`storehop check`: every fault and warning of rule files at once, on stderr. Only faults make it exit with 1."""

from __future__ import annotations

from pathlib import Path

import typer

from storehop.decide.rules import RuleSet
from storehop.rulefile import read, summary
from storehop.settings import Canary


def load_or_fail(path: Path, *, warn: bool = False) -> RuleSet:
    """The rules; else prints every fault to stderr and exits with 1. `warn`: prints every warning too."""
    result = read(path)
    for message in (*result.faults, *(result.warnings if warn else ())):
        typer.echo(str(message), err=True)
    if result.rules is None:
        raise typer.Exit(1)
    return result.rules


def check(path: Path) -> RuleSet:
    """Prints a summary of the rules and a line for each rule; exits with 1 where we can't use them."""
    rules = load_or_fail(path, warn=True)
    typer.echo(f"{path}: {summary(rules)}")
    for _, rule in rules.rules:
        share = "" if rule.percent == 100 else f", {rule.percent:g} % of clicks"  # noqa: PLR2004  per cent
        canary = ", canary: auto" if rule.canary is Canary.AUTO else ""
        typer.echo(f"  {rule.name}: {rule.mode} to {rule.store}{share}{canary}")
    return rules
