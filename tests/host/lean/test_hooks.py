"""Our table of handlers does what mitmproxy's own addon manager does: the same scene on both, and both journals."""

import logging
import types

import pytest
from mitmproxy import exceptions
from mitmproxy.addonmanager import AddonManager
from mitmproxy.http import HTTPFlow
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.layers.http import HttpRequestHook
from mitmproxy.proxy.server_hooks import ClientConnectedHook
from mitmproxy.test import tflow

from storehop.host.lean.hooks import HookTable


class Journal:
    """What addons saw, in order."""

    def __init__(self):
        self.lines = []

    def addon(self, name, **handlers):
        """One whose handlers write into the journal, then do what is given: a function, or an exception to raise."""
        members = {hook: self._handler(f"{name}.{hook}", act) for hook, act in handlers.items()}
        return types.SimpleNamespace(name=name, **members)

    def slow(self, name, **handlers):
        """As `addon`, with handlers that are coroutines."""
        quick = self.addon(name, **handlers)
        for hook in handlers:
            setattr(quick, hook, _as_coroutine(getattr(quick, hook)))
        return quick

    def _handler(self, line, act):
        def handle(*_arguments):
            self.lines.append(line)
            if isinstance(act, Exception):
                raise act
            if act:
                act()

        return handle


def _as_coroutine(handle):
    async def wait(*arguments):
        handle(*arguments)

    return wait


def parent(addon, *children):
    """The addon, with children that it manages."""
    addon.addons = list(children)
    return addon


async def meet(manager):
    """A request comes."""
    await manager.handle_lifecycle(HttpRequestHook(tflow.tflow()))


async def in_order(manager, journal):
    """One after another, with the children of one before the next one."""
    child = journal.slow("child", request=None)
    manager.add(parent(journal.addon("a", request=None), child), journal.slow("b", request=None))
    manager.add(journal.addon("c", response=None), journal.addon("d", request=None))
    await meet(manager)


async def halt(manager, journal):
    """Nobody after a halt sees the event."""
    manager.add(journal.addon("a", request=None), journal.addon("b", request=exceptions.AddonHalt()))
    manager.add(journal.addon("c", request=None))
    await meet(manager)


async def slow_halt(manager, journal):
    """A halt from a coroutine is one too, and the update that follows is another event."""
    manager.add(journal.slow("a", request=exceptions.AddonHalt()), journal.addon("b", request=None, update=None))
    await meet(manager)


async def options_error(manager, journal):
    """It goes through to whoever triggered the event."""
    manager.add(journal.addon("a", request=exceptions.OptionsError("no")), journal.addon("b", request=None))
    with pytest.raises(exceptions.OptionsError):
        await meet(manager)


async def failure(manager, journal):
    """It is logged, and the next addon goes on."""
    manager.add(journal.addon("a", request=ZeroDivisionError("by zero")), journal.slow("b", request=KeyError("b")))
    manager.add(journal.addon("c", request=None))
    await meet(manager)


async def failing_parent(manager, journal):
    """Children of one that fails are left out, as they are part of it."""
    manager.add(parent(journal.addon("a", request=ValueError("a")), journal.addon("child", request=None)))
    manager.add(journal.addon("b", request=None))
    await meet(manager)


async def failing_child(manager, journal):
    """So are the children after one that fails."""
    children = (journal.addon("x", request=ValueError("x")), journal.addon("y", request=None))
    manager.add(parent(journal.addon("a", request=None), *children), journal.addon("b", request=None))
    await meet(manager)


async def a_module(manager, journal):
    """An attribute that is a module is no handler."""
    addon = journal.addon("a")
    addon.request = types
    manager.add(addon, journal.addon("b", request=None))
    await meet(manager)


