"""How long tests wait for something before they fail, on a machine that does other things too; how long scenes last."""

import os

SOON_S = 60.0
"""Whatever a test awaits has happened by then."""
START_S = 120.0
"""A process that was started answers by then."""
IS_LONG = os.environ.get("STOREHOP_LONG") == "1"
"""Whether scenes last for minutes, as `make reliability` has it, or for seconds, as in the suite."""
