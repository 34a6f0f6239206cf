"""Spares the sidecar's start the imports of what it has no use for: a quarter of all modules.

Nobody else's module is changed: each is left for later or left out, as Python and its owner provide for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader

_ADDONS = "mitmproxy.addons."
"""`import mitmproxy.addons` imports every addon that there is, and with them Flask, ldap3 and Werkzeug; the lean host
uses six. With LazyLoader a module runs at the first look into it. Should somebody look into all, then all are there."""
_HTTPX_COMMAND = "httpx._main"
"""`import httpx` imports its command line, and with it rich, click and Pygments, where these are installed. Where they
are not, it does without."""


class _Sparing:
    """A finder of modules: https://docs.python.org/3/library/sys.html#sys.meta_path."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _target: object = None) -> ModuleSpec | None:
        if name == _HTTPX_COMMAND:
            raise ModuleNotFoundError(f"{name} is left out", name=name)
        spec = PathFinder.find_spec(name, path) if name.startswith(_ADDONS) else None
        if spec and spec.loader and not spec.submodule_search_locations:
            spec.loader = LazyLoader(spec.loader)
        return spec


def spare_imports() -> None:
    """From now on. Must be called before the first import of mitmproxy and httpx."""
    if _Sparing not in sys.meta_path:
        sys.meta_path.insert(0, _Sparing)
