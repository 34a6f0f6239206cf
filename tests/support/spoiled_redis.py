"""A server between storehop and a real Redis that answers some commands itself: with errors, or as another version."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress
from io import BufferedReader
from typing import Self


class SpoiledRedis:
    """`with SpoiledRedis(server.port) as spoiled:`. Commands that `says` does not name go to the real server."""

    def __init__(self, server_port: int) -> None:
        self.says: dict[str, bytes] = {}
        """By command, the reply in the protocol's bytes: `b"-READONLY You can't write"`."""
        self.asked: Counter[str] = Counter()
        """How often it was asked for each command."""
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def has(self, **fields: object) -> None:
        """INFO says this, and what else a server with a replica says that may hold an outbox."""
        usual = {"role": "master", "redis_version": "7.0.15", "maxmemory_policy": "noeviction", "aof_enabled": 1}
        lines = "\r\n".join(f"{name}:{value}" for name, value in (usual | {"connected_slaves": 1} | fields).items())
        self.says["INFO"] = b"$%d\r\n%s" % (len(lines), lines.encode())

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            asking, answering = client.makefile("rb"), server.makefile("rb")
            while command := _whole(asking):
                client.sendall(self._answer(command, server, answering))

    def _answer(self, command: bytes, server: socket.socket, answering: BufferedReader) -> bytes:
        name = command.split(b"\r\n", 3)[2].decode().upper()
        self.asked[name] += 1
        if said := self.says.get(name):
            return said + b"\r\n"
        server.sendall(command)
        return _whole(answering)


def _whole(file: BufferedReader) -> bytes:
    """One command or reply; nothing at the end."""
    line = file.readline()
    count = int(line[1:]) if line[:1] in {b"$", b"*"} else -1
    if line[:1] == b"$":
        return line + file.read(count + 2) if count >= 0 else line
    return b"".join([line, *(_whole(file) for _ in range(count))])
