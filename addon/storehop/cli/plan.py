"""`storehop canary plan`: how long each step of a rollout must last for a rule's rate of clicks, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from storehop.canary.plan import DAY_MIN, HOUR_MIN, NEEDED, OBSERVE_MIN, Plan, Step, clicks_a_minute, rate_of_audit
from storehop.cli.check import load_or_fail
from storehop.cli.fail import fail
from storehop.cli.screen import Screen
from storehop.decide.rules import RuleSet
from storehop.options import RunOptions, row_of

LEAST_COLUMNS = 60
"""Of the table: a narrower terminal breaks its lines, and no figure is cut."""


def plan(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its name in the rule file.")],
    rate: Annotated[
        float | None, typer.Option(metavar="CLICKS", help="Its clicks a minute, those that can go direct.")
    ] = None,
    audit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The report of storehop audit --json, which has the rate.")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(metavar="PATH", envvar=row_of(RunOptions, "rules").variable, help="Rule file, to know the rule."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Say how long each step up to 100 % must last, and how many clicks are at risk in it. It changes nothing."""
    if rules:
        check_name(rule, load_or_fail(rules), rules)
    made = Plan.of(_rate(rule, rate, audit))
    if as_json:
        typer.echo(json.dumps({"rule": rule, **made.to_json()}))
        return
    screen = Screen(highlight=False, soft_wrap=True)
    screen.width = max(screen.width, LEAST_COLUMNS)
    screen.print(f"rule {rule}: {clicks_a_minute(made.rate)} that can go direct")
    screen.print(_table(made))
    for line in _says(made):
        screen.print(line)


def check_name(rule: str, rules: RuleSet, path: Path) -> None:
    """Exits with 2 where these rules, of this path, have no rule of this name."""
    names = [one.name for _, one in rules.rules]
    if rule not in names:
        near = get_close_matches(rule, names, n=1)
        fail(f"{path} has no rule {rule}: {f'did you mean {near[0]}?' if near else f'expected {", ".join(names)}'}", 2)


def _rate(rule: str, rate: float | None, audit: Path | None) -> float:
    if (rate is None) == (audit is None):
        fail("expected --rate or --audit", 2)
    if audit is None:
        if rate is None or not 0 < rate < 1e9:  # noqa: PLR2004  more than anybody has
            fail(f"--rate {rate:g}: expected clicks a minute, more than 0", 2)
        return rate
    try:
        return rate_of_audit(json.loads(audit.read_text()), rule)
    except OSError as error:
        fail(f"--audit {audit}: {error.strerror}", 2)
    except (AttributeError, KeyError, TypeError, RecursionError):
        fail(f"--audit {audit}: it is no report of storehop audit --json", 2)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        fail(f"--audit {audit}: it is no report of storehop audit --json: {error}", 2)
    except ValueError as error:
        fail(f"--audit {audit}: {error}", 2)


def _table(made: Plan) -> Table:
    table = Table("step", "at least", "direct clicks", "at risk", "bad clicks, if none is seen")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("observe", duration(OBSERVE_MIN), "0", "0", "")
    for step in made.steps:
        table.add_row(f"{step.percent:g} %", *_cells(step))
    return table


def _cells(step: Step) -> Iterable[str]:
    below = step.bad_below
    at_risk = f"{step.at_risk:,.0f}" if step.at_risk >= 1 else "< 1"
    if below is None:
        return "", "", at_risk, ""
    return duration(step.minutes), f"{step.clicks:,.0f}", at_risk, f"< {below * 100:.2g} %"


def _says(made: Plan) -> Iterable[str]:
    if made.advice:
        yield made.advice
    done = ", ".join(f"{step.percent:g} %" for step in made.in_an_hour)
    yield f"done in the first hour after observing: {done or 'no step'}"
    yield "at risk: clicks of one minute, in which the canary stops a rule that does harm; bad: with 95 % certainty"
    for change, clicks in NEEDED:
        long = duration(made.minutes_to_show(clicks))
        yield (
            f"a change of installs by {change * 100:+.0f} % shows after {clicks:,} clicks of each arm: {long} at 50 % "
            "(where 2 % of clicks install)"
        )


def duration(minutes: float) -> str:
    """`30 min`, `12.5 h`, `3 d`."""
    if minutes < 2 * HOUR_MIN:
        return f"{minutes:.0f} min"
    return f"{minutes / HOUR_MIN:.3g} h" if minutes < 2 * DAY_MIN else f"{minutes / DAY_MIN:,.0f} d"
