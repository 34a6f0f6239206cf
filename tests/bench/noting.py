"""`storehop run` that notes two things for the table of tails: its collector's pauses, and what clicks wait for.

When it ends it writes `notes.json` into its state folder: {"pauses": [[when, seconds, generation], …], "waits": [[when,
seconds], …]}. `when` is the end, by the machine's monotonic clock. A click's wait is all our work on it less the
decision: the commit of its call, and looking for the same click.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from array import array
from pathlib import Path

from storehop.__main__ import main
from storehop.host import runner
from storehop.model import Direct
from storehop.observe.log import ClickLog


class Pauses:
    """Of the garbage collector, which stops everything."""

    def __init__(self) -> None:
        self.ends, self.seconds, self.generations = array("d"), array("d"), array("b")
        self._begin = 0.0

    def note(self, phase: str, about: dict) -> None:
        if phase == "start":
            self._begin = time.monotonic()
            return
        self.ends.append(time.monotonic())
        self.seconds.append(self.ends[-1] - self._begin)
        self.generations.append(about["generation"])


class NotingLog(ClickLog):
    """The log as it is; it hears of each click when that has been answered."""

    ends, waits = array("d"), array("d")

    def answered(self, click, decision, seconds=0.0, whole_s=0.0):
        super().answered(click, decision, seconds, whole_s)
        if isinstance(decision, Direct) and not decision.repeats:
            self.ends.append(time.monotonic())
            self.waits.append(whole_s - seconds)


if __name__ == "__main__":
    pauses = Pauses()
    gc.callbacks.append(pauses.note)
    runner.ClickLog = NotingLog
    try:
        main()
    finally:
        notes = {
            "pauses": list(zip(pauses.ends, pauses.seconds, pauses.generations, strict=True)),
            "waits": list(zip(NotingLog.ends, NotingLog.waits, strict=True)),
        }
        Path(sys.argv[sys.argv.index("--state") + 1], "notes.json").write_text(json.dumps(notes))
