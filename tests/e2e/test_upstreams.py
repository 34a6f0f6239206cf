"""The way to the ad stack: it still knows its users, TLS is verified, and when it is down users hear so (design §2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.certificates import client_context, server_context
from tests.support.clients import get, get_http2, request, talk
from tests.support.processes import STARTERS, Host, free_port
from tests.support.scenes import RULES, link_of, new_id, play
from tests.support.standins import AdStack, AdStackOfBoth, response

ADS = "ads.network.example"
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")


def trusting(kind, ca):
    """The command line's way to trust the authority `ca` for the upstream."""
    return ("--upstream-ca", ca) if kind == "sidecar" else ("--set", f"ssl_verify_upstream_trusted_ca={ca}")


async def seen_by_ads(world, **changes):
    """What the ad stack sees of a request."""
    world.ads.forget()
    await get(world.port, "/ad/none", **changes)
    return await world.ads.next_request()


async def serve(certificate):
    """Starts an ad stack that speaks TLS and remembers in `names` by what name it was asked for."""
    ads, tls = AdStackOfBoth(), server_context(certificate)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    ads.names = []
    tls.sni_callback = lambda _socket, name, _context: ads.names.append(name)
    await ads.start(tls)
    return ads


@dataclass(frozen=True, slots=True)
class TlsWorld:
    """A host before an ad stack that speaks TLS, and the CA to trust as its client."""

    host: Host
    ads: AdStackOfBoth
    ca: Path

    @property
    def port(self):
        return self.host.port

    async def ask(self, target):
        """The answer to one request by HTTP/1.1 and TLS."""
        return await talk(self.port, request(target, connection="close"), client_context(self.ca), ADS)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=STARTERS)
async def tls(request, tmp_path_factory, module_rules, authority):
    """Worlds by what is wrong with the certificate of their ad stack: nothing, the name, the authority."""
    kind = request.param
    trust = trusting(kind, authority.ca)
    speak = ("--tls-cert", authority.sign(ADS)) if kind == "sidecar" else ()
    certificate = authority.sign("localhost")
    ads = {
        "good": await serve(certificate),
        "name": await serve(authority.sign(ADS)),
        "authority": await serve(certificate),
    }
    extras = {"good": (*trust, *speak), "name": trust, "authority": ()}
    folders = {name: tmp_path_factory.mktemp(f"{kind}-{name}") for name in ads}
    starting = (
        STARTERS[kind](f"https://localhost:{ads[name].port}", module_rules, folders[name], *extras[name])
        for name in ads
    )
    hosts = dict(zip(ads, await asyncio.gather(*starting), strict=True))
    cas = {name: authority.ca if kind == "sidecar" else hosts[name].ca for name in ads}
    yield {name: TlsWorld(hosts[name], ads[name], cas[name]) for name in ads}
    await asyncio.gather(*(host.process.stop() for host in hosts.values()))
    await asyncio.gather(*(server.stop() for server in ads.values()))


async def test_the_ad_stack_sees_the_users_host(world):
    """The Host header that the ad stack gets is the one that the user asked for."""
    assert [ADS] == (await seen_by_ads(world)).all("Host")


async def test_the_peer_is_appended_to_x_forwarded_for(world):
    """X-Forwarded-For keeps what it says and gets the TCP peer behind it."""
    assert ["81.2.69.142, 127.0.0.1"] == (await seen_by_ads(world)).all("X-Forwarded-For")


async def test_x_forwarded_for_begins_with_the_peer(world):
    """Without an X-Forwarded-For the ad stack gets one that is the TCP peer."""
    assert ["127.0.0.1"] == (await seen_by_ads(world, x_forwarded_for=None)).all("X-Forwarded-For")


async def test_the_ad_stack_learns_scheme_and_host(world):
    """X-Forwarded-Proto and X-Forwarded-Host say what the user asked for."""
    seen = await seen_by_ads(world)

    assert (["http"], [ADS]) == (seen.all("X-Forwarded-Proto"), seen.all("X-Forwarded-Host"))


async def test_a_trusted_proxys_word_stays(world):
    """A trusted proxy before us that ended TLS says so, and the ad stack hears it."""
    seen = await seen_by_ads(world, x_forwarded_proto="https", x_forwarded_host="www.brand.example")

    assert (["https"], ["www.brand.example"]) == (seen.all("X-Forwarded-Proto"), seen.all("X-Forwarded-Host"))


async def test_anybody_elses_word_does_not(launch):
    """A peer that is no trusted proxy can't say what scheme and host were asked for."""
    world = await launch("sidecar", RULES.replace("127.0.0.0/8", "10.0.0.0/8"))

    seen = await seen_by_ads(world, x_forwarded_proto="https", x_forwarded_host="www.brand.example")

    assert (["http"], [ADS]) == (seen.all("X-Forwarded-Proto"), seen.all("X-Forwarded-Host"))


