"""`storehop run` with nobody watching: no click is counted, none is logged. Only to measure what watching costs."""

from __future__ import annotations

from storehop.__main__ import main
from storehop.host import addon, runner
from storehop.observe.log import ClickLog
from storehop.observe.metrics import Metrics
from storehop.observe.watchers import Watcher


def _nothing(*_arguments, **_named):
    """Stands in for every method that hears of clicks."""


def _deaf(watcher):
    """The watcher's class, which hears of clicks in vain; everything else of it stays."""
    events = (name for name in vars(Watcher) if not name.startswith("_"))
    return type(f"No{watcher.__name__}", (watcher,), dict.fromkeys(events, _nothing))


if __name__ == "__main__":
    runner.ClickLog = _deaf(ClickLog)
    addon.Metrics = _deaf(Metrics)
    main()
