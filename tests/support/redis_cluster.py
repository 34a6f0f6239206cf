"""A cluster of three primaries with a replica each, whose slots move and whose primaries change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

import redis
from redis.crc import key_slot

from tests.support.patience import START_S, wait_until
from tests.support.processes import free_port
from tests.support.redis_servers import RedisServer

SLOTS = 16_384
NODE_TIMEOUT_S = 1.0


def slot_of(name: str) -> int:
    """Where the keys of an outbox of this name lie."""
    return key_slot(f"{{{name}}}".encode())


class Node(RedisServer):
    """One server of a cluster."""

    def __init__(self, version: str) -> None:
        self.bus = free_port()
        super().__init__(
            version, cluster_enabled="yes", cluster_port=self.bus, cluster_node_timeout=int(NODE_TIMEOUT_S * 1000)
        )

    def ask(self, *command: object) -> str:
        """The raw answer to a CLUSTER command."""
        return self._own.execute_command("CLUSTER", *command)

    @property
    def name(self) -> str:
        return self.ask("MYID")

    def view(self) -> dict[int, list[str]]:
        """By its port, the flags of each node that this one sees, and then its primary's name and its slots."""
        lines = (line.split() for line in self.ask("NODES").splitlines())
        return {
            int(at.split(":")[1].split("@")[0]): [flags, up, *slots] for _, at, flags, up, _, _, _, _, *slots in lines
        }

    def replicas(self) -> list[int]:
        """The ports of those that have copies of it."""
        return [port for port, (_, up, *_) in self.view().items() if up == self.name]


class RedisCluster:
    """`with RedisCluster("7.0") as cluster:` All of its methods block."""

    def __init__(self, version: str = "7.0") -> None:
        self.nodes = [Node(version) for _ in range(6)]
        self._all = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            self.settled()
            self._all = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._all.close()

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{node.host}:{node.port}" for node in self.nodes[:3])

    def _join(self) -> None:
        first, *others = self.nodes
        for other in others:
            first.ask("MEET", other.host, other.port, other.bus)
        wait_until(lambda: all(len(one.view()) == len(self.nodes) for one in self.nodes), START_S, "nodes that met")
        edges = [number * SLOTS // 3 for number in range(4)]
        for number, (primary, replica) in enumerate(zip(self.nodes[:3], self.nodes[3:], strict=True)):
            primary.ask("ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
            replica.ask("REPLICATE", primary.name)

    def settled(self) -> None:
        """Waits until all nodes serve all slots, and each primary has its replica."""
        wait_until(self._is_well, START_S, "a cluster that is well")

    def _is_well(self) -> bool:
        with suppress(redis.RedisError):
            primaries = [one for one in self.nodes if one.info("replication")["role"] == "master"]
            are_copied = [len(one.replicas()) == 1 and _acknowledges(one.info("replication")) for one in primaries]
            are_fine = ["cluster_state:ok" in one.ask("INFO") for one in self.nodes]
            return all(are_copied) and len(primaries) == 3 and all(are_fine)
        return False

    def primary(self, slot: int) -> Node:
        """Whom most of the nodes that live call so."""
        said = [self._owner(node, slot) for node in self.nodes if node.is_alive]
        port = max(set(said), key=said.count)
        return next(node for node in self.nodes if node.port == port)

    def _owner(self, node: Node, slot: int) -> int | None:
        found = (port for port, (flags, _, *slots) in node.view().items() if "master" in flags and _holds(slots, slot))
        return next(found, None)

    def replica(self, slot: int) -> Node:
        """The other one that has it."""
        (port,) = self.primary(slot).replicas()
        return next(node for node in self.nodes if node.port == port)

    def move_slot(self, slot: int, to: Node) -> None:
        """To another primary, with its keys."""
        with self.moving(slot, to):
            pass

    @contextmanager
    def moving(self, slot: int, to: Node) -> Iterator[None]:
        """Meanwhile its keys are moved one after the other: who asks for what is not there yet is sent on by ASK."""
        source = self.primary(slot)
        to.ask("SETSLOT", slot, "IMPORTING", source.name)
        source.ask("SETSLOT", slot, "MIGRATING", to.name)
        yield
        while keys := source.ask("GETKEYSINSLOT", slot, 100):
            source.client().execute_command("MIGRATE", to.host, to.port, "", 0, 5000, "KEYS", *keys)
        for node in (to, source):
            node.ask("SETSLOT", slot, "NODE", to.name)
        self._agreed(slot, to)

    def failover(self, slot: int) -> float:
        """Its replica becomes the primary, as an operator asks for. How many seconds it took until all know."""
        took = self._followed(slot, lambda replica: replica.ask("FAILOVER"))
        self.settled()
        return took

    def kill_primary(self, slot: int) -> float:
        """SIGKILL; the killed one comes back as a replica. How many seconds it took until all know the other one."""
        old = self.primary(slot)
        took = self._followed(slot, lambda _: old.kill())
        old.start()
        self.settled()
        return took

    def _followed(self, slot: int, act: Callable[[Node], object]) -> float:
        replica, began = self.replica(slot), time.monotonic()
        act(replica)
        self._agreed(slot, replica)
        return time.monotonic() - began

    def _agreed(self, slot: int, primary: Node) -> None:
        """Waits until all nodes that live name it."""
        alive = [node for node in self.nodes if node.is_alive]
        wait_until(
            lambda: all(self._owner(node, slot) == primary.port for node in alive), START_S, f"slot {slot} there"
        )


def _acknowledges(primary: dict) -> bool:
    """Whether its one replica is in sync, and says so."""
    return primary["connected_slaves"] == 1 and bool(primary["slave0"]["offset"])


def _holds(ranges: list[str], slot: int) -> bool:
    """Whether it is in one of them: `7` or `0-5460`; `[…]` is one under way."""
    edges = [part.split("-") for part in ranges if not part.startswith("[")]
    return any(int(edge[0]) <= slot <= int(edge[-1]) for edge in edges)
