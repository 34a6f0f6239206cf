"""Reads rule files and compiles them. Every fault is listed at once, as file:line:column: message."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from storehop.decide.link import is_app_id
from storehop.decide.rules import RuleSet
from storehop.rulefile import checks
from storehop.rulefile.compiling import compile_rules
from storehop.rulefile.schema import (
    CampaignSection,
    ClientIpSection,
    DeliverySection,
    MatchSection,
    OneLinkSection,
    RuleFile,
    RuleSection,
)
from storehop.rulefile.stamp import FileStamp, Stamp, stamp_of

type Path_ = tuple[str | int, ...]

_SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    (): RuleFile,
    ("client_ip",): ClientIpSection,
    ("delivery",): DeliverySection,
    ("onelinks",): OneLinkSection,
    ("rules",): RuleSection,
    ("rules", "match"): MatchSection,
    ("rules", "campaign"): CampaignSection,
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


@dataclass(frozen=True, slots=True)
class Loaded:
    """What reading gave: rules or faults."""

    rules: RuleSet | None
    faults: tuple[RuleFault, ...]
    seen: Stamp
    """How the files were when they were read."""


@dataclass(slots=True)
class _Reading:
    faults: list[RuleFault] = field(default_factory=list)
    seen: list[FileStamp] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)

    def text(self, file: Path) -> str | None:
        """The file's text; a fault where it can't be had."""
        self.seen.append(stamp_of(file))  # before it is read: a change in between is noticed
        try:
            content = file.read_bytes()
            self.digest.update(content)
            return content.decode()
        except OSError as error:
            self.fault(file, (1, 1), f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self.fault(file, (1, 1), f"is no UTF-8 text: byte {error.start} is in the way")
        except ValueError as error:
            self.fault(file, (1, 1), f"cannot be read: {error}")
        return None

    def fault(self, file: Path, position: tuple[int, int], message: str) -> None:
        self.faults.append(RuleFault(file, *position, message))


def load(path: Path) -> RuleSet:
    """The rules of a file, or of a folder's *.yaml and *.yml files in the order of their names.

    Raises RuleFileError with every fault of every file.
    """
    loaded = read(path)
    if loaded.rules is None:
        raise RuleFileError(loaded.faults)
    return loaded.rules


def read(path: Path) -> Loaded:
    """As `load`, with faults as a value: for a watcher, that must know which files to look at."""
    reading = _Reading(seen=[stamp_of(path)])
    files = _rule_files(path, reading)
    parsed = [(file, document) for file in files if (document := _parse(file, reading)) is not None]
    _check_across(parsed, reading)
    apps = {file: _app_files(file, raw, reading) for file, raw in parsed}
    models = [(file, model) for file, raw in parsed if (model := _validate(file, raw, reading))]
    faults = tuple(sorted(reading.faults, key=lambda fault: (str(fault.file), fault.line, fault.column)))
    rules = None if faults else compile_rules(models, apps, reading.digest.hexdigest()[:12])
    return Loaded(rules, faults, tuple(reading.seen))


def _rule_files(path: Path, reading: _Reading) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"})
    except (OSError, ValueError) as error:  # a folder that may not be read, a name that no file can have
        reading.fault(path, (1, 1), f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return []
    if not files:
        reading.fault(path, (1, 1), "is a folder without rule files: expected *.yaml")
    return files


def _parse(file: Path, reading: _Reading) -> CommentedMap | None:
    text = reading.text(file)
    if text is None:
        return None
    try:
        document = YAML().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reading.fault(file, position, f"is no valid YAML: {' '.join((error.problem or str(error)).split())}")
        return None
    except (YAMLError, ValueError, RecursionError) as error:  # dates that are none, numbers that are none, depth
        reading.fault(file, (1, 1), f"is no valid YAML: {' '.join(str(error).split())}")
        return None
    if not isinstance(document, CommentedMap):
        reading.fault(file, (1, 1), "expected keys and values, with version: 1 first")
        return None
    return document


def _validate(file: Path, raw: CommentedMap, reading: _Reading) -> RuleFile | None:
    for path, message in checks.check_file(raw):
        reading.fault(file, _position(raw, path), _named(raw, path, message))
    try:
        return RuleFile.model_validate(raw)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            path = _known_part(raw, error["loc"])
            position = _position(raw, path, at_key=error["type"] == "extra_forbidden")
            reading.fault(file, position, _named(raw, path, _message(error, path)))
        return None


def _known_part(raw: Any, loc: tuple[int | str, ...]) -> Path_:
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


def _position(raw: Any, path: Path_, *, at_key: bool = False) -> tuple[int, int]:
    """Where the value at this path begins; for a missing key, where the mapping that lacks it begins."""
    node, position = raw, (0, 0)
    for depth, key in enumerate(path):
        if isinstance(node, CommentedMap) and key in node:
            is_last = depth == len(path) - 1
            position = node.lc.key(key) if at_key and is_last else node.lc.value(key)
        elif isinstance(node, CommentedSeq):
            position = node.lc.item(key)
        else:
            break
        node = node[key]
    return position[0] + 1, position[1] + 1


def _named(raw: Any, path: Path_, message: str) -> str:
    """The message with the rule's name and the key before it."""
    where = ".".join(str(key) for key in path if isinstance(key, str) and (key != "rules" or len(path) == 1))
    rule = ""
    if path[:1] == ("rules",) and len(path) > 1:
        section = raw["rules"][path[1]]
        name = section.get("name") if isinstance(section, dict) else None
        rule = f"rule {name!r}: " if isinstance(name, str) else f"rule {int(path[1]) + 1}: "
    return f"{rule}{where}: {message}" if where else f"{rule}{message}"


