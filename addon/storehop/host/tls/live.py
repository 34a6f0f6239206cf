"""The certificates of a running process: chosen by SNI, replaced as a whole when their files change (design §13).

As with rules, a change goes live only after two equal looks: so a file that somebody is still writing is never read
as if it were whole. Connections that are open keep theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from storehop.background import in_background, taken_within
from storehop.host.tls.certificate import Certificate
from storehop.host.tls.expiry import Expiry
from storehop.host.tls.places import CertificatesError, Look, certificates_of, look

logger = logging.getLogger(__name__)

LOOK_PAUSE_S = 2.0
"""Time between two looks at the files."""
SETTLE_S = 0.5
"""Files that changed are read again after so long, until two looks are equal."""


class Choice:
    """Which certificate a client gets: by its exact name, else by a wildcard, else the first."""

    def __init__(self, certificates: Sequence[Certificate]) -> None:
        self.certificates = tuple(certificates)
        self._by_name: dict[str, Certificate] = {}
        for one in certificates:
            for name in one.names:
                self._by_name.setdefault(name, one)

    def for_name(self, name: str | None) -> Certificate:
        """`name` is the server's that the client asked for (SNI, RFC 6066 §3); None: it did not say."""
        if not name:
            return self.certificates[0]
        name = name.lower().rstrip(".")
        by_wildcard = self._by_name.get(f"*.{name.partition('.')[2]}", self.certificates[0])
        return self._by_name.get(name, by_wildcard)


class LiveCertificates:
    """Holds the certificates to serve in `current`."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` are what `--tls-cert` says. Blocks while it reads. Raises CertificatesError."""
        self._names = tuple(names)
        self._seen = look(self._names)
        self.current = Choice(certificates_of(self._seen))
        self.expiry = Expiry(lambda: self.current.certificates)
        self._reload_request = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Looks at the files from now on."""
        self._watcher = asyncio.create_task(self._watch(), name="storehop certificate watcher")

    def stop(self) -> None:
        """Ends the looks at the files. The current certificates stay in use."""
        if self._watcher:
            self._watcher.cancel()

    def reload(self) -> None:
        """Reads the files at once, even if they did not change."""
        self._reload_request.set()

    async def _watch(self) -> None:
        while True:
            try:
                self.expiry.warn()
                is_requested = await taken_within(self._reload_request, LOOK_PAUSE_S)
                now = await in_background(partial(look, self._names))
                if is_requested or now != self._seen:
                    await self._use(await self._settled(now))
            except Exception:  # of any kind: the next change must not need a restart
                logger.exception("looking at the certificates failed in our own code, the last good ones stay")

    async def _settled(self, before: tuple[Look, ...]) -> tuple[Look, ...]:
        """What two looks in a row have seen."""
        while True:
            await asyncio.sleep(SETTLE_S)
            now = await in_background(partial(look, self._names))
            if now == before:
                return now
            before = now

    async def _use(self, seen: tuple[Look, ...]) -> None:
        """Checks in a thread, replaces on the loop. On a fault, logs it and keeps the last good ones."""
        self._seen = seen
        try:
            self.current = Choice(await in_background(partial(certificates_of, seen)))
        except CertificatesError as error:
            logger.error("the changed certificates can't be used, the last good ones stay:\n%s", error)  # noqa: TRY400  it says all
            return
        self.expiry.forget()
        count = len(self.current.certificates)
        logger.info("certificates reloaded: %d, the first of them expires on %s", count, self.expiry.first_day())
