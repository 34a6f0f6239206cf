"""The manual's recipes for load balancers: each one loads, and finds the client in what that balancer sends."""

import re
from pathlib import Path

import pytest

from storehop.decide.address import client_address
from storehop.rulefile import load

MANUAL = (Path(__file__).resolve().parents[2] / "rules" / "README.md").read_text()
RECIPES = dict(re.findall(r"^\| ([^|]+) \| `(client_ip: [^`]+)` \| [^|]+ \|$", MANUAL, re.MULTILINE))

CLIENT = "93.184.216.34"
CLIENT6 = "2606:4700:10::6814:1"
FORGED = "8.8.8.8"
OURS = "10.1.2.3"
SENT = [
    ("AWS Application Load Balancer", OURS, "X-Forwarded-For", [f"{FORGED}, {CLIENT}"], CLIENT),
    ("AWS Application Load Balancer", OURS, "X-Forwarded-For", [CLIENT6], CLIENT6),
    ("AWS Network Load Balancer", CLIENT, "X-Forwarded-For", [FORGED], CLIENT),
    ("AWS CloudFront", "130.176.1.1", "X-Forwarded-For", [f"{FORGED}, {CLIENT6}"], CLIENT6),
    ("Google Cloud Application Load Balancer", "35.191.0.9", "X-Forwarded-For", [f"{CLIENT},203.0.113.10"], CLIENT),
    (
        "Google Cloud Application Load Balancer",
        "130.211.0.9",
        "X-Forwarded-For",
        [f"{FORGED},{CLIENT6},203.0.113.10"],
        CLIENT6,
    ),
    ("Azure Application Gateway", OURS, "X-Forwarded-For", [f"{FORGED}:1, {CLIENT}:50012"], CLIENT),
    ("Azure Front Door", "147.243.0.9", "X-Azure-SocketIP", [CLIENT], CLIENT),
    ("Cloudflare", "173.245.48.9", "CF-Connecting-IP", [CLIENT6], CLIENT6),
    ("Fastly", "151.101.0.9", "Fastly-Client-IP", [CLIENT], CLIENT),
    ("Akamai", "23.32.0.9", "True-Client-IP", [CLIENT], CLIENT),
    ("nginx", OURS, "X-Forwarded-For", [f"{FORGED}, {CLIENT}"], CLIENT),
    ("HAProxy", OURS, "X-Forwarded-For", [FORGED, CLIENT], CLIENT),
    ("Envoy, Istio's gateway", OURS, "X-Forwarded-For", [f"{FORGED},{CLIENT}"], CLIENT),
    ("Traefik", OURS, "X-Forwarded-For", [CLIENT], CLIENT),
    ("Kubernetes ingress-nginx", OURS, "X-Forwarded-For", [CLIENT], CLIENT),
]
"""Balancer, TCP peer, header, its lines, and the client that it names."""


def test_every_recipe_is_tried():
    """The manual has these recipes and no other."""
    assert {balancer for balancer, *_ in SENT} == set(RECIPES)


@pytest.mark.parametrize(("balancer", "peer", "header", "lines", "client"), SENT)
def test_a_recipe_finds_the_client(balancer, peer, header, lines, client, tmp_path):
    """Copied from the manual into a rule file, the recipe finds who clicked, past what the client forged."""
    file = tmp_path / "rules.yaml"
    file.write_text(f"version: 1\n{RECIPES[balancer]}\n")
    headers = {"x-forwarded-for": FORGED, "forwarded": f"for={FORGED}", header.lower(): ", ".join(lines)}

    assert client == str(client_address(peer, headers, load(file).proxies))


@pytest.mark.parametrize("option", ["header: CloudFront-Viewer-Address", "header: Forwarded"])
def test_another_header_of_a_recipe_is_one(option, tmp_path):
    """The other headers that the table names are accepted by the rule file."""
    file = tmp_path / "rules.yaml"
    file.write_text(f"version: 1\nclient_ip: {{{option}}}\n")

    assert f"`{option}`" in MANUAL
    assert load(file).proxies.header == option.partition(": ")[2].lower()
