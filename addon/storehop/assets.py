"""Files that come with storehop: the only code that knows where they lie.

A wheel carries them inside the package (`_data/`); in a checkout they lie in `addon/` and the top level.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_HOMES = (_PACKAGE / "_data", _PACKAGE.parent, _PACKAGE.parent.parent)

ASSETS = ("entry.py", "rules/storehop.yaml", "rules/storehop.schema.json")


def asset(name: str) -> Path:
    """Path of a shipped file such as `entry.py` or `rules/storehop.yaml`. Raises FileNotFoundError."""
    homes = _HOMES if name in ASSETS else ()
    for home in homes:
        if (home / name).exists():
            return home / name
    raise FileNotFoundError(f"{name} does not come with storehop: expected one of {', '.join(ASSETS)}")
