"""Which column is what: as people say with `--map`, else by its name, else by the values of the first rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from operator import itemgetter
from typing import Any

from storehop.audit.exchange import Asked, Known, RecordingError
from storehop.audit.readers.advice import NO_LINK, lines_for_tomorrow
from storehop.audit.readers.building import Build, Get, Pick, Row, builder, text_of
from storehop.audit.readers.links import as_clicked, attributed, is_attributed, link_in
from storehop.audit.readers.names import HEADER, MAP_NAMES, MEANINGS, Path, meaning_of
from storehop.audit.readers.remarks import is_address, look_at_others, remark_on_links, remark_on_times

SAMPLE_ROWS = 1000
"""Rows that are looked at before the first one is read."""
_REQUESTS = ("url", "uri", "request", "query", "host")
"""Columns that say what was asked for."""
_MOST_NAMED = 40
_MOST_CHARACTERS = 60
"""Of a column's name that is shown."""
_SEVERAL = ("location",)
"""Meanings of which more than one column counts: the first that has a value."""


@dataclass
class Table:
    """The first rows, and what is known of their columns."""

    rows: Sequence[Row]
    gets: Mapping[Path, Get]
    preset: Mapping[str, str] = field(default_factory=dict)
    by_position: Mapping[str, Path] = field(default_factory=dict)
    """What the format itself says of where something stands, by meaning."""
    pick: Callable[[Sequence[Path]], tuple[Sequence[Path], Pick]] | None = None
    """A fast way to get several columns at once, and the order in which it gives them."""
    names_count: bool = True
    """Whether names say what columns are; else `by_position` says all."""
    remarks: list[str] = field(default_factory=list)

    def one_by_one(self, paths: Sequence[Path]) -> tuple[Sequence[Path], Pick]:
        """The way where there is no fast one."""
        gets = [self.gets[path] for path in paths]

        def pick(row: Row) -> list[Any]:
            return [get(row) for get in gets]

        return paths, pick

    def values(self, path: Path) -> list[str]:
        """What stands in a column, without what is absent."""
        return [text for row in self.rows if (text := text_of(self.gets[path](row))) is not None]


