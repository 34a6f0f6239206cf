"""The hooks, as mitmproxy calls them: what they leave alone, what they answer, and how a host begins and ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from mitmproxy import exceptions, http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import taddons, tflow

from storehop.app import Settings
from storehop.host.addon import Storehop
from storehop.host.tuning import tune
from tests.support.patience import SOON_S
from tests.support.scenes import link_of, path_of, play

APPSFLYER = "app.appsflyer.com"


@pytest.fixture
async def host(rule_file, tmp_path):
    """A mitmproxy with the addon, configured and not running yet."""
    addon = Storehop()
    with taddons.context(Proxyserver(), addon) as context:
        context.addon = addon
        context.configure(
            addon, storehop_outbox=str(tmp_path / "outbox.db"), storehop_admin="off", storehop_rules=str(rule_file)
        )
        yield context
        if ending := addon.done():
            await ending


@pytest.fixture
async def running(host):
    """The addon, running."""
    host.addon.running()
    return host.addon


@pytest.fixture
def meet(running):
    """A flow's way through the hooks, with what the ad stack answers; the flow."""

    async def make(flow, answer=None):
        flow.live = True
        running.requestheaders(flow)
        await ended(running.request(flow))
        if flow.response is None and answer:
            flow.response = answer
        if flow.response:
            await ended(running.responseheaders(flow))
            running.response(flow)
        return flow

    return make


async def ended(work):
    """What a hook has left to wait for is done."""
    if work is not None:
        await work


def redirect(link):
    return http.Response.make(302, b"", {"Location": link})


# clicks


async def test_a_redirect_is_rewritten(meet, browse, appsflyer):
    """Its page is shown to nobody, and the call arrives."""
    flow = await meet(browse(), redirect(link_of("h1")))
    await appsflyer.next_click()

    assert (play("h1"), b"") == (flow.response.headers["location"], flow.response.raw_content)


async def test_a_click_of_our_own_is_answered(meet, browse, appsflyer):
    """And its answer is met no second time."""
    flow = await meet(browse(path_of("h2"), APPSFLYER))
    await appsflyer.next_click()

    assert (play("h2"), 0) == (flow.response.headers["location"], appsflyer.clicks_waiting())


@pytest.mark.parametrize("status", [200, 404])
async def test_what_is_no_click_is_waited_for_by_nobody(running, browse, status):
    """Neither a page's request nor its answer needs a task."""
    flow = browse()
    running.requestheaders(flow)
    asked = running.request(flow)
    flow.response = http.Response.make(status)

    assert (None, None) == (asked, running.responseheaders(flow))


async def test_who_answered_before_us_answers(running, browse):
    """Another addon's response stays."""
    flow = browse(path_of("h3"), APPSFLYER)
    running.requestheaders(flow)
    flow.response = theirs = http.Response.make(200)
    await ended(running.request(flow))

    assert (theirs, {}) == (flow.response, flow.metadata)


async def test_before_it_runs_clicks_go_on(host, browse):
    """Nothing can be stored yet."""
    flow = browse(path_of("h4"), APPSFLYER)
    host.addon.requestheaders(flow)
    await ended(host.addon.request(flow))

    assert flow.response is None


async def test_bodies_stream(running, browse):
    """No upload and no download is held in memory."""
    flow = browse()
    running.requestheaders(flow)
    flow.response = http.Response.make(200)
    await ended(running.responseheaders(flow))

    assert (True, True) == (flow.request.stream, flow.response.stream)


async def test_a_flow_of_no_connection_is_left_alone(running, browse):
    """Such as one that was saved, which mitmproxy shows."""
    flow = browse(path_of("h5"), APPSFLYER)
    flow.live = False
    running.requestheaders(flow)
    await ended(running.request(flow))

    assert (None, {}) == (flow.response, flow.metadata)


# replays


@pytest.mark.parametrize("app", ["com.example.game", "org.other"])
async def test_a_replay_sends_nothing(meet, browse, appsflyer, app):
    """A click that would pass is answered with nothing at all: going on would count it again."""
    flow = browse(path_of("h6", app=app), APPSFLYER)
    flow.is_replay = "request"
    await meet(flow)
    await asyncio.sleep(0)

    assert 0 == appsflyer.clicks_waiting()
    assert (play("h6") if app == "com.example.game" else None) == flow.response.headers.get("location")


async def test_a_replay_sends_where_that_is_wanted(host, meet, browse, appsflyer):
    """By an option."""
    host.configure(host.addon, storehop_replay_sends=True)
    flow = browse(path_of("h7"), APPSFLYER)
    flow.is_replay = "request"
    await meet(flow)

    assert "h7" == dict((await appsflyer.next_click()).params)["clickid"]


