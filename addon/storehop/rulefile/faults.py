"""Faults of rule files in plain words: where each one stands, and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from storehop.rulefile.keys import advice
from storehop.rulefile.values import in_words

type KeyPath = tuple[str | int, ...]

MAX_FAULTS = 1000
"""Faults that we list at the most."""
_IN_OUR_WORDS = {
    "missing": "is missing",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "string_type": "expected text: put it in quotes",
    "list_type": "expected a list: [a, b], or lines that begin with -",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "invalid_key": "expected text as a key: put it in quotes",
}


@dataclass(frozen=True, slots=True)
class RuleFault:
    """One thing that is wrong with a rule file. Line and column start at 1."""

    file: Path
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class RuleFileError(ValueError):
    """We can't use the rule files. `faults` has all their faults."""

    def __init__(self, faults: tuple[RuleFault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def in_order(faults: Iterable[RuleFault]) -> tuple[RuleFault, ...]:
    """The faults in the order of files and lines: the first MAX_FAULTS, then one that counts the rest."""
    result = sorted(faults, key=lambda fault: (str(fault.file), fault.line, fault.column))
    if len(result) <= MAX_FAULTS:
        return tuple(result)
    last = result[MAX_FAULTS]
    rest = replace(last, message=f"and {len(result) - MAX_FAULTS:,} more")
    return (*result[:MAX_FAULTS], rest)


def document_path(raw: Any, loc: tuple[int | str, ...]) -> KeyPath:
    """Pydantic's path without the names that it adds for unions and dictionary keys: the path in the document."""
    path: list[str | int] = []
    node = raw
    for key in loc:
        if _has(node, key):
            node = node[key]
        elif not isinstance(node, CommentedMap) or key == "[key]":
            break
        path.append(key)
    return tuple(path)


def _has(node: Any, key: int | str) -> bool:
    if isinstance(node, CommentedSeq):
        return isinstance(key, int) and key < len(node)
    return isinstance(node, CommentedMap) and key in node


def position_of(raw: Any, path: KeyPath, *, at_key: bool = False) -> tuple[int, int]:
    """(line, column), from 1, where the value at this path begins; for a missing key, where its mapping begins."""
    node, position = raw, (0, 0)
    for depth, key in enumerate(path):
        if isinstance(node, CommentedMap) and key in node:
            is_last = depth == len(path) - 1
            with suppress(KeyError):  # a key from a YAML merge (<<) stands elsewhere
                position = (node.lc.key(key) if at_key and is_last else node.lc.value(key)) or position
        elif isinstance(node, CommentedSeq):
            position = node.lc.item(key) or position
        else:
            break
        node = node[key]
    return position[0] + 1, position[1] + 1


def with_place(raw: Any, path: KeyPath, message: str) -> str:
    """The message with the rule's name and the key in front."""
    where = ".".join(str(key) for key in path if isinstance(key, str) and (key != "rules" or len(path) == 1))
    rule = ""
    if path[:1] == ("rules",) and len(path) > 1:
        section = raw["rules"][path[1]]
        name = section.get("name") if isinstance(section, dict) else None
        rule = f"rule {name!r}: " if isinstance(name, str) else f"rule {int(path[1]) + 1}: "
    return f"{rule}{where}: {message}" if where else f"{rule}{message}"


def message_of(error: ErrorDetails, path: KeyPath) -> str:
    """What was expected, in plain words: many of pydantic's are for programmers."""
    match error["type"]:
        case "extra_forbidden":
            return advice(path)
        case "value_error":
            return str(error["ctx"]["error"])
        case "enum" | "literal_error":
            return f"expected {error['ctx']['expected']}"
        case "string_pattern_mismatch":
            return f"expected {in_words(error['ctx']['pattern'])}"
        case "greater_than":
            return f"expected more than {error['ctx']['gt']:g}"
        case "greater_than_equal":
            return f"expected {error['ctx']['ge']:g} or more"
        case "less_than_equal":
            return f"expected {error['ctx']['le']:g} at the most"
        case kind:
            return _IN_OUR_WORDS.get(kind) or error["msg"].replace("Input should be", "expected")