async def test_a_click_adds_nothing_else(world):
    """Beside the three X-Forwarded headers the ad stack gets the very request that the user sent."""
    world.ads.forget()
    path = world.ads.redirect(link_of(new_id()))
    await get(world.ads.port, path)
    await get(world.port, path)

    bare, seen = await world.ads.next_request(), await world.ads.next_request()
    ours = tuple(name.lower().encode() for name in FORWARDED)
    expected = [line for line in bare.header_lines if not line.lower().startswith(ours)]
    assert (bare.line, expected) == (
        seen.line,
        [line for line in seen.header_lines if not line.lower().startswith(ours)],
    )
    await world.appsflyer.next_click()


async def test_a_tls_upstream_is_asked_by_its_own_name(tls):
    """TLS asks for the upstream's name, while the Host header stays the user's."""
    world = tls["good"]

    answer = await world.ask(world.ads.serve(response("200 OK", body=b"hello")))

    host = (await world.ads.next_request()).header("Host")
    assert (b"hello", "localhost", ADS) == (answer.body, world.ads.names[-1], host)


async def test_a_tls_upstreams_redirect_is_rewritten(tls, appsflyer):
    """A redirect that comes by TLS becomes one to the store."""
    world, click_id = tls["good"], new_id()

    answer = await world.ask(world.ads.redirect(link_of(click_id)))

    assert (302, play(click_id)) == (answer.status, answer.location)
    await appsflyer.next_click()


@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_a_wrong_certificate_is_refused(tls, wrong):
    """An upstream whose certificate is for another name, or of an unknown authority, gets no request: 502."""
    world = tls[wrong]

    answer = await get(world.port, "/")

    assert (502, 0) == (answer.status, world.ads.requests.qsize())


async def test_an_http2_redirect_is_rewritten(tls, appsflyer):
    """A redirect of an ad stack that speaks HTTP/2 becomes a 302 to the store, with its cookies."""
    world, click_id = tls["good"], new_id()
    cookies = [("set-cookie", "a=1"), ("set-cookie", "b=2")]
    world.ads.http2.headers = [(":status", "307"), ("location", link_of(click_id)), *cookies]

    answer = await get_http2(world.port, world.ca, ADS, "/ad")

    kept = [(name, value) for name, value in answer.headers if name == "set-cookie"]
    assert (302, play(click_id), cookies) == (answer.status, answer.location, kept)
    await appsflyer.next_click()


async def test_an_http2_ad_stack_sees_the_users_request(tls):
    """An HTTP/2 ad stack sees the user's authority, and what the X-Forwarded headers say of it."""
    world = tls["good"]
    world.ads.http2.headers = [(":status", "204")]

    await get_http2(world.port, world.ca, ADS, "/ad?x=1")

    seen = world.ads.http2.requests[-1]
    assert [ADS, "/ad?x=1", "https", ADS] == [
        seen[name] for name in (":authority", ":path", "x-forwarded-proto", "x-forwarded-host")
    ]


async def test_http2_trailers_arrive(tls):
    """Trailers of an HTTP/2 ad stack reach the user."""
    world = tls["good"]
    world.ads.http2.headers, world.ads.http2.trailers = [(":status", "200")], [("x-sum", "7")]

    answer = await get_http2(world.port, world.ca, ADS, "/ad")
    world.ads.http2.trailers = []

    assert [("x-sum", "7")] == answer.trailers


@pytest.mark.parametrize("kind", STARTERS)
async def test_an_upstream_that_is_down(kind, launch, dead_port):
    """While the ad stack is down users get 502, and the log has one warning, however many ask."""
    world = await launch(kind, RULES, upstream=f"http://127.0.0.1:{dead_port}")

    statuses = [(await get(world.port, "/", method)).status for method in ("GET", "POST", "GET")]

    warning = f"upstream http://127.0.0.1:{dead_port} is unreachable"
    await world.host.log.saw(warning)
    warnings = world.host.log.text.count(warning)
    assert ([502, 502, 502], 1) == (statuses, warnings)


async def test_an_upstream_that_comes_back(launch):
    """An upstream that is up again is used at once; the log says so, and `/readyz?strict` from one to the other."""
    port, ads = free_port(), AdStack()
    admin = free_port()
    upstream = f"http://127.0.0.1:{port}"
    world = await launch("sidecar", RULES, "--admin", f"127.0.0.1:{admin}", upstream=upstream)
    before = await get(world.port, "/")
    while_down = await _readiness(admin)
    await ads.start(port=port)

    after = await get(world.port, ads.serve(response("200 OK", body=b"hello")))
    await ads.stop()

    assert (502, b"hello") == (before.status, after.body)
    assert ([200, 503], [200, 200]) == (while_down, await _readiness(admin))
    await world.host.log.saw(f"upstream {upstream} is back")


async def _readiness(admin):
    """Statuses of /readyz and of /readyz?strict."""
    return [(await get(admin, target)).status for target in ("/readyz", "/readyz?strict")]
