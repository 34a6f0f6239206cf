"""Asks AppsFlyer where it leads, one probe after another, and never opens a store (design §11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from storehop.cli.probes import Probe
from storehop.decide.drift import OWN_HOP, Compared, Kind, compare
from storehop.decide.link import split
from storehop.decide.points import REDIRECTS
from storehop.decide.rules import RuleSet
from storehop.decide.target import absolute
from storehop.deliver.wire import UnsendableError, Wire
from storehop.model import Outcome, Reply, S2SCall

PAUSE_S = 1.0
"""Between the beginnings of two requests, at the least."""
TIMEOUT_S = 10.0
MAX_HOPS = 5
"""Of AppsFlyer's own, one after another."""
_HEADERS = (("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), ("Accept-Language", "en"))


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a probe."""

    probe: Probe
    compared: Compared
    theirs: str | None
    """AppsFlyer's last Location."""


async def follow(probes: Sequence[Probe], rules: RuleSet) -> AsyncIterator[Answered]:
    """Each probe's answer, as it comes. Raises ValueError where `delivery.proxy` can't be used."""
    follower = _Follower(rules)
    try:
        for probe in probes:
            yield await follower.ask(probe)
    finally:
        await follower.close()


class _Follower:
    """No cookies, no store, and no proxy but the rules' own `delivery.proxy`."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._wire = Wire.through(rules.delivery.proxy)
        self._next = 0.0

    async def close(self) -> None:
        await self._wire.close()

    async def ask(self, probe: Probe) -> Answered:
        """Follows AppsFlyer as long as it leads to itself."""
        url = probe.url
        for _ in range(MAX_HOPS):
            try:
                outcome = await self._send(url, probe.user_agent)
            except UnsendableError:
                return Answered(probe, Compared(Kind.NOT_COMPARABLE, why="AppsFlyer leads to a URL that is none"), url)
            if not isinstance(outcome, Reply):
                why = f"AppsFlyer does not answer: {outcome.cause or outcome.fault}"
                return Answered(probe, Compared(Kind.NOT_COMPARABLE, why=why), None)
            location = _location(outcome, url)
            if outcome.status not in REDIRECTS or location is None or not self._leads_to_appsflyer(location):
                return Answered(probe, compare(probe.ours, location, outcome.status), location)
            url = location
        return Answered(probe, Compared(Kind.NOT_COMPARABLE, why=OWN_HOP), url)

    async def _send(self, url: str, user_agent: str) -> Outcome:
        parts = urlsplit(url)
        origin = self._rules.delivery.endpoint or f"https://{parts.hostname}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        call = S2SCall("probe", origin, target, (("User-Agent", user_agent), *_HEADERS))
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next - loop.time())
        self._next = loop.time() + PAUSE_S
        return await self._wire.send(call, TIMEOUT_S)

    def _leads_to_appsflyer(self, location: str) -> bool:
        url = split(location)
        return url is not None and self._rules.is_attribution_host(url.host)


def _location(reply: Reply, asked: str) -> str | None:
    """The Location as a browser reads it; None where there is not exactly one."""
    found = [value for name, value in reply.headers if name.lower() == b"location"]
    if len(found) != 1:
        return None
    return absolute(asked, found[0].decode("utf-8", "surrogateescape"))
