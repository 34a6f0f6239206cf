"""`storehop canary`: which rules are stopped, stop one or all, let them go on (design §11). The stops are the outbox's
marks: each process on it reads them, and a command needs no running storehop.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from storehop.canary.roll_call import Present
from storehop.canary.stop import BY_HAND, MARK_PREFIX, Resumed, Stop, in_one_line
from storehop.canary.stops import in_words, name_of, when
from storehop.cli import plan
from storehop.cli.asked import Asked, with_outbox_options
from storehop.cli.canary_lines import RESUMED_FOR_S, facts, lines, of_rule
from storehop.cli.fail import fail
from storehop.cli.opened import Opened, State, Where, Yes, confirm, opened
from storehop.cli.roll_call import call_roll, doubts, holds, in_general
from storehop.decide.rules import EVERY_RULE
from storehop.deliver.tickets import OutboxError
from storehop.rulefile import read

app = typer.Typer(no_args_is_help=True, help="Rules that are stopped: which, why, stop them, let them go on.")
app.command("plan")(plan.plan)

KNOWN_S = 2.0
"""Within that every running process knows of a stop, or of its end."""
LOOK_S = 0.5
"""Between two looks at what is pending."""
STUCK_S = 30.0
"""Without a delivery for so long nobody seems to deliver."""

Rule = Annotated[str, typer.Argument(metavar="RULE", help="Its name in the rule file.")]


@app.command()
@with_outbox_options
def status(
    asked: Asked,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Show this rule alone.")] = "",
    outbox: Where = None,
    state: State = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Show which rules are stopped, since when and why; and how those do that a canary watches."""
    with opened(asked, outbox, state) as stored:
        marks = stored.run(stored.outbox.marks())
        present = _present(stored)
    if as_json:
        typer.echo(json.dumps(facts(marks, rule, None if isinstance(present, str) else present)))
        return
    typer.echo("\n".join(lines(marks, rule)))
    if present and not isinstance(present, str):
        typer.echo(in_general(present, stored.outbox.where))
    for doubt in _doubts(of_rule(marks, rule), present, stored.outbox.where):
        typer.echo(f"storehop: {doubt}", err=True)


@app.command()
@with_outbox_options
def stop(
    asked: Asked,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its name in the rule file; without it all rules.")] = "",
    because: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the log and for status.")] = "",
    outbox: Where = None,
    state: State = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when all stored clicks are delivered.")] = False,
    yes: Yes = False,
) -> None:
    """Let all clicks of a rule pass, in every process on this outbox, until it is resumed."""
    name = rule or EVERY_RULE
    if name != EVERY_RULE:
        _check(name, asked.rules)
    with opened(asked, outbox, state) as stored:
        if name == EVERY_RULE:
            confirm("Stop all rules?", yes=yes)
        _stop(stored, Stop(name, time.time(), BY_HAND, in_one_line(because) or "a person stopped it"))
        present = _present(stored)
        if present and not isinstance(present, str):
            for line in holds(name, present):
                typer.echo(line)
        elif name != EVERY_RULE and asked.rules is None:
            typer.echo(f"storehop: rule {name} is taken as it is written: --rules would check it", err=True)
        for doubt in _doubts({f"{MARK_PREFIX}{name}": ""}, present, stored.outbox.where):
            typer.echo(f"storehop: {doubt}", err=True)
        if wait:
            _wait(stored)


@app.command()
@with_outbox_options
def resume(
    asked: Asked,
    because: Annotated[str, typer.Option(metavar="TEXT", help="Why it is well again, for the log.")],
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its name in the rule file.")] = "",
    outbox: Where = None,
    state: State = None,
    every: Annotated[bool, typer.Option("--all", help="Every rule that is stopped.")] = False,
) -> None:
    """Let a stopped rule go on as its rule file says. Only a person does that, and says why."""
    reason = in_one_line(because)
    if every == bool(rule) or not reason:
        fail("expected a RULE or --all, and --because with a reason", 2)
    with opened(asked, outbox, state) as stored:
        marks = stored.run(stored.outbox.marks())
        stops = Stop.of_marks(marks)
        if not every and rule not in stops:
            fail("\n".join((f"{name_of(rule)} is not stopped", *_hints(stops))))
        if not stops:
            fail("no rule is stopped")
        for one in stops.values() if every else (stops[rule],):
            resumed = Resumed(one.rule, time.time(), reason, one.since)
            stored.run(stored.outbox.mark(resumed.mark, resumed.to_text()))  # first: who sees the end knows why
            stored.run(stored.outbox.unmark(one.mark))
            typer.echo(_goes_on(one.rule, is_all_stopped=EVERY_RULE in stops and not every))
        _tidy(stored, marks)


