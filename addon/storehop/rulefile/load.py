"""Reads rule files and compiles them. Every fault is listed at once, as file:line:column: message."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from storehop.decide.link import is_app_id
from storehop.decide.rules import RuleSet
from storehop.rulefile import checks
from storehop.rulefile.compiling import compile_rules
from storehop.rulefile.faults import RuleFault, RuleFileError, known_part, message_of, named, position_of
from storehop.rulefile.schema import RuleFile
from storehop.rulefile.stamp import FileStamp, Stamp, stamp_of


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
            return content.decode("utf-8-sig")
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
        files = sorted(filter(_is_rule_file, path.iterdir()))
    except (OSError, ValueError) as error:  # a folder that may not be read, a name that no file can have
        reading.fault(path, (1, 1), f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return []
    if not files:
        reading.fault(path, (1, 1), "is a folder without rule files: expected *.yaml")
    return files


def _is_rule_file(file: Path) -> bool:
    """Hidden files are editors' and operating systems' own."""
    return file.suffix in {".yaml", ".yml"} and not file.name.startswith(".")


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
        reading.fault(file, position_of(raw, path), named(raw, path, message))
    try:
        return RuleFile.model_validate(raw)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            path = known_part(raw, error["loc"])
            position = position_of(raw, path, at_key=error["type"] == "extra_forbidden")
            reading.fault(file, position, named(raw, path, message_of(error, path)))
        return None


def _check_across(parsed: list[tuple[Path, CommentedMap]], reading: _Reading) -> None:
    """What files must say together: settings stand in one of them, rule names are unique."""
    for key in ("client_ip", "delivery"):
        holders = [(file, raw) for file, raw in parsed if key in raw]
        for file, raw in holders[1:]:
            reading.fault(file, position_of(raw, (key,), at_key=True), f"{key}: stands in {holders[0][0]} already")
    _check_onelinks(parsed, reading)
    named: dict[str, Path] = {}
    for file, raw, place, rule in _rules(parsed):
        name = rule.get("name")
        if not isinstance(name, str):
            continue
        if name in named:
            position = position_of(raw, ("rules", place, "name"))
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
                position = position_of(raw, ("onelinks", place))
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
        for name in names if isinstance(names, list) else [names]:
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
