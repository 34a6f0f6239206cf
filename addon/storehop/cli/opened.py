"""An outbox that a command looks into or changes, one step after another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from storehop.cli.asked import Asked
from storehop.cli.fail import fail
from storehop.cli.parameters import run_option
from storehop.deliver.operations import StoredCall
from storehop.deliver.outbox import Outbox
from storehop.deliver.tickets import OutboxError
from storehop.state import outbox_path

Where = Annotated[str | None, run_option("outbox")]
State = Annotated[Path | None, run_option("state")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Opened:
    """An outbox whose steps are run one after another, as a command needs them."""

    outbox: Outbox
    runner: asyncio.Runner

    def run[Result](self, step: Coroutine[Any, Any, Result]) -> Result:
        """What the step gives. Raises OutboxError."""
        return self.runner.run(step)

    def rows(self, *, dead: bool | None = None, call_id: str = "") -> list[StoredCall]:
        """See `Outbox.stored`."""
        return self.run(self.outbox.stored(dead=dead, call_id=call_id))


@contextmanager
def opened(asked: Asked, location: str | None, state: Path | None) -> Iterator[Opened]:
    """The outbox at this path or URL, else in this state folder. A sentence and exit 1: there is none, or it fails."""
    where = location or str(outbox_path(state))
    engine = asked.engine(where, asked.delivery(where))

    # What goes wrong is said below, in one sentence: a log line of a running host's would be a second one.
    logging.getLogger("storehop").addHandler(logging.NullHandler())

    async def made() -> Outbox:
        return Outbox(engine, "people")

    with asyncio.Runner() as runner:
        outbox = runner.run(made())
        try:
            yield Opened(outbox, runner)
        except OutboxError as error:
            fail(f"{engine.where}: {error}")
        finally:
            runner.run(outbox.close())


def confirm(question: str, *, yes: bool) -> None:
    """Asks, unless `--yes` says that nobody wants to be asked. Exits with 1 where the answer is no, or none comes."""
    if yes:
        return
    try:
        is_sure = typer.confirm(question)
    except typer.Abort:  # the end of input, or Ctrl-C
        typer.echo(err=True)
        fail("nobody has answered, so nothing was done: --yes does it without a question")
    if not is_sure:
        raise typer.Abort


def age(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`: an age in people's units."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
