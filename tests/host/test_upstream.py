"""The ad stack's state in the log: each change once."""

from types import SimpleNamespace

import pytest
from mitmproxy.proxy.mode_specs import ProxyMode

from storehop.host.upstream import Upstream


def data(mode="reverse:http://ads.test:8000"):
    return SimpleNamespace(
        client=SimpleNamespace(proxy_mode=ProxyMode.parse(mode)), server=SimpleNamespace(error="refused")
    )


def test_each_change_is_said_once(caplog):
    """However many connections fail."""
    log = Upstream()
    for _ in range(3):
        log.failed(data())
    for _ in range(3):
        log.connected(data())

    assert [
        "upstream http://ads.test:8000 is unreachable (refused): clients get 502",
        "upstream http://ads.test:8000 is back",
    ] == caplog.messages


def test_readiness_hears_of_it():
    """From the first connection that fails until one is there."""
    upstream = Upstream()
    upstream.failed(data())
    meanwhile = upstream.degraded
    upstream.connected(data())

    assert (("upstream: http://ads.test:8000 is unreachable (refused)",), ()) == (meanwhile, upstream.degraded)


@pytest.mark.parametrize("mode", ["regular", "upstream:http://proxy.test:8080"])
def test_a_forward_proxy_s_servers_are_nobody_s_upstream(mode, caplog):
    """They are anybody's."""
    Upstream().failed(data(mode))

    assert [] == caplog.messages


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("closed by command", ["upstream http://ads.test:8000 does not answer in time: clients get 504"]),
        ("client disconnected", []),
    ],
)
def test_an_attempt_that_was_ended_is_not_the_upstreams_refusal(error, expected, caplog):
    """One took too long; of one whose client has left nobody knows."""
    failed = data()
    failed.server.error = error
    Upstream().failed(failed)

    assert expected == caplog.messages
