"""Files of app ids, one a line. No message repeats a line that has no app id: the file may be anything."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from storehop.decide.link import is_app_id
from storehop.rulefile.checks import misfit

MAX_FAULTY_LINES = 100
"""Faults that we list for one file. A file with more of them is no list of app ids."""

type Fault = tuple[tuple[int, int], str]
"""(line, column), from 1, and what was expected there."""


def read(text: str, store: Any) -> tuple[list[str], list[Fault]]:
    """The app ids, and a fault for each line without an app id, or with one that the store cannot have."""
    apps: list[str] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        app = line.partition("#")[0].strip()
        if not app:
            continue
        if message := _fault(app, store):
            faults.append(((number, line.index(app) + 1), message))
            if len(faults) == MAX_FAULTY_LINES:
                faults.append(((number + 1, 1), "nothing was read from here on: is this a list of app ids?"))
                break
        apps.append(app)
    return apps, faults


def meant_app(text: Any) -> str:
    """The app id that somebody meant by a store page's URL or by the digits of an App Store id; else ""."""
    if not isinstance(text, str):
        return ""
    app = _id_of_page(text) if "/" in text else f"id{text.lower().removeprefix('id')}"
    return app if is_app_id(app) else ""


def _id_of_page(text: str) -> str:
    try:
        page = urlsplit(text if "://" in text else f"https://{text}")
        host, query = page.hostname or "", parse_qs(page.query)
    except ValueError:  # it only looks like a URL
        return ""
    if host == "play.google.com" or page.scheme == "market":
        return query.get("id", [""])[0]
    return page.path.rstrip("/").rpartition("/")[2] if host in {"apps.apple.com", "itunes.apple.com"} else ""


def _fault(app: str, store: Any) -> str:
    if not is_app_id(app):
        return "expected an app id such as com.example.game"
    return misfit(app, store)
