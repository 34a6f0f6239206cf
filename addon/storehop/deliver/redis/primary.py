"""The server that has the say: runs batches there, and tells whether what it has done will last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from storehop.deliver.clock import uptime
from storehop.deliver.engine import EngineError, EngineWatcher, FullError
from storehop.deliver.operations import Operation
from storehop.deliver.redis import codec
from storehop.deliver.redis.finding import Finder
from storehop.deliver.redis.health import Health, examine, fields_of, no_primary, too_old
from storehop.deliver.redis.link import Command, GoneError, Link, told
from storehop.deliver.redis.place import Place
from storehop.deliver.redis.replicas import Replicas
from storehop.deliver.redis.script import script
from storehop.settings import Delivery

DEADLINE_S = 0.25
"""A server that was stopped or slow does not do later what nobody waits for any more. Less than `link.REPLY_S`."""


class Run(NamedTuple):
    """How a batch is run."""

    flags: str
    """Of the script."""
    writes: bool
    is_awaited: bool
    """Replicas must acknowledge it."""
    max_bytes: int | None


class Primary:
    """Belongs to the outbox's thread. Raises EngineError where nothing was done, GoneError where that is open."""

    def __init__(
        self, finder: Finder, place: Place, tag: str, settings: Delivery, watcher: EngineWatcher | None
    ) -> None:
        self._tag = tag
        self._replicas = settings.outbox_replicas
        self._wait_ms = round(settings.outbox_wait * 1000)
        self._watcher = watcher
        self.address = finder.find()
        self._link = Link(self.address, place)
        self._followers = Replicas(place, self.address, finder.is_still, finder.others)
        self._now_ms, self._now_at, self._replied_at = 0.0, 0.0, 0.0

    def close(self) -> None:
        """Lets it go."""
        self._link.close()

    def health(self) -> Health:
        """What it says of itself. Raises EngineError where it is no primary, or of no use as one."""
        info = fields_of(self._link.ask("INFO"))
        why_not = too_old(info) or no_primary(info)
        if why_not:
            raise EngineError(f"{self.address[0]}:{self.address[1]}: {why_not}")
        health = examine(info, self._appendfsync(), self._replicas)
        self._followers.history = health.history
        return health

    def _appendfsync(self) -> str | None:
        """None where it may not be read."""
        self._link.send(("CONFIG", "GET", "appendfsync"))
        reply = self._link.read()
        return None if isinstance(reply, ResponseError) or not reply else str(reply[1])

    def run(self, batch: Sequence[Operation[Any]], how: Run) -> list[Any]:
        """The results of a batch."""
        if not self._now_at:
            self._do((), Run("no-writes", writes=False, is_awaited=False, max_bytes=None))
        begin = uptime()
        answer = self._do(batch, how)
        if answer.get("refusal") == "late" and uptime() - begin < DEADLINE_S / 2:
            answer = self._do(batch, how)  # it was not: somebody has set the server's clock
        match answer.get("refusal"):
            case None:
                return codec.results_of(batch, answer["results"])
            case "full":
                raise FullError("it is full: max_outbox is reached")
            case "twice":
                raise ValueError("a call of this id is there already")
        raise EngineError("the server came to it too late")

    def _do(self, batch: Sequence[Operation[Any]], how: Run) -> dict[str, Any]:
        deadline_ms = self._now_ms + (uptime() - self._now_at + DEADLINE_S) * 1000 if self._now_at else None
        request = codec.request(batch, writes=how.writes, deadline_ms=deadline_ms, max_bytes=how.max_bytes)
        answer: dict[str, Any] = json.loads(self._exchange(request, how))
        self._now_ms, self._now_at = answer["now"], self._replied_at  # not after WAIT: that is no time of the server's
        return answer

    def _exchange(self, request: str, how: Run) -> str:
        """The script's reply, once it will last."""
        text, sha = script(how.flags)
        reply = self._ask(("EVALSHA", sha, 1, self._tag, request), how)
        if isinstance(reply, NoScriptError):  # a server that was started or promoted since, or SCRIPT FLUSH
            reply = self._ask(("EVAL", text, 1, self._tag, request), how)
        if isinstance(reply, OutOfMemoryError):
            raise FullError("its memory is full: maxmemory is reached")
        if isinstance(reply, ResponseError):
            is_halfway = f"script: {sha}" in str(reply)  # a user without a right, a key that we have not written
            raise (GoneError if is_halfway else EngineError)(told(self.address, reply))
        return str(reply)

    def _ask(self, command: Command, how: Run) -> Any:
        """The command's reply. What follows it in the same write says whether it lasts."""
        is_awaited = how.is_awaited and self._replicas > 0
        is_checked = how.writes and self._replicas > 0
        wait: list[Command] = [("WAIT", self._replicas, self._wait_ms)] if is_awaited else []
        role: list[Command] = [("ROLE",)] if is_checked else []
        self._link.send(command, *wait, *role)
        reply = self._link.read()
        self._replied_at = uptime()
        acknowledged = self._link.read() if is_awaited else None
        waited_s = uptime() - self._replied_at
        said = self._link.read() if is_checked else None
        if not isinstance(reply, ResponseError):
            if is_awaited:
                self._check_wait(acknowledged, waited_s)
            if is_checked:
                self._check_role(said)
        return reply

    def _check_wait(self, acknowledged: Any, waited_s: float) -> None:
        if self._watcher:
            self._watcher.waited(waited_s)
        if isinstance(acknowledged, ResponseError):
            raise GoneError(told(self.address, acknowledged))
        if acknowledged < self._replicas:
            raise GoneError(f"{acknowledged} of {self._replicas} replicas acknowledged within {self._wait_ms} ms")

    def _check_role(self, role: Any) -> None:
        if isinstance(role, ResponseError):
            raise GoneError(told(self.address, role))
        if role[0] != "master":
            raise GoneError("it is a replica now")
        if not self._followers.are_of_no_other([(host, int(port)) for host, port, _ in role[2]]):
            raise GoneError("another server is the primary now")
