"""What /readyz says: of one process, and of several that share a port."""

import pytest

from storehop.observe.readiness import Readiness

WELL = Readiness()
DRAINING = Readiness(("draining",))
FULL = Readiness(degraded=("outbox: disk full",))
DRY = Readiness(remarks=("dry run",))
BOTH = Readiness(("draining", "clicks: not handled"), ("outbox: disk full", "upstream: http://ads.test is unreachable"))


@pytest.mark.parametrize(
    ("readiness", "is_ready", "is_well"),
    [(WELL, True, True), (DRY, True, True), (FULL, True, False), (DRAINING, False, False)],
)
def test_degraded_is_ready(readiness, is_ready, is_well):
    """What is degraded still answers users; only what is not ready sends them elsewhere."""
    assert (is_ready, is_well) == (readiness.is_ready, readiness.is_well)


@pytest.mark.parametrize(
    ("readiness", "text"),
    [
        (WELL, "ok"),
        (DRY, "ok\nnote: dry run"),
        (FULL, "degraded: outbox: disk full"),
        (Readiness(("draining",), ("outbox: disk full",)), "draining\ndegraded: outbox: disk full"),
    ],
)
def test_a_line_for_each_reason(readiness, text):
    """What sends users elsewhere comes first."""
    assert text == str(readiness)


@pytest.mark.parametrize("readiness", [WELL, DRAINING, FULL, BOTH, DRY])
def test_the_text_says_it_all(readiness):
    """A supervisor reads of its workers what they know."""
    assert readiness == Readiness.from_text(f"{readiness}\n")


@pytest.mark.parametrize(
    ("workers", "together"),
    [
        ([WELL, DRAINING], WELL),
        ([FULL, DRAINING], FULL),
        ([FULL, FULL, WELL], FULL),
        ([DRAINING, BOTH], BOTH),
    ],
)
def test_one_that_is_ready_is_enough(workers, together):
    """Then what the others lack does not count; each reason is said once."""
    assert together == Readiness.of_several(workers)
