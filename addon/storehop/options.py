"""Every option of the sidecar and of the addon, once: its name, type, default and help.

`storehop run` makes its flags and environment variables of `RunOptions` (see `storehop.cli.parameters`) and mitmproxy
gets its `storehop_…` options from `AddonOptions`. An option of both has one `Option`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from storehop.addresses import OFF, Address, parse_address, parse_address_or_off, parse_origin
from storehop.assets import asset
from storehop.durations import parse_outbox_wait
from storehop.state import VARIABLES, outbox_path, parse_outbox, parse_outbox_name, state_folder


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Option:
    """What users read about an option, and what its text may be."""

    help: str
    metavar: str | None = None
    read: Callable[[str], object] | None = None
    """Makes the value from its text. Raises ValueError that says what was expected."""
    least: int | None = None
    most: int | None = None
    shown_default: str | None = None
    """In words, where the default depends on the machine or on other options."""
    is_for_users: bool = True
    """False: only storehop itself sets it. It is not in the help and has no environment variable."""
    needs_restart: bool = True
    """As an option of mitmproxy: a change counts only when mitmproxy starts."""


def _read_list(text: str) -> tuple[str, ...]:
    """The parts between commas."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise ValueError("expected FILE or FILE,FILE,…")
    return parts


_RULES = Option("Rule file, or a folder of them. Changes are picked up while it runs.", "PATH", needs_restart=False)
_ADMIN = Option("Where /healthz, /readyz and /metrics answer.", "HOST:PORT|off", read=parse_address_or_off)
_OUTBOX = Option(
    "Holds clicks until they are delivered: a file, or redis://, redis+sentinel://, redis+cluster:// for many hosts.",
    "PATH|URL",
    read=parse_outbox,
    shown_default="outbox.db in the state folder",
)


def _seconds(help_text: str) -> Option:
    return Option(f"{help_text} 0: no limit.", "SECONDS", least=0)


