"""The points where a click is met (design §2), in plain values: of live flows, and of recordings."""

from __future__ import annotations

from collections.abc import Collection, Iterable

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Statuses whose Location a browser follows (RFC 9110 §15.4)."""
FORWARD_MODES = frozenset({"regular", "upstream", "socks5"})
"""mitmproxy's names of the proxy modes in which a client names a target; in others it talks to us as to a server."""

ORIGINAL_LINK = "storehop_link"
"""Key of a flow's metadata: where a redirect led that leads to the store now. An audit of recorded flows reads it."""

type Headers = dict[str, str]
"""A request's headers by lower-case name: read once, used by all. Several lines of one name are one list; a cookie's
crumbs are one cookie (RFC 9110 §5.3, RFC 9113 §8.2.3)."""

MAX_CACHED_NAMES = 1024
MAX_CACHED_NAME_BYTES = 64
"""Of a header's name that is remembered: who sends longer ones does not choose how much memory we keep."""


def joined_headers(fields: Collection[tuple[bytes, bytes]]) -> Headers:
    """Reads a request's header lines."""
    headers = {LOWER[name]: value.decode("utf-8", "surrogateescape") for name, value in fields}
    return headers if len(headers) == len(fields) else _with_lists(fields)


def _with_lists(fields: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Header lines of which some have the same name."""
    headers: Headers = {}
    lists: dict[str, list[str]] = {}
    for raw_name, raw_value in fields:
        name, value = LOWER[raw_name], raw_value.decode("utf-8", "surrogateescape")
        if name not in headers:
            headers[name] = value
        else:
            lists.setdefault(name, [headers[name]]).append(value)
    for name, values in lists.items():
        headers[name] = ("; " if name == "cookie" else ", ").join(values)
    return headers


class _LowerNames(dict[bytes, str]):
    """Lower-case header names. Every header of every request is looked up: a name of before costs no call of ours."""

    def __missing__(self, name: bytes) -> str:
        lower = name.decode("utf-8", "surrogateescape").lower()
        if len(name) <= MAX_CACHED_NAME_BYTES:
            if len(self) >= MAX_CACHED_NAMES:
                self.clear()
            self[name] = lower
        return lower


LOWER = _LowerNames()


def target_of_host(host: str) -> str:
    """The host that a server's request is addressed to, of its Host header: lower case, without port."""
    return host.partition(":")[0].lower().rstrip(".")


def link_of_target(scheme: str, host: str, port: int | str, path: str) -> str:
    """The attribution link that a request to a forward proxy is, where its target is an attribution host."""
    return f"{scheme}://{host}:{port}{path}"


def link_of_host(target: str, path: str) -> str:
    """The attribution link that a server's request is, where it is addressed to an attribution host.

    The port is our listener's, and the scheme our proxy's.
    """
    return f"https://{target}{path}"
