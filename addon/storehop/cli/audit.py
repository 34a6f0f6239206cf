"""`storehop audit`: what the rules would do with recorded traffic (design §11)."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from storehop.audit import baseline, gates
from storehop.audit.exchange import Asked, Recording
from storehop.audit.page import render
from storehop.audit.recordings import EMPTY
from storehop.audit.redact import Redactor
from storehop.audit.report import Input, Report
from storehop.audit.tally import Tally, click_ids
from storehop.audit.walk import Walk, Watch
from storehop.cli.audit_summary import show
from storehop.cli.check import load_or_fail
from storehop.cli.fail import fail
from storehop.decide.rules import RuleSet

STDOUT = "-"
HOLDS, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""What the command exits with: all gates hold; one does not, or a recording could not be read; nothing could be read,
or it was asked wrongly; Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, on the command line."""

    recordings: list[str]
    rules: Path
    asked: Asked
    json_file: str | None
    html_file: Path | None
    baseline_file: Path | None
    gates: list[str]
    sample: int | None
    show_ids: bool


def columns(text: str | None) -> dict[str, str]:
    """Of `--map`: `link=click_url,ip=user_ip`. Exits with 2 where it can't be read."""
    found: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        name, mark, column = (part.strip() for part in pair.partition("="))
        if not name or not mark or not column or name in found:
            fail(
                f"--map {text!r}: expected NAME=COLUMN,NAME=COLUMN, each name once, as in link=click_url,ip=user_ip", 2
            )
        found[name] = column
    return found


def audit(request: Request) -> None:
    """Reads, counts, writes what was asked for, and exits as the gates say."""
    asked_gates = [_gate(text) for text in request.gates]
    old = _baseline(request.baseline_file) if request.baseline_file else None
    _check(request)
    rules = _rules(request.rules)
    report = _read(request, rules)
    report.rules_path = str(request.rules)
    report.version = _version()
    report.made_at = time.time()
    if old is not None and request.baseline_file:
        baseline.compare(report, old, request.baseline_file.name)
    report.gates = [gates.judge(asked, report) for asked in asked_gates]
    for name, why in report.not_read.items():
        typer.echo(f"storehop: {why if why.startswith(name) else f'{name}: {why}'}", err=True)
    for one in report.inputs:
        if not one.lines:
            typer.echo(f"storehop: {one.name}: {_lack(one)}", err=True)
    if report.exchanges + report.unreadable:
        _write(request, report)
    raise typer.Exit(_exit_code(report))


def _lack(one: Input) -> str:
    """What is wrong with a recording without a line."""
    if one.is_truncated:
        return "it is cut off in the middle, and nothing stands before"
    return "it is empty" if one.format == EMPTY else f"nothing stands in it, read as {one.format}"


def _exit_code(report: Report) -> int:
    if report.is_stopped_early:
        return INTERRUPTED
    if not report.exchanges:
        typer.echo("storehop: nothing could be read", err=True)
        return UNUSABLE
    return HOLDS if report.is_passed and not report.not_read else FAILED


def _gate(text: str) -> gates.Asked:
    try:
        return gates.parse(text)
    except ValueError as error:
        fail(f"--gate {error}", UNUSABLE)


def _baseline(path: Path) -> dict[str, Any]:
    try:
        return baseline.load(path)
    except ValueError as error:
        fail(f"--baseline {path}: {error}", UNUSABLE)


def _check(request: Request) -> None:
    """What would be a pity to find out after an hour of reading."""
    if request.recordings.count(STDOUT) > 1:
        fail("- is stdin: it can be read once", UNUSABLE)
    inputs = [*request.recordings, str(request.rules)]
    taken = {Path(name).resolve() for name in inputs if name != STDOUT}
    for option, name in (("--json", request.json_file), ("--html", request.html_file)):
        if name is None or (name == STDOUT and option == "--json"):
            continue
        path = Path(name)
        if str(path) == STDOUT or path.is_dir() or not path.absolute().parent.is_dir():
            fail(f"{option} {path}: expected a file in a folder that is there", UNUSABLE)
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            fail(f"{option} {path}: it may not be written", UNUSABLE)
        if path.resolve() in taken:
            fail(f"{option} {path}: it would be written over: it is read, or is the other report", UNUSABLE)
        taken.add(path.resolve())


def _rules(path: Path) -> RuleSet:
    try:
        return load_or_fail(path)
    except typer.Exit:
        raise typer.Exit(UNUSABLE) from None


def _version() -> str:
    try:
        return version("storehop")
    except PackageNotFoundError:  # a bare checkout
        return ""


def _read(request: Request, rules: RuleSet) -> Report:
    redactor = Redactor(shows_ids=request.show_ids, click_ids=click_ids(rules))
    with _watching() as watch:
        walk = Walk(Tally(rules, redactor), request.asked, most=request.sample, watch=watch)
        before = signal.signal(signal.SIGINT, lambda *_: walk.interrupt())
        try:
            walk.read(request.recordings)
        finally:
            signal.signal(signal.SIGINT, before)
        return walk.report()


@contextmanager
def _watching() -> Iterator[Watch]:
    """A bar on stderr for the recording that is read, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    shown = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*shown, console=Console(stderr=True), transient=True) as progress:
        watched: Recording | None = None
        task = TaskID(0)

        def watch(recording: Recording) -> None:
            nonlocal watched, task
            if recording is not watched:
                if watched is not None:
                    progress.update(task, visible=False)
                watched, task = recording, progress.add_task(recording.name, total=recording.total_bytes)
            progress.update(task, completed=recording.read_bytes)

        yield watch


def _write(request: Request, report: Report) -> None:
    faults = []
    for path, text in _files(request, report):
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            faults.append(f"{path}: {error.strerror}")
    if request.json_file == STDOUT:
        typer.echo(_as_json(report), nl=False)
    show(report, to_stderr=request.json_file == STDOUT)
    if faults:
        fail("\nstorehop: ".join(faults), UNUSABLE)


def _files(request: Request, report: Report) -> Iterator[tuple[Path, str]]:
    if request.html_file:
        yield request.html_file, render(report)
    if request.json_file and request.json_file != STDOUT:
        yield Path(request.json_file), _as_json(report)


def _as_json(report: Report) -> str:
    return json.dumps(report.to_json(), indent=1) + "\n"
