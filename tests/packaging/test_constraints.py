"""rules/packaging/constraints.txt: the versions that the tests ran with, no more and no fewer."""

import re
import sys
from importlib.metadata import distribution, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.processes import ROOT

LINES = (ROOT / "rules" / "packaging" / "constraints.txt").read_text().splitlines()
PINNED = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in LINES if line[:1] != "#"}


def needed(name, extras=frozenset(), seen=None):
    """What a package needs on this machine and by this Python, and what that needs: canonical names."""
    seen = set() if seen is None else seen
    for one in map(Requirement, distribution(name).requires or ()):
        step = (canonicalize_name(one.name), frozenset(one.extras))
        is_needed = one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if is_needed and step not in seen:
            seen.add(step)
            needed(one.name, one.extras, seen)
    return {key for key, _ in seen}


def test_a_line_is_a_name_and_a_version():
    """Nothing names a registry's host, a file or a hash: it fits every mirror."""
    assert [] == [line for line in LINES if line[:1] != "#" and not re.fullmatch(r"[\w.-]+==[\w.]+", line)]


@pytest.mark.skipif(sys.platform != "linux", reason="mitmproxy needs other packages elsewhere")
def test_the_tests_run_with_it():
    """It holds what storehop[redis] needs, what that needs, and nothing else, as installed. Else: make constraints."""
    assert {name: version(name) for name in needed("storehop", {"redis"})} == PINNED


def test_mitmproxy_has_an_upper_bound():
    """Its Master and its layers are subclassed: a version that no test has seen is not installed."""
    (declared,) = (one for text in distribution("storehop").requires if (one := Requirement(text)).name == "mitmproxy")

    assert {"<", ">="} == {bound.operator for bound in declared.specifier}
    assert declared.specifier.contains(PINNED["mitmproxy"])
