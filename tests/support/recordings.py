"""Recordings of text, written and read back."""

from __future__ import annotations

import sys
from io import BytesIO
from types import SimpleNamespace

from storehop.audit.exchange import Asked, Unreadable
from storehop.audit.recordings import open_recording

LINK = "https://app.appsflyer.com/com.example.game?pid=networka_int&clickid=abc123"
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
AT = 1796032800.0
"""30 Nov 2026, 10:00:00 UTC."""


def opened(folder, content, name="recording", **asked):
    """The recording of a file with this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_recording(str(path), Asked(**asked))


def described(folder, content, **asked):
    """The recording after it was read."""
    recording = opened(folder, content, **asked)
    assert list(recording) != []
    return recording


def exchanges(folder, content, **asked):
    """All that stands in it; nothing is unreadable."""
    found = list(opened(folder, content, **asked))
    assert [one for one in found if isinstance(one, Unreadable)] == []
    return found


def only(folder, content, **asked):
    """The one exchange that stands in it."""
    (exchange,) = exchanges(folder, content, **asked)
    return exchange


def stand_in_stdin(monkeypatch, content):
    """Makes these bytes what is read from stdin."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(content)))
