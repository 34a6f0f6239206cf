"""What people should know of columns: times without a zone, links that were changed, names that nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from storehop.audit.readers.building import address_of
from storehop.audit.readers.links import is_attributed
from storehop.audit.readers.moments import has_zone, seconds_of
from storehop.audit.readers.names import HEADER, Path

if TYPE_CHECKING:
    from storehop.audit.readers.columns import Table

_FEW_NAMED = 5
_FEW_ROWS = 20
_AGENT = f"{HEADER}user-agent"


def is_address(value: str) -> bool:
    try:
        ip_address(address_of(value))
    except ValueError:
        return False
    return True


def remark_on_times(table: Table, paths: dict[str, list[Path]]) -> None:
    values = [value for path in paths.get("time", ()) for row in table.rows if (value := table.gets[path](row))]
    if not values:
        return
    if all(seconds_of(value) is None for value in values):
        table.remarks.append("its times can't be read")
        del paths["time"]
    elif not all(map(has_zone, values)):
        table.remarks.append("its times name no zone: they are taken as UTC")


def look_at_others(table: Table, paths: dict[str, list[Path]]) -> None:
    """Columns whose name nobody knows: a User-Agent looks like nothing else; of addresses and times people are told."""
    taken = {path for found in paths.values() for path in found}
    others = {path: table.values(path) for path in table.gets if path not in taken}
    if not paths.get(_AGENT):
        paths[_AGENT] = [path for path, values in others.items() if _are(values, _is_user_agent)][:1]
    wanted = [(meaning, fits) for meaning, fits in (("ip", is_address), ("time", _is_time)) if not paths.get(meaning)]
    unused = [".".join(path) for path, values in others.items() if any(_are(values, fits) for _, fits in wanted)]
    if unused:
        says = ",".join(f"{meaning}=COLUMN" for meaning, _ in wanted)
        table.remarks.append(f"what its columns {', '.join(unused[:_FEW_NAMED])} are: --map {says} says so")


def _are(values: Sequence[str], fits: Callable[[str], bool]) -> bool:
    return bool(values) and all(map(fits, values[:_FEW_ROWS]))


def _is_user_agent(value: str) -> bool:
    return value.startswith(("Mozilla/", "Dalvik/"))


def _is_time(value: str) -> bool:
    return len(value) >= len("1764496800") and seconds_of(value) is not None


def remark_on_links(table: Table, paths: Mapping[str, Sequence[Path]]) -> None:
    columns = [path for meaning in ("link", "location") for path in paths.get(meaning, ())]
    if any("&amp;" in value and is_attributed(value) for path in columns for value in table.values(path)):
        table.remarks.append(
            r"whether its links really have &amp; instead of &, as live nobody clicks them;"
            r" if the export wrote that: sed 's/&amp;/\&/g' FILE > NEW"
        )
