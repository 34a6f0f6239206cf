"""Click ids: UUIDv7, so that they sort by time (RFC 9562 §5.7)."""

import uuid

import pytest

from storehop import ids
from storehop.decide.store import TOKEN


def is_version_7(found):
    return found.version == 7 and found.variant == uuid.RFC_4122


def test_an_id_is_a_uuid_of_version_7():
    """A click id is a UUID of version 7 and of RFC 9562's variant, in lower case with dashes."""
    text = ids.new_click_id()

    assert text == str(uuid.UUID(text))
    assert is_version_7(uuid.UUID(text))


@pytest.mark.parametrize("now", [0, 1, 1_700_000_000_123, (1 << 48) - 1], ids=["epoch", "1 ms", "2023", "last"])
def test_an_id_begins_with_its_time(monkeypatch, now):
    """The first 48 bits of a click id are Unix milliseconds."""
    monkeypatch.setattr(ids.time, "time_ns", lambda: now * 1_000_000 + 999_999)

    assert now == uuid.UUID(ids.new_click_id()).int >> 80


def test_ids_sort_by_time(monkeypatch):
    """Of two ids that were made at different times the earlier sorts first, as text too."""
    found = []
    for now in (1, 255, 256, 1_700_000_000_000, 1_700_000_000_001):
        monkeypatch.setattr(ids.time, "time_ns", lambda now=now: now * 1_000_000)
        found.append(ids.new_click_id())

    assert sorted(found) == found


@pytest.mark.parametrize("random", [b"\x00" * 10, b"\xff" * 10], ids=["zeros", "ones"])
def test_randomness_never_reaches_version_and_variant(monkeypatch, random):
    """Version and variant stand, whatever the random bits are."""
    monkeypatch.setattr(ids, "_ENDINGS", [])
    monkeypatch.setattr(ids.os, "urandom", lambda size: random[:size])

    assert is_version_7(uuid.UUID(ids.new_click_id()))


def test_ids_are_unique(monkeypatch):
    """Ten thousand ids of one moment differ."""
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_700_000_000_000_000_000)

    assert len({ids.new_click_id() for _ in range(10_000)}) == 10_000


def test_an_id_fits_a_referrer():
    """A referrer of the longest partner's name and a new id is a token."""
    assert TOKEN.fullmatch(f"{'x' * 91}_{ids.new_click_id()}")
