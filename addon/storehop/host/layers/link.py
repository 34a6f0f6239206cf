"""What is known of one client's connection: what it does now, and until when it may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from time import monotonic

from mitmproxy.proxy import events


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds; inf: for ever."""

    head: float = inf
    """A request's head, from its first byte; the first one of a connection from the accept, TLS counted in."""
    idle: float = inf
    """A kept connection without a request."""
    connect: float = inf
    """A connection to the upstream, TLS counted in."""
    first_byte: float = inf
    """The upstream's silence between the end of a request and the head of its answer."""

    @classmethod
    def of(cls, *, head: float, idle: float, connect: float, first_byte: float) -> Limits:
        """From options, where 0 is off."""
        return cls(head or inf, idle or inf, connect or inf, first_byte or inf)

    @property
    def shortest(self) -> float:
        return min(self.head, self.idle, self.connect, self.first_byte)


class Phase(Enum):
    """What a client's connection does."""

    HEAD = auto()
    """It is new, or a head has begun to come."""
    BUSY = auto()
    """A request is under way: from the end of its head to the end of its answer, and of its body."""
    IDLE = auto()
    """It is kept for a next request."""


@dataclass(slots=True)
class Terms:
    """What holds for every connection of this process."""

    limits: Limits = field(default_factory=Limits)
    is_retiring: bool = False
    """No connection is kept any more: each ends with its next answer."""


@dataclass
class Look(events.Event):
    """Tells the layers of a connection that something may be due. All layers hand it on, only ours see it."""

    ends_idle: bool = False
    """An idle connection ends now, whatever its time."""


@dataclass(slots=True, eq=False)
class Link:
    """One client's connection. Its layers say what it does; whoever keeps it sends a `Look` when its time is over."""

    terms: Terms = field(default_factory=Terms)
    phase: Phase = Phase.HEAD
    deadline: float = inf
    """Of what the client does; monotonic."""
    upstream_deadline: float = inf
    """Not later than that of what its requests wait for; monotonic."""
    has_sent_all: bool = False
    """Its client has sent its FIN and may still read. Nobody reads from it any more, so nobody sees that it is gone."""
    is_tunnel: bool = False
    """Its bytes have no end that one could wait for: a WebSocket."""
    has_layers: bool = False
    """Its HTTP layer has begun, and sees a `Look`."""
    clock: Callable[[], float] = monotonic

    def __post_init__(self) -> None:
        self.deadline = self.clock() + self.terms.limits.head

    def begin_head(self) -> None:
        """The first bytes of a head are there, and more must come. A new connection's time runs from its accept."""
        if self.phase is not Phase.HEAD:
            self.phase = Phase.HEAD
            self.deadline = self.clock() + self.terms.limits.head

    def begin_request(self) -> None:
        self.phase = Phase.BUSY
        self.deadline = inf

    def rest(self, seconds: float = inf) -> None:
        """Nothing is under way: it may stay so for the idle time, or for `seconds` where they are less."""
        self.phase = Phase.IDLE
        self.deadline = self.clock() + min(seconds, self.terms.limits.idle)

    @property
    def owes_answer(self) -> bool:
        """Whether an answer is under way, or waits in HTTP/2's buffers until its client's window opens."""
        return self.phase is Phase.BUSY and not self.is_tunnel

    @property
    def is_overdue(self) -> bool:
        return self.deadline <= self.clock()
