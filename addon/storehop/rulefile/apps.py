"""Files of app ids, one a line. What stands in a line that holds none is never repeated: it may be any file."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from storehop.decide.link import is_app_id
from storehop.rulefile.checks import misfit

MOST_FAULTS = 100
"""Lines of one file that are told of: a file with more of them is no list of app ids."""

type Fault = tuple[tuple[int, int], str]
"""Line and column, and what was expected there."""


def read(text: str, store: Any) -> tuple[list[str], list[Fault]]:
    """The app ids, and the lines that hold none, or one that the store cannot have."""
    apps: list[str] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        app = line.partition("#")[0].strip()
        if not app:
            continue
        if message := _fault(app, store):
            faults.append(((number, line.index(app) + 1), message))
            if len(faults) == MOST_FAULTS:
                faults.append(((number + 1, 1), "nothing was read from here on: is this a list of app ids?"))
                break
        apps.append(app)
    return apps, faults


def meant_app(text: Any) -> str:
    """The app id in what people write for one: a store page's URL, or an App Store id's digits; or ""."""
    if not isinstance(text, str):
        return ""
    meant = _id_of_page(text) if "/" in text else f"id{text.lower().removeprefix('id')}"
    return meant if is_app_id(meant) else ""


def _id_of_page(text: str) -> str:
    try:
        page = urlsplit(text if "://" in text else f"https://{text}")
        host, query = page.hostname or "", parse_qs(page.query)
    except ValueError:  # what only looks like a URL
        return ""
    if host == "play.google.com" or page.scheme == "market":
        return query.get("id", [""])[0]
    return page.path.rstrip("/").rpartition("/")[2] if host in {"apps.apple.com", "itunes.apple.com"} else ""


def _fault(app: str, store: Any) -> str:
    if not is_app_id(app):
        return "expected an app id such as com.example.game"
    return misfit(app, store)
