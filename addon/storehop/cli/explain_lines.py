"""`storehop explain --stdin`: a link a line in, a JSON object a line out; what is wrong with the input, on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import typer

from storehop.cli.fail import fail
from storehop.decide.decision import decide
from storehop.decide.link import split
from storehop.decide.rules import RuleSet
from storehop.model import Click, Decision, Direct, Reason
from storehop.observe.coverage import Coverage, signals

NO_LINK = "no link: expected http(s)://host/path"
NO_USER_AGENT = "storehop: no User-Agent was given, so each click passes: give one with -H 'User-Agent: ...'"
USE_AUDIT = "storehop audit FILE --rules PATH reads such files, with a User-Agent and an address for each click"
_SEPARATORS = ",;\t"
_BOM = "\ufeff"

type ToJson = Callable[[Click, Decision], dict[str, Any]]


def explain_lines(lines: Iterable[bytes], rules: RuleSet, click_of: Callable[[str], Click], to_json: ToJson) -> None:
    """Prints an object for each line that is not blank; at the end the shares, and how many lines are no link.

    Each object has the keys of `explain --json`, and its line's `link`; one of a line that is no link has an `error`.
    A table or JSON is refused: exit 2.
    """
    coverage = Coverage()
    no_links, first_no_link = 0, 0
    for place, (number, text) in enumerate(_filled(lines)):
        if not place and (kind := _kind_of_table(text)):
            fail(f"line {number} looks like {kind}, not like a link: {USE_AUDIT}", 2)
        click = click_of(text)
        if not place and not click.headers.get("user-agent"):
            typer.echo(NO_USER_AGENT, err=True)
        decision = decide(click, rules)
        answer = to_json(click, decision) | {"link": text}
        if split(text) is None:
            no_links, first_no_link = no_links + 1, first_no_link or number
            answer["error"] = NO_LINK
        typer.echo(json.dumps(answer))
        if isinstance(decision, Direct):
            coverage.count_direct(signals(decision))
        elif decision.reason is not Reason.NOT_A_CLICK:
            coverage.count_pass()
    if no_links:
        typer.echo(f"lines that are {NO_LINK}: {no_links:,}; the first is line {first_no_link}", err=True)
    if coverage.clicks:
        typer.echo(coverage, err=True)


def _filled(lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """(number, text) of each line with something in it."""
    for number, line in enumerate(lines, start=1):
        text = line.decode(errors="surrogateescape").removeprefix(_BOM if number == 1 else "").strip()
        if text:
            yield number, text


def _kind_of_table(text: str) -> str:
    """What the first line is where it is no link: `CSV` or `JSON`; else empty."""
    if text.startswith(("{", "[{")):
        return "JSON"
    if split(text) is None:
        return "CSV" if any(map(text.__contains__, _SEPARATORS)) else ""
    return (
        "CSV" if "\t" in text or any(f"{mark}{start}" in text for mark in ",;" for start in ('"', "Mozilla/")) else ""
    )
