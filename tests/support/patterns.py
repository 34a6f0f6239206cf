"""Every regular expression of the package, found by walking it, and what the code does with each."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import storehop

WORK: Mapping[str, Callable[[re.Pattern[str], str], object]] = {
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "search": lambda pattern, text: pattern.search(text),
    "findall": lambda pattern, text: pattern.findall(text),
    "finditer": lambda pattern, text: list(pattern.finditer(text)),
    "split": lambda pattern, text: pattern.split(text),
    "sub": lambda pattern, text: pattern.sub("", text),
    "subn": lambda pattern, text: pattern.subn("", text),
}
"""What can be done with a pattern."""
_MAKERS = {*WORK, "compile"}


class Found(NamedTuple):
    """A pattern, where it is, and what is done with it."""

    place: str
    """Module and name, or module and the literal."""
    pattern: re.Pattern[str]
    work: frozenset[str]


class Made(NamedTuple):
    """A call that makes a pattern while the program runs, within a function."""

    place: str
    """Module and function."""
    literal: str | None
    flags: int
    work: str


@cache
def modules() -> tuple[ModuleType, ...]:
    found = pkgutil.walk_packages(storehop.__path__, "storehop.")
    return tuple(importlib.import_module(module.name) for module in found)


@cache
def trees() -> Mapping[str, ast.Module]:
    return {module.__name__: ast.parse(Path(str(module.__file__)).read_text()) for module in modules()}


def patterns() -> list[Found]:
    """Those in the namespaces of modules and classes, and those that functions make of literals."""
    uses = _uses()
    found: dict[int, Found] = {}
    for module in modules():
        imported = _imported(trees()[module.__name__])
        for name, value in vars(module).items():
            if name not in imported and not name.startswith("__"):
                for inner, pattern in _within(value, f"{module.__name__}.{name}", module.__name__, set()):
                    work = uses.get(inner.rpartition(".")[2]) or frozenset(WORK)
                    found.setdefault(id(pattern), Found(inner, pattern, work))
    for made in made_while_running():
        if made.literal is not None:
            work = WORK if made.work == "compile" else {made.work}
            pattern = re.compile(made.literal, made.flags)
            found.setdefault(id(pattern), Found(f"{made.place} {made.literal}", pattern, frozenset(work)))
    return sorted(found.values(), key=lambda one: one.place)


def _within(value: Any, place: str, module: str, seen: set[int]) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Patterns in a value: itself, whose method it is, or what it holds."""
    if isinstance(value, re.Pattern):
        yield place, value
    elif id(value) not in seen:
        seen.add(id(value))
        for name, inner in _parts(value, module):
            yield from _within(inner, f"{place}.{name}" if name else place, module, seen)


def _parts(value: Any, module: str) -> list[tuple[str, Any]]:
    match value:
        case type() if value.__module__ == module:
            return list(vars(value).items())
        case dict():
            return [("", inner) for pair in value.items() for inner in pair]
        case list() | tuple() | set() | frozenset():
            return [("", inner) for inner in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return [("", getattr(value, field.name, None)) for field in fields(value)]
    return [("", getattr(value, "__self__", None))]


def _imported(tree: ast.Module) -> set[str]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def _uses() -> dict[str, frozenset[str]]:
    """What is done with a name, anywhere. A name that is handed on is not in it: anything may be done with it."""
    done: defaultdict[str, set[str]] = defaultdict(set)
    handed_on: set[str] = set()
    for tree in trees().values():
        known = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in {*WORK, "pattern"}:
                done[_name(node.value)] |= {node.attr} & set(WORK)
                known.add(node.value)
        reads = (node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute) and node not in known)
        handed_on |= {_name(node) for node in reads if isinstance(node.ctx, ast.Load)}
    return {name: frozenset(work) for name, work in done.items() if name not in handed_on}


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def made_while_running() -> list[Made]:
    """Calls of `re` within functions."""
    return [made for name, tree in trees().items() for made in _made(tree, name, within=False)]


def _made(node: ast.AST, place: str, *, within: bool) -> Iterator[Made]:
    for inner in ast.iter_child_nodes(node):
        match inner:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield from _made(inner, f"{place}.{name}", within=True)
            case ast.ClassDef(name=name):
                yield from _made(inner, f"{place}.{name}", within=within)
            case _:
                yield from _made(inner, place, within=within or isinstance(inner, ast.Lambda))
        match inner:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=work)) if within and work in _MAKERS:
                literal = inner.args[0].value if isinstance(inner.args[0], ast.Constant) else None
                flags = [arg for arg in [*inner.args, *(word.value for word in inner.keywords)] if _is_flag(arg)]
                yield Made(place, literal, _flags(flags), work)


def _is_flag(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "re"


def _flags(nodes: list[ast.expr]) -> int:
    return sum(getattr(re, _name(node)) for node in nodes)


def imports_of_re() -> list[str]:
    """Imports that would hide a call of `re` from `made_while_running`, as `module: imports`."""
    hidden = []
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in {"re", "regex"}:
                hidden.append(f"{name}: from {node.module}")
            if isinstance(node, ast.Import):
                hidden += [
                    f"{name}: {one.name} as {one.asname}" for one in node.names if one.name == "re" and one.asname
                ]
                hidden += [f"{name}: {one.name}" for one in node.names if one.name == "regex"]
    return hidden
