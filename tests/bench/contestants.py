"""Who is measured: how each proxy is started, and the neighbours that all of them talk to.

Everything started here is ended here, by its own process id.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.bench.machine import pin
from tests.bench.traffic import ADS_HOST, HOSTS, RULES
from tests.support.certificates import Authority, client_context
from tests.support.patience import START_S
from tests.support.processes import ADDON, free_port

HERE = Path(__file__).parent
NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  {http}
}}
"""
_FORWARDING = """
  upstream ads {{ server 127.0.0.1:{ads}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://ads;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
    }}
  }}
"""
_REDIRECTING = """
  server {{
    listen 127.0.0.1:{port};
    location /ready {{ return 200 "ready"; }}
    location / {{
      add_header Set-Cookie "seen=1; Path=/" always;
      return 302 https://app.appsflyer.com/com.example.game?$args;
    }}
  }}
"""


@dataclass(slots=True)
class Neighbours:
    """The ad stack and AppsFlyer, in a process of their own (see neighbours.py)."""

    process: asyncio.subprocess.Process
    ads: int
    """Port."""
    appsflyer: int
    """Port."""

    async def ask(self, command: str) -> dict:
        """The answer to one command."""
        self.process.stdin.write(f"{command}\n".encode())
        return json.loads(await self.process.stdout.readline())

    async def all_arrived(self, clicks: int, patience: float = 20.0) -> dict[str, float]:
        """The counts when this many clicks have come, or when nothing new came for `patience` seconds."""
        counts = await self.ask("counts")
        seen, since, loop = counts["calls"], asyncio.get_running_loop().time(), asyncio.get_running_loop()
        while counts["clicks"] < clicks and loop.time() - since < patience:
            await asyncio.sleep(0.05)
            counts = await self.ask("counts")
            if counts["calls"] != seen:
                seen, since = counts["calls"], loop.time()
        return counts


@asynccontextmanager
async def neighbours(cores: frozenset[int] | None) -> AsyncIterator[Neighbours]:
    """Both neighbours, serving."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        HERE / "neighbours.py",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 27,
    )
    pin(process.pid, cores)
    try:
        yield Neighbours(process, *json.loads(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that answers."""

    port: int
    pid: int
    admin: int
    """Port of storehop's admin endpoints; other proxies have none there."""
    log: Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a proxy shows its clients, and the authority that they trust."""

    file: Path
    ca: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        authority = Authority.make(folder)
        return cls(authority.sign(*dict.fromkeys(HOSTS.values())), authority.ca)

    @property
    def client(self) -> ssl.SSLContext:
        return client_context(self.ca)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy runs: its folder, its ports and its neighbours'."""

    folder: Path
    port: int
    admin: int
    ads: int
    appsflyer: int
    certificate: Path | None = None
    """With its key, of a proxy that speaks TLS."""


type Command = list[str | Path]


def mitmdump(place: Place) -> Command:
    """The yardstick: a stock reverse proxy."""
    tool = Path(sys.executable).with_name("mitmdump")
    command = [tool, "-q", "--mode", f"reverse:http://127.0.0.1:{place.ads}", "--set", f"confdir={place.folder}"]
    return [*command, "--listen-host", "127.0.0.1", "--listen-port", str(place.port)]


def naive(place: Place) -> Command:
    endpoint = f"naive_endpoint=http://127.0.0.1:{place.appsflyer}"
    return [*mitmdump(place), "--set", "keep_host_header=true", "-s", HERE / "naive.py", "--set", endpoint]


def storehop(place: Place, *extra: str, run: tuple[str | Path, ...] = ("-m", "storehop")) -> Command:
    """The sidecar with everything on: power-safe outbox, a JSON log line a click, admin endpoints."""
    rules = place.folder / "rules.yaml"
    rules.write_text(RULES.format(appsflyer=place.appsflyer))
    command = [sys.executable, *run, "run", "--upstream", f"http://127.0.0.1:{place.ads}", "--rules", rules]
    where = ["--listen", f"127.0.0.1:{place.port}", "--admin", f"127.0.0.1:{place.admin}", "--state", place.folder]
    return [*command, *where, "--log-format", "json", "--drain", "0", *extra]


def unwatched(place: Place) -> Command:
    """The sidecar without metrics and log."""
    return storehop(place, run=(HERE / "unwatched.py",))


def two_workers(place: Place) -> Command:
    return storehop(place, "--workers", "2")


def stock_tls(place: Place) -> Command:
    """The yardstick, which speaks TLS with whoever begins it."""
    return [*mitmdump(place), "--certs", f"*={place.certificate}"]


def storehop_tls(place: Place) -> Command:
    return storehop(place, "--tls-cert", str(place.certificate))


def patient(place: Place) -> Command:
    """The sidecar that keeps silent connections, however many."""
    return storehop(place, "--idle-timeout", "0", "--max-connections", "0")


def noting(place: Place) -> Command:
    """The sidecar that notes its collector's pauses and what clicks wait for (see noting.py)."""
    return storehop(place, run=(HERE / "noting.py",))


def nginx(place: Place) -> Command:
    return _nginx(place, _FORWARDING)


def nginx_ad_stack(place: Place) -> Command:
    """An ad stack: nginx makes the attribution link of the request's query."""
    return _nginx(place, _REDIRECTING)


def _nginx(place: Place, http: str) -> Command:
    config = place.folder / "nginx.conf"
    config.write_text(NGINX.format(folder=place.folder, http=http.format(ads=place.ads, port=place.port)))
    return [shutil.which("nginx"), "-c", config, "-p", place.folder, "-e", "stderr"]


@cache
def has_workers() -> bool:
    """Whether this storehop knows `--workers`."""
    command = [sys.executable, "-m", "storehop", "run", "--help"]
    helped = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment())
    return "--workers" in helped.stdout


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ADDON), "COLUMNS": "200"}


@asynccontextmanager
async def running(
    command_of: Callable[[Place], Command],
    folder: Path,
    beside: Neighbours,
    cores: frozenset[int] | None,
    *,
    ads: int | None = None,
    tls: Certificate | None = None,
) -> AsyncIterator[Proxy]:
    """A proxy between the neighbours, from its first answer until the block ends; with `ads`, before another stack."""
    certificate = tls.file if tls else None
    place = Place(folder, free_port(), free_port(), ads or beside.ads, beside.appsflyer, certificate)
    log = folder / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *map(str, command_of(place)), stdout=output, stderr=output, env=_environment(), start_new_session=True
        )
    pin(process.pid, cores)
    try:
        await _answering(place.port, process, log, tls.client if tls else None)
        yield Proxy(place.port, process.pid, place.admin, log)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answering(port: int, process: asyncio.subprocess.Process, log: Path, tls: ssl.SSLContext | None) -> None:
    """Returns when a request comes through to the ad stack."""
    with suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while process.returncode is None:
                with suppress(OSError):
                    if (await fetch(port, "/ready", tls)).startswith(b"HTTP/1.1 200"):
                        return
                await asyncio.sleep(0.05)
    raise RuntimeError(f"a proxy does not answer:\n{_text(log)}")


def _text(log: Path) -> str:
    return log.read_text(errors="replace")


async def fetch(port: int, path: str, tls: ssl.SSLContext | None = None) -> bytes:
    """One request by HTTP/1.1 on a connection of its own; the whole answer."""
    named = ADS_HOST if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=named)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {ADS_HOST}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(START_S):
            return await reader.read()
    finally:
        writer.close()
