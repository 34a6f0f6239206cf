"""How long tests wait for something before they fail, on a machine that does other things too."""

SOON_S = 60.0
"""Whatever a test awaits has happened by then."""
START_S = 120.0
"""A process that was started answers by then."""
