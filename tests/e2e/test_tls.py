"""TLS with clients: a port speaks one language, certificates are chosen by SNI and renewed without a restart."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.certificates import Authority, client_context
from tests.support.clients import ANDROID, connection, get, get_http2, read_answer, request, talk
from tests.support.patience import SOON_S
from tests.support.processes import Host, free_port, start_sidecar, worker_pids
from tests.support.scenes import android_call, link_of, new_id, play
from tests.support.standins import AdStack, AppsFlyer, response

WORKERS = 2
ADS, WILD, RENEWED = "ads.network.example", "*.shops.example", "renewed.example"


@dataclass(frozen=True, slots=True)
class Site:
    """A host with two certificates in a folder, by two workers."""

    host: Host
    admin: int
    folder: Path
    authority: Authority
    ads: AdStack
    appsflyer: AppsFlyer

    async def names(self, asked: str) -> list[str]:
        """Of the certificate that a client gets who asks for this name."""
        async with connection(self.host.port, self.context(), asked) as (_, writer):
            return names_of(writer)

    def context(self):
        context = client_context(self.authority.ca)
        context.check_hostname = False
        return context

    async def all_have(self, name: str) -> None:
        """Both workers are asked by 16 connections at least, until all of them get it."""
        async with asyncio.timeout(SOON_S):
            while any([await self.names(RENEWED) != [name] for _ in range(16)]):
                await asyncio.sleep(0.1)


def names_of(writer) -> list[str]:
    return [value for kind, value in writer.get_extra_info("peercert")["subjectAltName"] if kind == "DNS"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory, ads, appsflyer, authority, module_rules):
    folder, admin = tmp_path_factory.mktemp("certificates"), free_port()
    authority.sign(ADS, file=folder / "a.pem")
    authority.sign(WILD, file=folder / "b.pem")
    more = ("--tls-cert", folder, "--admin", f"127.0.0.1:{admin}", "--workers", str(WORKERS))
    state = tmp_path_factory.mktemp("state")
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", module_rules, state, *more)
    while "worker 1 is ready" not in host.log.text or "worker 2 is ready" not in host.log.text:
        await asyncio.sleep(0.02)
    yield Site(host, admin, folder, authority, ads, appsflyer)
    await host.process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plain(tmp_path_factory, ads, module_rules):
    """A host without a certificate, that speaks h2c."""
    state = tmp_path_factory.mktemp("plain")
    host = await start_sidecar(f"http://127.0.0.1:{ads.port}", module_rules, state, "--h2c")
    yield host
    await host.process.stop()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(ADS, ADS), ("one.shops.example", WILD), ("a.b.shops.example", ADS), ("other.example", ADS)],
)
async def test_sni_chooses_the_certificate(site, asked, expected):
    """By its exact name, a wildcard, or the first file of the folder."""
    assert [expected] == await site.names(asked)


async def test_clicks_go_by_http_2(site):
    """As browsers speak over TLS; the ad stack hears that the way was secure."""
    click_id = new_id()
    answer = await get_http2(site.host.port, site.authority.ca, ADS, site.ads.redirect(link_of(click_id)))

    assert (302, play(click_id)) == (answer.status, answer.location)
    assert android_call(click_id, ANDROID) == (await site.appsflyer.next_click()).target


async def test_plain_http_on_the_tls_port_is_told_so(site):
    """By 400, and the ad stack is not asked."""
    site.ads.forget()
    answer = await get(site.host.port, "/")

    assert (400, b"400 Bad Request: The plain HTTP request was sent to an HTTPS port.\n") == (
        answer.status,
        answer.body,
    )
    assert site.ads.requests.empty()


async def test_tls_on_the_plain_port_fails(plain):
    """With an alert, never with a certificate of mitmproxy's authority."""
    with pytest.raises(ssl.SSLError, match="handshake failure"):
        await talk(plain.port, request("/"), ssl._create_unverified_context(), ADS)