# what is said


def _what_happens(name: str, pending: int) -> str:
    calls = "1 stored click is" if pending == 1 else f"{pending} stored clicks are"
    whose = "all clicks" if name == EVERY_RULE else f"all clicks of rule {name}"
    return (
        f"stopped: within {KNOWN_S:g} seconds {whose} pass, in every process on this outbox, over restarts, too\n"
        f"{calls} still delivered; the same click again within 10 s gets its earlier answer\n"
        f"to go on: storehop canary resume {'--all' if name == EVERY_RULE else name} --because 'what was mended'"
    )


def _goes_on(rule: str, *, is_all_stopped: bool) -> str:
    if is_all_stopped:
        return f"{name_of(rule)}: its own stop is over, but all rules are stopped: resume --all ends that"
    go_on = "go on" if rule == EVERY_RULE else "goes on"
    return f"{name_of(rule)}: {go_on} within {KNOWN_S:g} seconds in every process on this outbox"


def _doubts(marks: Mapping[str, str], present: list[Present] | str, where: str) -> Iterable[str]:
    """Why the stops among these marks may not do what people think."""
    if isinstance(present, str):
        yield f"{where} can't be asked who runs on it: {present}"
    elif not present:
        yield in_general(present, where)
    else:
        for rule in Stop.of_marks(marks):
            yield from doubts(rule, present)


def _hints(stops: Mapping[str, Stop]) -> Iterable[str]:
    """What is stopped instead."""
    if EVERY_RULE in stops:
        yield "all rules are stopped by one stop: resume --all ends it"
    for one in stops.values():
        yield f"  {in_words(one)}"


# what is done


def _stop(stored: Opened, made: Stop) -> None:
    try:
        before = Stop.of_marks(stored.run(stored.outbox.marks())).get(made.rule)
        if before:
            typer.echo(f"{in_words(before)}, since {when(before.since)} already")
            return
        stored.run(stored.outbox.mark(made.mark, made.to_text()))
    except OutboxError as error:
        fail(
            f"{stored.outbox.where}: {error}\n{name_of(made.rule)} {'are' if made.rule == EVERY_RULE else 'is'} NOT"
            " stopped: try again, or write `mode: observe` into the rule file, which needs no outbox"
        )
    typer.echo(_what_happens(made.rule, len(stored.rows(dead=False))))


def _present(stored: Opened) -> list[Present] | str:
    """Who runs on this outbox; or why it takes no question, though it may be read."""
    try:
        return call_roll(stored)
    except OutboxError as error:
        return str(error)


def _check(name: str, rules: Path | None) -> None:
    """Exits with 2 where the rule files know no such rule. Files that can't be used keep nobody from a stop."""
    if rules is None:
        return
    result = read(rules)
    if result.rules is None:
        typer.echo(f"storehop: {rules} can't be used now, so rule {name} is taken as it is written", err=True)
        return
    plan.check_name(name, result.rules, rules)


def _wait(stored: Opened) -> None:
    """Returns when nothing is pending: what processes answered before they knew of the stop included."""
    known = changed = time.monotonic()
    known += KNOWN_S
    before, is_warned = -1, False
    while True:
        pending, now = len(stored.rows(dead=False)), time.monotonic()
        if pending == 0 and now >= known:
            typer.echo("nothing is pending")
            return
        if pending != before:
            typer.echo(f"{pending} pending", err=True)
            before, changed, is_warned = pending, now, False
        if now - changed > STUCK_S and not is_warned:
            typer.echo(f"storehop: {pending} pending, and none delivered for {STUCK_S:g} s: does one run?", err=True)
            is_warned = True
        time.sleep(LOOK_S)


def _tidy(stored: Opened, marks: Mapping[str, str]) -> None:
    """Takes away what is too old to be shown."""
    for one in Resumed.of_marks(marks).values():
        if one.at < time.time() - RESUMED_FOR_S:
            stored.run(stored.outbox.unmark(one.mark))
