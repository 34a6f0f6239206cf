"""What /metrics says, for a test to compare."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from tests.support.clients import get
from tests.support.patience import SOON_S

type Samples = dict[tuple[str, ...], float]
"""Values by name and label values, in the labels' order of name."""


async def scrape(admin: int) -> Samples:
    """One scrape of the admin endpoints on this port."""
    return samples_of((await get(admin, "/metrics")).body.decode())


async def scraped(admin: int, wanted: Samples) -> Samples:
    """Scrapes until these samples are so, and returns all; what is counted after an answer may come a moment later."""
    samples: Samples = {}
    try:
        async with asyncio.timeout(SOON_S):
            while not wanted.items() <= samples.items():
                samples = await scrape(admin)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"expected {wanted}, got { {key: samples.get(key) for key in wanted} }") from None
    return samples


def samples_of(text: str) -> Samples:
    """The samples of Prometheus's text format."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
