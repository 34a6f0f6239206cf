"""`storehop standin`: a stand-in for AppsFlyer, for `delivery.endpoint` in staging. It shows each call that comes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import typer

from storehop.addresses import parse_address
from storehop.cli import standins
from storehop.cli.fail import fail
from storehop.cli.received import ReceivedCall, Tally, in_words, printable
from storehop.serving import cannot_listen

_ENDS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the stand-in does with a call."""

    status: int
    """That it answers: 200, or another to rehearse a fault."""
    delay_s: float
    as_json: bool


def standin(listen: str, behaviour: Behaviour) -> None:
    """Shows calls until SIGINT or SIGTERM, then says how many came. Exits with 2 and 1 where it can't listen there."""
    try:
        place = parse_address(listen)
    except ValueError as error:
        fail(f"--listen {listen!r}: {error}", 2)
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)  # in every thread, so that they wait for us
    tally, write = Tally(), _line if behaviour.as_json else _paragraph
    hear = _hearing(tally, write)
    try:
        with standins.appsflyer(hear, place, status=behaviour.status, delay_s=behaviour.delay_s) as address:
            typer.echo(f'storehop: stands in for AppsFlyer: delivery: {{endpoint: "http://{address}"}}', err=True)
            signal.sigwait(_ENDS)
    except OSError as error:
        fail(str(cannot_listen(place, error, "--listen")))
    typer.echo(f"storehop: {tally}", err=True)


def _hearing(tally: Tally, write: Callable[[ReceivedCall], str]) -> Callable[[ReceivedCall], None]:
    def hear(call: ReceivedCall) -> None:
        try:
            typer.echo(write(tally.add(call)))
        except BrokenPipeError:
            os.kill(os.getpid(), signal.SIGTERM)

    return hear


def _paragraph(call: ReceivedCall) -> str:
    """For people: what came, what AppsFlyer could match on, and what is wrong with it."""
    width = max((len(printable(name)) for name, _ in call.params), default=0)
    lines = (
        f"{datetime.now(UTC).astimezone():%H:%M:%S} {call.method} {printable(call.path)}: answered {call.status}",
        *(f"  {printable(name):<{width}}  {printable(value)}" for name, value in call.params),
        f"  AppsFlyer could match on: {in_words(call.signals)}",
        *(f"  wrong: {printable(problem)}" for problem in call.problems),
    )
    return "\n".join(lines)


def _line(call: ReceivedCall) -> str:
    """For machines: a JSON object."""
    fields = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "method": call.method,
        "path": call.path,
        "app": call.app,
        "click_id": call.click_id,
        "params": call.params,
        "headers": call.headers,
        "signals": call.signals,
        "problems": call.problems,
        "status": call.status,
    }
    return json.dumps(fields)
