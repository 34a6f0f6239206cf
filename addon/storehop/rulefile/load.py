"""Reads rule files and compiles them. Every fault is listed at once, as file:line:column: message."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from storehop.decide.rules import RuleSet
from storehop.rulefile import apps, checks, files
from storehop.rulefile.compiling import compile_rules
from storehop.rulefile.document import NoDocumentError, parse
from storehop.rulefile.faults import RuleFault, RuleFileError, known_part, listed, message_of, named, position_of
from storehop.rulefile.lint import warnings_of
from storehop.rulefile.schema import RuleFile


@dataclass(frozen=True, slots=True)
class Loaded:
    """What reading gave: rules or faults."""

    rules: RuleSet | None
    faults: tuple[RuleFault, ...]
    seen: files.Stamp
    """How the files were when they were read."""
    warnings: tuple[RuleFault, ...] = ()
    """What the rules say and can hardly be meant."""


@dataclass(slots=True)
class _Reading:
    faults: list[RuleFault] = field(default_factory=list)
    seen: list[files.Look] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)

    def find(self, path: Path, beside: Path | None = None) -> files.Found:
        found = files.find(path, beside)
        self.seen.append(found.look)
        return found

    def text(self, found: files.Found) -> str | None:
        """The file's text; a fault where it can't be had."""
        fault = files.NO_FILE if found.names is not None else found.fault
        if not fault:
            self.digest.update(found.content)
            try:
                return found.content.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                fault = f"is no UTF-8 text: byte {error.start} is in the way"
        self.fault(found.look.path, (1, 1), fault)
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
    reading = _Reading()
    parsed = [
        (file, document)
        for file, text in _texts(path, reading)
        if (document := _parse(file, text, reading)) is not None
    ]
    _check_across(parsed, reading)
    ids = {file: _app_files(file, raw, reading) for file, raw in parsed}
    models = [(file, model) for file, raw in parsed if (model := _validate(file, raw, reading))]
    if reading.faults:
        return Loaded(None, listed(reading.faults), tuple(reading.seen))
    documents = [(file, raw, model) for (file, raw), (_, model) in zip(parsed, models, strict=True)]
    rules = compile_rules(models, ids, reading.digest.hexdigest()[:12])
    return Loaded(rules, (), tuple(reading.seen), listed(warnings_of(path, documents, rules)))


def _texts(path: Path, reading: _Reading) -> Iterator[tuple[Path, str]]:
    """The rule files, and what they hold."""
    found = reading.find(path)
    if found.names == ():
        reading.fault(path, (1, 1), "is a folder without rule files: expected *.yaml")
    for one in [found] if found.names is None else [reading.find(path / name) for name in found.names]:
        if (text := reading.text(one)) is not None:
            yield one.look.path, text


def _parse(file: Path, text: str, reading: _Reading) -> CommentedMap | None:
    try:
        return parse(text)
    except NoDocumentError as error:
        reading.fault(file, error.position, str(error))
        return None


def _validate(file: Path, raw: CommentedMap, reading: _Reading) -> RuleFile | None:
    for path, message in checks.check_file(raw):
        reading.fault(file, position_of(raw, path), named(raw, path, message))
    try:
        return RuleFile.model_validate(raw)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
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
    for file, raw in parsed:
        for place, rule in checks.sections(raw, "rules"):
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
        for place, onelink in checks.sections(raw, "onelinks"):
            template = onelink.get("host"), onelink.get("template")
            if not all(isinstance(part, str) for part in template):
                continue
            if template in seen:
                position = position_of(raw, ("onelinks", place))
                reading.fault(file, position, f"onelinks: {'/'.join(template)} stands in {seen[template]} already")
            seen[template] = file


def _app_files(file: Path, raw: CommentedMap, reading: _Reading) -> dict[int, list[str]]:
    """The app ids that each rule's app files hold, by the rule's place."""
    found: dict[int, list[str]] = {}
    for place, rule in checks.sections(raw, "rules"):
        match = rule.get("match")
        for where, name in checks.texts(match, "app_file") if isinstance(match, dict) else ():
            path = ("rules", place, "match", *where)
            listing = reading.find(file.parent / name, beside=file)
            if listing.fault == files.OUTSIDE:
                reading.fault(file, position_of(raw, path), named(raw, path, files.OUTSIDE))
            elif (text := reading.text(listing)) is not None:
                ids, faults = apps.read(text, rule.get("store", "auto"))
                found.setdefault(place, []).extend(ids)
                for position, message in faults:
                    reading.fault(listing.look.path, position, message)
    return found
