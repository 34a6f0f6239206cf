"""Where a page leads on its own: by meta refresh, by a Refresh header, or by a script. No rule can meet such clicks."""

from __future__ import annotations

import html
import re
import sys
import zlib
from collections.abc import Iterator

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from storehop.decide.rules import DEFAULT_HOSTS, ONELINK_SUFFIXES

CAN_BOUND_BROTLI = tuple(map(int, brotli.__version__.split(".")[:2])) >= (1, 2)
"""Older ones, which mitmproxy 12.2 wants, would decode a bomb to its end: such a page is not looked at."""
MAX_PAGE_BYTES = 64 * 1024
"""Of a body that is looked at: redirect pages are small."""
MAX_LINK_CHARACTERS = 8192

_META = re.compile(r"<meta\b[^<>]*+>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(http-equiv|content)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""", re.IGNORECASE)
_REFRESH = re.compile(r"\s*+[0-9.]*+\s*+[;,]?\s*+(?:url\s*+=\s*+)?+(.*)", re.IGNORECASE | re.DOTALL)
_LEADS = r"\blocation(?:\.href)?\s*+=(?!=)\s*+|\blocation\.(?:replace|assign)\(\s*+|\bwindow\.open\(\s*+"
_STRING = r""""((?:[^"\\\n]++|\\.)*+)"|'((?:[^'\\\n]++|\\.)*+)'|`((?:[^`\\]++|\\.)*+)`"""
_SCRIPT = re.compile(rf"(?:{_LEADS})(?:{_STRING})", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_WEB = re.compile(r"(?:https?:)?//[^/]", re.IGNORECASE)


def link_of_answer(content_type: str, encoding: str, body: bytes) -> str | None:
    """Where an answer's page leads; None where it is no page, can't be read, or leads nowhere."""
    if "html" not in content_type.lower() or not body:
        return None
    return link_of_page(_decoded(body[:MAX_PAGE_BYTES], encoding.strip().lower()).decode("utf-8", "replace"))


def link_of_page(body: str) -> str | None:
    """The http(s) URL that a page leads to on its own: AppsFlyer's, where it names several."""
    first = None
    for link in _links(body[:MAX_PAGE_BYTES]):
        host = link.partition("://")[2].partition("/")[0].partition("?")[0].lower()
        if host in DEFAULT_HOSTS or host.endswith(ONELINK_SUFFIXES):
            return link
        first = first or link
    return first


def link_of_refresh(value: str) -> str | None:
    """The http(s) URL of a Refresh header, or of a meta refresh's content: `0; url=https://…`."""
    found = _REFRESH.match(value[: 2 * MAX_LINK_CHARACTERS])
    url = found[1].strip() if found else ""
    if url[:1] in {'"', "'"}:
        url = url[1:].partition(url[0])[0]
    return _web(url)


def _links(body: str) -> Iterator[str]:
    for meta in _META.finditer(body):
        values = {name.lower(): one or two or three for name, one, two, three in _ATTRIBUTE.findall(meta[0])}
        if values.get("http-equiv", "").strip().lower() == "refresh":
            link = link_of_refresh(html.unescape(values.get("content", "")))
            if link:
                yield link
    for script in _SCRIPT.finditer(body):
        link = _web(_ESCAPE.sub(_unescaped, script[1] or script[2] or script[3] or ""))
        if link:
            yield link


def _unescaped(escape: re.Match[str]) -> str:
    """What a script's escape stands for (ECMA-262 §12.9.4); a line that goes on is nothing."""
    code = escape[1] or escape[2]
    if code:
        return chr(int(code, 16))
    return {"n": "\n", "r": "\r", "t": "\t", "\n": ""}.get(escape[3], escape[3])


def _web(url: str) -> str | None:
    """The URL, if it is one of http or https that a page may lead to; with a scheme where it has the page's own."""
    url = url.strip()
    if len(url) > MAX_LINK_CHARACTERS or not _WEB.match(url):
        return None
    return f"https:{url}" if url.startswith("//") else url


def _decoded(body: bytes, encoding: str) -> bytes:
    """The body's beginning without its content coding (RFC 9110 §8.4.1), as far as it can be decoded."""
    try:
        match encoding:
            case "gzip" | "x-gzip":
                return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, MAX_PAGE_BYTES)
            case "deflate":
                return _inflated(body)
            case "br" if not CAN_BOUND_BROTLI:
                return b""
            case "br":
                return bytes(brotli.Decompressor().process(body, output_buffer_limit=MAX_PAGE_BYTES))
            case "zstd":
                return zstd.ZstdDecompressor().decompress(body, MAX_PAGE_BYTES)
    except (zlib.error, brotli.error, zstd.ZstdError):
        return b""
    return body


def _inflated(body: bytes) -> bytes:
    """Servers send deflate with zlib's frame or without (RFC 9110 §8.4.1.2)."""
    try:
        return zlib.decompressobj().decompress(body, MAX_PAGE_BYTES)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, MAX_PAGE_BYTES)
