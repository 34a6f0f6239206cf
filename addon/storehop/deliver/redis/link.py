"""A connection to one server: commands go together, their replies are read one by one.

It repeats nothing and cancels nothing: a command that is sent twice would count twice, and a reply that is left in
the connection would answer the next command (redis-py issues 2665 and 2811).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from redis import Connection, SSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from storehop.deliver.engine import EngineError
from storehop.deliver.redis.meaning import meaning
from storehop.deliver.redis.place import Place

CONNECT_S = 0.25
REPLY_S = 0.3
"""How long one reply may take."""

type Address = tuple[str, int]
"""Host and port."""
type Command = tuple[str | int, ...]


class GoneError(EngineError):
    """The connection is of no use any more; what was sent may have been done or not."""


class Link:
    """Belongs to one thread. Raises EngineError where it can't be opened, GoneError when it breaks."""

    def __init__(
        self,
        address: Address,
        place: Place,
        *,
        is_sentinel: bool = False,
        connect_s: float = CONNECT_S,
        reply_s: float = REPLY_S,
    ) -> None:
        """`place` has the credentials and says whether TLS is spoken."""
        self.address = address
        self._connection = _connection(address, place, is_sentinel=is_sentinel, timeouts=(connect_s, reply_s))
        self._turned_away: ResponseError | None = None
        """Stands for the replies that follow it, too."""
        try:
            self._connection.connect()
        except (RedisError, OSError) as error:
            raise EngineError(_fault_of(place.ca_file) or told(address, error)) from error

    def send(self, *commands: Command) -> None:
        """All in one write. `read` gives their replies, in their order."""
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        except (RedisError, OSError) as error:
            raise self._gone(error) from error

    def read(self) -> Any:
        """The next reply; what the server refuses is a ResponseError, returned."""
        if self._turned_away:
            return self._turned_away
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error
        except (BusyLoadingError, AuthenticationError) as error:  # redis-py gives the connection up; so do we
            self.close()
            self._turned_away = ResponseError(meaning(error))
            return self._turned_away
        except (RedisError, OSError) as error:
            raise self._gone(error) from error

    def ask(self, *command: str | int) -> Any:
        """One command's reply. Raises EngineError where the server refuses it."""
        self.send(command)
        reply = self.read()
        if isinstance(reply, ResponseError):
            raise EngineError(told(self.address, reply))
        return reply

    def close(self) -> None:
        """Never waits."""
        self._connection.disconnect()

    def _gone(self, error: Exception) -> GoneError:
        self.close()
        return GoneError(told(self.address, error))


def _connection(address: Address, place: Place, *, is_sentinel: bool, timeouts: tuple[float, float]) -> Connection:
    host, port = address
    connect_s, reply_s = timeouts
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "db": 0 if is_sentinel else place.db,
        "username": place.sentinel_username if is_sentinel else place.username,
        "password": place.sentinel_password if is_sentinel else place.password,
        "socket_connect_timeout": connect_s,
        "socket_timeout": reply_s,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,  # two round trips for CLIENT SETINFO
        "protocol": 2,
        "decode_responses": True,
    }
    if place.tls:
        ca_file = str(place.ca_file) if place.ca_file else None
        return SSLConnection(**settings, ssl_ca_certs=ca_file, ssl_check_hostname=True)
    return Connection(**settings)


def _fault_of(ca_file: Path | None) -> str | None:
    """Why it can't be used: redis-py reads it while it connects, and its error does not name it."""
    try:
        if ca_file:
            ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        return f"{ca_file}: {error.strerror}"
    return None


def told(address: Address, error: Exception) -> str:
    """For people: where, and what."""
    return f"{address[0]}:{address[1]}: {meaning(error)}"
