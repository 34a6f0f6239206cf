"""Which outbox a command is about: the options that say it, and the engine that they lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from storehop.addresses import without_credentials
from storehop.cli.check import load_or_fail
from storehop.cli.fail import fail
from storehop.cli.parameters import read_value, run_option
from storehop.deliver.engine import Engine
from storehop.deliver.engines import SharedOutbox, check_location, engine_for
from storehop.options import RunOptions, row_of
from storehop.settings import Delivery
from storehop.state import is_shared, outbox_file

_RULES = typer.Option(
    "--rules",
    metavar="PATH",
    envvar=row_of(RunOptions, "rules").variable,
    help="Rule file, or a folder of them: says delivery.outbox_… of a shared outbox, and to canary its rules' names.",
)
_OPTIONS: dict[str, Any] = {
    "rules": Annotated[Path | None, _RULES],
    "outbox_name": Annotated[str | None, run_option("outbox_name")],
    "outbox_replicas": Annotated[int | None, run_option("outbox_replicas")],
    "outbox_wait": Annotated[str | None, run_option("outbox_wait")],
    "outbox_password_file": Annotated[Path | None, run_option("outbox_password_file")],
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command is told of the outbox beside its path or URL."""

    rules: Path | None
    shared: SharedOutbox

    def delivery(self, location: str) -> Delivery:
        """The settings of the outbox there. A file needs none; exits with 1 and every fault of the rules."""
        rules = load_or_fail(self.rules).delivery if self.rules and is_shared(location) else Delivery()
        return self.shared.over(rules)

    def engine(self, location: str, delivery: Delivery) -> Engine:
        """For somebody who looks or tidies up. Exits with a sentence where there is no outbox, or can be none."""
        try:
            check_location(location)
        except ValueError as error:
            fail(f"--outbox {without_credentials(location)!r}: {error}", 2)
        if not is_shared(location):
            _check_file(outbox_file(location))
        try:
            return engine_for(location, delivery, shared=self.shared, tidies=True)
        except ValueError as error:
            fail(str(error))


def with_outbox_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say more of an outbox: it gets what they say as its first argument."""
    own = list(signature(command, eval_str=True).parameters.values())[1:]
    more = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in _OPTIONS.items()]

    @wraps(command)
    def with_asked(**values: Any) -> None:
        said = {name: read_value(name, values.pop(name)) for name in _OPTIONS}
        shared = SharedOutbox(*(said[f"outbox_{name}"] for name in ("name", "replicas", "wait", "password_file")))
        command(Asked(said["rules"], shared), **values)

    with_asked.__signature__ = Signature([*own, *more])  # type: ignore[attr-defined]
    return with_asked


def _check_file(file: Path) -> None:
    try:
        is_there, is_folder = file.is_file(), file.is_dir()
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    if is_folder:
        fail(f"{file} is a folder: expected --outbox with the file in it, or --state {file}")
    if not is_there:
        fail(f"there is no outbox at {file}: name it with --outbox, or its folder with --state")
