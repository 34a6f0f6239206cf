"""`storehop run` under cProfile from the moment it serves: imports and compiling are left out.

The profile goes into the file `profile` of its state folder.
"""

from __future__ import annotations

import cProfile
import sys
from pathlib import Path

from storehop.__main__ import main
from storehop.host.addon import Storehop

if __name__ == "__main__":
    profiler, start = cProfile.Profile(), Storehop.running

    def running(self):
        start(self)
        profiler.enable()

    Storehop.running = running
    try:
        main()
    finally:
        profiler.disable()
        profiler.dump_stats(Path(sys.argv[sys.argv.index("--state") + 1]) / "profile")
