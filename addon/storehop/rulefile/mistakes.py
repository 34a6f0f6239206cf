"""Mistakes in YAML, in people's words: where it went wrong, what is wrong there, and what to write instead.

ruamel.yaml tells what its grammar missed, often a line too late. Each way to say it here is for a mistake that
people make: tabs, indentation, a colon without its space, quotes that are missing or not closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError

LONGEST = 200
"""Characters of what ruamel.yaml says that are repeated."""

type Position = tuple[int, int]
type Words = tuple[Position, str]


class _Seen(NamedTuple):
    """What ruamel.yaml saw. Positions are line and column, from 1."""

    problem: str
    at: Position
    since: Position
    """Where that began which could not be read to its end."""
    lines: list[str]

    @property
    def line(self) -> str:
        return self.lines[self.at[0] - 1] if self.at[0] <= len(self.lines) else ""

    @property
    def above(self) -> list[str]:
        """The lines before, nearest first, without comments and empty ones."""
        return [line for line in reversed(self.lines[: self.at[0] - 1]) if line.strip() and line.lstrip()[0] != "#"]


def in_words(error: MarkedYAMLError, text: str) -> Words:
    """Where the mistake is, and what to do about it."""
    problem = " ".join((error.problem or str(error)).split())[:LONGEST]
    at, since = (
        (mark.line + 1, mark.column + 1) if mark else (1, 1)
        for mark in (error.problem_mark or error.context_mark, error.context_mark or error.problem_mark)
    )
    seen = _Seen(problem, at, since, text.split("\n"))
    for pattern, words in _WORDS:
        if re.search(pattern, problem):
            return words(seen)
    return at, f"is no valid YAML: {problem}"


def _tab(seen: _Seen) -> Words:
    return seen.at, "a tab stands here: YAML takes spaces only, put spaces in its place"


def _start(seen: _Seen) -> Words:
    mark = seen.line[seen.at[1] - 1 : seen.at[1]] or "this character"
    return seen.at, f"text that begins with {mark} is put in quotes"


def _alias(seen: _Seen) -> Words:
    mark = seen.lines[seen.since[0] - 1][seen.since[1] - 1 : seen.since[1]]
    return seen.since, f"text that begins with {mark} is put in quotes: '{mark}…'"


def _quote(seen: _Seen) -> Words:
    return seen.since, "the quote that begins here is never closed"


def _escape(seen: _Seen) -> Words:
    return seen.at, "a backslash between double quotes begins an escape: put the text in single quotes"


def _bracket(seen: _Seen) -> Words:
    opened, closer = ("[", "]") if "or ']'" in seen.problem else ("{", "}")
    return seen.at, f"expected a comma, or {closer} for the {opened} that stands in line {seen.since[0]}"


def _twice(seen: _Seen) -> Words:
    key = re.search(r'duplicate key "(.*?)" with', seen.problem)
    return seen.at, f"{key[1] if key else 'this key'}: stands twice in the same section"


def _second(seen: _Seen) -> Words:
    return seen.at, "a second document begins: a file holds one, without --- between its parts"


def _tag(seen: _Seen) -> Words:
    return seen.at, seen.problem


def _no_colon(seen: _Seen) -> Words:
    line = seen.lines[seen.since[0] - 1]
    glued = re.match(r"\s*(?:- +)?[\w.-]+:\S", line)
    return seen.since, "a space is missing behind the colon" if glued else "expected a key and a colon: key: value"


def _colon(seen: _Seen) -> Words:
    """A `key:` where none can be: two in a line, or a line that goes on with the value above it."""
    before = seen.line[: seen.at[1] - 1]
    if ": " in before:
        return seen.at, "a second colon in one line: put text that holds one in quotes"
    above = seen.above[0] if seen.above else ""
    number = seen.lines.index(above, 0) + 1 if above else seen.at[0]
    if re.match(r"\s*-[^\s-]", above):
        return (number, above.index("-") + 1), "a space is missing behind the -"
    if (glued := re.match(r"\s*(?:- +)?[\w.-]+:(?=\S)", above)) and not re.search(r":\s|:$", above):
        return (number, glued.end() + 1), "a space is missing behind the colon"
    return _indent(seen)


def _end(seen: _Seen) -> Words:
    """A section ended here, but the line goes on, or the next one fits nowhere."""
    if seen.line[: seen.at[1] - 1].strip():
        return seen.at, "something stands behind a value that has ended: put the whole value in quotes"
    return _indent(seen)


def _indent(seen: _Seen) -> Words:
    """The line's spaces are not those of a line that it could belong with."""
    line = seen.line
    spaces = len(line) - len(line.lstrip(" "))
    fitting = _columns(seen.above, of_lists=line.lstrip().startswith("-"))
    lower, higher = [n for n in fitting if n < spaces], [n for n in fitting if n > spaces]
    near = [str(number) for number in (*lower[-1:], *higher[:1])]
    if not near or spaces in fitting:
        return seen.at, f"is no valid YAML: {seen.problem}"
    wanted = " or ".join(near)
    return (seen.at[0], spaces + 1), f"{_counted(spaces)} before this line, as before none above it: expected {wanted}"


def _counted(spaces: int) -> str:
    return {0: "no spaces", 1: "1 space"}.get(spaces, f"{spaces} spaces")


def _columns(above: list[str], *, of_lists: bool) -> list[int]:
    """The indentations that are open above a line: those of lists, or those of keys."""
    found: set[int] = set()
    lowest = sum(map(len, above)) + 1
    for line in above:
        spaces = len(line) - len(line.lstrip(" "))
        if spaces >= lowest:
            continue
        lowest = spaces
        dash = re.match(r" *(- +)", line)
        if dash and not of_lists:
            found.add(dash.end())
        elif of_lists == (dash is not None):
            found.add(spaces)
    return sorted(found)


_WORDS: tuple[tuple[str, Callable[[_Seen], Words]], ...] = (
    (r"found character '\\t'|found a tab", _tab),
    (r"^found character '", _start),
    (r"undefined alias|expected alphabetic or numeric character", _alias),
    (r"found unexpected (end of stream|document separator)", _quote),
    (r"unknown escape character|expected escape sequence", _escape),
    (r"^expected ',' or '[\]}]'", _bracket),
    (r"^found duplicate key", _twice),
    (r"found another document", _second),
    (r"take the tag out$", _tag),
    (r"could not find expected ':'", _no_colon),
    (r"(mapping values|sequence entries) are not allowed", _colon),
    (r"^expected <block end>", _end),
    (r"^expected '<document start>'", _end),
)
