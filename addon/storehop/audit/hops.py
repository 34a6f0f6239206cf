"""Pairs the two hops of one click: the ad stack's redirect to AppsFlyer, and AppsFlyer's own (design §11).

Only what went through a forward proxy, or what a browser wrote down, shows where AppsFlyer leads: in a server's own log
the browser goes on alone, and nothing here takes memory or time. One pass, in the recording's order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple

from storehop.audit.exchange import Exchange
from storehop.audit.pace import is_time
from storehop.decide import link
from storehop.decide.drift import OWN_HOP, Compared, Kind, compare
from storehop.decide.rules import RuleSet
from storehop.decide.target import absolute
from storehop.model import Click, Decision, Direct, Platform

WINDOW_S = 60.0
"""Of recorded time: a browser follows a redirect at once, on a bad network within a minute."""
MAX_OPEN = 20_000
"""Clicks that wait for their next hop: of more, the oldest is given up."""
MAX_OF_ONE_LINK = 100
"""Of these, clicks on one link: each hop looks through them."""
MAX_HOPS = 10
"""Of AppsFlyer's own, one after another: a browser gives up, too."""
MAX_LINK_CHARACTERS = 2048
"""Of a link that is kept: enough to show it."""
NO_DONE = frozenset({"direct", "retry", "s2s"})
"""What a storehop did that answered by itself: AppsFlyer's answer is not there."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One click and what AppsFlyer answered to it."""

    place: str
    """Of the click: `name:17`."""
    rule: str | None
    app: str | None
    platform: Platform | None
    link: str
    """The attribution link that the user followed; at most MAX_LINK_CHARACTERS of it."""
    ours: str | None
    """Where the rules at their most would send the user; None where the click passes anyway: there is no drift."""
    theirs: str | None = None
    """The last Location of AppsFlyer, absolute."""
    status: int | None = None
    """Of the answer that held it."""
    compared: Compared | None = None
    """None where there is nothing of ours to compare."""
    seconds: float | None = None
    """That all of AppsFlyer's hops took; None where one of them is not known."""
    is_final: bool = True
    """False: AppsFlyer redirects to itself. The same click comes again as a later pair, so this one does not count."""


class _Device(NamedTuple):
    """Who asked, as far as the recording knows it."""

    client_ip: str
    user_agent: str

    def may_be(self, other: _Device) -> bool:
        """Whether nothing that both know tells them apart."""
        return all(not mine or not theirs or mine == theirs for mine, theirs in zip(self, other, strict=True))


@dataclass(slots=True, eq=False)
class _Open:
    """A click that waits for its next hop."""

    key: bytes
    at: float | None
    device: _Device
    pair: Pair
    hops: int = 0


