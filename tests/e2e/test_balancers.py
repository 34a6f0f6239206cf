"""Behind real load balancers, by the manual's recipes: whose click it is for AppsFlyer, and for the ad stack."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.balancers import haproxy_recipe, nginx_recipe, start_haproxy, start_nginx
from tests.support.certificates import client_context
from tests.support.clients import connection, fields_http2, request, talk, talk_http2
from tests.support.patience import SOON_S
from tests.support.processes import Host, Process, free_port, start_sidecar
from tests.support.scenes import RULES, link_of, new_id, play, write_rules
from tests.support.standins import AdStack, AppsFlyer, response

ADS = "ads.network.example"
CLIENT, CLIENT6, FORGED = "81.2.69.142", "2606:4700:10::6814:1", "8.8.8.8"
HAPROXY_2_6 = """http-request set-header Forwarded for=%[src]
    http-request set-header Forwarded 'for="[%[src]]"' if { src ::/0 }"""
"""What `option forwarded` does, which HAProxy has since 2.8."""
WAYS = {
    "nginx, X-Forwarded-For": "forwarded_for",
    "HAProxy, X-Forwarded-For, HTTP/2": "forwarded_for",
    "HAProxy, Forwarded, over TLS": "forwarded",
    "nginx, PROXY v1": "proxied",
    "HAProxy, PROXY v1": "proxied",
    "HAProxy, PROXY v2": "proxied",
    "HAProxy, PROXY v2 with TLVs": "proxied",
    "HAProxy, PROXY v2, HTTP/2": "proxied",
    "HAProxy, PROXY v2, then TLS": "proxied_tls",
}
"""How a client comes in, and the host behind it."""
HEALTH = {"HAProxy, X-Forwarded-For, HTTP/2": "/health", "HAProxy, PROXY v2, HTTP/2": "/health/by-proxy"}
"""What HAProxy asks for by itself."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A load balancer's port for each of WAYS, and the hosts."""

    ports: dict[str, int]
    hosts: dict[str, Host]
    ads: AdStack
    appsflyer: AppsFlyer
    ca: Path
    haproxy: Process


def said(address):
    """What the test's client says to the load balancer about itself."""
    return f"PROXY TCP{6 if ':' in address else 4} {address} {address} 4711 80\r\n".encode()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(tmp_path_factory, ads, appsflyer, authority):
    ads.routes |= dict.fromkeys(HEALTH.values(), response("200 OK"))
    folder = tmp_path_factory.mktemp("balancers")
    certificate = authority.sign(ADS)
    options = {
        "forwarded_for": ("--h2c",),
        "forwarded": ("--tls-cert", certificate),
        "proxied": ("--h2c", "--proxy-protocol", "--workers", "2"),
        "proxied_tls": ("--proxy-protocol", "--tls-cert", certificate),
    }

    async def begin(name):
        place = folder / name
        place.mkdir()
        text = (
            RULES.replace("{{trusted_proxies", "{{header: Forwarded, trusted_proxies") if name == "forwarded" else RULES
        )
        rules = write_rules(place, text, appsflyer)
        return await start_sidecar(f"http://127.0.0.1:{ads.port}", rules, place, *options[name])

    async with AsyncExitStack() as stack:
        hosts = dict(zip(options, await asyncio.gather(*map(begin, options)), strict=True))
        for host in hosts.values():
            stack.push_async_callback(host.process.stop)
        ports = {way: free_port() for way in WAYS}
        haproxy, nginx = await balancers(folder, ports, hosts, authority.ca)
        for balancer in (haproxy, nginx):
            stack.push_async_callback(balancer.stop)
        yield Scene(ports, hosts, ads, appsflyer, authority.ca, haproxy)


