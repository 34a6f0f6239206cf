"""`storehop run`: checks what it was told, then hands over to the host."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from storehop.cli.check import load_or_fail
from storehop.cli.fail import fail
from storehop.observe.admin import parse_address
from storehop.state import outbox_path, state_folder

LAST_PORT = 65535


def run(
    upstream: str,
    rules: Path,
    *,
    listen: str,
    admin: str,
    outbox: Path | None,
    drain: float,
    web: str | None,
    log_json: bool,
    log_personal_data: bool,
    tls_cert: Path | None,
    upstream_ca: Path | None,
    state: Path | None,
    workers: int,
    worker_socket: Path | None,
) -> None:
    host, port = _address("--listen", listen)
    if admin != "off":
        _address("--admin", admin)
    if web:
        _address("--web", web)
    if web and workers > 1:
        fail("--web shows the clicks of one process: expected --workers 1 with it", 2)
    if workers > 1 and port == 0:
        fail("--workers share a port: expected --listen HOST:PORT with a port above 0", 2)
    url = _upstream(upstream)
    if tls_cert:
        _check_certificate(tls_cert)
    if upstream_ca:
        _check_authorities(upstream_ca)
    load_or_fail(rules)
    # mitmproxy takes most of a second to import: not for every --help.
    from storehop.host.runner import CannotServeError, HostConfig, serve  # noqa: PLC0415

    try:
        serve(
            HostConfig(
                upstream=url,
                rules=rules,
                listen_host=host,
                listen_port=port,
                state=_state(state),
                outbox=outbox or outbox_path(_state(state)),
                admin=admin,
                drain=drain,
                web=web,
                log_json=log_json,
                log_personal_data=log_personal_data,
                tls_cert=tls_cert,
                upstream_ca=upstream_ca,
                workers=workers,
                worker_socket=worker_socket,
            ),
        )
    except CannotServeError as error:
        fail(str(error))


_UPSTREAM = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([1-9]\d{0,4}))?/?", re.IGNORECASE
)


def _upstream(text: str) -> str:
    found = _UPSTREAM.fullmatch(text)
    if found is None or int(found[3] or 0) > LAST_PORT:
        fail(f"--upstream {text!r}: expected http(s)://host[:port]", 2)
    scheme = found[1].lower()
    return f"{scheme}://{found[2]}:{found[3] or (443 if scheme == 'https' else 80)}"


def _address(option: str, text: str) -> tuple[str, int]:
    try:
        return parse_address(text)
    except ValueError as error:
        fail(f"{option} {text!r}: {error}", 2)


def _check_certificate(file: Path) -> None:
    try:
        # A key with a passphrase has none that anybody could type in here.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, password="")
    except (OSError, ValueError) as error:
        fail(f"--tls-cert {file}: expected PEM with certificate chain and key: {_why(error)}")


def _check_authorities(file: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (OSError, ValueError) as error:
        fail(f"--upstream-ca {file}: expected PEM with certificates: {_why(error)}")


def _why(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    return f"{reason or error}"


def _state(given: Path | None) -> Path:
    folder = given or state_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--state {folder}: cannot be made: {error.strerror}")
    return folder
