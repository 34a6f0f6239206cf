"""Clicks followed as a browser follows them, redirect by redirect, with the time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from statistics import median
from urllib.parse import urlsplit

WAIT_S = 30.0
"""Time that we wait for an answer."""
PAUSE_S = 0.02
"""Before each click whose time counts."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A request and the redirect that answered it."""

    status: int
    host: str
    """Who was asked."""
    location: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Way:
    """Where hosts are on this machine: the port of each. A redirect to another host ends the way."""

    ports: Mapping[str, int]

    def follow(self, host: str, target: str, headers: Mapping[str, str]) -> Iterator[Hop]:
        """Each hop on a connection of its own, as after a DNS lookup."""
        while host in self.ports:
            start = time.perf_counter()
            connection = HTTPConnection("127.0.0.1", self.ports[host], timeout=WAIT_S)
            connection.request("GET", target, headers={**headers, "Host": host})
            response = connection.getresponse()
            response.read()
            connection.close()
            location = response.headers["Location"]
            yield Hop(response.status, host, location, (time.perf_counter() - start) * 1000)
            url = urlsplit(location)
            host, target = url.netloc, f"{url.path}?{url.query}"


def medians(runs: list[list[Hop]]) -> list[Hop]:
    """The hops of the first run, each with the median of its time in all of them."""
    alike = [run for run in runs if len(run) == len(runs[0])]
    times = [median(hop.milliseconds for hop in same) for same in zip(*alike, strict=True)]
    return [replace(hop, milliseconds=middle) for hop, middle in zip(runs[0], times, strict=True)]


def _quietly(hops: Iterator[Hop]) -> Iterator[Hop]:
    """The hops, once what the click before has left to be done is over: an S2S click goes out beside its answer."""
    time.sleep(PAUSE_S)
    yield from hops


def compared(
    number: int, follow: Callable[[Way, int], Iterator[Hop]], one: Way, other: Way
) -> tuple[list[Hop], list[Hop]]:
    """The same clicks on both ways, turn by turn, so that a busy machine slows both. `follow` gets way and turn."""
    pairs = [(list(_quietly(follow(one, turn))), list(_quietly(follow(other, turn)))) for turn in range(number)]
    return medians([first for first, _ in pairs]), medians([second for _, second in pairs])