async def balancers(folder, ports, hosts, ca) -> tuple[Process, Process]:
    def to(way):
        return ports[way], hosts[WAYS[way]].port

    forwarded = {
        "option forwardfor": HAPROXY_2_6,
        "proto h2 check": f"ssl verify required ca-file {ca} sni str({ADS}) verifyhost {ADS} check",
    }
    v1, tlvs = {"send-proxy-v2": "send-proxy"}, {"send-proxy-v2": "send-proxy-v2 proxy-v2-options unique-id,crc32c"}
    by_http = {
        "proto h2 check": "proto h2 send-proxy-v2 check",
        "option forwardfor": "",
        "/health": HEALTH["HAProxy, PROXY v2, HTTP/2"],
    }
    configuration = [
        haproxy_recipe("proto h2", *to("HAProxy, X-Forwarded-For, HTTP/2"), {}),
        haproxy_recipe("proto h2", *to("HAProxy, Forwarded, over TLS"), forwarded),
        haproxy_recipe("proto h2", *to("HAProxy, PROXY v2, HTTP/2"), by_http),
        haproxy_recipe("send-proxy-v2", *to("HAProxy, PROXY v1"), v1),
        haproxy_recipe("send-proxy-v2", *to("HAProxy, PROXY v2"), {}),
        haproxy_recipe("send-proxy-v2", *to("HAProxy, PROXY v2 with TLVs"), tlvs),
        haproxy_recipe("send-proxy-v2", *to("HAProxy, PROXY v2, then TLS"), {}),
    ]
    server = nginx_recipe("proxy_set_header", *to("nginx, X-Forwarded-For"))
    stream = nginx_recipe("stream", *to("nginx, PROXY v1"))
    return await start_haproxy(folder, "\n".join(configuration)), await start_nginx(folder, server, stream)


async def click(scene, way, target, address):
    """The Location of a click by a client of this address, which forges what it can."""
    forged = {"x_forwarded_for": FORGED, "forwarded": f"for={FORGED}"}
    if WAYS[way] == "proxied_tls":
        return await click_by_tls(scene, way, target, address)
    raw = said(address) + request(target, connection="close", **forged)
    return (await talk(scene.ports[way], raw)).location


async def click_by_tls(scene, way, target, address):
    tls = client_context(scene.ca)
    tls.set_alpn_protocols(["h2"])
    async with connection(scene.ports[way]) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(said(address))
        await writer.start_tls(tls, server_hostname=ADS)
        return (await talk_http2(reader, writer, fields_http2(ADS, target, x_forwarded_for=FORGED))).location


@pytest.mark.parametrize("address", [CLIENT, CLIENT6])
@pytest.mark.parametrize("way", WAYS)
async def test_the_client_is_known(scene, way, address):
    """AppsFlyer is told the address that the load balancer saw, whatever the client wrote into its request."""
    click_id = new_id()
    location = await click(scene, way, scene.ads.redirect(link_of(click_id)), address)

    assert play(click_id) == location

    call = dict((await scene.appsflyer.next_click()).params)

    assert (click_id, address) == (call["clickid"], call["af_ip"])


@pytest.mark.parametrize("way", [way for way, host in WAYS.items() if host != "proxied_tls"])
async def test_the_ad_stack_hears_of_the_client(scene, way):
    """The last address of X-Forwarded-For that is no load balancer's of ours is the client's."""
    scene.ads.forget()
    page = scene.ads.serve(response("200 OK"))
    await talk(scene.ports[way], said(CLIENT) + request(page, connection="close", x_forwarded_for=FORGED))
    heard = (await asked_for(scene, page)).header("X-Forwarded-For").split(", ")

    expected = {"proxied": [FORGED, CLIENT], "forwarded_for": [FORGED, CLIENT, "127.0.0.1"]}
    assert expected.get(WAYS[way], [FORGED, "127.0.0.1"]) == heard


async def asked_for(scene, page):
    """The request for this page; health checks come in between."""
    async with asyncio.timeout(SOON_S):
        while (request := await scene.ads.next_request()).target != page:
            pass
    return request


@pytest.mark.parametrize("way", HEALTH)
async def test_health_checks_are_the_balancers_own(scene, way):
    """By LOCAL or without a header: the ad stack hears from 127.0.0.1."""
    scene.ads.forget()
    check = await asked_for(scene, HEALTH[way])

    assert "127.0.0.1" == check.header("X-Forwarded-For")


async def test_the_balancers_found_every_host_healthy(scene):
    """HAProxy said of none that it is down; storehop closed nothing."""
    said_by_hosts = "".join(host.log.text for host in scene.hosts.values())

    assert " is DOWN" not in scene.haproxy.output.text
    assert " WARNING --proxy-protocol" not in said_by_hosts


async def test_a_connection_without_header_is_closed(scene):
    """Though its peer is trusted: nothing is guessed. The log says it."""
    host = scene.hosts["proxied_tls"]
    answer = await talk(host.port, request("/"))
    line = await host.log.saw("--proxy-protocol: a connection from ")

    assert b"" == answer.raw
    assert line.endswith("WARNING --proxy-protocol: a connection from 127.0.0.1 is closed: no PROXY header")
