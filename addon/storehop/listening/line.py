"""The line between who serves an address and a newcomer: its name, its messages, who may use it."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from typing import Any

from storehop.addresses import Address

MAX_MESSAGE_BYTES = 4096
PATIENCE_S = 10.0
"""A process that serves answers at once; one that does not in this time hangs."""
_CREDENTIALS = struct.Struct("3i")
"""struct ucred of unix(7): process, user, group."""


class HandoverError(Exception):
    """Who serves the address does not hand it on; the message says why."""


def is_possible(address: Address) -> bool:
    """Abstract names are Linux's; an address of any free port is nobody's."""
    return sys.platform == "linux" and address.port != 0


def name_of(address: Address) -> str:
    """In the abstract namespace: the kernel forgets it with the process, and each network namespace has its own."""
    return f"\0storehop {address}"


def connect(address: Address) -> socket.socket | None:
    """A line to who serves `address`; None where nobody of ours does. Raises HandoverError where it is busy."""
    if not is_possible(address):
        return None
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(PATIENCE_S)
    try:
        line.connect(name_of(address))
    except ConnectionRefusedError:  # nobody has the name
        line.close()
        return None
    except OSError as error:
        line.close()
        raise HandoverError(f"the storehop that serves {address} is busy: {error}") from error
    return line


def peer_of(line: socket.socket) -> tuple[int, int]:
    """(process, user) at the other end."""
    packed = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(packed)
    return process, user


def is_trusted(user: int) -> bool:
    """A stranger's sockets are no good, and no stranger gets ours."""
    return user in {0, os.geteuid()}


def encode(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def decode(data: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    message = json.loads(data or "null")
    if not isinstance(message, dict):
        raise ValueError("it has closed the line")  # noqa: TRY004  for the caller it is one kind of fault
    return message
