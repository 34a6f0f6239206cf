"""What a recording says: one request and its answer, in the same shape whatever the format.

None says that the recording does not know; what a whole format cannot know, `Recording.knows` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Known(StrEnum):
    """What a format can know about an exchange."""

    TIME = "time"
    LINK = "link"
    """Where the ad stack's redirect leads, or a column that holds the link."""
    USER_AGENT = "user_agent"
    LANGUAGE = "language"
    HINTS = "client_hints"
    """Sec-CH-* and Sec-Fetch-* headers."""
    CLIENT_IP = "client_ip"
    HOPS = "hops"
    """AppsFlyer's own answer, too."""
    BODIES = "bodies"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    place: int
    """Number of its line, entry or flow, from 1."""
    at: float | None = None
    """Unix seconds of the request."""
    method: str = "GET"
    url: str | None = None
    """Absolute, as it was asked for; in a log without a host None."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The request's, by lower-case name."""
    client_ip: str = ""
    """Address of the TCP peer, without port."""
    status: int | None = None
    location: str | None = None
    """The answer's Location, as written."""
    link: str | None = None
    """An attribution link from a column of its own: there is no request or answer to find it in."""
    is_forward: bool = False
    """It went through a forward proxy, or a browser wrote it down: its URL is where it really went."""
    is_transparent: bool = False
    """It went through a proxy that its client knew nothing of: only the Host header names where it went."""
    seconds: float | None = None
    """From the request to the end of the answer's head."""
    page_link: str | None = None
    """Where a page's meta refresh, Refresh header or script leads on its own."""
    has_body: bool = False
    """The request brought a body: it is no click at answer."""
    done: str = ""
    """What a storehop that stood there did with it: `direct`, `pass REASON`, `retry`, `s2s`; else empty."""

    @property
    def is_on_the_way(self) -> bool:
        """Whether AppsFlyer's own answers are recorded, too: all but a server's log and a reverse proxy has them."""
        return self.is_forward or self.is_transparent


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A broken line, entry or flow."""

    place: int
    why: str
    """For people; without personal data."""


class RecordingError(Exception):
    """A recording that can't be read at all. The message is for people, and says what was expected."""


class TruncatedError(Exception):
    """The recording ends in the middle. A reader raises it last, when all that stood before has been read."""


AUTO = "auto"
"""As a format: what it is, its content says."""
FORMATS = (
    *(AUTO, "mitm", "har", "cloudfront", "alb", "haproxy", "jsonl", "combined", "csv", "tsv"),
    *("nginx", "apache", "envoy", "traefik", "caddy", "cloudflare", "gcp"),
)
"""What `--format` may be: those that `recordings` reads. Here, since the command line names them without reading."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How people say that recordings are to be read."""

    format: str = AUTO
    """One of FORMATS."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of `--map`: what it is (`link`, `ip`, `ua`, `lang`, `time`, …) to the column's name."""
    client_ip_header: str | None = None
    """The header that holds the client's address, where the peer is a load balancer."""


class Recording(Protocol):
    """An opened recording: iterated once, from its beginning to its end.

    Where its reader raises TruncatedError, the iteration ends as usual and `is_truncated` says so.
    """

    name: str
    """The file's name without its folder; `-` is stdin."""
    format: str
    knows: frozenset[Known]

    @property
    def sha256(self) -> str:
        """Of the file as it lies there; complete once all is read."""
        ...

    @property
    def is_truncated(self) -> bool:
        """It ended in the middle: what stood before was read."""
        ...

    @property
    def read_bytes(self) -> int: ...

    @property
    def total_bytes(self) -> int | None:
        """None: nobody knows, as with stdin."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of how it was read, in words, such as times without a zone; complete at the end."""
        ...

    def __iter__(self) -> Iterator[Exchange | Unreadable]: ...