WEB = Address("127.0.0.1", 8081)
"""What `--web` without a value means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `storehop run` does. A field's name is the flag's, and with STOREHOP_ the environment variable's."""

    upstream: Annotated[str, Option("The ad stack: http(s)://host[:port].", "URL", read=parse_origin)]
    """With its port."""
    rules: Annotated[Path, _RULES]
    listen: Annotated[Address, Option("Where clients come in.", "HOST:PORT", read=parse_address)] = Address(
        "127.0.0.1", 8080
    )
    admin: Annotated[Address | None, _ADMIN] = Address("127.0.0.1", 9321)
    """None: nowhere."""
    outbox: Annotated[str | None, _OUTBOX] = None
    """A path or URL; see `outbox_location`."""
    outbox_password_file: Annotated[
        Path | None, Option("Its first line is the password of a shared outbox. Read at the start.", "FILE")
    ] = None
    outbox_name: Annotated[str | None, Option("Overrides delivery.outbox_name.", "NAME", read=parse_outbox_name)] = None
    outbox_replicas: Annotated[int | None, Option("Overrides delivery.outbox_replicas.", "N", least=0, most=5)] = None
    outbox_wait: Annotated[
        float | None, Option("Overrides delivery.outbox_wait.", "DURATION", read=parse_outbox_wait)
    ] = None
    """In seconds."""
    options: Annotated[
        Path | None, Option("Options as lines STOREHOP_NAME=value. Flags and the environment are stronger.", "FILE")
    ] = None
    drain: Annotated[float, Option("How long SIGTERM lets new clients in.", "SECONDS", least=0)] = 5.0
    retire: Annotated[
        float, Option("How long a process that another one has replaced serves the clients it has.", "SECONDS", least=0)
    ] = 900.0
    web: Annotated[
        Address | None,
        Option(f"Look at clicks in mitmweb's page, on {WEB} if not said.", "[HOST:PORT]", read=parse_address),
    ] = None
    """None: the lean host, without a page."""
    dry_run: Annotated[
        bool, Option("Try it: S2S clicks go to a stand-in that shows them, never to AppsFlyer. On loopback only.")
    ] = False
    dry_run_public: Annotated[
        bool, Option("Let --dry-run listen on any address. Its users' installs are not attributed.")
    ] = False
    log_format: Annotated[LogFormat, Option("For people, or a JSON object a line.", "text|json")] = LogFormat.TEXT
    log_level: Annotated[
        LogLevel, Option("The least that is logged; warning: no line for each click.", "debug|info|warning|error")
    ] = LogLevel.INFO
    log_personal_data: Annotated[bool, Option("Log links, addresses and User-Agents too.")] = False
    head_timeout: Annotated[float, _seconds("For a client's request head; for a new connection's from its accept.")] = (
        60.0
    )
    idle_timeout: Annotated[float, _seconds("For a kept connection without a request.")] = 75.0
    connect_timeout: Annotated[float, _seconds("For a connection to the ad stack, else clients get 504.")] = 10.0
    first_byte_timeout: Annotated[
        float, _seconds("From a request's end to the head of the ad stack's answer, else clients get 504.")
    ] = 60.0
    max_connections: Annotated[
        int, Option("Clients' connections at a time; further ones wait.", "N", least=0, shown_default="by open files")
    ] = 0
    """Of all workers together. 0: as many as the limit of open files allows."""
    tls_cert: Annotated[
        tuple[str, ...] | None,
        Option(
            "Speak TLS and HTTP/2 with clients: files with certificate chain and key, CHAIN:KEY or folders.",
            "PEM,…",
            read=_read_list,
        ),
    ] = None
    """None: no client speaks TLS."""
    h2c: Annotated[bool, Option("Speak HTTP/2 without TLS, too, with clients that begin so.")] = False
    proxy_protocol: Annotated[
        bool, Option("Every connection begins with a PROXY header, from a peer in client_ip.trusted_proxies.")
    ] = False
    upstream_ca: Annotated[Path | None, Option("Authorities that may sign the upstream's certificate.", "PEM")] = None
    state: Annotated[Path, Option("What outlives the process.", "FOLDER", shown_default="~/.local/state/storehop")] = (
        field(default_factory=state_folder)
    )
    workers: Annotated[int, Option("Processes that share the port, for more than one core.", "N", least=1, most=64)] = 1
    worker_socket: Annotated[Path | None, Option("In a worker: its admin socket.", is_for_users=False)] = None
    """Where its admin endpoints answer the supervisor; the name is the holder of its leases, too."""
    worker_fds: Annotated[str | None, Option("In a worker: its listening sockets.", is_for_users=False)] = None
    """File descriptors that it inherits from the supervisor: `5,6`."""
    worker_place: Annotated[int | None, Option("In a worker: which one it is.", is_for_users=False)] = None
    """From 1. Its log lines name it."""

    @property
    def outbox_location(self) -> str:
        """A path or URL."""
        return self.outbox or str(outbox_path(self.state))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddonOptions:
    """What the addon does in any of mitmproxy's tools. A field's name with `storehop_` before it is the option's."""

    rules: Annotated[str, _RULES] = field(default_factory=lambda: str(asset("rules/storehop.yaml")))
    outbox: Annotated[str, _OUTBOX] = field(default_factory=lambda: str(outbox_path()))
    admin: Annotated[str, _ADMIN] = OFF
    view_flows: Annotated[int, Option("How many flows of clicks mitmweb and the console keep.")] = 2000
    view_other: Annotated[bool, Option("Keep traffic that is no click in mitmweb and the console, too.")] = False
    view_personal_data: Annotated[
        bool, Option("Show addresses, ids and User-Agents in storehop's view of a click.")
    ] = False
    replay_sends: Annotated[
        bool,
        Option(
            "Send the S2S call of a replayed click, too: it counts again. Else a replay shows what the rules would do.",
            needs_restart=False,
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class Row:
    """One option of `RunOptions` or `AddonOptions`."""

    name: str
    type: Any
    option: Option
    field: Field[Any] = field(repr=False)

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str | None:
        """Of the environment."""
        return f"{VARIABLES}{self.name.upper()}" if self.option.is_for_users else None

    @property
    def is_required(self) -> bool:
        return self.field.default is MISSING and self.field.default_factory is MISSING

    @property
    def default(self) -> Any:
        """None where it is required."""
        if self.field.default_factory is not MISSING:
            return self.field.default_factory()
        return None if self.is_required else self.field.default

    @property
    def addon_help(self) -> str:
        """As mitmproxy shows it, among options that are not storehop's."""
        values = f" Expects {self.option.metavar}." if self.option.metavar else ""
        when = " Read when mitmproxy starts." if self.option.needs_restart else ""
        return f"storehop: {self.option.help}{values}{when}"


def rows(options: type[RunOptions | AddonOptions]) -> list[Row]:
    """The table of these options, in their order."""
    hints = get_type_hints(options, include_extras=True)
    return [_row(one, *get_args(hints[one.name])) for one in fields(options)]


def _row(one: Field[Any], kind: Any, option: Option) -> Row:
    return Row(one.name, kind, option, one)


def row_of(options: type[RunOptions | AddonOptions], name: str) -> Row:
    """Raises KeyError for a name that is no option."""
    return {one.name: one for one in rows(options)}[name]
