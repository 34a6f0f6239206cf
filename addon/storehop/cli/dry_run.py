"""`storehop run --dry-run`: the real sidecar, with a stand-in for AppsFlyer and an outbox that is thrown away.

Nothing of it outlives the process, and nothing of a run before is opened: all calls that it can send are its own, and
`storehop.rulefile.live` gives every one of them the stand-in's origin.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from storehop.cli import standins
from storehop.cli.received import ReceivedCall, Tally, in_words, printable
from storehop.options import RunOptions
from storehop.state import outbox_path

logger = logging.getLogger(__name__)


def serve(options: RunOptions) -> None:
    """Serves as `storehop.host.runner.serve` does, and logs each S2S call that comes to the stand-in."""
    # mitmproxy takes most of a second to import: not for every --help.
    from storehop.host import runner  # noqa: PLC0415

    tally = Tally()

    def hear(call: ReceivedCall) -> None:
        _log(tally.add(call))

    with TemporaryDirectory(prefix="storehop-dry-run-") as folder, standins.appsflyer(hear) as listening:
        state = Path(folder)
        own = replace(options, state=state, outbox=str(outbox_path(state)))
        runner.serve(own, standin=f"http://{listening}")
        logger.info("dry run: it is over, and storehop sent AppsFlyer nothing; %s", tally)


def _log(call: ReceivedCall) -> None:
    """A line a call. It holds no address, device id or User-Agent."""
    words = in_words(call.signals)
    wrong = f"; wrong: {'; '.join(call.problems)}" if call.problems else ""
    text = "dry run: AppsFlyer would get app %s, click id %s, and could match on %s%s"
    fields = {"app": call.app, "click_id": call.click_id, "signals": list(call.signals), "problems": call.problems}
    event = {"event": "dry_run", "fields": fields}
    logger.info(text, printable(call.app), printable(call.click_id or "–"), words, printable(wrong), extra=event)
