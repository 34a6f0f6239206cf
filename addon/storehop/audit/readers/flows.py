"""Reads mitmproxy's flow files (`save_stream_file`, `-w`, mitmweb's Save), one flow after the other.

A flow is a tnetstring, `LENGTH:…}`. mitmproxy's FlowReader makes objects of all that is in it, certificates and bodies
too, and takes 0.6 ms a flow. Here what nobody asks for is stepped over. Flows of older versions go through mitmproxy's
own migration first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from mitmproxy import version
from mitmproxy.io import compat, tnetstring

from storehop.audit import pages
from storehop.audit.exchange import Exchange, Known, Unreadable
from storehop.audit.readers.tnetstrings import Window, picked, wanted
from storehop.decide import points
from storehop.decide.link import DEFAULT_PORTS

KNOWS = frozenset(Known)
MAX_FLOW_BYTES = 32 * 1024 * 1024
"""A larger flow is stepped over: it holds a film, and no click."""

_HEAD = re.compile(rb"[1-9][0-9]{0,11}:[0-9]{1,3}:[a-z_]{1,32}[;,]")
_BOM = b"\xef\xbb\xbf"
_TRANSPARENT_MODES = frozenset({"transparent", "wireguard", "local", "tun"})
_UNFIT_HOST = re.compile(r"[/?#\\]")

_MESSAGE: dict[str, None] = dict.fromkeys(("headers", "content", "timestamp_start"))
_READ = wanted(
    type=None,
    version=None,
    metadata=wanted(**dict.fromkeys(("storehop", points.ORIGINAL_LINK))),
    client_conn=wanted(**dict.fromkeys(("peername", "proxy_mode", "timestamp_tls_setup"))),
    request=wanted(**_MESSAGE, **dict.fromkeys(("method", "scheme", "host", "port", "path", "authority"))),
    response=wanted(**_MESSAGE, status_code=None),
)
"""What is read of a flow's state."""
_OTHERS = frozenset({"tcp", "udp", "dns"})
"""Types of flows that are no exchanges."""
_FAULTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What a broken state raises, in mitmproxy's migration too."""


class _NewerError(Exception):
    """The flow's version is newer than this mitmproxy."""


def looks_like(head: bytes) -> bool:
    """Whether a file with this beginning holds flows."""
    return _HEAD.match(head.removeprefix(_BOM)) is not None


def read(stream: BinaryIO) -> Iterator[Exchange | Unreadable]:
    """All HTTP flows; other ones (TCP, UDP, DNS) have a place and are no exchanges.

    Raises TruncatedError where the file ends within a flow.
    """
    window = Window(stream)
    place = 0
    while window.peek(1):
        place += 1
        begin = window.position
        try:
            size = window.length()
        except ValueError:
            yield Unreadable(place, f"no flow begins at byte {begin}: what follows can't be read")
            return
        if size > MAX_FLOW_BYTES:
            window.skip(size + 1)
            yield Unreadable(place, f"the flow at byte {begin} is larger than {MAX_FLOW_BYTES // 2**20} MiB")
            continue
        data = window.take(size + 1)
        if data[-1:] != b"}":
            yield Unreadable(place, f"the flow at byte {begin} does not end where it says: what follows can't be read")
            return
        try:
            state = _state(data)
            exchange = None if state["type"] in _OTHERS else _exchange(place, state)
        except _NewerError:
            newest = f"this mitmproxy reads up to version {version.FLOW_FORMAT_VERSION}"
            yield Unreadable(place, f"the flow at byte {begin} was written by a newer mitmproxy: {newest}")
            continue
        except _FAULTS as error:
            yield Unreadable(place, f"the flow at byte {begin} is broken ({type(error).__name__})")
            continue
        if exchange:
            yield exchange


def _state(data: bytes) -> dict[str, Any]:
    """What we read of a flow's state. `data` is its tnetstring without the length."""
    state = picked(data, 0, len(data) - 1, _READ)
    if state.get("version") == version.FLOW_FORMAT_VERSION:
        return state
    if isinstance(state.get("version"), int) and state["version"] > version.FLOW_FORMAT_VERSION:
        raise _NewerError
    whole: Any = tnetstring.parse(data[-1], memoryview(data)[:-1])
    migrated: Any = compat.migrate_flow(whole)
    return dict(migrated)


def _exchange(place: int, state: Mapping[str, Any]) -> Exchange:
    if state["type"] != "http":
        raise ValueError("no type of mitmproxy's")
    client, request, response = state["client_conn"], state["request"], state.get("response")
    headers = points.joined_headers(request["headers"])
    if "host" not in headers and request["authority"]:
        headers["host"] = _authority(request["authority"])
    mode = _mode(client["proxy_mode"])
    is_forward = mode in points.FORWARD_MODES
    begin = request["timestamp_start"]
    metadata = state.get("metadata") or {}
    answer = _answer(response, begin) if response else {}
    if points.ORIGINAL_LINK in metadata:
        answer["location"] = str(metadata[points.ORIGINAL_LINK])
    return Exchange(
        place=place,
        at=float(begin),
        method=_text(request["method"]).upper(),
        url=_target_url(request) if is_forward else _server_url(request, headers, client),
        headers=headers,
        client_ip=str(client["peername"][0]) if client["peername"] else "",
        is_forward=is_forward,
        is_transparent=mode in _TRANSPARENT_MODES,
        has_body=request["content"] != b"",
        done=str(metadata.get("storehop", "")),
        **answer,
    )


def _answer(response: Mapping[str, Any], begin: float) -> dict[str, Any]:
    headers = points.joined_headers(response["headers"])
    link = pages.link_of_refresh(headers["refresh"]) if "refresh" in headers else None
    content_type = headers.get("content-type", "")
    if link is None and response["content"] and "html" in content_type:
        link = pages.link_of_answer(content_type, headers.get("content-encoding", ""), response["content"])
    return {
        "status": int(response["status_code"]),
        "location": headers.get("location"),
        "seconds": float(response["timestamp_start"] - begin),
        "page_link": link,
    }


def _mode(spec: str) -> str:
    """The name of a proxy mode: `reverse` of `reverse:http://127.0.0.1:8000@8080`."""
    return spec.partition(":")[0].partition("@")[0].strip().lower()


def _target_url(request: Mapping[str, Any]) -> str | None:
    """Where a client of a forward proxy wanted to go; without the port that its scheme has anyway."""
    scheme, host, port = _text(request["scheme"]), request["host"], request["port"]
    if not scheme:
        return None  # CONNECT
    host = _authority(host) if isinstance(host, bytes) else host  # in old files
    shown = f"[{host}]" if ":" in host else host
    server = shown if DEFAULT_PORTS.get(scheme) == str(port) else f"{shown}:{port}"
    return f"{scheme}://{server}{_text(request['path'])}"


def _server_url(request: Mapping[str, Any], headers: points.Headers, client: Mapping[str, Any]) -> str | None:
    """What a client asked a server for: the request's own host is the upstream's."""
    host = headers.get("host", "")
    if not host or _UNFIT_HOST.search(host):
        return None
    scheme = "https" if client["timestamp_tls_setup"] is not None else "http"
    return f"{scheme}://{host}{_text(request['path'])}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _authority(raw: bytes) -> str:
    """As mitmproxy reads it."""
    try:
        return raw.decode("idna")
    except UnicodeError:
        return _text(raw)
