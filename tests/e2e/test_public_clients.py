"""Clients with a public address, met in a network namespace: the address that is reported is theirs (design §3.4)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from tests.support.clients import PUBLIC, get
from tests.support.needs import need_namespace
from tests.support.patience import START_S
from tests.support.processes import ADDON, ROOT, STARTERS, start_sidecar
from tests.support.public_scene import FORGED
from tests.support.scenes import RULES, World, link_of, new_id, play, write_rules

_IN_NAMESPACE = f'ip link set lo up && ip address add {PUBLIC}/32 dev lo && exec "$@"'


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """What tests.support.public_scene saw."""
    need_namespace()
    scene = [sys.executable, "-m", "tests.support.public_scene", str(tmp_path_factory.mktemp("public"))]
    command = ["unshare", "--net", "sh", "-c", _IN_NAMESPACE, "sh", *scene]
    environment = os.environ | {"PYTHONPATH": f"{ADDON}{os.pathsep}{ROOT}"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=2 * START_S)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(params=STARTERS)
def scene(request, scenes):
    return scenes[request.param]


def query(target):
    return parse_qs(urlsplit(target).query)


async def test_a_public_client_is_served(scene):
    """A client with a public address, come without a proxy, is sent to the store."""
    assert f"Location: {play('PLAIN')}\r\n" in scene["plain"]["answer"]


async def test_the_peer_is_the_address_that_is_reported(scene):
    """The TCP peer's public address is the af_ip of the call."""
    assert [PUBLIC] == query(scene["plain"]["target"])["af_ip"]


async def test_a_forged_address_is_not_believed(scene):
    """What a peer that is no trusted proxy says about its address changes nothing: af_ip is the peer."""
    assert [PUBLIC] == query(scene["forged"]["target"])["af_ip"]


async def test_a_forged_address_reaches_no_part_of_the_call(scene):
    """A forged address stands nowhere in the call's bytes."""
    assert FORGED not in scene["forged"]["call"]


async def test_a_forward_proxy_stays_closed_to_the_public(scenes):
    """A stock forward proxy with the addon refuses public clients as it does without."""
    assert "" == scenes["forward"]["answer"]


@pytest.mark.parametrize("kind", STARTERS)
async def test_an_untrusted_peer_on_loopback_has_no_address(kind, launch):
    """Where no proxy is trusted, loopback is no public address and a forged one is nowhere in the call."""
    world = await launch(kind, RULES.replace("127.0.0.0/8", "10.0.0.0/8"))

    await get(world.port, world.ads.redirect(link_of(new_id())), x_forwarded_for=FORGED)

    received = await world.appsflyer.next_click()
    assert (False, False) == ("af_ip" in query(received.target), FORGED.encode() in received.head)


SAID = {
    "CF-Connecting-IP": ("81.2.69.160", "81.2.69.160"),
    "Forwarded": ('for="[2001:4860:0::8]:4711";proto=https, for=10.1.2.3', "2001:4860::8"),
    "X-Forwarded-For": ("1.1.1.1, 81.2.69.160:4711, 10.1.2.3", "81.2.69.160"),
}
"""What a trusted proxy says, and the address that it means."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def by_header(tmp_path_factory, ads, appsflyer):
    """A sidecar for each header that a trusted proxy may use."""
    starting = []
    for header in SAID:
        folder = tmp_path_factory.mktemp(header)
        proxies = f"trusted_proxies: [127.0.0.0/8, 10.0.0.0/8], header: {header}"
        rules = write_rules(folder, RULES.replace("trusted_proxies: [127.0.0.0/8]", proxies), appsflyer)
        starting.append(start_sidecar(f"http://127.0.0.1:{ads.port}", rules, folder))
    hosts = await asyncio.gather(*starting)
    yield {header: World(host, ads, appsflyer) for header, host in zip(SAID, hosts, strict=True)}
    await asyncio.gather(*(host.process.stop() for host in hosts))


@pytest.mark.parametrize("header", SAID)
async def test_the_configured_header_alone_is_read(header, by_header):
    """From a trusted proxy the configured header says who the client is; any other header is not looked at."""
    world, (value, address) = by_header[header], SAID[header]
    forged = {"x_forwarded_for": FORGED, "forwarded": f"for={FORGED}", "cf_connecting_ip": FORGED}
    true = {header.lower().replace("-", "_"): value}

    await get(world.port, world.ads.redirect(link_of(new_id())), **forged | true)

    assert [address] == query((await world.appsflyer.next_click()).target)["af_ip"]
