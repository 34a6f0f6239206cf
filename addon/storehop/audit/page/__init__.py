"""The page that an account manager mails: one HTML file without a script, complete in itself (design §11).

It opens without a network, prints on a few pages, and stays below 300 kB whatever the report: each table has a most of
rows, each name a most of bytes. Strangers' texts are escaped by `parts.element`, through which all of it goes.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from storehop.audit.page import calls, coverage, hops, surprises, verdict
from storehop.audit.page.parts import Markup, day_and_time, element, joined
from storehop.audit.report import Report

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_CONTENTS = (
    ("read", "What was read"),
    ("coverage", "Clicks"),
    ("keys", "Match keys"),
    ("calls", "Calls"),
    ("surprises", "Surprises"),
    ("drift", "AppsFlyer's redirect"),
    ("savings", "Savings"),
    ("unknown", "Unknown"),
    ("sign", "Sign-off"),
)


def render(report: Report) -> str:
    """The whole file."""
    links = (element("a", title, href=f"#{anchor}") for anchor, title in _CONTENTS)
    main = element(
        "main",
        verdict.head(report),
        element("nav", *links, aria_label="Contents"),
        verdict.read(report),
        coverage.coverage(report),
        coverage.match_keys(report),
        calls.calls(report),
        surprises.surprises(report),
        hops.drift(report),
        hops.savings(report),
        hops.unknown(report),
        hops.changes(report),
        verdict.sign_off(),
    )
    return "<!doctype html>\n" + element("html", _head(report), element("body", main), lang="en") + "\n"


def _head(report: Report) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"storehop audit, {day_and_time(report.made_at)} UTC"),
        joined(Markup(f"<style>{_style()}</style>")),
    )


@cache
def _style() -> str:
    return (resources.files(__package__) / "style.css").read_text(encoding="utf-8")
