"""Mistakes in YAML, in plain words: where the mistake is, what is wrong there, and what to write instead.

ruamel.yaml says which token its grammar lacks, often a line too late. Each function here is for one mistake that
people make: tabs, indentation, a colon without its space, quotes that are missing or not closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError

MAX_PROBLEM_CHARACTERS = 200
"""We repeat so much of a message of ruamel.yaml's."""

type Position = tuple[int, int]
type Words = tuple[Position, str]


class _Problem(NamedTuple):
    """ruamel.yaml's complaint. Positions are (line, column), from 1."""

    message: str
    position: Position
    start: Position
    """The beginning of the part that ruamel.yaml could not read to its end."""
    lines: list[str]

    @property
    def line(self) -> str:
        return self.lines[self.position[0] - 1] if self.position[0] <= len(self.lines) else ""

    @property
    def above(self) -> list[str]:
        """The lines before, nearest first, without comments and empty ones."""
        return [
            line for line in reversed(self.lines[: self.position[0] - 1]) if line.strip() and line.lstrip()[0] != "#"
        ]


def in_words(error: MarkedYAMLError, text: str) -> Words:
    """(position of the mistake, what to do about it)."""
    message = " ".join((error.problem or str(error)).split())[:MAX_PROBLEM_CHARACTERS]
    position, start = (
        (mark.line + 1, mark.column + 1) if mark else (1, 1)
        for mark in (error.problem_mark or error.context_mark, error.context_mark or error.problem_mark)
    )
    problem = _Problem(message, position, start, text.split("\n"))
    for pattern, words in _WORDS:
        if re.search(pattern, message):
            return words(problem)
    return position, f"is no valid YAML: {message}"


def _tab(problem: _Problem) -> Words:
    return problem.position, "a tab stands here: YAML takes spaces only, put spaces in its place"


def _start(problem: _Problem) -> Words:
    mark = problem.line[problem.position[1] - 1 : problem.position[1]] or "this character"
    return problem.position, f"text that begins with {mark} is put in quotes"


def _alias(problem: _Problem) -> Words:
    mark = problem.lines[problem.start[0] - 1][problem.start[1] - 1 : problem.start[1]]
    return problem.start, f"text that begins with {mark} is put in quotes: '{mark}…'"


def _quote(problem: _Problem) -> Words:
    return problem.start, "the quote that begins here is never closed"


def _escape(problem: _Problem) -> Words:
    return problem.position, "a backslash between double quotes begins an escape: put the text in single quotes"


def _bracket(problem: _Problem) -> Words:
    opener, closer = ("[", "]") if "or ']'" in problem.message else ("{", "}")
    return problem.position, f"expected a comma, or {closer} for the {opener} that stands in line {problem.start[0]}"


def _twice(problem: _Problem) -> Words:
    key = re.search(r'duplicate key "(.*?)" with', problem.message)
    return problem.position, f"{key[1] if key else 'this key'}: stands twice in the same section"


def _second(problem: _Problem) -> Words:
    return problem.position, "a second document begins: a file holds one, without --- between its parts"


def _tag(problem: _Problem) -> Words:
    return problem.position, problem.message


def _no_colon(problem: _Problem) -> Words:
    line = problem.lines[problem.start[0] - 1]
    key = re.match(r"\s*(?:- +)?[\w.-]+:\S", line)
    return problem.start, "a space is missing behind the colon" if key else "expected a key and a colon: key: value"


def _colon(problem: _Problem) -> Words:
    """A `key:` where none can be: the second in its line, or in a line that continues the value above."""
    before = problem.line[: problem.position[1] - 1]
    if ": " in before:
        return problem.position, "a second colon in one line: put text that holds one in quotes"
    above = problem.above[0] if problem.above else ""
    number = problem.lines.index(above, 0) + 1 if above else problem.position[0]
    if re.match(r"\s*-[^\s-]", above):
        return (number, above.index("-") + 1), "a space is missing behind the -"
    if (key := re.match(r"\s*(?:- +)?[\w.-]+:(?=\S)", above)) and not re.search(r":\s|:$", above):
        return (number, key.end() + 1), "a space is missing behind the colon"
    return _indent(problem)


def _end(problem: _Problem) -> Words:
    """A section ended here, but its line goes on, or the next line belongs nowhere."""
    if problem.line[: problem.position[1] - 1].strip():
        return problem.position, "something stands behind a value that has ended: put the whole value in quotes"
    return _indent(problem)


def _indent(problem: _Problem) -> Words:
    """The line is indented by other spaces than any section that is still open."""
    line = problem.line
    spaces = len(line) - len(line.lstrip(" "))
    columns = _columns(problem.above, of_lists=line.lstrip().startswith("-"))
    lower, higher = [n for n in columns if n < spaces], [n for n in columns if n > spaces]
    neighbours = [str(number) for number in (*lower[-1:], *higher[:1])]
    if not neighbours or spaces in columns:
        return problem.position, f"is no valid YAML: {problem.message}"
    indents = " or ".join(neighbours)
    return (
        problem.position[0],
        spaces + 1,
    ), f"{_spaces_in_words(spaces)} before this line, as before none above it: expected {indents}"


def _spaces_in_words(spaces: int) -> str:
    return {0: "no spaces", 1: "1 space"}.get(spaces, f"{spaces} spaces")


def _columns(above: list[str], *, of_lists: bool) -> list[int]:
    """The indentations of the open sections above a line: those of lists, or those of keys."""
    columns: set[int] = set()
    lowest = sum(map(len, above)) + 1
    for line in above:
        spaces = len(line) - len(line.lstrip(" "))
        if spaces >= lowest:
            continue
        lowest = spaces
        dash = re.match(r" *(- +)", line)
        if dash and not of_lists:
            columns.add(dash.end())
        elif of_lists == (dash is not None):
            columns.add(spaces)
    return sorted(columns)


_WORDS: tuple[tuple[str, Callable[[_Problem], Words]], ...] = (
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
