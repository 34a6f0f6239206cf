"""The commands, as users type them. A module of the same name does the work."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from storehop.audit.exchange import FORMATS
from storehop.audit.exchange import Asked as RecordingsAsked
from storehop.audit.gates import NAMES as GATES
from storehop.cli import canary, outbox
from storehop.cli import check as checking
from storehop.cli import demo as showing
from storehop.cli import explain as explaining
from storehop.cli import healthcheck as asking
from storehop.cli import path as finding
from storehop.cli import restart as restarting
from storehop.cli import standin as standing_in
from storehop.cli.asked import Asked, with_outbox_options
from storehop.cli.check_outbox import check_outbox
from storehop.cli.fail import fail
from storehop.cli.start import command_line, run
from storehop.options import RunOptions, row_of
from storehop.rulefile.schema import json_schema

app = command_line(
    no_args_is_help=True,
    help="Ad clicks straight to the app store, reported to AppsFlyer from server to server.",
)

Rules = Annotated[Path, typer.Option("--rules", metavar="PATH", help="Rule file, or a folder of them.")]
STANDIN = "127.0.0.1:9000"
LISTEN = row_of(RunOptions, "listen")
ADMIN = row_of(RunOptions, "admin")


def _version(is_requested: bool) -> None:
    if is_requested:
        try:
            typer.echo(f"storehop {version('storehop')}")
        except PackageNotFoundError:  # a bare checkout: the source is there, its metadata is not
            typer.echo("storehop (not installed)")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


app.command()(run)


@app.command()
@with_outbox_options
def check(
    asked: Asked,
    path: Annotated[Path | None, typer.Argument(metavar="PATH", help="Rule file, or a folder of them.")] = None,
    outbox: Annotated[
        str | None, typer.Option(metavar="PATH|URL", help="Ask this outbox, too, whether clicks can be stored there.")
    ] = None,
) -> None:
    """Say whether rule files and an outbox can be used: exit 0 and a summary, or exit 1 and every fault."""
    if path is None and outbox is None:
        fail("expected the PATH of rules, or --outbox", 2)
    rules = checking.check(path) if path else None
    if outbox is not None:
        check_outbox(outbox, asked, rules.delivery if rules else None)


@app.command()
def explain(
    rules: Rules,
    url: Annotated[str | None, typer.Argument(metavar="URL", help="An attribution link.")] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("-H", metavar="'NAME: VALUE'", help="A header of the user's request. May be repeated."),
    ] = None,
    client_ip: Annotated[str, typer.Option(metavar="IP", help="Address that the click comes from.")] = "127.0.0.1",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
    stdin: Annotated[bool, typer.Option("--stdin", help="A URL a line in, a JSON object a line out.")] = False,
) -> None:
    """What would happen to a click: every rule tried, every parameter's source, the two final URLs."""
    explaining.explain(url, rules, explaining.RequestOptions(header or [], client_ip), as_json=as_json, stdin=stdin)


@app.command()
def drift(
    probe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Attribution links to ask AppsFlyer about, one a line; - is stdin."),
    ] = None,
    rules: Annotated[Path | None, typer.Option(metavar="PATH", help="Rule file, or a folder of them.")] = None,
    pid: Annotated[
        str | None, typer.Option(metavar="TEST_PID", help="A media source of your own for tests: it gets the clicks.")
    ] = None,
    yes_this_counts_clicks: Annotated[
        bool, typer.Option("--yes-this-counts-clicks", help="Ask. Else it only says what would be counted.")
    ] = False,
    per_app: Annotated[
        int, typer.Option(metavar="N", min=1, max=3, help="Links for each app and platform, at most.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Where AppsFlyer's own redirects lead, against storehop's: exit 1 where they differ. A probe counts clicks."""
    from storehop.cli import drift as comparing  # noqa: PLC0415  the wire's imports are for this command alone

    comparing.drift(probe, rules, pid, per_app, may_count=yes_this_counts_clicks, as_json=as_json)


@app.command()
def audit(
    recordings: Annotated[
        list[str],
        typer.Argument(metavar="RECORDING", help="Access logs, flow files, HAR, CSV; .gz and .zst too; - is stdin."),
    ],
    rules: Rules,
    format: Annotated[  # noqa: A002  the option's name
        str, typer.Option(metavar="NAME", help=f"How to read them: {', '.join(FORMATS)}.")
    ] = "auto",
    columns: Annotated[
        str | None,
        typer.Option("--map", metavar="NAME=COLUMN,...", help="Columns of CSV and JSON lines: link, ip, ua, time, ..."),
    ] = None,
    client_ip_header: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The header that holds the client's address: X-Forwarded-For."),
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON; - is stdout.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one page, to mail or to print.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An earlier --json: show what has changed since.")
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME>=VALUE'", help=f"Exit 1 unless it holds: {', '.join(GATES)}. May be repeated."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Read the first N lines of each recording only.")
    ] = None,
    show_ids: Annotated[
        bool, typer.Option("--show-ids", help="Leave ids and addresses in the samples: not to be mailed.")
    ] = False,
) -> None:
    """What the rules would do with recorded traffic: a summary, a report, gates. Nothing is sent."""
    from storehop.cli import audit as auditing  # noqa: PLC0415  its readers take half a second to import

    asked = RecordingsAsked(format, auditing.columns(columns), client_ip_header)
    auditing.audit(
        auditing.Request(
            recordings, rules, asked, json_file, html_file, baseline, gate or [], sample, show_ids=show_ids
        )
    )


@app.command()
def demo() -> None:
    """A click before and after, hop by hop: stand-ins for ad stack and AppsFlyer on this machine."""
    showing.demo()


@app.command()
def standin(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where it listens, by plain http.")] = STANDIN,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a call.")] = False,
    status: Annotated[int, typer.Option(metavar="CODE", min=200, max=599, help="What it answers.")] = 200,
    delay: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Before it answers.")] = 0.0,
) -> None:
    """A stand-in for AppsFlyer that shows each call: name it as delivery.endpoint. --status 503 is an outage."""
    standing_in.standin(listen, standing_in.Behaviour(status, delay, as_json))


@app.command()
def restart(
    listen: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", envvar=LISTEN.variable, help="Where clients of a running storehop come in."),
    ] = str(LISTEN.default),
) -> None:
    """Replace the processes of a running storehop by new ones, without a refused connection."""
    restarting.restart(listen)


@app.command()
def healthcheck(
    admin: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", envvar=ADMIN.variable, help="Where the admin endpoints of a running storehop are."
        ),
    ] = str(ADMIN.default),
) -> None:
    """Exit 0 when a running storehop is ready, else 1: for containers."""
    raise typer.Exit(asking.healthcheck(admin))


@app.command()
def schema() -> None:
    """Print the JSON Schema of rule files, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def path(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A name of the list, or its end: alerts.yaml, kubernetes."),
    ] = "entry.py",
    as_list: Annotated[bool, typer.Option("--list", help="All that there are, and what each one is.")] = False,
) -> None:
    """Print where a shipped file or folder lies; without a name, the addon: mitmweb -s "$(storehop path)"."""
    if as_list:
        typer.echo(finding.listing())
    else:
        finding.path(name)


app.add_typer(outbox.app, name="outbox")
app.add_typer(canary.app, name="canary")
