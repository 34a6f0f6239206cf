"""`storehop outbox`: the stored clicks, pending and dead, and what to do about them (design §5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import track

from storehop.cli.asked import Asked, with_outbox_options
from storehop.cli.fail import fail
from storehop.cli.opened import Opened, State, Where, Yes, age, confirm, opened
from storehop.deliver.operations import StoredCall
from storehop.deliver.outbox import Outbox
from storehop.deliver.tickets import OutboxError
from storehop.durations import parse_duration

app = typer.Typer(no_args_is_help=True, help="The stored clicks: pending, dead and why.")

BATCH = 100
"""Calls that are changed at once: more would hold up the clicks of all hosts that share the outbox."""


@app.command("list")
@with_outbox_options
def list_calls(
    asked: Asked,
    outbox: Where = None,
    state: State = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only the dead ones.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, for machines.")] = False,
    personal_data: Annotated[
        bool,
        typer.Option("--personal-data", help="Show whole URLs, with addresses, ids and User-Agents."),
    ] = False,
) -> None:
    """Show what is stored, newest first."""
    with opened(asked, outbox, state) as stored:
        rows = [_redacted(row, is_whole=personal_data) for row in stored.rows(dead=True if dead else None)]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(asdict(row)))
    elif rows:
        typer.echo("\n".join(map(_lines, rows)))
    else:
        typer.echo("no dead letters" if dead else "nothing is stored")


@app.command()
@with_outbox_options
def retry(
    asked: Asked,
    call_id: Annotated[str | None, typer.Argument(metavar="ID", help="One dead letter.")] = None,
    outbox: Where = None,
    state: State = None,
    every: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    yes: Yes = False,
) -> None:
    """Send dead letters again: as if they were clicked now, by the storehop that runs on this outbox."""
    if every == (call_id is not None):
        fail("expected the ID of a dead letter, or --all", 2)
    with opened(asked, outbox, state) as stored:
        call_ids = [row.id for row in stored.rows(dead=True, call_id=call_id or "")]
        if call_id and not call_ids:
            fail(f"{call_id} is no dead letter here: see storehop outbox list --dead")
        warning = "AppsFlyer may attribute a late click to nobody, or wrongly. Send "
        changed = _change(
            stored, call_ids, Outbox.revive, "Reviving", f"{warning}{_letters(len(call_ids))} again?", yes=yes
        )
    if changed:
        typer.echo(f"{_letters(changed)} due again: a running storehop sends them within seconds")


@app.command()
@with_outbox_options
def purge(
    asked: Asked,
    older_than: Annotated[str, typer.Option(metavar="DURATION", help="Their least age: 7d, 36h, 90m.")],
    outbox: Where = None,
    state: State = None,
    yes: Yes = False,
) -> None:
    """Delete dead letters of a certain age. Pending clicks are never deleted."""
    try:
        least = parse_duration(older_than)
    except ValueError as error:
        fail(f"--older-than {older_than!r}: {error}", 2)
    with opened(asked, outbox, state) as stored:
        call_ids = [row.id for row in stored.rows(dead=True) if row.age >= least]
        changed = _change(
            stored, call_ids, Outbox.purge, "Purging", f"Delete {_letters(len(call_ids))} for good?", yes=yes
        )
    if changed:
        typer.echo(f"{_letters(changed)} deleted")


type _Change = Callable[[Outbox, Sequence[str]], Coroutine[Any, Any, int]]


def _change(stored: Opened, call_ids: list[str], change: _Change, doing: str, question: str, *, yes: bool) -> int:
    """Asks, then changes the calls batch by batch. Returns how many it changed; 0 where there was nothing."""
    if not call_ids:
        typer.echo("no such dead letters")
        return 0
    confirm(question, yes=yes)
    changed = 0
    batches = [call_ids[place : place + BATCH] for place in range(0, len(call_ids), BATCH)]
    try:
        for batch in _with_progress(batches, doing):
            changed += stored.run(change(stored.outbox, batch))
    except OutboxError as error:
        fail(f"stopped after {changed} of {len(call_ids)}: {error}")
    return changed


def _with_progress(batches: list[list[str]], doing: str) -> Iterable[list[str]]:
    if len(batches) == 1:
        return batches
    return track(batches, description=doing, transient=True, console=Console(stderr=True))


def _letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _redacted(row: StoredCall, *, is_whole: bool) -> StoredCall:
    if is_whole:
        return row
    url = urlsplit(row.url)
    bare = f"{url.scheme}://{url.netloc}{url.path}"
    return replace(row, url=bare)


def _lines(row: StoredCall) -> str:
    """Two lines, and none of them cut: an id can be copied whatever the terminal's width, and grep finds it."""
    state = f"{row.state}: {row.reason}" if row.reason else row.state
    attempts = f"{row.attempts} attempt{'' if row.attempts == 1 else 's'}" + (f", last {row.last}" if row.last else "")
    return f"{row.id}  {age(row.age)}  {state}  {attempts}  rule {row.rule}\n    {row.url}"
