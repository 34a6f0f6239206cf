"""Real processes: `storehop run` and stock mitmproxy, each on a free port with a folder of its own."""

from __future__ import annotations

import asyncio
import os
import pty
import random
import signal
import socket
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.patience import SOON_S, START_S

ROOT = Path(__file__).resolve().parents[2]
ADDON = ROOT / "addon"
ENTRY = ADDON / "entry.py"

PORTS = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections: one of them could take a port before its process does."""


def free_port() -> int:
    """A port that nobody listens on, and that no other test run on this machine is given while this one lasts."""
    for _ in range(100):
        port = random.choice(PORTS)
        if _reserve(port):
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("found no free port")


def _reserve(port: int) -> bool:
    """Whether this process is the first to take the port: by a name that the kernel forgets when the process ends."""
    taken = socket.socket(socket.AF_UNIX)
    try:
        taken.bind(f"\0storehop-test-port-{port}")
    except OSError:
        taken.close()
        return False
    taken.detach()  # open to the end of the process
    return True


class Output:
    """What a process has written so far, and a way to wait for more."""

    def __init__(self) -> None:
        self.text = ""
        self._has_ended = False
        self._more = asyncio.Event()

    def feed(self, data: bytes) -> None:
        self.text += data.decode(errors="replace")
        self._has_ended |= not data
        self._more.set()

    async def saw(self, wanted: str, since: int = 0, seconds: float = SOON_S) -> str:
        """Waits until `wanted` was written after `since`, and returns the line that it stands in."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._line_of(wanted, since) is None and not self._has_ended:
                    self._more.clear()
                    await self._more.wait()
        line = self._line_of(wanted, since)
        assert line is not None, f"{wanted!r} was never written, but:\n{self.text[since:]}"
        return line

    def _line_of(self, wanted: str, since: int) -> str | None:
        at = self.text.find(wanted, since)
        end = self.text.find("\n", at)
        return self.text[self.text.rfind("\n", 0, at) + 1 : end] if at >= 0 and end >= 0 else None


def _terminal() -> tuple[int, int]:
    """A pseudo-terminal of a usual size: (our side, the process's side)."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    return ours, theirs


@dataclass(slots=True)
class Process:
    """A process that a test started; only such are ever ended."""

    process: asyncio.subprocess.Process
    output: Output
    """Standard output and standard error, as they came."""
    errors: Output
    """Standard error alone."""
    readers: list[asyncio.Task[None]] = field(default_factory=list)
    terminal: int | None = None

    @classmethod
    async def start(
        cls, *command: str | Path, terminal: bool = False, modules: Path | None = None, fds: Sequence[int] = ()
    ) -> Process:
        """Starts a process; with `terminal` it gets one of its own, with `modules` a folder of more Python modules.

        It inherits `fds`.
        """
        folders = os.pathsep.join(map(str, filter(None, (modules, ADDON))))
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("STOREHOP_")
        }  # the tests'
        environment = inherited | {"PYTHONPATH": folders, "PYTHONUNBUFFERED": "1", "TERM": "xterm-256color"}
        ours, theirs = _terminal() if terminal else (None, None)
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL if theirs is None else theirs,
            stdout=asyncio.subprocess.PIPE if theirs is None else theirs,
            stderr=asyncio.subprocess.PIPE if theirs is None else theirs,
            env=environment,
            pass_fds=fds,
        )
        self = cls(process, Output(), Output(), terminal=ours)
        if theirs is not None:
            os.close(theirs)
            asyncio.get_running_loop().add_reader(ours, self._read_terminal)
        if process.stdout and process.stderr:
            self.readers.append(asyncio.create_task(self._read_pipes(process.stdout, process.stderr)))
        return self

    async def _read_pipes(self, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        await asyncio.gather(_pump(stdout, self.output), _pump(stderr, self.output, self.errors))
        self.output.feed(b"")
        self.errors.feed(b"")

    def _read_terminal(self) -> None:
        try:
            self.output.feed(os.read(self.terminal, 1 << 16))
        except OSError:  # the other side is closed
            asyncio.get_running_loop().remove_reader(self.terminal)

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    async def ended(self, seconds: float = START_S) -> int:
        """Waits for the end that comes by itself. Returns the exit code."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            await asyncio.gather(*self.readers)
        return code

    async def stop(self) -> int:
        """Ends the process by SIGTERM. Returns the exit code."""
        self.send(signal.SIGTERM)
        try:
            return await self.ended()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()
            raise AssertionError(f"SIGTERM did not end it:\n{self.output.text}") from None
        finally:
            if self.terminal is not None:
                asyncio.get_running_loop().remove_reader(self.terminal)
                os.close(self.terminal)
                self.terminal = None

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def memory(self) -> dict[str, int]:
        """VmRSS and VmHWM of /proc/PID/status, in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        pairs = (line.split() for line in lines if line.startswith(("VmRSS", "VmHWM")))
        return {name.rstrip(":"): int(kilobytes) // 1024 for name, kilobytes, _ in pairs}


async def _pump(stream: asyncio.StreamReader, *sinks: Output) -> None:
    while data := await stream.read(1 << 16):
        for sink in sinks:
            sink.feed(data)


@dataclass(slots=True)
class Host:
    """A running storehop, by whatever process, and the port where it answers."""

    port: int
    process: Process
    folder: Path
    """The process's own state folder; mitmproxy's certificate authority lies in it."""

    @property
    def log(self) -> Output:
        return self.process.output

    @property
    def ca(self) -> Path:
        return self.folder / "mitmproxy-ca-cert.pem"


def worker_pids(host: Host) -> list[int]:
    """The processes that answer for a host with `--workers`."""
    parent = host.process.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if "--worker-socket" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]


def sidecar_command(upstream: str, rules: Path, listen: str, folder: Path) -> list[str | Path]:
    command = [sys.executable, "-m", "storehop", "run", "--upstream", upstream, "--rules", rules]
    return [*command, "--listen", listen, "--state", folder, "--admin", "off", "--drain", "0"]


def stock_command(
    tool: str,
    mode: str,
    rules: Path,
    port: int,
    folder: Path,
    *,
    entry: Path = ENTRY,
) -> list[str | Path]:
    """mitmdump, mitmweb or mitmproxy with the addon and no more options than a test can't do without."""
    command = [Path(sys.executable).with_name(tool), "-s", entry, "--mode", mode, "--listen-port", str(port)]
    options = {"confdir": folder, "storehop_rules": rules, "storehop_outbox": folder / "outbox.db"}
    return [*command, *(part for name, value in options.items() for part in ("--set", f"{name}={value}"))]