class Hops:
    """The pairs of one recording. `rules` say which hosts are AppsFlyer's; `name` is the recording's.

    For each exchange ask `second` first. What it gives is the hop of a click that was met before, so that this
    exchange is no click of its own. Else, where the exchange is a click, tell `first`.
    """

    def __init__(self, rules: RuleSet, name: str = "-") -> None:
        self._rules = rules
        self._name = name
        self._open: dict[bytes, list[_Open]] = {}
        self._order: deque[_Open] = deque()
        self._given_up: list[Pair] = []

    def first(self, exchange: Exchange, click: Click, decision: Decision) -> Pair | None:
        """Tells of a click. `decision` is what the rules at their most do with it (`Rollout.whole`).

        Gives the pair of a click at answer, which holds AppsFlyer's answer itself; one that is not final counts later.
        """
        if not exchange.is_on_the_way or exchange.done in NO_DONE:
            return None
        pair = Pair(
            f"{self._name}:{exchange.place}",
            decision.rule,
            decision.app,
            decision.platform,
            click.link[:MAX_LINK_CHARACTERS],
            decision.location if isinstance(decision, Direct) else None,
        )
        if click.at_answer:
            return self._hop(exchange, pair, _device(exchange), hops=1)
        self._wait(click.link, exchange.at, _device(exchange), pair, hops=0)
        return None

    def second(self, exchange: Exchange) -> Pair | None:
        """The pair of which this exchange is a further hop; None where it is none."""
        if not self._open or not exchange.is_on_the_way or exchange.url is None or exchange.done in NO_DONE:
            return None
        if is_time(exchange.at):
            self._forget_before(exchange.at)
        device = _device(exchange)
        found = self._take(key_of(exchange.url), device)
        return self._hop(exchange, found.pair, device, found.hops + 1) if found else None

    def given_up(self) -> list[Pair]:
        """Clicks that AppsFlyer sent on to itself, and whose end did not come in time: each is given once.

        A click whose first hop is all there is gives no pair: AppsFlyer's answer was not recorded.
        """
        given_up = self._given_up
        if given_up:
            self._given_up = []
        return given_up

    def end(self) -> list[Pair]:
        """At the recording's end: no click waits any more. What was given up now or before."""
        while self._order:
            self._give_up(self._order.popleft())
        return self.given_up()

    def _hop(self, exchange: Exchange, pair: Pair, device: _Device, hops: int) -> Pair:
        """The pair with one hop of AppsFlyer's more."""
        location = None
        if exchange.location is not None:
            location = absolute(exchange.url or pair.link, exchange.location)
        seconds = exchange.seconds if hops == 1 else _sum(pair.seconds, exchange.seconds)
        known = replace(pair, theirs=location, status=exchange.status, seconds=seconds)
        is_short = (
            location is not None and len(location) <= link.MAX_LINK_CHARACTERS
        )  # it is kept until it is asked for
        if location and is_short and hops < MAX_HOPS and self._leads_to_appsflyer(location):
            self._wait(location, exchange.at, device, known, hops)
            return replace(known, is_final=False)
        return self._compared(known)

    def _leads_to_appsflyer(self, location: str) -> bool:
        url = link.split(location)
        return url is not None and self._rules.is_attribution_host(url.host)

    # clicks that wait

    def _wait(self, url: str, at: float | None, device: _Device, pair: Pair, hops: int) -> None:
        waiting = _Open(key_of(url), at, device, pair, hops)
        same = self._open.setdefault(waiting.key, [])
        same.append(waiting)
        if len(same) > MAX_OF_ONE_LINK:
            self._give_up(same[0])
        self._order.append(waiting)
        if len(self._order) > MAX_OPEN:
            self._give_up(self._order.popleft())

    def _take(self, key: bytes, device: _Device) -> _Open | None:
        """The oldest click that waits for this URL and may be this device's."""
        waiting = self._open.get(key, [])
        found = next((one for one in waiting if one.device.may_be(device)), None)
        if found:
            self._remove(found)
        return found

    def _remove(self, one: _Open) -> None:
        """It stays in the order until its turn comes."""
        waiting = self._open[one.key]
        waiting.remove(one)
        if not waiting:
            del self._open[one.key]

    def _forget_before(self, now: float) -> None:
        while self._order:
            oldest = self._order[0].at
            if not is_time(oldest) or now - oldest <= WINDOW_S:
                return
            self._give_up(self._order.popleft())

    def _give_up(self, one: _Open) -> None:
        if one not in self._open.get(one.key, ()):
            return  # its next hop came
        self._remove(one)
        if one.hops:
            self._given_up.append(self._compared(one.pair))

    def _compared(self, pair: Pair) -> Pair:
        """The pair with its comparison; as final."""
        if pair.ours is None:
            return pair
        if pair.theirs and self._leads_to_appsflyer(pair.theirs):
            return replace(pair, compared=Compared(Kind.NOT_COMPARABLE, why=OWN_HOP))
        return replace(pair, compared=compare(pair.ours, pair.theirs, pair.status))


def _device(exchange: Exchange) -> _Device:
    return _Device(exchange.client_ip, exchange.headers.get("user-agent", ""))


def _sum(before: float | None, more: float | None) -> float | None:
    return None if before is None or more is None else before + more


def key_of(url: str) -> bytes:
    """Equal for URLs that are one request: without fragment, default port and letter case of scheme and host."""
    parts = link.split(url)
    text = f"{parts.host}{parts.path or '/'}?{parts.query}" if parts else url.partition("#")[0]
    return blake2b(text.encode(errors="surrogatepass"), digest_size=12).digest()
