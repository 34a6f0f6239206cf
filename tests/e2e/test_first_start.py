"""The first start on a bad day: it serves, clicks pass, /readyz says why, and a file of mitmproxy's stops nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.support.clients import get
from tests.support.needs import missing, need, need_mount
from tests.support.processes import Host, free_port, sidecar_command, started
from tests.support.scenes import link_of, new_id, play

SIZE = 64 * 1024
"""A file system of so many bytes has no room for an outbox."""


def mounted(folder, *options):
    folder.mkdir()
    need_mount(folder, str(SIZE))
    if options:
        subprocess.run([need("mount"), "-o", ",".join(("remount", *options)), folder], check=True)
    return folder


def full(folder):
    (mounted(folder) / "fill").write_bytes(bytes(SIZE - 4096))
    return folder / "state"


def read_only(folder):
    return mounted(folder, "ro") / "state"


def with_files_of_an_authority(folder):
    """As an older storehop left them: empty since the disk was full."""
    folder.mkdir()
    (folder / "mitmproxy-ca.pem").write_text("")
    (folder / "mitmproxy-dhparam.pem").write_text("junk")
    return folder


def of_another_user(folder):
    """Where the process of AS_STRANGER may not write."""
    folder.mkdir(mode=0o700)
    try:
        os.chown(folder, STRANGER, STRANGER)
    except PermissionError:
        missing("may not give a folder away")
    return folder / "deep" / "state"


STRANGER = 54321
AS_STRANGER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
CASES = {
    "full": (full, (), "degraded: outbox: database or disk is full"),
    "read-only": (read_only, (), "degraded: outbox: Read-only file system"),
    "an authority's broken files": (with_files_of_an_authority, (), "ok"),
    "another user's": (of_another_user, AS_STRANGER, "degraded: outbox: Permission denied"),
}
"""How the state folder is made, what the command begins with, and what /readyz says."""


@asynccontextmanager
async def running(folder, module_rules, ads, case):
    """(host, admin port) of one case."""
    prepare, before, _ = CASES[case]
    place = folder / str(list(CASES).index(case))
    port, admin = free_port(), free_port()
    try:
        command = sidecar_command(f"http://127.0.0.1:{ads.port}", module_rules, f"127.0.0.1:{port}", prepare(place))
        host = await started(port, place, *before, *command, "--admin", f"127.0.0.1:{admin}")
        try:
            yield host, admin
        finally:
            await host.process.stop()
    finally:
        if place.is_mount():
            await (await asyncio.create_subprocess_exec(need("umount"), place)).wait()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outcomes(tmp_path_factory, module_rules, ads):
    """What came of a click, what /readyz says, and the host, of all cases at the same time."""
    folder = tmp_path_factory.mktemp("first")

    async def attempt(case):
        async with running(folder, module_rules, ads, case) as (host, admin):
            click_id = new_id()
            answer = await get(host.port, ads.redirect(link_of(click_id)))
            ready = await get(admin, "/readyz")
            direct, passed = answer.location == play(click_id), answer.location == link_of(click_id)
            return host, (direct, passed), ready.body.decode().strip()

    return dict(zip(CASES, await asyncio.gather(*map(attempt, CASES)), strict=True))


@pytest.mark.parametrize("case", CASES)
async def test_it_serves_and_says_what_is_wrong(outcomes, case):
    """A click that can't be stored passes."""
    host, (direct, passed), ready = outcomes[case]
    is_well = CASES[case][2] == "ok"

    assert (is_well, not is_well, CASES[case][2]) == (direct, passed, ready)
    assert "Traceback" not in host.log.text


@pytest.mark.parametrize("case", CASES)
async def test_the_log_names_the_outbox_that_can_not_be_used(outcomes, case):
    """Once, as a warning."""
    host, _, ready = outcomes[case]
    lines = [line for line in host.log.text.splitlines() if "can't be used, clicks pass" in line]

    assert (0 if ready == "ok" else 1) == len(lines)
    assert all(" WARNING the outbox /" in line for line in lines)


def test_old_files_are_left_alone(outcomes):
    """They are the operator's to remove; no new one came."""
    host: Host = outcomes["an authority's broken files"][0]

    assert ["mitmproxy-ca.pem", "mitmproxy-dhparam.pem"] == sorted(file.name for file in host.folder.glob("mitm*"))
