"""Values as JSON has them."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any


def iso(at: float | None) -> str | None:
    """Unix seconds as `2026-11-27T08:00:00Z`; None where nobody knows."""
    if not at:
        return None
    return datetime.fromtimestamp(at, UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def plain(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists, at any depth."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