# its beginning and its end


async def test_the_host_is_tuned(host):
    """What storehop can't do without needs no further flags."""
    assert ("lazy", True) == (host.options.connection_strategy, host.options.keep_host_header)


@pytest.mark.parametrize(
    ("mode", "columns", "shown"),
    [
        ("reverse:http://legacy", None, ["comment"]),
        ("regular", None, ["path", "time", "comment"]),
        ("reverse:http://legacy", ["path"], ["path", "comment"]),
    ],
)
async def test_mitmweb_shows_comments(mode, columns, shown):
    """Alone in front of an ad stack, so that they have room; else beside what was there."""
    with taddons.context(Proxyserver()) as context:
        context.options.add_option("web_columns", Sequence[str], ["path", "time"], "")
        context.options.update(mode=[mode], **({"web_columns": columns} if columns else {}))
        tune()

        assert shown == list(context.options.web_columns)


async def test_faulty_rules_at_the_start_end_the_host(rule_file, caplog):
    """An error that is logged while it starts makes mitmproxy end."""
    rule_file.write_text("version: 1\nnonsense: 1\n")
    addon = Storehop()
    with taddons.context(Proxyserver(), addon) as context:
        context.configure(addon, storehop_rules=str(rule_file))

    assert [True] == ["nonsense" in record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert "rules: none could be loaded" in addon.readiness().unready


async def test_faulty_rules_of_a_running_host_are_refused(host, running, meet, browse, tmp_path, appsflyer):
    """The option keeps its value, and clicks go by the rules of before."""
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("version: 1\nnonsense: 1\n")
    with pytest.raises(exceptions.OptionsError, match="nonsense"):
        host.configure(running, storehop_rules=str(faulty))
    flow = await meet(browse(), redirect(link_of("h8")))
    await appsflyer.next_click()

    assert play("h8") == flow.response.headers["location"]


async def test_other_rules_change_nothing_of_a_dry_run(host, tmp_path):
    """Its stand-in gets the calls of whatever file is named while it runs."""
    host.addon._settings = Settings("", "off", standin="http://127.0.0.1:9")
    other = tmp_path / "other.yaml"
    other.write_text('version: 1\nrules: []\ndelivery: {endpoint: "http://127.0.0.1:1"}\n')
    host.configure(host.addon, storehop_rules=str(other))

    assert "http://127.0.0.1:9" == host.addon._rules.current.delivery.endpoint


async def test_an_outbox_of_an_unknown_kind_is_refused(host, running):
    """It says what was expected."""
    with pytest.raises(exceptions.OptionsError, match=r"storehop_outbox 'ftp://\*\*\*@a': expected"):
        host.configure(running, storehop_outbox="ftp://me:s3cr3t@a")


async def test_traffic_comes_while_it_runs(host):
    """Neither before nor after."""
    before = host.addon.readiness()
    host.addon.running()
    meanwhile = host.addon.readiness()
    await host.addon.done()

    assert (False, True, False) == (before.is_ready, meanwhile.is_ready, host.addon.readiness().is_ready)


async def test_while_it_drains_no_connection_is_kept(running):
    """Clients go elsewhere; how they are told is the layers' part."""
    running.drain()

    assert (("draining",), True) == (running.readiness().unready, running.connections.is_retiring)


async def test_idle_waits_for_the_last_answer(running, browse):
    """And no longer."""
    flow = browse()
    running.requestheaders(flow)
    idle = asyncio.create_task(running.idle(SOON_S))
    await asyncio.sleep(0)
    was_waiting = not idle.done()
    running.error(flow)
    await asyncio.wait_for(idle, SOON_S)

    assert was_waiting


async def test_idle_waits_no_longer_than_it_may(running, browse):
    """A client that never reads its answer holds up no end."""
    flow = browse()
    running.requestheaders(flow)
    await asyncio.wait_for(running.idle(0.01), SOON_S)


@pytest.mark.parametrize(("mode", "sni"), [("reverse:https://ads.example", "ads.example"), ("regular", None)])
async def test_a_reverse_proxy_s_upstream_proves_its_own_name(running, mode, sni):
    """Not the Host that the client says."""
    client, server = tflow.tclient_conn(), tflow.tserver_conn()
    client.proxy_mode, server.sni = ProxyMode.parse(mode), None
    running.server_connect(ServerConnectionHookData(server, client))

    assert sni == server.sni


# commands


async def test_stats_say_what_was_delivered(running):
    """In one line."""
    assert "no click was delivered yet" == running.stats()


async def test_explain_needs_a_view(running, browse):
    """Without one nothing is remembered for it."""
    with pytest.raises(exceptions.CommandError, match="needs mitmweb's"):
        running.explain([browse()])
