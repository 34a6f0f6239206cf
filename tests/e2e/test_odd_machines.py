"""Machines on a bad day: a clock that jumps, a disk that stalls. The code that makes them so runs in the sidecar."""

from __future__ import annotations

import asyncio
import time

from storehop.deliver.sqlite.engine import SqliteEngine
from tests.support.clients import get
from tests.support.faulty import FaultyAppsFlyer
from tests.support.load import Load, pending, to_appsflyer, until
from tests.support.patience import SOON_S
from tests.support.processes import free_port, sidecar_command, started
from tests.support.scenes import RULES, link_of, new_id, play, write_rules

JUMPING_CLOCK = """
import time
real = time.time
time.time = lambda: real() + (86400 if int(real() * 4) % 2 else -86400)
"""
"""Every quarter of a second the wall clock jumps by two days, there and back."""

STALL_S = 6.0
STALLING_DISK = f"""
import time
from storehop.deliver.operations import Accept
from storehop.deliver.sqlite.engine import SqliteEngine
good, stalls = SqliteEngine.run, [{STALL_S}]
def run(self, batch):
    if stalls and any(isinstance(one, Accept) for one in batch):
        time.sleep(stalls.pop())
    return good(self, batch)
SqliteEngine.run = run
"""
"""The first click takes so many seconds to store."""


async def start_odd(code, upstream, rules, folder):
    port = free_port()
    python, _, _, *arguments = sidecar_command(upstream, rules, f"127.0.0.1:{port}", folder)
    main = f"{code}\nfrom storehop.__main__ import main\nmain()"
    return await started(port, folder, python, "-c", main, *arguments)


async def test_a_jumping_clock_loses_doubles_and_freezes_nothing(start, ads, tmp_path):
    """Through an outage under load, with a wall clock that jumps all the time, every click arrives exactly once."""
    appsflyer = FaultyAppsFlyer()
    await appsflyer.start()
    rules = write_rules(tmp_path, RULES, appsflyer)
    ads.routes["*"] = to_appsflyer
    host = await start(start_odd, JUMPING_CLOCK, f"http://127.0.0.1:{ads.port}", rules, tmp_path)
    load = Load("clock-")
    running = asyncio.create_task(load.run(host.port, connections=2, rate=40))
    await until(lambda: len(load.clicks.direct) >= 20, SOON_S)
    appsflyer.fault = "500"
    await until(lambda: len(load.clicks.passed) >= 40, SOON_S)
    appsflyer.fault, before = None, len(load.clicks.direct)
    assert await until(lambda: len(load.clicks.direct) >= before + 20, SOON_S)
    load.stop()
    await running
    await until(lambda: pending(tmp_path) == 0, SOON_S)
    await appsflyer.stop()

    assert dict.fromkeys(load.clicks.direct, 1) == dict(appsflyer.accepted)
    assert 0 == pending(tmp_path, dead=None)


async def test_a_stalled_disk_lets_the_click_pass(start, ads, rules, tmp_path, appsflyer):
    """A user waits for the disk for a second; the call that was stored too late is taken back and never sent."""
    host = await start(start_odd, STALLING_DISK, f"http://127.0.0.1:{ads.port}", rules, tmp_path)
    late = link_of(new_id())
    begin = time.monotonic()
    answer = await get(host.port, ads.redirect(late))
    waited = time.monotonic() - begin
    await host.log.saw("works again")
    good = new_id()
    after = await get(host.port, ads.redirect(link_of(good)))
    came = dict((await appsflyer.next_click()).params)["clickid"]
    is_empty = await until(lambda: pending(tmp_path, dead=None) == 0, SOON_S)

    assert (late, play(good), good, True) == (answer.location, after.location, came, is_empty)
    assert SqliteEngine.patience_s <= waited < STALL_S - SqliteEngine.patience_s