async def test_handshakes_that_fail_are_said_seldom(site):
    """Clients that do not trust the certificate: a line for each worker, however many they are."""
    for _ in range(4):
        with pytest.raises(ssl.SSLCertVerificationError):
            await talk(site.host.port, request("/"), ssl.create_default_context(), ADS)
    await site.host.log.saw("a TLS handshake failed: ")

    assert "Client TLS handshake failed" not in site.host.log.text
    assert site.host.log.text.count("a TLS handshake failed") <= WORKERS


async def test_a_hello_that_does_not_end_takes_nobody_elses_time(site):
    """Of 16 MB in records of one byte: the connection ends at once, and a click meanwhile is quick."""
    click_id = new_id()
    ask = request(site.ads.redirect(link_of(click_id)), connection="close")
    async with connection(site.host.port) as (reader, writer), asyncio.timeout(SOON_S):
        writer.write(b"\x16\x03\x01\x00\x06\x01\xff\xff\xff\x03\x03" + b"\x16\x03\x01\x00\x01A" * 100_000)
        begin = time.monotonic()
        answer = await talk(site.host.port, ask, site.context(), ADS)
        seconds = time.monotonic() - begin
        with suppress(ConnectionError):  # more comes than is read
            await reader.read()

    assert (play(click_id), True) == (answer.location, seconds < 1)


async def test_no_authority_is_in_the_state_folder(site, plain):
    """Neither with TLS nor without."""
    assert [] == [file.name for host in (site.host, plain) for file in host.folder.glob("mitmproxy*")]


async def test_when_it_expires_is_a_metric(site):
    """One for each file, of all workers together."""
    answer = await get(site.admin, "/metrics")
    files = [line.split('"')[1] for line in answer.body.decode().splitlines() if "expiry_seconds{" in line]

    assert [str(site.folder / name) for name in ("a.pem", "b.pem")] == files


async def test_it_warns_of_what_expires_soon(site):
    """The tests' certificates last a day."""
    line = await site.host.log.saw("expires on")

    assert " WARNING " in line
    assert f" the certificate {site.folder}/" in line


async def test_a_renewed_certificate_is_served(site):
    """By both workers, by itself; who is connected keeps the old one."""
    page = site.ads.serve(response("200 OK", body=b"hello"))
    async with connection(site.host.port, site.context(), ADS) as (reader, writer):
        site.authority.sign(RENEWED, file=site.folder / "a.pem")
        await site.all_have(RENEWED)
        writer.write(request(page))
        kept = (await read_answer(reader)).body, names_of(writer)

    assert ((b"hello", [ADS]), WORKERS) == (kept, len(worker_pids(site.host)))


async def test_a_broken_certificate_is_said_and_the_last_good_one_stays(site):
    """The supervisor hands SIGHUP on: nobody waits for the next look."""
    before, since = await site.names(ADS), len(site.host.log.text)
    (site.folder / "b.pem").write_text("broken")
    site.host.process.send(signal.SIGHUP)
    line = await site.host.log.saw("b.pem: ", since)
    after = await site.names(ADS)

    assert f"{site.folder}/b.pem: expected PEM with certificate chain and key" == line
    assert before == after


@pytest.mark.parametrize(
    ("upgrade", "more"),
    [("h2c", "Upgrade, HTTP2-Settings"), ("H2C, websocket", "upgrade")],
)
async def test_nobody_is_asked_to_go_on_in_http_2(plain, ads, upgrade, more):
    """The wish does not reach the ad stack, and the log is silent."""
    ads.forget()
    since = len(plain.log.text)
    page = ads.serve(response("200 OK"))
    await talk(plain.port, request(page, upgrade=upgrade, connection=f"close, {more}", http2_settings="AAMAAABk"))
    heard = await ads.next_request()

    assert [None, None] == [heard.header("Upgrade"), heard.header("HTTP2-Settings")]
    assert "" == plain.log.text[since:]
