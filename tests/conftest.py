"""How patient the tests are: a machine that does other things too is slow, and no example is at fault for that."""

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
