"""`storehop run`: checks its options, then hands over to the host or, for several workers, to their supervisor."""

from __future__ import annotations

import difflib
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from storehop.addresses import is_loopback, without_credentials
from storehop.cli.check import load_or_fail
from storehop.cli.fail import fail
from storehop.decide.rules import RuleSet
from storehop.deliver.engines import SharedOutbox, check_location, engine_for
from storehop.deliver.redis.credentials import VARIABLES_OF_SECRETS
from storehop.host.spared import spare_imports
from storehop.options import Row, RunOptions, rows
from storehop.serving import CannotServeError
from storehop.state import VARIABLES

_OF_KUBERNETES = re.compile(r"STOREHOP_(SERVICE_|PORT($|_)|.*_(SERVICE|PORT)_)")
"""Variables for Services: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables."""


def run(context: typer.Context, values: Mapping[str, object]) -> None:
    """`values` are the options by name, as users write them; None: not set. Exits with 1 or 2 and a sentence."""
    options = _read(context, values)
    if options.worker_socket is None:
        _warn_of_unknown_variables()
    _check_together(options)
    if options.tls_cert:
        _check_certificates(options.tls_cert)
    if options.upstream_ca:
        _check_authorities(options.upstream_ca)
    rules = load_or_fail(options.rules)
    _check_proxies(options, rules)
    if not options.dry_run:
        _check_outbox(options)
    spare_imports()
    try:
        if options.dry_run:
            from storehop.cli import dry_run  # noqa: PLC0415  its stand-in is for it alone

            dry_run.serve(options)
        else:
            _check_state(options.state)
            _serve(options, rules)
    except CannotServeError as error:
        fail(str(error))


def _serve(options: RunOptions, rules: RuleSet) -> None:
    if options.workers > 1 and options.worker_socket is None:
        from storehop.workers.start import supervise  # noqa: PLC0415  as below

        raise typer.Exit(supervise(options, rules.delivery))
    # mitmproxy takes most of a second to import: not for every --help.
    from storehop.host.runner import serve  # noqa: PLC0415

    serve(options)


def _read(context: typer.Context, values: Mapping[str, object]) -> RunOptions:
    texts = ((row, values[row.name]) for row in rows(RunOptions))
    read: dict[str, Any] = {row.name: _value(context, row, text) for row, text in texts if text is not None}
    return RunOptions(**read)


def _warn_of_unknown_variables() -> None:
    """A misspelled one would be ignored in silence. Kubernetes sets some of its own for a Service of our name."""
    known = {row.variable for row in rows(RunOptions)} | VARIABLES_OF_SECRETS
    for name in sorted(os.environ):
        if name.startswith(VARIABLES) and name not in known and not _OF_KUBERNETES.match(name):
            close = difflib.get_close_matches(name, filter(None, known), n=1)
            hint = f", did you mean {close[0]}?" if close else ""
            typer.echo(f"storehop: the variable {name} is of no option{hint}", err=True)


def _value(context: typer.Context, row: Row, value: object) -> object:
    if row.option.read is None:
        return value
    try:
        return row.option.read(str(value))
    except ValueError as error:
        source = context.get_parameter_source(row.name)
        name = row.variable if source and source.name == "ENVIRONMENT" else row.flag
        fail(f"{name} {without_credentials(str(value))!r}: {error}", 2)


def _check_together(options: RunOptions) -> None:
    if options.admin == options.listen and options.listen.port:
        fail(f"--admin and --listen are both {options.listen}: expected two addresses", 2)
    if options.upstream == f"http://{options.listen}":
        fail(f"--upstream {options.upstream} is where it listens itself: expected the ad stack's address", 2)
    if options.web and options.workers > 1:
        fail("--web shows the clicks of one process: expected --workers 1 with it", 2)
    if options.workers > 1 and options.listen.port == 0:
        fail("--workers share a port: expected --listen HOST:PORT with a port above 0", 2)
    if options.h2c and options.tls_cert:
        fail("--h2c is HTTP/2 without TLS, which --tls-cert asks for: expected one of them", 2)
    _check_dry_run(options)


def _check_dry_run(options: RunOptions) -> None:
    if options.dry_run and options.workers > 1:
        fail("--dry-run shows the clicks of one process: expected --workers 1 with it", 2)
    if options.dry_run_public and not options.dry_run:
        fail("--dry-run-public says where a dry run may listen: expected --dry-run with it", 2)
    if options.dry_run and not options.dry_run_public and not is_loopback(options.listen):
        fail(
            f"--dry-run with --listen {options.listen}: its users' installs would be attributed to nobody; "
            "expected a loopback address such as 127.0.0.1:8080, or --dry-run-public with it",
            2,
        )


def _check_certificates(names: Sequence[str]) -> None:
    from storehop.host.tls.places import CertificatesError, certificates_of, look  # noqa: PLC0415  as in _serve

    try:
        certificates_of(look(names))
    except CertificatesError as error:
        fail("\n".join(f"--tls-cert {line}" for line in str(error).splitlines()))


def _check_outbox(options: RunOptions) -> None:
    """Whether it can be one at all. Where its server is away at the moment, clicks pass meanwhile."""
    location = options.outbox_location
    try:
        check_location(location)
    except ValueError as error:
        fail(f"--outbox {without_credentials(location)!r}: {error}", 2)
    try:
        engine_for(location, shared=SharedOutbox.of(options)).close()
    except ValueError as error:
        fail(str(error))


def _check_proxies(options: RunOptions, rules: RuleSet) -> None:
    if options.proxy_protocol and not rules.proxies.trusted:
        fail(
            "--proxy-protocol believes the load balancers in client_ip.trusted_proxies, but the rules name none: "
            "every connection would be closed"
        )


def _check_authorities(file: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (OSError, ValueError) as error:
        fail(f"--upstream-ca {file}: expected PEM with certificates: {_why(error)}")


def _why(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    return f"{reason or error}"


def _check_state(folder: Path) -> None:
    """Whether this can be a folder at all. Where it can't be made at the moment, the outbox says so and tries again."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        fail(f"--state {folder}: cannot be made: {error.strerror}")
    except OSError:
        pass  # a full or read-only disk, another user's folder: clicks pass meanwhile
