"""Work beside the event loop: in a thread that an end of the process does not wait for, or from time to time.

asyncio.to_thread takes the loop's executor, whose threads are joined when the process ends: one that hangs in a
read (a dead network file system, a file without an end) would hold it for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import cast


async def in_background[Result](work: Callable[[], Result]) -> Result:
    """What `work` returns or raises, once it is done. A cancelled caller leaves it to itself."""
    return await start(work)


def start[Result](work: Callable[[], Result]) -> asyncio.Future[Result]:
    """What will be `work`'s result; it has begun. Raises RuntimeError where no thread can be started."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def tell(result: Result | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error:
            done.set_exception(error)
        else:
            done.set_result(cast("Result", result))

    def run() -> None:
        result = error = None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001  whatever it is, the caller raises it
            error = caught
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, error)

    Thread(target=run, name="storehop background", daemon=True).start()
    return done


async def taken_within(request: asyncio.Event, seconds: float) -> bool:
    """Whether somebody set `request` within so many seconds; it is cleared then."""
    try:
        await asyncio.wait_for(request.wait(), seconds)
    except TimeoutError:
        return False
    request.clear()
    return True
