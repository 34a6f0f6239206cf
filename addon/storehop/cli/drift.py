"""`storehop drift`: asks AppsFlyer where its links lead, only if somebody says that this may count clicks (§11)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from storehop.cli.check import load_or_fail
from storehop.cli.explain import escape
from storehop.cli.fail import fail
from storehop.cli.follow import Answered, follow
from storehop.cli.probes import TEST_PID, PidInUseError, Plan, plan
from storehop.decide.drift import IN_WORDS, Kind
from storehop.decide.rules import RuleSet
from storehop.decide.target import in_words

WITHOUT_PROBE = """\
Drift is what AppsFlyer's own redirect does, against what storehop would do. It is seen without counting a click in

  recordings    with both hops: a HAR with "Preserve log", or mitmdump as a forward proxy of two test phones.
                storehop audit RECORDING --rules PATH
  live          storehop in mitmproxy as a forward proxy, while rules observe: mitmdump -s addon/entry.py --mode regular
                It counts storehop_drift_total and logs lines that begin with `drift:`.

A reverse proxy never sees AppsFlyer's answer, and AppsFlyer can't be asked without counting a click. If the advertiser
agrees, a probe asks it about a few links, under a test media source of your own:

  storehop drift --probe links.txt --rules PATH --pid TEST_PID"""
MAX_SHOWN_SKIPS = 10


def drift(
    path: Path | None, rules_path: Path | None, pid: str | None, per_app: int, *, may_count: bool, as_json: bool
) -> None:
    """Exits with 0 where nothing drifts, 1 where something does, 2 where nothing was asked or can be compared."""
    if path is None:
        typer.echo(WITHOUT_PROBE, err=True)
        raise typer.Exit(2)
    if rules_path is None or pid is None:
        fail("--probe needs --rules PATH and --pid TEST_PID, a media source of your own for tests", 2)
    if not TEST_PID.fullmatch(pid):
        fail(f"--pid {pid!r}: expected 1 to 50 letters, digits, `_`, `.` or `-`", 2)
    rules = load_or_fail(rules_path)
    planned = _plan(path, rules, pid, per_app)
    if not planned.probes:
        _say_skipped(planned)
        fail(f"{path}: there is no link to ask about", 2)
    typer.echo(_price(planned, pid, rules), err=True)
    _say_skipped(planned)
    if not may_count:
        fail("nothing was asked. --yes-this-counts-clicks asks", 2)
    answers = asyncio.run(_ask(planned, rules, is_told=not as_json))
    if as_json:
        typer.echo(json.dumps(_to_json(planned, answers, pid), indent=2))
    else:
        _print(answers)
    raise typer.Exit(_code(answers))


def _plan(path: Path, rules: RuleSet, pid: str, per_app: int) -> Plan:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(errors="surrogateescape")
    except OSError as error:
        fail(f"--probe {path}: {error.strerror}", 2)
    try:
        return plan(text.splitlines(), rules, pid, per_app)
    except PidInUseError as error:
        fail(f"--pid {pid}: line {error} has it, so it is no media source for tests", 2)


def _price(planned: Plan, pid: str, rules: RuleSet) -> str:
    """What it costs, before it is paid."""
    clicks = Counter((probe.app, probe.platform) for probe in planned.probes)
    lines = [f"  {count} of {app} on {platform}" for (app, platform), count in sorted(clicks.items())]
    number, where = len(planned.probes), rules.delivery.endpoint
    return "\n".join(
        (
            f"{number} click{'s' if number > 1 else ''} will be counted under pid {pid}:",
            *lines,
            "AppsFlyer counts each, and perhaps again where it redirects to itself: the advertiser has to agree.",
            "It answers for the country of this server's address alone. No store is opened, no install follows.",
            *((f"The rules name {where} in AppsFlyer's place: it is asked instead.",) if where else ()),
        )
    )


def _say_skipped(planned: Plan) -> None:
    for line, why in planned.skipped[:MAX_SHOWN_SKIPS]:
        typer.echo(f"line {line} is left out: {why}", err=True)
    if len(planned.skipped) > MAX_SHOWN_SKIPS:
        typer.echo(f"and {len(planned.skipped) - MAX_SHOWN_SKIPS} lines more", err=True)


async def _ask(planned: Plan, rules: RuleSet, *, is_told: bool) -> list[Answered]:
    answers: list[Answered] = []
    try:
        async for answered in follow(planned.probes, rules):
            answers.append(answered)
            if is_told:
                typer.echo(f"{len(answers)} of {len(planned.probes)}: {IN_WORDS[answered.compared.kind]}", err=True)
    except ValueError as error:
        fail(f"delivery.proxy: {error}")
    return answers


def _code(answers: list[Answered]) -> int:
    kinds = {answered.compared.kind for answered in answers}
    if any(kind.is_drift for kind in kinds):
        return 1
    return 0 if Kind.SAME in kinds else 2


def _print(answers: list[Answered]) -> None:
    console = Console(highlight=False)
    table = Table("app", "platform", "clicks", "kind", "AppsFlyer leads to", "not counted", box=box.SIMPLE_HEAD)
    rows: dict[tuple[str, str, str, str, str], int] = {}
    for answered in answers:
        compared, probe = answered.compared, answered.probe
        where = compared.why or in_words(answered.theirs or "")
        notes = "; ".join(note.partition(":")[0] for note in compared.harmless)
        key = (probe.app, probe.platform, compared.kind, where, notes)
        rows[key] = rows.get(key, 0) + 1
    for (app, platform, kind, where, notes), clicks in rows.items():
        style = {"same": "green", "not_comparable": "yellow"}.get(kind, "bold red")
        table.add_row(escape(app), platform, str(clicks), f"[{style}]{kind}[/]", escape(where), escape(notes))
    console.print(table)
    drifting = sorted({answered.probe.app for answered in answers if answered.compared.kind.is_drift})
    if drifting:
        console.print(f"[bold red]drift[/] in {escape(', '.join(drifting))}: let these apps pass until you know why")


def _to_json(planned: Plan, answers: list[Answered], pid: str) -> dict[str, Any]:
    """The contract of `drift --json`: keys are added, never changed."""
    return {
        "pid": pid,
        "clicks": len(answers),
        "drift": sum(answered.compared.kind.is_drift for answered in answers),
        "answers": [
            {
                "line": answered.probe.line,
                "app": answered.probe.app,
                "platform": answered.probe.platform,
                "kind": answered.compared.kind,
                "harmless": list(answered.compared.harmless),
                "why": answered.compared.why,
                "ours": in_words(answered.probe.ours),
                "theirs": in_words(answered.theirs) if answered.theirs else None,
            }
            for answered in answers
        ],
        "skipped": [skipped._asdict() for skipped in planned.skipped],
    }
