"""Section 5: what somebody should look at before the switch, each with what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from storehop.audit.page.parts import (
    Markup,
    count,
    counted,
    element,
    paragraph,
    ranked,
    samples,
    section,
    share,
    visible,
)
from storehop.audit.report import Report
from storehop.model import Reason

MOST_NETWORKS = 20


class _Surprise(NamedTuple):
    key: str
    """Of its samples; empty where they stand elsewhere."""
    n: int
    title: str
    meaning: str
    advice: str
    absent: str
    """Its name where there is none."""


def surprises(report: Report) -> Markup:
    every = _all(report)
    found = [_shown(report, one) for one in every if one.n]
    absent = [one.absent for one in every if not one.n]
    return section(
        "surprises",
        "Surprises",
        element("ul", *found, cls="surprises") if found else paragraph("There were none."),
        paragraph(f"Looked for and not found: {', '.join(absent)}.", cls="muted") if absent else None,
    )


def _shown(report: Report, one: _Surprise) -> Markup:
    return element(
        "li",
        element("p", element("strong", one.title)),
        paragraph(one.meaning),
        paragraph(element("span", "What to do: ", cls="label"), one.advice),
        samples(report, one.key),
    )


def _all(report: Report) -> tuple[_Surprise, ...]:
    bots = report.reasons.get(Reason.BOT, 0)
    others = sum(report.other_networks.values())
    return (
        _Surprise(
            "private_addresses",
            report.private_addresses,
            f"{counted(report.private_addresses, 'direct click')} from a private address"
            f" ({share(report.private_addresses, report.direct)} of the direct ones)",
            "The address is that of a load balancer or of the own network, so AppsFlyer gets no IP to match on.",
            "list the load balancers in client_ip.trusted_proxies of the rules, then audit again.",
            "private addresses",
        ),
        _Surprise(
            "repeated_click_ids",
            report.repeated_click_ids,
            f"{counted(report.repeated_click_ids, 'direct click')} with a click id that another click had before",
            "Either people open the same link again, or the network does not make a new id for each click.",
            "ask the ad network whether each click gets an id of its own.",
            "repeated click ids",
        ),
        _Surprise(
            "missing_click_ids",
            report.missing_click_ids,
            f"{counted(report.missing_click_ids, 'direct click')} without a click id",
            "When AppsFlyer reports an install, the network cannot tell which of its clicks led to it.",
            "ask the ad network to put its click id into the link.",
            "missing click ids",
        ),
        _Surprise(
            "page_redirects",
            report.page_redirects,
            f"{counted(report.page_redirects, 'redirect')} by a page, not by a 302",
            "A meta refresh, a Refresh header or a script leads to an attribution link. The phone goes there alone, "
            "and no rule can meet it.",
            "let the ad stack answer with a redirect (302) instead, where these clicks are to go direct.",
            "redirects by pages",
        ),
        _Surprise(
            "store_redirects",
            report.store_redirects,
            f"{counted(report.store_redirects, 'redirect')} to a store already",
            "A storehop answered these, or the ad stack knows the stores itself. They are no clicks here.",
            "audit the log of the ad stack behind storehop, where it is storehop's own that was read.",
            "redirects to a store",
        ),
        _Surprise(
            "",
            bots,
            f"{counted(bots, 'click')} by crawlers and link previews ({share(bots, report.clicks)} of all)",
            "They pass, so AppsFlyer sees them as it does today.",
            "nothing, unless phones of people are among the samples of these clicks above.",
            "bots",
        ),
        _Surprise(
            "other_networks",
            others,
            f"{counted(others, 'link')} of other attribution services",
            f"storehop leaves them alone: {_networks(report)}.",
            "nothing. They go on as today.",
            "links of other attribution services",
        ),
    )


def _networks(report: Report) -> str:
    found, more = ranked(report.other_networks, MOST_NETWORKS)
    named = ", ".join(f"{visible(network, 60)} {count(n)}" for network, n in found)
    return f"{named}, and {count(more)} more" if more else named
