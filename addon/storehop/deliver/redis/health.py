"""Whether a server may keep an outbox, by what it says of itself (design §12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

LEAST_VERSION = (7, 0)
"""Scripts with flags."""


class Health(NamedTuple):
    """What is wrong with a server, in sentences."""

    refusal: str | None
    """Why it takes no clicks. What it has it hands out and settles."""
    remarks: tuple[str, ...]
    """How its settings weaken the promise."""
    history: str
    """Name of the changes that it makes now: a replica that is promoted gives them a new one."""
    history_before: str
    """The name under which it followed another primary."""


def fields_of(info: str) -> dict[str, str]:
    """The lines `name:value` of INFO's reply."""
    pairs = (line.partition(":") for line in info.splitlines())
    return {name: value for name, colon, value in pairs if colon}


def no_primary(info: Mapping[str, str]) -> str | None:
    """Why it is the wrong one to ask."""
    if info.get("redis_mode") == "sentinel":
        return "it is a Sentinel: expected redis+sentinel://host,host,host/name"
    return None if info.get("role") == "master" else "it is a replica"


def too_old(info: Mapping[str, str]) -> str | None:
    """Why it can't even hand out what it has."""
    version = info.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < LEAST_VERSION:
        return f"it is version {version}: expected Redis 7.0 or newer, or Valkey"
    return None


def examine(info: Mapping[str, str], appendfsync: str | None, replicas: int) -> Health:
    """By INFO's fields, and the setting where it can be read. `replicas` must acknowledge each click."""
    history, before = info.get("master_replid", ""), info.get("master_replid2", "")
    return Health(_refusal(info, replicas), _remarks(info, appendfsync, replicas), history, before)


def _refusal(info: Mapping[str, str], replicas: int) -> str | None:
    policy = info.get("maxmemory_policy", "unknown")
    if policy != "noeviction":
        return f"it may evict clicks: expected maxmemory-policy noeviction, not {policy}"
    if info.get("aof_enabled") != "1" and not _is_managed(info, replicas):
        return "it would lose its clicks in a restart: expected appendonly yes"
    connected = int(info.get("connected_slaves", 0))
    if connected < replicas:
        return f"{connected} of its replicas are connected, and outbox_replicas is {replicas}"
    return None


def _is_managed(info: Mapping[str, str], replicas: int) -> bool:
    """Amazon's services have logs of their own, and `outbox_replicas: 0` says that the server guarantees its clicks."""
    return replicas == 0 and info.get("os", "").startswith("Amazon ")


def _remarks(info: Mapping[str, str], appendfsync: str | None, replicas: int) -> tuple[str, ...]:
    if info.get("aof_enabled") != "1":
        own = "appendonly is no: only the service's own log keeps clicks, where it has one"
        return (own,) if _is_managed(info, replicas) else ()
    if appendfsync in {None, "always"}:
        return ()
    return (f"appendfsync is {appendfsync}, not always: a power cut of the primary alone loses clicks",)
