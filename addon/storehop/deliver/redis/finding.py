"""Where the primary is: as the URL says, as the Sentinels say, or as the cluster says of the outbox's slot."""

from __future__ import annotations

import logging
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from redis.crc import key_slot

from storehop.deliver.engine import EngineError
from storehop.deliver.redis.link import Address, Link
from storehop.deliver.redis.place import Kind, Place

logger = logging.getLogger(__name__)

ASK_S = 0.1
"""How long one Sentinel or node of a cluster may take to let us in, and to reply: another one knows as well."""


class Finder(Protocol):
    """Finds the primary. Belongs to the outbox's thread."""

    others: frozenset[Address]
    """Who may lead in its place, as far as the last `find` has heard."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of those that are asked."""

    def find(self) -> Address:
        """Raises EngineError where nobody tells."""

    def is_still(self, address: Address) -> bool:
        """Whether it is the primary, as far as can be told in a moment."""

    def close(self) -> None:
        """Lets go of what it keeps between two questions; it may be asked again."""


def finder_for(place: Place, tag: str) -> Finder:
    """`tag` is what the outbox's keys begin with."""
    match place.kind:
        case Kind.SERVER:
            return _Fixed(place.hosts[0])
        case Kind.SENTINEL:
            return Sentinels(place)
        case Kind.CLUSTER:
            return Cluster(place, tag)


class _Fixed:
    """A name may lead to another server after a failover: it is looked up at each connection."""

    others: frozenset[Address] = frozenset()
    remarks: tuple[str, ...] = ()

    def __init__(self, address: Address) -> None:
        self._address = address

    def find(self) -> Address:
        return self._address

    def is_still(self, _address: Address) -> bool:
        return True

    def close(self) -> None:
        """It keeps nothing."""


class _Told(NamedTuple):
    """By a Sentinel."""

    epoch: int
    """Of its knowledge."""
    primary: Address
    replicas: frozenset[Address]


class Sentinels:
    """What most of them know is what one of them has voted for last: the highest epoch counts.

    While all is well one is asked, over a connection that is kept: clicks wait meanwhile, and a new connection may
    have to wait for the look-up of a name.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._hosts = list(place.hosts)
        self._kept: Link | None = None
        """To one of them."""
        self._in_vain = 0
        """How often one was asked since the last answer."""
        self.others: frozenset[Address] = frozenset()

    @property
    def remarks(self) -> tuple[str, ...]:
        """See `Finder.remarks`."""
        if self._in_vain < len(self._hosts):
            return ()
        return ("no Sentinel answers: nobody makes another server the primary when this one fails",)

    def find(self) -> Address:
        """Asks them all: one that was cut off may name the primary of before."""
        answers, faults = [], []
        for host in list(self._hosts):
            link = None
            try:
                link = self._link(host)
                answers.append(self._ask(link))
            except EngineError as error:
                faults.append(str(error))
                self._put_last(host)
            finally:
                if link:
                    link.close()
        if not answers:
            raise EngineError(f"no Sentinel tells where {self._place.name} is: {'; '.join(faults)}")
        self.others = frozenset().union(*(one.replicas for one in answers))
        return max(answers, key=attrgetter("epoch")).primary

    def is_still(self, address: Address) -> bool:
        """Asks one; and all where it names another: it may have been cut off."""
        try:
            self._kept = self._kept or self._link(self._hosts[0])
            told = self._ask(self._kept)
            self._in_vain = 0
            if told.primary == address:
                return True
            self._put_last(self._kept.address)
            return self.find() == address
        except EngineError as error:
            logger.debug("a Sentinel does not answer: %s", error)
            self._in_vain += 1
            self._put_last(self._kept.address if self._kept else self._hosts[0])
            return True

    def _put_last(self, host: Address) -> None:
        """Others are asked first from now on."""
        self.close()
        self._hosts.remove(host)
        self._hosts.append(host)

    def close(self) -> None:
        """See `Finder.close`."""
        if self._kept:
            self._kept.close()
            self._kept = None

    def _link(self, host: Address) -> Link:
        return Link(host, self._place, is_sentinel=True, connect_s=ASK_S, reply_s=ASK_S)

    def _ask(self, link: Link) -> _Told:
        # Not only SENTINEL MASTER: in a failover that names the new primary later.
        address = link.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._place.name)
        if address is None:
            raise EngineError(f"{link.address[0]}:{link.address[1]}: it knows no primary named {self._place.name}")
        master = _fields_of(link.ask("SENTINEL", "MASTER", self._place.name))
        replicas = [_fields_of(one) for one in link.ask("SENTINEL", "REPLICAS", self._place.name)]
        alive = frozenset((one["ip"], int(one["port"])) for one in replicas if "s_down" not in one["flags"])
        return _Told(int(master["config-epoch"]), (address[0], int(address[1])), alive)


def _fields_of(pairs: list[Any]) -> dict[str, str]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


class Cluster:
    """All keys of an outbox are in one slot: it takes a plain connection to the slot's primary.

    While the slot moves to another node nothing is stored: the script's key never exists, so the old node sends each
    batch on to the new one (ASK), which refuses it until the move is over.
    """

    remarks: tuple[str, ...] = ()

    def __init__(self, place: Place, tag: str) -> None:
        self._place = place
        self._slot = key_slot(tag.encode())
        self.others: frozenset[Address] = frozenset()

    def find(self) -> Address:
        """From the first node that tells."""
        faults = []
        for host in self._place.hosts:
            try:
                return self._ask(host)
            except EngineError as error:
                faults.append(str(error))
        raise EngineError(f"no node tells where the outbox's slot {self._slot} is: {'; '.join(faults)}")

    def is_still(self, _address: Address) -> bool:
        """A node that has the slot no more says so itself (MOVED)."""
        return True

    def close(self) -> None:
        """It keeps nothing."""

    def _ask(self, host: Address) -> Address:
        link = Link(host, self._place, connect_s=ASK_S, reply_s=ASK_S)
        try:
            ranges = link.ask("CLUSTER", "SLOTS")
        finally:
            link.close()
        for first, last, *nodes in ranges:
            if first <= self._slot <= last:
                primary, *others = [(node[0] or host[0], int(node[1])) for node in nodes]
                self.others = frozenset(others)
                return primary
        raise EngineError(f"{host[0]}:{host[1]}: nobody has it")
