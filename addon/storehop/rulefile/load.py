"""Reads rule files and compiles them. Lists every fault at once, as file:line:column: message."""

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
from storehop.rulefile.faults import (
    RuleFault,
    RuleFileError,
    document_path,
    in_order,
    message_of,
    position_of,
    with_place,
)
from storehop.rulefile.lint import warnings_of
from storehop.rulefile.schema import RuleFile


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of reading rule files: rules, or None and the faults."""

    rules: RuleSet | None
    faults: tuple[RuleFault, ...]
    stamp: files.Stamp
    """The state of the files that were read."""
    warnings: tuple[RuleFault, ...] = ()
    """What the rules say and nobody can mean; none where there are faults."""


@dataclass(slots=True)
class _Reading:
    faults: list[RuleFault] = field(default_factory=list)
    looks: list[files.Look] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, path: Path, rule_file: Path | None = None) -> files.Entry:
        """As `files.read`, and adds the look to `looks`."""
        entry = files.read(path, rule_file)
        self.looks.append(entry.look)
        return entry

    def text(self, entry: files.Entry) -> str | None:
        """The file's text; else None, and the fault is in `faults`."""
        fault = files.NO_FILE if entry.names is not None else entry.fault
        if not fault:
            self.digest.update(entry.content)
            try:
                return entry.content.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                fault = f"is no UTF-8 text: byte {error.start} is in the way"
        self.fault(entry.look.path, (1, 1), fault)
        return None

    def fault(self, file: Path, position: tuple[int, int], message: str) -> None:
        self.faults.append(RuleFault(file, *position, message))


def load(path: Path) -> RuleSet:
    """The rules of a file, or of a folder's *.yaml and *.yml files in the order of their names.

    Raises RuleFileError with every fault of every file.
    """
    result = read(path)
    if result.rules is None:
        raise RuleFileError(result.faults)
    return result.rules


def read(path: Path) -> LoadResult:
    """As `load`, but returns the faults, and the files to watch."""
    reading = _Reading()
    documents = [
        (file, document)
        for file, text in _texts(path, reading)
        if (document := _parse(file, text, reading)) is not None
    ]
    _check_across(documents, reading)
    ids = {file: _app_files(file, raw, reading) for file, raw in documents}
    models = [(file, model) for file, raw in documents if (model := _validate(file, raw, reading))]
    if reading.faults:
        return LoadResult(None, in_order(reading.faults), tuple(reading.looks))
    rule_files = [(file, raw, model) for (file, raw), (_, model) in zip(documents, models, strict=True)]
    rules = compile_rules(models, ids, reading.digest.hexdigest()[:12])
    return LoadResult(rules, (), tuple(reading.looks), in_order(warnings_of(path, rule_files, rules)))


def _texts(path: Path, reading: _Reading) -> Iterator[tuple[Path, str]]:
    """(path, text) of each rule file."""
    entry = reading.read(path)
    if entry.names == ():
        reading.fault(path, (1, 1), "is a folder without rule files: expected *.yaml")
    for one in [entry] if entry.names is None else [reading.read(path / name) for name in entry.names]:
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
        reading.fault(file, position_of(raw, path), with_place(raw, path, message))
    try:
        return RuleFile.model_validate(raw)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
            path = document_path(raw, error["loc"])
            position = position_of(raw, path, at_key=error["type"] == "extra_forbidden")
            reading.fault(file, position, with_place(raw, path, message_of(error, path)))
        return None


def _check_across(documents: list[tuple[Path, CommentedMap]], reading: _Reading) -> None:
    """Checks all files together: only one of them has a setting, and rule names are unique."""
    for key in ("client_ip", "delivery"):
        holders = [(file, raw) for file, raw in documents if key in raw]
        for file, raw in holders[1:]:
            reading.fault(file, position_of(raw, (key,), at_key=True), f"{key}: stands in {holders[0][0]} already")
    _check_onelinks(documents, reading)
    file_of_name: dict[str, Path] = {}
    for file, raw in documents:
        for place, rule in checks.sections(raw, "rules"):
            name = rule.get("name")
            if not isinstance(name, str):
                continue
            if name in file_of_name:
                position = position_of(raw, ("rules", place, "name"))
                reading.fault(
                    file, position, f"rule {name!r}: a rule of that name stands in {file_of_name[name]} already"
                )
            file_of_name[name] = file


def _check_onelinks(documents: list[tuple[Path, CommentedMap]], reading: _Reading) -> None:
    """Checks that each OneLink template stands for one pair of apps."""
    file_of_template: dict[tuple[Any, Any], Path] = {}
    for file, raw in documents:
        for place, onelink in checks.sections(raw, "onelinks"):
            template = onelink.get("host"), onelink.get("template")
            if not all(isinstance(part, str) for part in template):
                continue
            if template in file_of_template:
                position = position_of(raw, ("onelinks", place))
                reading.fault(
                    file, position, f"onelinks: {'/'.join(template)} stands in {file_of_template[template]} already"
                )
            file_of_template[template] = file


def _app_files(file: Path, raw: CommentedMap, reading: _Reading) -> dict[int, list[str]]:
    """The app ids of each rule's app files, by the rule's place."""
    ids_by_rule: dict[int, list[str]] = {}
    for place, rule in checks.sections(raw, "rules"):
        match = rule.get("match")
        for where, name in checks.texts(match, "app_file") if isinstance(match, dict) else ():
            path = ("rules", place, "match", *where)
            listing = reading.read(file.parent / name, rule_file=file)
            if listing.fault == files.OUTSIDE:
                reading.fault(file, position_of(raw, path), with_place(raw, path, files.OUTSIDE))
            elif (text := reading.text(listing)) is not None:
                ids, faults = apps.read(text, rule.get("store", "auto"))
                ids_by_rule.setdefault(place, []).extend(ids)
                for position, message in faults:
                    reading.fault(listing.look.path, position, message)
    return ids_by_rule
