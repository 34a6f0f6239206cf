"""The link's click ids, by the names that a rule gives: a referrer's transaction, and what makes clicks the same."""

from __future__ import annotations

from typing import NamedTuple

from storehop.decide.link import Link
from storehop.decide.unfilled import is_absent, is_unfilled


class ClickIds(NamedTuple):
    """What a link has for the names of a rule's click ids."""

    real: tuple[str, str] | None
    """Name and value of the first one that is real."""
    unfilled: tuple[str, ...]
    """The names of those that nobody filled in."""


def of(link: Link, names: tuple[str, ...]) -> ClickIds:
    """The click ids of this link."""
    real: tuple[str, str] | None = None
    unfilled: tuple[str, ...] = ()
    for name in names:
        value = link.values.get(name)
        if value is None:
            continue
        if not is_absent(value):
            real = real or (name, value)
        elif is_unfilled(value):
            unfilled = (*unfilled, name)
    return ClickIds(real, unfilled)
