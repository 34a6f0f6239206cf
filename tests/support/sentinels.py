"""A primary, two replicas and three Sentinels that watch them: what a fleet has behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from typing import ClassVar, Self
from uuid import uuid4

import redis

from tests.support.patience import START_S, wait_until
from tests.support.redis_servers import RedisServer
from tests.support.seats import LOOPBACK, Seat

NAME = "storehop"
"""What the Sentinels call the primary."""
QUORUM = 2
DOWN_AFTER_S = 1.0
FAILOVER_TIMEOUT_S = 3.0
"""Sentinels begin a failover no sooner than twice that after the last one, however dead a primary is."""


class Sentinel(RedisServer):
    """One Sentinel."""

    _usual: ClassVar[dict[str, str]] = {"protected-mode": "no"}
    _arguments = ("--sentinel",)

    def __init__(self, version: str, seat: Seat, primary: RedisServer) -> None:
        self.name = uuid4().hex + uuid4().hex[:8]
        super().__init__(
            version,
            seat=seat,
            **{
                "sentinel myid": self.name,
                f"sentinel monitor {NAME}": f"{primary.host} {primary.port} {QUORUM}",
                f"sentinel down-after-milliseconds {NAME}": int(DOWN_AFTER_S * 1000),
                f"sentinel failover-timeout {NAME}": int(FAILOVER_TIMEOUT_S * 1000),
                f"sentinel parallel-syncs {NAME}": 2,
            },
        )

    def knows(self, others: Sequence[Sentinel]) -> None:
        """Tells it before its start what it would learn within seconds."""
        for other in others:
            self.settings[f"sentinel known-sentinel {NAME} {other.host} {other.port}"] = other.name

    def ready(self) -> None:
        super().ready()
        self._own.execute_command("SENTINEL DEBUG", "info-period", 1000)  # 10 s: nothing but the tests would wait

    @cached_property
    def _hasty(self) -> redis.Redis:
        return self.client(socket_timeout=0.5, socket_connect_timeout=0.5)

    def names(self) -> tuple[str, int] | None:
        """Whom it calls the primary now; None where it does not answer."""
        with suppress(redis.RedisError):
            return self._hasty.sentinel_get_master_addr_by_name(NAME)
        return None

    def state(self) -> dict[str, object]:
        """What it thinks of the primary."""
        return self._own.sentinel_master(NAME)

    def sees_all(self) -> bool:
        """Whether it is ready to lead a failover of a healthy set."""
        with suppress(redis.RedisError):
            state = self.state()
            replicas = self._own.sentinel_slaves(NAME)
            is_fine = state["flags"] == "master" and all(one["master-link-status"] == "ok" for one in replicas)
            return is_fine and [len(replicas), state["num-other-sentinels"]] == [2, 2]
        return False

    def failover(self) -> bool:
        """Asks for one. Whether it has begun: it is refused while the last one goes on or no replica is fit."""
        with suppress(redis.ResponseError):
            self._own.execute_command("SENTINEL FAILOVER", NAME)
            return True
        return False


def _wait[Found](condition: Callable[[], Found], what: str) -> Found:
    return wait_until(condition, START_S, what, step_s=0.03)


class RedisSet:
    """`with RedisSet("7.0") as servers:` All of its methods block."""

    def __init__(self, version: str = "7.0", seats: Sequence[Seat] = (LOOPBACK,) * 3, **config: object) -> None:
        """On each seat a server and a Sentinel; the first is the primary. `config` is that of all servers."""
        first, *others = (RedisServer(version, seat=seat, **config) for seat in seats)
        for other in others:
            other.settings["replicaof"] = f"{first.host} {first.port}"
        self.servers = [first, *others]
        self.sentinels = [Sentinel(version, seat, first) for seat in seats]
        for sentinel in self.sentinels:
            sentinel.knows([one for one in self.sentinels if one is not sentinel])
        self._all = ExitStack()
        self._rested = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in (*self.servers, *self.sentinels):
                stack.enter_context(server)
                if server is self.servers[-1]:
                    self.in_sync(self.servers[0])
            self._all = stack.pop_all()
        self.settled()
        return self

    def __exit__(self, *_error: object) -> None:
        self._all.close()

    @property
    def url(self) -> str:
        hosts = ",".join(f"{one.host}:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}"

    def primary(self) -> RedisServer:
        """Whom most of the Sentinels call so, once they do."""
        return _wait(self._named, "a primary")

    def _named(self) -> RedisServer | None:
        said = [one.names() for one in self.sentinels]
        return next((one for one in self.servers if said.count(one.address) >= QUORUM), None)

    def in_sync(self, primary: RedisServer) -> None:
        """Waits until all the others replicate from it."""
        _wait(lambda: self._is_in_sync(primary), f"two replicas of {primary.port}")

    def _is_in_sync(self, primary: RedisServer) -> bool:
        """A new replica is online before its first file is written: until then it acknowledges nothing."""
        with suppress(redis.RedisError):
            found = primary.info("replication")
            replicas = [value for name, value in found.items() if name in {"slave0", "slave1"}]
            acknowledge = [one for one in replicas if one["state"] == "online" and one["offset"]]
            return found["role"] == "master" and len(acknowledge) == 2
        return False

    def settled(self) -> None:
        """Waits until all is well: both replicas in sync, and each Sentinel would lead a failover."""
        _wait(self._has_all, "two replicas of the primary")  # there may be another one meanwhile
        _wait(lambda: all(one.sees_all() for one in self.sentinels), "Sentinels that see all")

    def _has_all(self) -> bool:
        with suppress(ValueError):  # the Sentinels disagree
            return self._is_in_sync(self.primary())
        return False

    def kill_primary(self) -> float:
        """SIGKILL; the killed one comes back as a replica. How many seconds it took until there was another."""
        _wait(lambda: time.monotonic() > self._rested, "Sentinels that may act again")
        old = self.primary()
        began = time.monotonic()
        old.kill()
        new = self.followed(old)
        took = time.monotonic() - began
        old.restart(new.address)
        self.settled()
        return took

    def followed(self, old: RedisServer, or_else: Callable[[RedisServer], None] = lambda _old: None) -> RedisServer:
        """Waits until there is another primary than this, and calls `or_else` while there is none. Returns it."""
        new = _wait(lambda: self._follower(old) or or_else(old), f"another primary than {old.port}")
        self._rested = time.monotonic() + 2 * FAILOVER_TIMEOUT_S
        return new

    def _follower(self, old: RedisServer) -> RedisServer | None:
        """Whom most Sentinels name, if it is another one and knows it."""
        new = self._named()
        return new if new and new is not old and new.role == "master" else None

    def _fail_over_again(self, old: RedisServer) -> None:
        """A Sentinel may give a failover up, as where the replica that it chose does not answer in time."""
        if self.sentinels[0].names() == old.address:
            self.sentinels[0].failover()  # refused while one goes on

    def failover(self, *, settle: bool = True) -> float:
        """A planned one, by the Sentinels. How many seconds it took until there was another primary.

        The old one goes on as a primary for eight seconds more, which `settle` waits for.
        """
        old = self.primary()
        began = time.monotonic()
        _wait(self.sentinels[0].failover, "a failover that is not refused")
        self.followed(old, or_else=self._fail_over_again)
        took = time.monotonic() - began
        if settle:
            self.settled()
        return took
