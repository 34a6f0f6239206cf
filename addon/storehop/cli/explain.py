"""`storehop explain`: the decision about a click, for people and for machines (design §5)."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from storehop.cli.check import load_or_fail
from storehop.cli.explain_lines import explain_lines
from storehop.cli.fail import fail
from storehop.decide import address
from storehop.decide.decision import decide
from storehop.decide.explanation import because, rules_tried
from storehop.decide.link import split
from storehop.decide.rules import RuleSet
from storehop.ids import new_click_id
from storehop.model import Click, Decision, Direct, Param, Pass, Reason, Source
from storehop.observe.coverage import NAMES, Signal, signals


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """The user's request, from the command line: each header as `Name: value`, and the client's address."""

    headers: list[str]
    client_ip: str

    def check(self) -> None:
        """Exits with 2 and a message where an option can't be used."""
        if address.parse(self.client_ip) is None:
            fail(f"--client-ip {self.client_ip!r}: expected an IPv4 or IPv6 address", 2)
        for line in self.headers:
            if not line.partition(":")[0].strip() or ":" not in line:
                fail(f"-H {line!r}: expected 'Name: value'", 2)

    def click(self, url: str) -> Click:
        headers: dict[str, str] = {}
        for line in self.headers:
            name, _, value = line.partition(":")
            key, text = name.strip().lower(), value.strip()
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return Click(new_click_id(), "GET", url, headers, self.client_ip)


def explain(url: str | None, path: Path, request: RequestOptions, *, as_json: bool, stdin: bool) -> None:
    """Prints the decision about `url`, or about each line of stdin. Exits with 2 on bad options, 1 on bad rules."""
    if stdin == (url is not None):
        fail("expected a URL, or --stdin and a URL a line", 2)
    if url is not None and split(url) is None:
        fail(f"{url!r} is no link: expected http(s)://host/path", 2)
    request.check()
    rules = load_or_fail(path)
    if url is None:
        explain_lines(sys.stdin.buffer, rules, request.click, to_json)
        return
    click = request.click(url)
    decision = decide(click, rules)
    if as_json:
        typer.echo(json.dumps(to_json(click, decision)))
    else:
        _print(click, decision, rules)


def to_json(click: Click, decision: Decision) -> dict[str, Any]:
    """The contract of `explain --json` (design §5). `location` of a pass is the link itself."""
    direct = decision if isinstance(decision, Direct) else None
    reason = decision.reason if isinstance(decision, Pass) else None
    return {
        "decision": "direct" if direct else "pass",
        "reason": reason,
        "rule": decision.rule,
        "app": decision.app,
        "platform": decision.platform,
        "store": decision.store,
        "referrer": direct.referrer if direct else None,
        "location": direct.location if direct else click.link,
        "s2s": {"method": "GET", "url": direct.call.url, "headers": dict(direct.call.headers)} if direct else None,
        "params": [_param(param) for param in direct.params] if direct else [],
    }


def _param(param: Param) -> dict[str, str | None]:
    return {"name": param.name, "value": param.value, "source": source(param)}


def source(param: Param) -> str:
    """Where a value came from: `link`, `header: User-Agent`, `omitted: not a public address`."""
    return f"{param.source}: {param.why}" if param.why else param.source


def escape(text: str) -> str:
    """The text made safe for a terminal: no markup, no control character, no broken UTF-8."""
    return escape_markup("".join(char if char.isprintable() else ascii(char)[1:-1] for char in text))


def _print(click: Click, decision: Decision, rules: RuleSet) -> None:
    console = Console(highlight=False)
    if isinstance(decision, Direct):
        console.print(f"[bold green]direct[/]: the user goes to {decision.store}, AppsFlyer gets an S2S click")
    else:
        console.print(f"[bold yellow]pass[/] ({decision.reason}): {escape(because(decision))}")
        if decision.reason is Reason.NO_USER_AGENT:
            console.print("[yellow]-H 'User-Agent: …' gives one.[/]")
    console.print(_facts(decision))
    _print_trials(console, click, decision, rules)
    if isinstance(decision, Direct):
        console.print(parameters(decision.params))
        if hint := _address_hint(click, decision):
            console.print(hint)
        click_signals = signals(decision)
        names = ", ".join(NAMES[signal] for signal in Signal if signal in click_signals)
        console.print(f"[bold]AppsFlyer can match on[/] {names or 'nothing'}")
        console.print("[bold]Stops[/] are not in the rules: while one holds, the click passes (storehop canary status)")
    location = decision.location if isinstance(decision, Direct) else click.link
    _print_url(console, "The user gets", location)
    if isinstance(decision, Direct):
        _print_url(console, "AppsFlyer gets", decision.call.url)
        for name, value in decision.call.headers:
            console.print(f"  {escape(name)}: {escape(value)}", soft_wrap=True)


def _address_hint(click: Click, decision: Direct) -> str | None:
    """How to ask for a click from elsewhere, where this one's address is why `af_ip` is missing."""
    is_missing = any(param.name == "af_ip" and param.source is Source.OMITTED for param in decision.params)
    if is_missing and (peer := address.parse(click.peer)) and peer.is_loopback:
        return f"[yellow]The click comes from {click.peer}: --client-ip IP says where your users come from.[/]\n"
    return None


def _facts(decision: Decision) -> str:
    facts = {
        "app": decision.app,
        "platform": decision.platform,
        "store": decision.store,
        "rule": decision.rule,
    }
    if isinstance(decision, Direct):
        facts["referrer"] = decision.referrer
    return escape("  ".join(f"{name}: {value or '–'}" for name, value in facts.items()))


def _print_trials(console: Console, click: Click, decision: Decision, rules: RuleSet) -> None:
    trials = rules_tried(click, rules)
    if not trials and (isinstance(decision, Direct) or decision.app is None):
        return
    table = Table("rule", "verdict", box=box.SIMPLE_HEAD, title="Rules tried", title_justify="left")
    for rule, failed_condition in trials:
        table.add_row(
            escape(rule.name),
            f"[dim]{escape(failed_condition)} does not match[/]" if failed_condition else "[green]matches[/]",
        )
    if not rules.rules:
        table.add_row("–", "there are no rules")
    console.print(table)


def parameters(params: Sequence[Param]) -> Table:
    """Every parameter of the S2S call with its source."""
    table = Table("parameter", "value", "source", box=box.SIMPLE_HEAD, title="S2S click", title_justify="left")
    table.columns[1].overflow = "fold"
    for param in params:
        style = {Source.LINK: "dim", Source.OMITTED: "yellow"}.get(param.source, "green")
        table.add_row(escape(param.name), escape(param.value or "–"), f"[{style}]{escape(source(param))}[/]")
    return table


def _print_url(console: Console, title: str, url: str) -> None:
    console.print(f"[bold]{title}[/]")
    console.print(f"  {escape(url)}", soft_wrap=True)
