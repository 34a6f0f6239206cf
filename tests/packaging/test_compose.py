"""rules/packaging/compose.yaml: Docker's grammar, and what its services need."""

import re

from ruamel.yaml import YAML

from storehop.options import RunOptions, row_of
from tests.support.image import PACKAGING, environment
from tests.support.needs import missing

try:
    import compose_spec
except ImportError:
    missing("compose_spec has no binaries for this Python")

TEXT = (PACKAGING / "compose.yaml").read_text()
FILE = YAML(typ="safe").load(TEXT)
STOREHOP = FILE["services"]["storehop"]
AFTER_DRAINING_S = 30
"""Answers, calls under way and a disk that hangs: ten seconds each."""


def test_it_is_a_compose_file():
    """As the Compose Specification has it: an unknown key or a value of another kind is refused."""
    assert {"storehop", "legacy"} == set(compose_spec.PyCompose.from_yaml(TEXT).service_names())


def test_its_upstream_is_the_ad_stack():
    """By the name and port of its service, which nobody outside reaches."""
    host, port = re.fullmatch(r"http://(\w+):(\d+)", STOREHOP["environment"]["STOREHOP_UPSTREAM"]).groups()

    assert [port] == FILE["services"][host]["expose"]
    assert "ports" not in FILE["services"][host]


def test_clicks_outlive_the_container():
    """The state folder is a volume that the file declares; all else is read-only, but for /tmp."""
    places = dict(reversed(volume.split(":")[:2]) for volume in STOREHOP["volumes"])

    assert places[environment()["STOREHOP_STATE"]] in FILE["volumes"]
    assert "./rules:/rules:ro" in STOREHOP["volumes"]
    assert (True, ["/tmp"]) == (STOREHOP["read_only"], STOREHOP["tmpfs"])


def test_it_has_the_time_to_drain():
    """Docker kills what takes longer: draining, answers, calls under way, a disk that hangs."""
    drain = row_of(RunOptions, "drain").default

    assert float(STOREHOP["stop_grace_period"].removesuffix("s")) >= drain + AFTER_DRAINING_S


def test_the_admin_port_is_not_the_public_s():
    """Metrics stay on the machine."""
    assert [port for port in STOREHOP["ports"] if "9321" in port] == ["127.0.0.1:9321:9321"]