def table_of(rows: Sequence[Row], paths: Sequence[Path]) -> Table:
    """A table of rows that are lists: one column a path, in order."""

    def pick(several: Sequence[Path]) -> tuple[Sequence[Path], Pick]:
        places = [paths.index(path) for path in several]
        if len(places) > 1:
            return several, itemgetter(*places)
        (place,) = places
        return several, lambda row: (row[place],)

    return Table(rows, {path: itemgetter(index) for index, path in enumerate(paths)}, pick=pick)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is where, and the function that reads it."""

    paths: Mapping[str, Sequence[Path]]
    """By meaning."""
    build: Build
    knows: frozenset[Known]


def columns_of(table: Table, asked: Asked) -> Columns:
    """Raises RecordingError where no column is the link, and for a `--map` that names no column."""
    mapped = _mapped(table, asked)
    taken = set(mapped.values())
    paths = {meaning: [path] for meaning, path in table.by_position.items() if path not in taken}
    paths |= {meaning: found for meaning, found in _named(table, asked, taken).items() if meaning not in paths}
    paths |= {meaning: [path] for meaning, path in mapped.items()}
    for meaning, fits in _FITS.items():
        if meaning in paths and meaning not in mapped:
            paths[meaning] = [path for path in paths[meaning] if _may_be(table.values(path), fits)]
    finds_links = not {"link", "location"}.intersection(mapped) and _find_link(table, paths, mapped)
    if paths.get("location") and not paths.get("status"):  # nobody knows whether it was a redirect: it is taken for one
        paths["link"] = [*paths.get("link", ()), *paths.pop("location")]
    _check_header(table, paths, asked)
    remark_on_times(table, paths)
    if table.names_count:
        look_at_others(table, paths)
    remark_on_links(table, paths)
    paths = {meaning: found for meaning, found in paths.items() if found}
    order, pick = (table.pick or table.one_by_one)([path for found in paths.values() for path in found])
    places = {meaning: [order.index(path) for path in found] for meaning, found in paths.items()}
    return Columns(paths, builder(places, pick, finds_links=finds_links), _knows(paths, asked))


def _mapped(table: Table, asked: Asked) -> dict[str, Path]:
    mapped = {}
    for name, column in asked.columns.items():
        meaning = MAP_NAMES.get(name.lower(), name.lower())
        if meaning not in MEANINGS and not meaning.startswith(HEADER):
            expected = ", ".join(dict.fromkeys([*MAP_NAMES, *MEANINGS, "header.NAME"]))
            raise RecordingError(f"--map {name}=: expected one of {expected}")
        mapped[meaning] = _column(table, name, column)
    return mapped


def _column(table: Table, name: str, column: str) -> Path:
    by_name = {".".join(path): path for path in table.gets}
    by_lower = {known.lower(): path for known, path in by_name.items()}
    path = by_name.get(column) or by_lower.get(column.lower())
    if path is None:
        near = get_close_matches(column, by_name, 1)
        advice = f" Did you mean {_listed(near)}?" if near else ""
        raise RecordingError(f"--map {name}={column}: no such column.{advice} There are: {_listed(by_name)}")
    return path


def _listed(names: Iterable[str]) -> str:
    """Names of columns, which strangers may choose; a long list and a long name are cut."""
    listed = sorted(names)
    shown = [name[:_MOST_CHARACTERS] if name.isprintable() else repr(name[:_MOST_CHARACTERS]) for name in listed]
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return (", ".join(shown[:_MOST_NAMED]) or "none") + more


def _named(table: Table, asked: Asked, taken: set[Path]) -> dict[str, list[Path]]:
    headers = [asked.client_ip_header] if asked.client_ip_header else []
    ranked: dict[str, list[tuple[int, Path]]] = {}
    for path in table.gets:
        if table.names_count and path not in taken and (found := meaning_of(path, table.preset, headers)):
            ranked.setdefault(found[0], []).append((found[1], path))
    return {
        meaning: [path for _, path in sorted(found)][: None if meaning in _SEVERAL else 1]
        for meaning, found in ranked.items()
    }


def _leads_somewhere(value: str) -> bool:
    return "://" in as_clicked(value) or value.startswith("/")


_FITS: Mapping[str, Callable[[str], bool]] = {
    "link": _leads_somewhere,
    "location": _leads_somewhere,
    "ip": is_address,
    "request": lambda value: " " in value,
}
"""A name may say another thing: a `location` may be a town."""


def _may_be(values: Sequence[str], fits: Callable[[str], bool]) -> bool:
    return not values or any(map(fits, values))


def _find_link(table: Table, paths: dict[str, list[Path]], mapped: Collection[str]) -> bool:
    """Whether links are parameters of requests. Where no name says so, the column whose values are links is `link`."""
    named = [path for meaning in ("link", "location") for path in paths.get(meaning, ())]
    asked_for = [(meaning, path) for meaning in _REQUESTS for path in paths.get(meaning, ())]
    if any(attributed(table.values(path)) for path in named) or any(
        is_attributed(value.partition("?")[0])
        for meaning, path in asked_for
        for value in table.values(path)
        if meaning != "query"
    ):
        return False
    others = {path for meaning, found in paths.items() if meaning.startswith(HEADER) for path in found}
    others |= {path for _, path in asked_for}
    count, best = max(
        ((attributed(table.values(path)), path) for path in table.gets if path not in others), default=(0, ())
    )
    if count:
        paths["link"] = [best]
    elif not named and not {"url", "uri", "request"}.intersection(mapped):
        if not any(
            link_in(f"?{value}" if meaning == "query" else value)
            for meaning, path in asked_for
            for value in table.values(path)
        ):
            raise RecordingError(_no_link(table))
        table.remarks.append("its links are parameters of requests: what is put in behind them is not known")
        return True
    return False


def _no_link(table: Table) -> str:
    names = [".".join(path) for path in table.gets]
    return f"{NO_LINK} Columns seen: {_listed(names)}.\n{lines_for_tomorrow()}"


def _check_header(table: Table, paths: Mapping[str, Sequence[Path]], asked: Asked) -> None:
    header = asked.client_ip_header
    if header and not paths.get(HEADER + header.lower()):
        names = _listed(".".join(path) for path in table.gets)
        raise RecordingError(f"no column holds the header {header}; --map header.{header}=COLUMN. There are: {names}")


def _knows(paths: Collection[str], asked: Asked) -> frozenset[Known]:
    knows = {Known.LINK}
    headers = {meaning.removeprefix(HEADER) for meaning in paths if meaning.startswith(HEADER)}
    tests = {
        Known.TIME: "time" in paths,
        Known.USER_AGENT: "user-agent" in headers,
        Known.LANGUAGE: "accept-language" in headers,
        Known.HINTS: any(name.startswith(("sec-ch-", "sec-fetch-")) for name in headers),
        Known.CLIENT_IP: "ip" in paths or (asked.client_ip_header or "").lower() in headers,
    }
    return frozenset(knows | {known for known, is_known in tests.items() if is_known})
