"""A newcomer takes an address over from the storehop that serves it; see `storehop.listening.handover`."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass

from storehop.addresses import Address
from storehop.listening.line import MAX_MESSAGE_BYTES, HandoverError, connect, decode, encode, is_trusted, peer_of
from storehop.listening.sockets import Listeners

logger = logging.getLogger(__name__)

MAX_SOCKETS = 64


@dataclass(slots=True)
class TakenOver:
    """What a newcomer got, and the line to who had it before."""

    listeners: Listeners
    name: socket.socket
    """Answers the next newcomer."""
    process: int
    _line: socket.socket

    def serving(self) -> None:
        """Tells the one before to retire. It may have ended meanwhile."""
        with suppress(OSError), self._line:
            self._line.sendall(encode({"serving": True}))


def take_over(address: Address) -> TakenOver | None:
    """Asks whoever serves `address` for its sockets. None where no storehop of this user answers.

    Raises HandoverError where one does that won't. Takes milliseconds, PATIENCE_S at the most.
    """
    line = connect(address)
    if line is None:
        return None
    process, user = peer_of(line)
    try:
        if not is_trusted(user):
            raise OSError(f"it is of user {user}")  # noqa: TRY301  a stranger is like one that says nothing
        return _take(line)
    except (OSError, ValueError) as error:
        line.close()
        logger.warning("process %d has the name of %s, and nothing is taken over from it: %s", process, address, error)
        return None
    except HandoverError:
        line.close()
        raise


def _take(line: socket.socket) -> TakenOver:
    line.sendall(encode({"want": "sockets", "process": os.getpid()}))
    data, fds, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, MAX_SOCKETS)
    answer = decode(data)
    if "error" in answer:
        raise HandoverError(answer["error"])
    parts: dict[str, list[socket.socket]] = {"clients": [], "admin": [], "name": []}
    for part, fd in zip(answer["names"], fds, strict=True):
        parts[part].append(socket.socket(fileno=fd))
    (name,) = parts["name"]
    return TakenOver(Listeners(parts["clients"], parts["admin"]), name, answer["process"], line)


def ask_to_restart(address: Address, seconds: float) -> int | None:
    """Asks who serves `address` to restart, and waits until it has. Returns its process; None where there is none.

    Raises HandoverError where it can't, or takes longer than `seconds`.
    """
    line = connect(address)
    if line is None:
        return None
    with line:
        line.settimeout(seconds)
        try:
            line.sendall(encode({"want": "restart"}))
            answer = decode(line.recv(MAX_MESSAGE_BYTES))
        except (OSError, ValueError) as error:
            raise HandoverError(f"the storehop that serves {address} does not answer: {error}") from error
    if "error" in answer:
        raise HandoverError(answer["error"])
    process: int = answer["process"]
    return process
