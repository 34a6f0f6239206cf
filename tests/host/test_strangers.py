"""A forwarding header from a peer that is not trusted."""

import logging
from ipaddress import ip_network

import pytest
from prometheus_client import CollectorRegistry

from storehop.decide.address import Proxies
from storehop.host import strangers
from storehop.host.strangers import Strangers
from storehop.observe.seldom import Seldom

CONFIGURED = "x-forwarded-for"


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(strangers, "Seldom", lambda _clock: Seldom(lambda: now[0]))
    return now


@pytest.fixture
def seen(clock, caplog):
    caplog.set_level(logging.INFO)
    return Strangers()


@pytest.mark.parametrize(
    ("headers", "configured", "named"),
    [
        ({"x-forwarded-for": "1.1.1.1"}, CONFIGURED, "X-Forwarded-For"),
        ({"forwarded": "for=1.1.1.1"}, CONFIGURED, "Forwarded"),
        ({"x-real-ip": "1.1.1.1"}, CONFIGURED, "X-Real-IP"),
        ({"cf-connecting-ip": "1.1.1.1", "x-forwarded-for": "1.1.1.1"}, "cf-connecting-ip", "Cf-Connecting-Ip"),
        ({"cf-connecting-ip": "1.1.1.1"}, CONFIGURED, None),
        ({"user-agent": "x", "x-forwarded-proto": "https"}, CONFIGURED, None),
    ],
)
def test_a_header_that_names_clients_is_seen(seen, caplog, headers, configured, named):
    """The usual ones, and the one that the rules name."""
    seen.look("10.0.0.5", headers, configured)

    assert [named] * seen.count == [record.args[0] for record in caplog.records]
    assert (named is not None) == seen.count


def test_who_is_trusted_follows_the_rules(seen):
    """Other rules may name other networks; those of before count no more."""
    ours, theirs = (Proxies((ip_network(network),)) for network in ("10.0.0.0/8", "192.0.2.0/24"))
    peers = ("10.0.0.5", "192.0.2.1")

    assert [[True, False], [False, True], [True, False]] == [
        [seen.trust(peer, proxies) for peer in peers + peers][2:] for proxies in (ours, theirs, ours)
    ]


def test_peers_do_not_fill_the_memory(seen, monkeypatch):
    """Of so many no more is known than of the last ones."""
    monkeypatch.setattr(strangers, "MAX_PEERS", 10)
    proxies = Proxies((ip_network("10.0.0.0/8"),))
    for number in range(100):
        seen.trust(f"10.0.0.{number}", proxies)

    assert len(seen._trusted) <= 10


def test_the_line_says_what_it_means(seen, caplog):
    """Whoever forgot the setting finds its name and what goes wrong."""
    seen.look("10.0.0.5", {"x-forwarded-for": "1.1.1.1"}, CONFIGURED)
    (record,) = caplog.records

    assert (logging.WARNING, "X-Forwarded-For from 10.0.0.5, which is not in client_ip.trusted_proxies: ") == (
        record.levelno,
        record.getMessage().partition("if it is")[0],
    )


def test_a_minute_has_one_line(seen, clock, caplog):
    """The next one counts the requests and names the last peer."""
    for peer in ("10.0.0.5", "10.0.0.6", "10.0.0.7"):
        seen.look(peer, {"x-forwarded-for": "1.1.1.1"}, CONFIGURED)
    clock[0] = 60.0
    seen.look("10.0.0.8", {"x-forwarded-for": "1.1.1.1"}, CONFIGURED)

    assert [" from 10.0.0.5, ", " from 10.0.0.8 (3 times since the last such line), "] == [
        record.getMessage().removeprefix("X-Forwarded-For").partition("which")[0] for record in caplog.records
    ]
    assert 4 == seen.count


@pytest.mark.parametrize(
    ("peer", "named"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("81.2.69.142", "81.2.69.0/24"),
        ("2a00:1450:4001:82f::200e", "2a00:1450:4001::/48"),
        ("", ""),
    ],
)
def test_a_person_s_address_is_not_logged(seen, caplog, peer, named):
    """Of a public peer, which may be anybody, the network is."""
    seen.look(peer, {"x-forwarded-for": "1.1.1.1"}, CONFIGURED)

    assert [named] == [record.args[1] for record in caplog.records]


def test_the_metric_is_there_from_the_start(seen):
    """Else the first one would not be seen."""
    registry = CollectorRegistry()
    registry.register(seen.metric)
    before = registry.get_sample_value("storehop_untrusted_forwarding_total")
    seen.look("10.0.0.5", {"forwarded": "for=1.1.1.1"}, CONFIGURED)

    assert (0.0, 1.0) == (before, registry.get_sample_value("storehop_untrusted_forwarding_total"))
