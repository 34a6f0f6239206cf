"""storehop as a script of a stock mitmproxy: `mitmdump -s addon/entry.py --mode reverse:http://legacy:8000`.

mitmproxy takes every name in here that is called like one of its hooks for a hook, and leaves this folder at
the front of sys.path: so few names, and no module beside this file but the package.

Where storehop can't run, one sentence says why and what to install; mitmproxy ends a start with an ERROR in its log.
So this file must be readable for old Pythons, and import nothing that an old mitmproxy lacks.
"""

import logging
import sys
from pathlib import Path
from shlex import quote

from mitmproxy.version import VERSION

LEAST_PYTHON = (3, 12)
LEAST_MITMPROXY = (12, 2)
"""As pyproject.toml says; a test compares."""


def _hindrance() -> str:
    """Why storehop can't run in this mitmproxy; empty where it can."""
    if sys.version_info < LEAST_PYTHON:
        return "it needs Python 3.12 or newer, and this is {}.{}".format(*sys.version_info)
    if tuple(map(int, VERSION.split(".")[:2])) < LEAST_MITMPROXY:
        return f"it needs mitmproxy 12.2 or newer, and this is {VERSION}"
    try:
        import storehop.host.addon  # noqa: F401, PLC0415  tried only where it can be read
    except ImportError as error:
        if (error.name or "").startswith("storehop."):
            raise  # nothing is missing: a fault of ours
        return f"{error}"
    return ""


def _remedy() -> str:
    """What to type. A checkout is named by its path: it need not have been published."""
    checkout = Path(__file__).resolve().parent.parent
    storehop = quote(str(checkout)) if (checkout / "pyproject.toml").is_file() else "storehop"
    inject = f"`pipx inject mitmproxy {storehop}`"
    if getattr(sys, "frozen", False) or sys.version_info < LEAST_PYTHON:
        # A standalone binary of mitmproxy brings a Python of its own, which takes no libraries.
        return f"`pipx install --force --python python3.13 mitmproxy`, then {inject}"
    return f"{inject}, or `{quote(sys.executable)} -m pip install {storehop}`"


hindrance = _hindrance()
if hindrance:
    logging.getLogger("storehop").error("storehop can't run in this mitmproxy: %s. Try %s.", hindrance, _remedy())
    addons = []
else:
    from storehop.host.addon import Storehop

    addons = [Storehop()]
