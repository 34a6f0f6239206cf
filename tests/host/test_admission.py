"""How many clients are let in: the rule."""

import os
from contextlib import ExitStack

import pytest

from storehop.host.admission import RESERVED_FILES, Admission
from storehop.host.places import Share


@pytest.fixture
def any_file():
    """The number of an open file."""
    with open(os.devnull) as file:  # noqa: PTH123  its number is what counts
        yield file.fileno()


@pytest.mark.parametrize(
    ("most", "files", "expected"),
    [
        (0, 65_536, (65_536 - RESERVED_FILES) // 2),
        (0, 128, 32),
        (1000, 65_536, 1000),
        (1000, 128, 32),
    ],
)
def test_files_bound_the_number_of_clients(most, files, expected):
    """Each may need a second one, to the upstream, and the rest of us needs some, too."""
    assert expected == Admission(lambda: 0, most, files).most


@pytest.mark.parametrize(
    ("inside", "coming", "expected"),
    [(1, 0, (True, None)), (1, 1, (False, None)), (2, 0, (False, "all 2 are in use"))],
)
def test_there_is_room_until_all_are_in(any_file, inside, coming, expected):
    """Those that are just coming are counted in."""
    admission = Admission(lambda: inside, 2, 1 << 20)

    assert expected == (admission.has_room(coming, any_file), admission.fault())


def test_files_that_others_have_open_count(any_file):
    """However few clients there are."""
    admission = Admission(lambda: 0, 1, any_file + 2)

    assert (False, "too few files are left") == (admission.has_room(0, any_file), admission.fault())


def test_what_is_reserved_may_be_used():
    """By S2S calls and the outbox, while all clients but one are in with their connections to the upstream."""
    with ExitStack() as stack:
        last = 0
        while last < 200:  # at least: other tests of this process have files open, too
            last = stack.enter_context(open(os.devnull)).fileno()  # noqa: PTH123  its number is what counts
        admission = Admission(lambda: admission.most - 1, 0, last + 2 + RESERVED_FILES // 8)

        assert admission.has_room(0, last)


async def test_connections_to_the_upstream_count(any_file):
    """Each one beyond a client's own takes the place of a client."""
    admission = Admission(lambda: 446, 0, 1024)  # all clients may take 896 files
    before = admission.has_room(1, any_file)
    share = Share(admission.places)
    for _ in range(2):
        await admission.places.take(share)

    assert (True, True) == (before, admission.has_room(0, any_file))
    assert (False, "too few files are left") == (admission.has_room(1, any_file), admission.fault())


def test_it_is_said_once_a_minute(any_file, caplog):
    """With how often it happened, when the next line is due."""
    admission = Admission(lambda: 2, 2, 1 << 20)
    for _ in range(100):
        admission.has_room(0, any_file)
        admission.closed()

    assert ["connections: all 2 are in use: new ones wait"] == caplog.messages
