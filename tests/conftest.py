"""How patient the tests are, and which of them start processes."""

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.processless import no_process

HERE = Path(__file__).parent
START_PROCESSES = (HERE / "e2e", HERE / "bench")

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A machine that does other things too is slow, and no example is at fault for that."""
settings.register_profile("quick", settings.get_profile("patient"), max_examples=10)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is in these folders starts processes; elsewhere, tests say so themselves."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in START_PROCESSES):
            item.add_marker(pytest.mark.process)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """A test that does not say so starts no process, nor do its fixtures."""
    if item.get_closest_marker("process"):
        return (yield)
    with no_process():
        return (yield)