def _message(error: ErrorDetails, path: Path_) -> str:
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


def _unknown_key(path: Path_) -> str:
    section = tuple(key for key in path[:-1] if isinstance(key, str))
    known = sorted(_SECTIONS[section].model_fields) if section in _SECTIONS else []
    near = get_close_matches(str(path[-1]), known, n=1)
    return f"unknown key: did you mean {near[0]}?" if near else f"unknown key: expected {', '.join(known)}"


def _check_across(parsed: list[tuple[Path, CommentedMap]], reading: _Reading) -> None:
    """What files must say together: settings stand in one of them, rule names are unique."""
    for key in ("client_ip", "delivery"):
        holders = [(file, raw) for file, raw in parsed if key in raw]
        for file, raw in holders[1:]:
            reading.fault(file, _position(raw, (key,), at_key=True), f"{key}: stands in {holders[0][0]} already")
    _check_onelinks(parsed, reading)
    named: dict[str, Path] = {}
    for file, raw, place, rule in _rules(parsed):
        name = rule.get("name")
        if not isinstance(name, str):
            continue
        if name in named:
            position = _position(raw, ("rules", place, "name"))
            reading.fault(file, position, f"rule {name!r}: a rule of that name stands in {named[name]} already")
        named[name] = file


def _check_onelinks(parsed: list[tuple[Path, CommentedMap]], reading: _Reading) -> None:
    """A OneLink template stands for one pair of apps."""
    seen: dict[tuple[Any, Any], Path] = {}
    for file, raw in parsed:
        onelinks = raw.get("onelinks")
        for place, onelink in enumerate(onelinks if isinstance(onelinks, list) else ()):
            template = (onelink.get("host"), onelink.get("template")) if isinstance(onelink, dict) else (None, None)
            if not all(isinstance(part, str) for part in template):
                continue
            if template in seen:
                position = _position(raw, ("onelinks", place))
                reading.fault(file, position, f"onelinks: {'/'.join(template)} stands in {seen[template]} already")
            seen[template] = file


def _rules(
    parsed: list[tuple[Path, CommentedMap]],
) -> Iterator[tuple[Path, CommentedMap, int, dict[str, Any]]]:
    for file, raw in parsed:
        rules = raw.get("rules")
        for place, rule in enumerate(rules if isinstance(rules, list) else ()):
            if isinstance(rule, dict):
                yield file, raw, place, rule


def _app_files(file: Path, raw: CommentedMap, reading: _Reading) -> dict[int, list[str]]:
    """The app ids that each rule's app files hold, by the rule's place."""
    apps: dict[int, list[str]] = {}
    for _, _, place, rule in _rules([(file, raw)]):
        match = rule.get("match")
        names = match.get("app_file") if isinstance(match, dict) else None
        for name in [names] if isinstance(names, str) else names or ():
            if isinstance(name, str):
                store = rule.get("store", "auto")
                apps.setdefault(place, []).extend(_read_app_file(file.parent / name, store, reading))
    return apps


def _read_app_file(file: Path, store: Any, reading: _Reading) -> Iterator[str]:
    text = reading.text(file)
    for number, line in enumerate(text.splitlines() if text else (), start=1):
        app = line.partition("#")[0].strip()
        if not app:
            continue
        position = number, line.index(app) + 1
        if not is_app_id(app):
            reading.fault(file, position, f"{app!r} is no app id: expected one such as com.example.game")
        elif message := checks.misfit(app, store):
            reading.fault(file, position, message)
        yield app
