"""Files that come with storehop: the only code that knows where they lie.

A wheel carries them inside the package (`_data/`); in a checkout they lie in `addon/` and the top level.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_HOMES = (_PACKAGE / "_data", _PACKAGE.parent, _PACKAGE.parent.parent)
_SHIPPED = ("entry.py", "rules")
"""A file, and a folder with all that is in it."""


def assets() -> dict[str, Path]:
    """What is shipped, by its name such as `entry.py` or `rules/storehop.yaml`: files, and the folders they lie in."""
    tops = {name: home / name for name in _SHIPPED for home in reversed(_HOMES) if (home / name).exists()}
    return tops | {
        f"{name}/{path.relative_to(top).as_posix()}": path
        for name, top in tops.items()
        for path in sorted(top.rglob("*"))
    }


def asset(name: str) -> Path:
    """Path of what is shipped by this name or by the end of one: `alerts.yaml`, `alerts`. Raises FileNotFoundError."""
    known = assets()
    if name in known:
        return known[name]
    ending = [full for full in known if full.endswith(f"/{name}")] or [
        full for full in known if Path(full).stem == name
    ]
    if len(ending) > 1:
        raise FileNotFoundError(f"{name} may be any of {', '.join(ending)}")
    if not ending:
        raise FileNotFoundError(f"{name} does not come with storehop")
    return known[ending[0]]
