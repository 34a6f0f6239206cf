"""`storehop check --outbox`: whether a click could be stored there, and what weakens its promise."""

from __future__ import annotations

import typer

from storehop.cli.asked import Asked
from storehop.cli.fail import fail
from storehop.deliver import operations as op
from storehop.deliver.engine import Engine, EngineError
from storehop.deliver.engines import terms_of
from storehop.settings import Delivery
from storehop.state import is_shared


def check_outbox(location: str, asked: Asked, rules: Delivery | None) -> None:
    """Prints what it is, and the engine's remarks; exits with 1 and its reason where no click can be stored now.

    `rules` are the settings of rules that were checked before.
    """
    delivery = asked.delivery(location) if rules is None else asked.shared.over(rules)
    engine = asked.engine(location, delivery)
    refusal = _refusal(engine)
    for remark in engine.remarks:
        typer.echo(f"storehop: {engine.where}: {remark}", err=True)
    if refusal:
        fail(f"{engine.where}: {refusal}")
    typer.echo(f"{engine.where}: {engine.kind}, stores clicks{_terms(delivery) if is_shared(location) else ''}")


def _refusal(engine: Engine) -> str | None:
    try:
        engine.run([op.Probe()])
    except EngineError as error:
        return str(error)
    finally:
        engine.close()
    return None


def _terms(delivery: Delivery) -> str:
    return f" of the outbox {delivery.outbox_name}; {terms_of(delivery)}"