async def start_sidecar(
    upstream: str,
    rules: Path,
    folder: Path,
    *extra: str | Path,
    address: str = "127.0.0.1",
) -> Host:
    """`storehop run`, answering."""
    port = free_port()
    return await started(port, folder, *sidecar_command(upstream, rules, f"{address}:{port}", folder), *extra)


async def start_mitmdump(upstream: str, rules: Path, folder: Path, *extra: str | Path) -> Host:
    """Stock mitmdump as a reverse proxy with the addon, answering."""
    return await start_stock("mitmdump", f"reverse:{upstream}", rules, folder, *extra)


async def start_stock(tool: str, mode: str, rules: Path, folder: Path, *extra: str | Path) -> Host:
    """A stock tool of mitmproxy with the addon, answering."""
    port = free_port()
    return await started(port, folder, *stock_command(tool, mode, rules, port, folder), *extra)


async def started(port: int, folder: Path, *command: str | Path, address: str = "127.0.0.1") -> Host:
    """The process of `command` once it has loaded its rules and takes connections on `port`."""
    process = await Process.start(*command)
    try:
        await process.output.saw("storehop: ", seconds=START_S)
        await listening(port, process, address)
    except BaseException:
        await process.stop()
        raise
    return Host(port, process, folder)


async def listening(port: int, process: Process, address: str = "127.0.0.1") -> None:
    """Waits until somebody takes connections on this port, or the process has ended."""
    try:
        async with asyncio.timeout(START_S):
            while process.is_alive:
                try:
                    _, writer = await asyncio.open_connection(address, port)
                except OSError:
                    await asyncio.sleep(0.02)  # refused: the only way to learn more is to ask again
                else:
                    writer.close()
                    await writer.wait_closed()
                    return
    except TimeoutError:
        pass
    raise AssertionError(f"nobody listens on {port}:\n{process.output.text}")


STARTERS = {"sidecar": start_sidecar, "mitmdump": start_mitmdump}
"""Both ways to run a reverse proxy: our own host, and a stock mitmproxy."""
