"""Drift: what AppsFlyer's own redirect did, against what we would do (design §11). Targets are compared, not bytes."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """How two targets differ. A closed list: it labels a metric."""

    SAME = "same"
    OTHER_APP = "other_app"
    OTHER_STORE = "other_store"
    OTHER_COUNTRY = "other_country"
    OTHER_LISTING = "other_listing"
    OPENS_APP = "opens_app"
    WEB_PAGE = "web_page"
    NOT_COMPARABLE = "not_comparable"


class Compared(NamedTuple):
    """What a comparison came to."""

    kind: Kind
    harmless: tuple[str, ...] = ()
    """Differences that do not count, each with its reason in words."""
