"""`storehop run` with nobody watching: no click is counted, none is logged. Only to measure what watching costs."""

from __future__ import annotations

from storehop.__main__ import main
from storehop.host import addon, runner
from storehop.observe.log import ClickLog
from storehop.observe.metrics import Metrics


def _nothing(*_arguments, **_named):
    """Stands in for every method that is told of clicks."""


def _deaf(watcher):
    """The watcher's class, told of clicks in vain; everything else of it stays."""
    told = ("decided", "answered", "settled", "expired")
    return type(f"No{watcher.__name__}", (watcher,), {name: _nothing for name in told if hasattr(watcher, name)})


if __name__ == "__main__":
    runner.ClickLog = _deaf(ClickLog)
    addon.Metrics = _deaf(Metrics)
    main()
