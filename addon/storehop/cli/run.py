"""`storehop run`: checks what it was told, then hands over to the host."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from storehop.cli.check import load_or_fail
from storehop.cli.fail import fail


def run(
    upstream: str,
    rules: Path,
    listen: str,
    tls_cert: Path | None,
    upstream_ca: Path | None,
    state: Path | None,
) -> None:
    host, port = _listen(listen)
    for file in (tls_cert, upstream_ca):
        if file and not file.is_file():
            fail(f"{file}: no such file")
    url = _upstream(upstream)
    load_or_fail(rules)
    # mitmproxy takes most of a second to import: not for every --help.
    from storehop.host.runner import CannotListenError, HostConfig, serve  # noqa: PLC0415

    try:
        serve(HostConfig(url, rules, host, port, _state(state), tls_cert, upstream_ca))
    except CannotListenError as error:
        fail(str(error))


def _upstream(text: str) -> str:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/") or url.query:
        fail(f"--upstream {text!r}: expected http(s)://host[:port]", 2)
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}:{port or (443 if url.scheme == 'https' else 80)}"


def _listen(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]*)):(\d{1,5})", text)
    if found is None or int(found[3]) > 65535:  # noqa: PLR2004  ports end there
        fail(f"--listen {text!r}: expected HOST:PORT such as 0.0.0.0:8080 or [::]:8080", 2)
    return found[1] or found[2], int(found[3])


def _state(given: Path | None) -> Path:
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = given or home / "storehop"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--state {folder}: cannot be made: {error.strerror}")
    return folder
