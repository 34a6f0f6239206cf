"""Faults of rule files, in our words: where they stand, and what was expected."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from storehop.rulefile.schema import (
    CampaignSection,
    ClientIpSection,
    ConsentSection,
    ConsentWhenSection,
    DeliverySection,
    MatchSection,
    OneLinkSection,
    RuleFile,
    RuleSection,
)

type KeyPath = tuple[str | int, ...]

_SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    (): RuleFile,
    ("client_ip",): ClientIpSection,
    ("delivery",): DeliverySection,
    ("onelinks",): OneLinkSection,
    ("rules",): RuleSection,
    ("rules", "match"): MatchSection,
    ("rules", "campaign"): CampaignSection,
    ("rules", "consent"): ConsentSection,
    ("rules", "consent", "when"): ConsentWhenSection,
}

_IN_OUR_WORDS = {
    "missing": "is missing",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "string_type": "expected text: put it in quotes",
    "list_type": "expected a list",
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
    """Rule files that can't be used, with all their faults."""

    def __init__(self, faults: tuple[RuleFault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def known_part(raw: Any, loc: tuple[int | str, ...]) -> KeyPath:
    """The path within the document: pydantic appends names of its own for unions and dictionary keys."""
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
    """Where the value at this path begins; for a missing key, where the mapping that lacks it begins."""
    node, position = raw, (0, 0)
    for depth, key in enumerate(path):
        if isinstance(node, CommentedMap) and key in node:
            is_last = depth == len(path) - 1
            with suppress(KeyError):  # what a YAML merge (<<) brought stands elsewhere
                position = (node.lc.key(key) if at_key and is_last else node.lc.value(key)) or position
        elif isinstance(node, CommentedSeq):
            position = node.lc.item(key)
        else:
            break
        node = node[key]
    return position[0] + 1, position[1] + 1


def named(raw: Any, path: KeyPath, message: str) -> str:
    """The message with the rule's name and the key before it."""
    where = ".".join(str(key) for key in path if isinstance(key, str) and (key != "rules" or len(path) == 1))
    rule = ""
    if path[:1] == ("rules",) and len(path) > 1:
        section = raw["rules"][path[1]]
        name = section.get("name") if isinstance(section, dict) else None
        rule = f"rule {name!r}: " if isinstance(name, str) else f"rule {int(path[1]) + 1}: "
    return f"{rule}{where}: {message}" if where else f"{rule}{message}"


def message_of(error: ErrorDetails, path: KeyPath) -> str:
    """What was expected, in our words where pydantic's are for programmers."""
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(path)
        case "value_error":
            return str(error["ctx"]["error"])
        case "enum" | "literal_error":
            return f"expected {error['ctx']['expected']}"
        case "string_pattern_mismatch":
            return f"expected text like {error['ctx']['pattern']}"
        case kind:
            return _IN_OUR_WORDS.get(kind) or error["msg"].replace("Input should be", "expected")


def _unknown_key(path: KeyPath) -> str:
    section = tuple(key for key in path[:-1] if isinstance(key, str))
    known = sorted(_SECTIONS[section].model_fields) if section in _SECTIONS else []
    near = get_close_matches(str(path[-1]), known, n=1)
    return f"unknown key: did you mean {near[0]}?" if near else f"unknown key: expected {', '.join(known)}"
