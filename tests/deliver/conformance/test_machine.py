"""Each engine against the model of tests/deliver/conformance/machine.py."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.deliver.conformance.machine import EngineMachine
from tests.support.engines import KITS


@pytest.mark.parametrize("name", KITS)
def test_the_engine_does_what_the_model_says(name):
    """Whatever is asked in whatever order and batch, over crashes, reboots, clock jumps and a full outbox."""
    machine = type(f"{name.title()}Machine", (EngineMachine,), {"kit_class": KITS[name]})
    thorough = settings(
        settings.default,
        max_examples=settings.default.max_examples * 3 // 2,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(machine, settings=thorough)
