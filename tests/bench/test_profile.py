"""A sample belongs to its innermost frame that a rule knows, and a real storehop's samples are of every category."""

import pytest

from tests.bench import profile_host
from tests.bench.profile_host import PY_SPY, NotPermittedError, profile, report
from tests.bench.shares import (
    ACCEPT,
    CATEGORIES,
    COURIER,
    DECISION,
    HOOK_TABLE,
    HOOKS,
    LAYERS,
    LOOP,
    OUTBOX_THREAD,
    REST,
    SERVER,
    TRANSPORT,
    WATCHING,
    Frame,
    Profile,
    category,
    share_table,
)
from tests.bench.traffic import Kind
from tests.support.needs import missing

IN_LOOP = "serve (storehop/host/runner.py:97);BaseEventLoop._run_once (asyncio/base_events.py:2027)"
IN_HANDLE = f"{IN_LOOP};Handle._run (asyncio/events.py:89)"
IN_SERVER = f"{IN_HANDLE};ConnectionHandler.server_event (mitmproxy/proxy/server.py:426)"
IN_LAYERS = f"{IN_SERVER};Layer.handle_event (mitmproxy/proxy/layer.py:144)"
IN_HOOK = f"{IN_SERVER};HookTable.trigger_event (storehop/host/lean/hooks.py:8);request (storehop/host/addon.py:201)"
IN_HANDLER = f"{IN_HOOK};ClickHandler.handle (storehop/handler.py:90)"
IN_COURIER = f"{IN_HANDLE};Courier._deliver (storehop/deliver/courier.py:199)"
IN_THREAD = "Thread._bootstrap (threading.py:1012)"


def only(text):
    """The one stack of a line."""
    return next(iter(Profile.read([f"{text} 1"]).samples))


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (IN_LOOP, LOOP),
        (IN_HANDLE, LOOP),
        (f"{IN_LOOP};EpollSelector.select (selectors.py:468)", LOOP),
        (f"{IN_HANDLE};_SelectorSocketTransport._read_ready (asyncio/selector_events.py:993)", LOOP),
        (IN_SERVER, SERVER),
        (f"{IN_SERVER};create_task (mitmproxy/utils/asyncio_utils.py:28)", SERVER),
        (f"{IN_SERVER};BaseEventLoop.create_task (asyncio/base_events.py:475)", SERVER),
        (f"{IN_HANDLE};LeanHandler.handle (storehop/host/lean/handler.py:40)", SERVER),
        (IN_LAYERS, LAYERS),
        (f"{IN_LAYERS};maybe_extract_lines (h11/_receivebuffer.py:120)", LAYERS),
        (f"{IN_LAYERS};Http1Server.read_headers (storehop/host/layers/http1.py:50)", LAYERS),
        (f"{IN_LAYERS};Headers.get_all (mitmproxy/http.py:180)", LAYERS),
        (f"{IN_SERVER};HookTable.trigger_event (storehop/host/lean/hooks.py:85)", HOOK_TABLE),
        (f"{IN_SERVER};Hook.args (mitmproxy/hooks.py:30)", HOOK_TABLE),
        (IN_HOOK, HOOKS),
        (f"{IN_HOOK};Headers.get (mitmproxy/http.py:180)", LAYERS),
        (f"{IN_HOOK};<lambda> (<string>:3)", HOOKS),
        (IN_HANDLER, ACCEPT),
        (f"{IN_HANDLER};Duplicates.find (storehop/duplicates.py:9);LRU.get (cachetools/x.py:9)", ACCEPT),
        (f"{IN_HANDLER};likeness (storehop/decide/duplicate.py:9)", ACCEPT),
        (f"{IN_HANDLER};new_click_id (storehop/ids.py:9);UUID.__init__ (uuid.py:140)", ACCEPT),
        (f"{IN_HANDLER};decide (storehop/decide/decision.py:9);quote (urllib/parse.py:9)", DECISION),
        (IN_COURIER, COURIER),
        (f"{IN_COURIER};Claim.of (storehop/deliver/claim.py:9)", COURIER),
        (f"{IN_COURIER};Wire.send (storehop/deliver/wire/wire.py:9);Request.__init__ (httpx/_models.py:9)", TRANSPORT),
        (f"{IN_HANDLER};Metrics.answered (storehop/observe/metrics.py:9);inc (prometheus_client/x.py:9)", WATCHING),
        (f"{IN_THREAD};work (storehop/deliver/batcher.py:92);batches (storehop/deliver/tickets.py:33)", OUTBOX_THREAD),
        (f"{IN_THREAD};LogWriter._work (storehop/observe/writer.py:87)", WATCHING),
        (f"{IN_THREAD};Thread.run (threading.py:992)", REST),
        (f"{IN_HANDLE};LiveRules._look (storehop/rulefile/live.py:9)", REST),
    ],
)  # fmt: skip
def test_a_sample_belongs_to_its_innermost_frame_that_a_rule_knows(stack, expected):
    """What libraries do counts for who called them; what a thread does is all one thing."""
    assert expected == category(only(stack))


def test_samples_are_counted():
    """By category, by the function that ran, and by each that waited for it: a recursive one once a sample."""
    lines = [f"{IN_LAYERS} 5", f"{IN_LAYERS};Layer.handle_event (mitmproxy/proxy/layer.py:150) 2", f"{IN_HANDLE} 1"]
    found = Profile.read(lines)
    layer, handle = Frame("Layer.handle_event", "mitmproxy/proxy/layer.py"), Frame("Handle._run", "asyncio/events.py")

    assert {LAYERS: 7, LOOP: 1} == {name: n for name, n in found.shares().items() if n}
    assert {layer: 7, handle: 1} == found.own()
    assert (7, 8) == (found.inclusive()[layer], found.inclusive()[handle])
    assert Frame("serve", "storehop/host/runner.py") not in found.inclusive()
    assert "| 87.5% | 0.700 | 7,000 | 700 | mitmproxy: layers |" in share_table(found, clicks=10, rate=100, cpu_us=800)


async def test_a_real_storehop_is_seen(tmp_path):
    """For a second: every click is whole, and all that a click needs is in the samples.

    A little less, since wrk counts whole seconds, and may have no answer in one where others want the core.
    """
    if not PY_SPY.exists():
        missing("needs py-spy, which is in the dev extra")
    try:
        seen = await profile(Kind.ANSWER, 0.9, tmp_path / "flame.svg")
    except NotPermittedError as error:
        pytest.skip(str(error))

    assert 0 < seen.watched["clicks"]
    assert seen.watched["lost"] == seen.watched["twice"] == 0
    assert {LAYERS, DECISION, COURIER} <= {name for name, number in seen.profile.shares().items() if number}
    assert "<svg" in (tmp_path / "flame.svg").read_text()
    assert all(name in report(seen, top=3) for name in CATEGORIES)


async def test_a_py_spy_that_may_not_look_says_what_it_needs(tmp_path, monkeypatch):
    """Its refusal becomes a sentence, not a traceback of ours."""
    refusing = tmp_path / "py-spy"
    refusing.write_text(
        "#!/bin/sh\necho 'Permission Denied: Try running again with elevated permissions' >&2; exit 1\n"
    )
    refusing.chmod(0o755)
    monkeypatch.setattr(profile_host, "PY_SPY", refusing)

    with pytest.raises(NotPermittedError, match=r"ptrace_scope=0\. It said: Permission Denied"):
        async with profile_host.spying(1, tmp_path / "stacks"):
            pass
