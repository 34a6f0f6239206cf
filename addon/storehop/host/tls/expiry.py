"""When certificates expire: a metric, and a warning in time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from storehop.host.tls.certificate import Certificate

logger = logging.getLogger(__name__)

DAY_S = 86_400.0
NOTICE_S = 14 * DAY_S
"""So long before a certificate expires we warn, once a day."""


class Expiry(Collector):
    """Of the certificates in use."""

    def __init__(self, current: Callable[[], Sequence[Certificate]], clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds."""
        self._current = current
        self._clock = clock
        self._next_warning = 0.0

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "storehop_tls_certificate_expiry_seconds",
            "When the first certificate of this chain expires, in Unix seconds.",
            labels=("file",),
        )
        for one in self._current():
            family.add_metric((str(one.place.chain),), one.expires)
        yield family

    def warn(self) -> None:
        """Warns of each certificate that has expired or will do so soon, unless it did today."""
        now = self._clock()
        if now < self._next_warning:
            return
        self._next_warning = now + DAY_S
        for one in self._current():
            if one.expires < now + NOTICE_S:
                verb = "expired" if one.expires < now else "expires"
                logger.warning("the certificate %s %s on %s", one.place, verb, _day(one.expires))

    def forget(self) -> None:
        """Warns again at the next `warn`: the certificates are others."""
        self._next_warning = 0.0

    def first_day(self) -> str:
        """The day on which the first of all expires."""
        return _day(min(one.expires for one in self._current()))


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