async def no_handler(manager, journal):
    """An attribute that can't be called is said at every event, and the others go on."""
    broken = journal.addon("broken")
    broken.request = "text"
    manager.add(journal.addon("a", request=None), parent(journal.addon("p", request=None), broken))
    manager.add(journal.addon("b", request=None))
    await meet(manager)
    await meet(manager)


async def added(manager, journal):
    """A new addon sees the next event."""
    manager.add(journal.addon("a", request=None))
    await meet(manager)
    manager.add(journal.addon("b", request=None, update=None))
    await meet(manager)


async def removed(manager, journal):
    """One that is gone sees nothing more."""
    gone = journal.addon("a", request=None, update=None, done=None)
    manager.add(gone, journal.addon("b", request=None))
    await meet(manager)
    manager.remove(gone)
    await meet(manager)


async def removed_badly(manager, journal):
    """It is gone even where its end fails."""
    gone = journal.addon("a", request=None, done=ValueError("done"))
    manager.add(gone, journal.addon("b", request=None))
    await meet(manager)
    with pytest.raises(ValueError, match="done"):
        manager.remove(gone)
    await meet(manager)


async def cleared(manager, journal):
    """Nobody is left."""
    manager.add(journal.addon("a", request=None, update=None, done=None))
    await meet(manager)
    manager.clear()
    await meet(manager)


async def registered(manager, journal):
    """A child that its parent takes up later sees the next event, and updates too."""
    family = parent(journal.addon("a", request=None))
    manager.add(family)
    await meet(manager)
    family.addons.append(manager.register(journal.addon("child", request=None, update=None)))
    await meet(manager)


async def updates(manager, journal):
    """After a flow's event comes an update."""
    manager.add(journal.addon("a", request=None, update=None), journal.slow("b", update=None))
    await meet(manager)


async def no_updates(manager, journal):
    """An event without a flow is followed by none."""
    manager.add(journal.addon("a", client_connected=None, update=None))
    await manager.handle_lifecycle(ClientConnectedHook(tflow.tflow().client_conn))


async def the_flow(manager, journal):
    """Handlers get the event's own arguments."""

    class Addon:
        def request(self, flow):
            journal.lines.append(isinstance(flow, HTTPFlow))

    manager.add(Addon())
    await meet(manager)


SCENES = (
    in_order,
    halt,
    slow_halt,
    options_error,
    failure,
    failing_parent,
    failing_child,
    a_module,
    no_handler,
    added,
    removed,
    removed_badly,
    cleared,
    registered,
    updates,
    no_updates,
    the_flow,
)


@pytest.fixture
def run(caplog):
    """Plays a scene: what addons saw, and what was logged."""
    master = []

    async def play(manager_type, scene):
        caplog.clear()
        stage = Master(Options())
        stage._legacy_log_events.uninstall()
        master.append(stage)
        journal = Journal()
        await scene(manager_type(stage), journal)
        return journal.lines, [(record.levelno, record.getMessage()) for record in caplog.records]

    caplog.set_level(logging.INFO)
    return play


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_our_table_does_what_mitmproxy_s_does(run, scene):
    """The same handlers in the same order, and the same words in the log."""
    assert await run(AddonManager, scene) == await run(HookTable, scene)


@pytest.mark.parametrize(
    ("scene", "lines"),
    [
        (in_order, ["a.request", "child.request", "b.request", "d.request"]),
        (halt, ["a.request", "b.request"]),
        (failure, ["a.request", "b.request", "c.request"]),
        (registered, ["a.request", "a.request", "child.request", "child.update"]),
        (updates, ["a.request", "a.update", "b.update"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_the_scenes_show_something(run, scene, lines):
    """Both would be alike, too, if no handler ran at all."""
    assert lines == (await run(HookTable, scene))[0]


async def test_a_failure_is_logged_with_its_trace(run, caplog):
    """Whoever reads the log finds the line that failed."""
    await run(HookTable, failure)

    assert [ZeroDivisionError, KeyError] == [record.exc_info[0] for record in caplog.records]
