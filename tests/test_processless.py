"""`make quick` starts no process: what does so is marked, and else it fails."""

import asyncio
import os
import subprocess

import pytest

from tests.support.processless import ProcessStartedError


def test_a_test_that_is_not_marked_starts_no_process():
    """The module subprocess raises."""
    with pytest.raises(ProcessStartedError):
        subprocess.run(["true"], check=True)


def test_nor_does_it_fork():
    """So does os.fork."""
    with pytest.raises(ProcessStartedError):
        os.fork()


async def test_nor_does_asyncio_start_one():
    """And so does asyncio."""
    with pytest.raises(ProcessStartedError):
        await asyncio.create_subprocess_exec("true")


@pytest.mark.process
def test_a_test_that_is_marked_starts_processes():
    """The mark lets it."""
    assert 0 == subprocess.run(["true"], check=True).returncode
