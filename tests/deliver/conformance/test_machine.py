"""Each engine against the model of tests/deliver/conformance/machine.py."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.deliver.conformance.machine import EngineMachine
from tests.deliver.conformance.test_laws import ENGINES
from tests.support.engines import KITS


@pytest.mark.parametrize("name", ENGINES)
def test_the_engine_does_what_the_model_says(name):
    """Whatever is asked in whatever order and batch, over crashes, reboots, clock jumps and a full outbox."""
    kit = KITS[name]
    machine = type(f"{name.title()}Machine", (EngineMachine,), {"kit_class": kit})
    usual = settings.default.max_examples  # by profile; where no time passes there is less to find
    examples = usual if kit.can_move_time else usual // 4
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=50, deadline=None, print_blob=True)
    )
