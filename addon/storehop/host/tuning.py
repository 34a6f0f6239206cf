"""What storehop sets in mitmproxy, and what it adds where somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import ctx

if TYPE_CHECKING:
    from storehop.host.inspector import Inspector

type OptionalInspector = Inspector | None
"""A name for modules that start without one: what it imports is for who looks at flows."""

CLICK_COLUMNS = ["comment"]
"""Of mitmweb's list in front of an ad stack. Beside the path, which shows the same host over and over, a comment has
150 pixels, and beside any other column it shares the room. It tells what they would."""


def has_list_of_flows() -> bool:
    """Whether this mitmproxy has a list of flows that somebody looks at."""
    return ctx.master.addons.get("view") is not None


def inspector_if_wanted() -> OptionalInspector:
    """What shows clicks, where this mitmproxy has a list of flows."""
    if not has_list_of_flows():
        return None
    from storehop.host.inspector import Inspector  # noqa: PLC0415  see OptionalInspector

    options = ctx.options
    return Inspector(
        options.storehop_view_flows,
        keep_other=options.storehop_view_other,
        personal_data=options.storehop_view_personal_data,
    )


def tune() -> None:
    """Sets what storehop can't do without on a stock mitmproxy, so that it needs no further flags."""
    options = ctx.options
    # `eager` dials the upstream when a client connects, and drops the click when it is down.
    # Without keep_host_header a reverse proxy overwrites Host before anybody can see it.
    settings: dict[str, object] = {"connection_strategy": "lazy", "keep_host_header": True}
    is_reverse = all(mode.startswith("reverse:") for mode in options.mode)
    if is_reverse and "block_global" in options:
        # The public is who clicks. Only for reverse proxies: a forward proxy must not be everybody's.
        settings["block_global"] = False
    if "web_columns" in options and "comment" not in options.web_columns:
        # mitmweb's list hides comments, and a click's story is one.
        is_ours = is_reverse and not options.has_changed("web_columns")
        settings["web_columns"] = CLICK_COLUMNS if is_ours else [*options.web_columns, "comment"]
    options.update(**settings)
