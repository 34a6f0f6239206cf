"""Where a shared outbox is: the URL of a server, of Sentinels or of a cluster. Pure: it reads text and no more.

    redis://[USER:PASSWORD@]HOST[:6379][/DB]             one server
    redis+sentinel://HOST[:26379],HOST[:26379],…/NAME    the primary that Sentinels name
    redis+cluster://HOST[:6379],HOST[:6379],…            a cluster, from any of its nodes

With `rediss` in place of `redis` all of it speaks TLS. `?db=N` and, with TLS, `?ca_file=/PATH` may follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote

from storehop.addresses import parse_address


class Kind(StrEnum):
    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_PORTS = {Kind.SERVER: 6379, Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}
_SHARED_URL = re.compile(
    r"redis(?P<tls>s?)(?:\+(?P<kind>sentinel|cluster))?://"
    r"(?:(?P<user>[^/?#:]*)(?::(?P<password>[^/?#]*))?@)?"
    r"(?P<hosts>[^/?#@]+)(?:/(?P<path>[^/?#@]*))?(?:\?(?P<query>[^#@]*))?"
)
_HOST = re.compile(r"[\w.:-]+")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
"""What a Sentinel takes as a name."""
_DB = re.compile(r"[0-9]{1,5}")
_EXPECTED = (
    "expected redis://[user:password@]host[:port][/db], redis+sentinel://host[:port],…/name "
    "or redis+cluster://host[:port],…, with rediss for TLS, and user and password percent-encoded"
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a server and the Sentinels ask for, where the URL does not say it."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)


_NONE = Credentials()


@dataclass(frozen=True, slots=True)
class Place:
    """`str` is the URL without credentials."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    """IPv6 without brackets."""
    name: str = ""
    """The primary's, at the Sentinels."""
    db: int = 0
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        kind = "" if self.kind is Kind.SERVER else f"+{self.kind}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        path = f"/{self.name}" if self.name else ""
        query = {"db": str(self.db) if self.db else "", "ca_file": quote(str(self.ca_file)) if self.ca_file else ""}
        said = "&".join(f"{key}={value}" for key, value in query.items() if value)
        return f"redis{'s' * self.tls}{kind}://{hosts}{path}{'?' * bool(said)}{said}"

    @classmethod
    def from_url(cls, url: str, credentials: Credentials = _NONE) -> Self:
        """The URL's own credentials are stronger. Raises ValueError that says what was expected, and no credential."""
        parts = _SHARED_URL.fullmatch(url)
        if parts is None:
            raise ValueError(_EXPECTED)
        kind = Kind(parts["kind"] or Kind.SERVER)
        query = _query(parts["query"])
        ca_file = _ca_file(query.get("ca_file"), is_tls=bool(parts["tls"]))
        return cls(
            kind,
            _hosts(parts["hosts"], kind),
            _name(parts["path"] or "", kind),
            _db(parts["path"] or "", query.get("db"), kind),
            bool(parts["tls"]),
            ca_file,
            _decoded(parts["user"] or "") or credentials.username,
            _decoded(parts["password"] or "") or credentials.password,
            credentials.sentinel_username,
            credentials.sentinel_password,
        )


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("expected percent-encoded UTF-8") from None  # its own message tells a byte of a password


def _query(text: str | None) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split("&")] if text else []
    query = {key: _decoded(value) for key, _, value in pairs}
    if query.keys() - {"db", "ca_file"} or len(query) < len(pairs):
        raise ValueError("expected ?db=NUMBER and ?ca_file=/PATH, each once at most, and no others")
    return query


def _hosts(text: str, kind: Kind) -> tuple[tuple[str, int], ...]:
    hosts = tuple(_host(part, _PORTS[kind]) for part in text.split(","))
    if kind is Kind.SERVER and len(hosts) > 1:
        raise ValueError("expected one host in redis://; several are for redis+sentinel:// and redis+cluster://")
    return hosts


def _host(text: str, usual_port: int) -> tuple[str, int]:
    has_port = re.search(r":[0-9]*$", text.rpartition("]")[2])
    try:
        host, port = parse_address(text if has_port else f"{text}:{usual_port}")
        if ":" in host:
            ip_address(host)
    except ValueError:
        host, port = "", 0
    if not _HOST.fullmatch(host) or not port:
        raise ValueError("expected hosts such as redis.example.com, 10.0.0.1:6379 or [::1]:6379")
    return host, port


def _name(path: str, kind: Kind) -> str:
    if kind is not Kind.SENTINEL:
        return ""
    if not _NAME.fullmatch(path):
        raise ValueError("expected the primary's name after the Sentinels: redis+sentinel://host,host,host/name")
    return path


def _db(path: str, asked: str | None, kind: Kind) -> int:
    """As the path or `?db=` says it."""
    said = {text for text in ("" if kind is Kind.SENTINEL else path, asked) if text}
    if not all(map(_DB.fullmatch, said)) or asked == "":
        raise ValueError("expected the database as a number: redis://host/1, or ?db=1")
    numbers = set(map(int, said)) or {0}
    if kind is Kind.CLUSTER and numbers != {0}:
        raise ValueError("expected no database: a cluster has number 0 only")
    if len(numbers) > 1:
        raise ValueError("expected one database: the path and ?db= differ")
    return numbers.pop()


def _ca_file(text: str | None, *, is_tls: bool) -> Path | None:
    if text is None:
        return None
    if not is_tls:
        raise ValueError("expected rediss with ?ca_file=: without TLS there is no certificate")
    if not text.startswith("/") or "\0" in text:
        raise ValueError("expected ?ca_file= with an absolute path")
    return Path(text)
