"""What only a proxy adds: tunnels, its refusals, its login, and which proxy the environment names."""

import asyncio
import base64
import logging
import socket

import pytest

from storehop.deliver.wire import Wire, proxied
from storehop.model import Failure, Fault, Reply, S2SCall
from tests.deliver.wire.standins import HANG_UPS, OK, SOON, drained, listening, proxying, soon, through, until

UNSENT = Failure(Fault.CONNECT, maybe_sent=False)
LOGIN = b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
CALL = S2SCall("c1", "https://af.test", "/x", ())


@pytest.fixture
def environment(monkeypatch):
    """Sets the environment's proxies, and no others."""
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


async def test_https_goes_through_a_tunnel_of_its_own_name(trusted, tls):
    """The proxy hears where to, and not what."""
    async with listening(OK, tls=tls) as server, proxying() as proxy, through(proxy.url) as wire:
        await wire.send(server.call("/secret?a=%7e"), SOON)

    where = f"localhost:{server.port}"
    assert [f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\nAccept: */*\r\n\r\n".encode()] == proxy.heads


async def test_http_is_forwarded_by_its_whole_url_byte_for_byte():
    """A proxy knows by it where to forward (RFC 9112 §3.2.2)."""
    target = "/com.x.y?a={b}&c=%7e%2F'\"[]|^`&d="
    async with listening(OK) as server, proxying() as proxy, through(proxy.url) as wire:
        await wire.send(server.call(target), SOON)

    assert f"GET {server.origin}{target} HTTP/1.1".encode() == proxy.heads[0].partition(b"\r\n")[0]


async def test_a_tunnel_is_kept(trusted, tls):
    """It is opened once for many calls."""
    async with listening(OK, OK, tls=tls) as server, proxying() as proxy, through(proxy.url) as wire:
        for _ in range(2):
            await wire.send(server.call(), SOON)
            await drained()

    assert 1 == len(proxy.heads)


async def test_a_fresh_connection_in_place_of_a_dead_one_is_a_fresh_one():
    """Its end is a failure: the request was not lost on a kept connection."""
    async with listening(OK, b"FIN:", OK) as server, proxying() as proxy, through(proxy.url) as wire:
        await wire.send(server.call(), SOON)
        await drained()
        server.writers[0].close()
        (line,) = wire._way.transport._living
        await until(line._pool.connections[0].has_expired)
        outcome = await wire.send(server.call(), SOON)

    assert (Failure(Fault.RESET, maybe_sent=True), 2) == (outcome, len(server.heads))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_address_of_ipv6_keeps_its_brackets(scheme):
    """Without them nobody knows where its port begins."""
    call = S2SCall("c1", f"{scheme}://[::1]:8443", "/x", ())
    async with proxying(BAD_GATEWAY) as proxy, through(proxy.url) as wire:
        await wire.send(call, SOON)

    begin = b"CONNECT " if scheme == "https" else b"GET http://"
    assert proxy.heads[0].startswith(begin + b"[::1]:8443")


@pytest.mark.parametrize(
    "refusal",
    [
        LOGIN,
        BAD_GATEWAY,
        b"HTTP/1.1 302 Login\r\nLocation: http://login.test/\r\nContent-Length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    ],
    ids=["407", "502", "302", "garbage", "an endless head"],
)
async def test_a_proxy_that_opens_no_tunnel_was_told_nothing(refusal):
    """The click was surely not counted."""
    async with proxying(refusal) as proxy, through(proxy.url) as wire:
        assert UNSENT == await wire.send(CALL, SOON)


async def test_a_proxy_that_hangs_up_was_told_nothing():
    """Neither was AppsFlyer."""
    async with listening(HANG_UPS[0]) as server, through(f"http://127.0.0.1:{server.port}") as wire:
        assert UNSENT == await wire.send(CALL, SOON)


async def test_a_proxy_that_is_silent_was_told_nothing():
    """A tunnel that opens too late is no connection in time."""
    async with listening(None) as server, through(f"http://127.0.0.1:{server.port}") as wire:
        assert Failure(Fault.CONNECT_TIMEOUT, maybe_sent=False) == await wire.send(CALL, 0.4)


async def test_a_proxy_that_is_away_was_told_nothing():
    """A refused connection is the proxy's here."""
    with socket.socket() as taken:  # and not listened on
        taken.bind(("127.0.0.1", 0))
        async with through(f"http://127.0.0.1:{taken.getsockname()[1]}") as wire:
            assert UNSENT == await wire.send(CALL, SOON)


async def test_a_proxy_that_asks_for_a_login_has_forwarded_nothing():
    """407 is never AppsFlyer's answer (RFC 9110 §15.5.8)."""
    async with proxying(LOGIN) as proxy, through(proxy.url) as wire:
        assert UNSENT == await wire.send(S2SCall("c1", "http://af.test", "/x", ()), SOON)


async def test_what_failed_before_it_was_sent_leaves_nothing_behind(tls, monkeypatch):
    """A certificate that is bad for hours must not fill the memory with dead tunnels."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with listening(tls=tls) as server, proxying() as proxy, through(proxy.url) as wire:
        outcomes = {await wire.send(server.call(), SOON) for _ in range(5)}
        left = set(wire._way.transport._living)

    assert ({Failure(Fault.TLS, maybe_sent=False)}, set()) == (outcomes, left)


async def test_the_proxy_s_login_goes_to_the_proxy_alone(trusted, tls):
    """And nowhere else."""
    async with listening(OK, tls=tls) as server, proxying() as proxy, through(proxy.url_of("me:s%40cret")) as wire:
        await wire.send(server.call(), SOON)

    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:s@cret") in proxy.heads[0]
    assert b"roxy" not in server.heads[0]


async def test_the_proxy_s_login_is_in_no_log(caplog):
    """Not even where everything is logged."""
    caplog.set_level(logging.DEBUG)
    async with proxying(LOGIN) as proxy, through(proxy.url_of("me:s3cret")) as wire:
        await wire.send(CALL, SOON)

    assert "s3cret" not in caplog.text
    assert base64.b64encode(b"me:s3cret").decode() not in caplog.text


@pytest.mark.parametrize(
    ("name", "scheme", "hears"),
    [
        ("HTTP_PROXY", "http", True),
        ("HTTPS_PROXY", "https", True),
        ("https_proxy", "https", True),
        ("HTTPS_PROXY", "http", False),
        ("HTTP_PROXY", "https", False),
    ],
)
async def test_the_environment_names_a_proxy_for_each_scheme(environment, authority, tls, name, scheme, hears):
    """HTTPS_PROXY is for https, HTTP_PROXY for http; without one calls go straight."""
    environment("SSL_CERT_FILE", str(authority.ca))
    async with listening(OK, tls=tls if scheme == "https" else None) as server, proxying() as proxy:
        environment(name, proxy.url)
        async with through("env") as wire:
            reply = await wire.send(server.call(), SOON)

    assert (Reply(200), hears) == (reply, bool(proxy.heads))


async def test_the_environment_s_proxy_may_be_written_without_a_scheme(environment):
    """As people do."""
    async with listening(OK) as server, proxying() as proxy:
        environment("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        async with through("env") as wire:
            await wire.send(server.call(), SOON)

    assert 1 == len(proxy.heads)


@pytest.mark.parametrize(
    ("bypass", "hears"), [("127.0.0.1", False), ("*", False), ("other.test", True)], ids=["its host", "all", "another"]
)
async def test_what_the_environment_excepts_goes_straight(environment, bypass, hears):
    """NO_PROXY lists hosts."""
    async with listening(OK) as server, proxying() as proxy:
        environment("HTTP_PROXY", proxy.url)
        environment("NO_PROXY", bypass)
        async with through("env") as wire:
            await wire.send(server.call(), SOON)

    assert hears == bool(proxy.heads)


@pytest.mark.parametrize("proxy", ["socks5://me:secret@proxy.test", "https://me:secret@proxy.test"])
async def test_a_proxy_of_the_environment_that_can_t_be_used_is_named_by_its_variable(environment, proxy):
    """Without its password; calls do not go straight instead."""
    environment("HTTPS_PROXY", proxy)
    with pytest.raises(ValueError, match=r"^HTTPS_PROXY: expected http://host\[:port\]$"):
        Wire.through("env")


async def test_a_proxy_with_several_addresses_is_found_at_the_one_that_listens(monkeypatch):
    """The first may lead nowhere."""
    ask = socket.getaddrinfo
    async with listening(OK) as server, proxying() as proxy:

        def several(host, port, **options):
            if host != "proxy.test":
                return ask(host, port, **options)
            dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port))
            return [dead, *ask("127.0.0.1", port, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", several)
        async with through(f"http://proxy.test:{proxy.port}") as wire:
            assert Reply(200) == await wire.send(server.call(), SOON)


async def test_connections_that_were_idle_too_long_are_closed(monkeypatch):
    """And not used: their proxy may be about to close them."""
    async with listening(None, None, OK, OK) as server, proxying() as proxy, through(proxy.url) as wire:
        sending = [asyncio.create_task(wire.send(server.call(), SOON)) for _ in range(2)]
        for _ in sending:
            await soon(server.asked.get())
        for writer in server.writers:
            writer.write(OK)
        await asyncio.gather(*sending)
        await drained()
        monkeypatch.setattr(proxied, "MAX_IDLE_S", 0.0)
        await wire.send(server.call(), SOON)

        assert [b""] * 2 == [await soon(server.ended.get()) for _ in sending]
        assert 3 == server.connections
