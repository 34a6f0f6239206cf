"""What an outbox must look like: plain data, and batches whose results it foretells. Independent of any engine."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from storehop.deliver import operations as op
from storehop.deliver.engine import EngineError
from storehop.model import S2SCall

ORIGINS = ("https://app.appsflyer.com", "https://eu.appsflyer.com")
ANSWER_S = 10.0
FOREVER_S = 10_000.0
"""What is longer than a second, for an engine whose time can't be moved."""
CLIENTS = st.integers(0, 1)
PICK = st.integers(0, 30)
KEYS = st.sampled_from([b"one", b"two", b"three"])
SHORT_S = st.sampled_from([0.0, 0.5, 5.0, 30.0])


@dataclass
class Row:
    """A call, as the model has it."""

    call: S2SCall
    born: float
    created_at: float
    state: str
    lease: str | None
    until: float
    is_held: bool
    answer: op.Answer | None = None
    attempts: int = 0
    last: str | None = None
    reason: str | None = None


class OutboxModel(RuleBasedStateMachine):
    """`kit_class` makes the engine under test, see tests.support.engines.

    Operations collect into a batch until it is run, so that an engine that handles several at once is held to the
    same results as one that handles each alone.
    """

    kit_class = None

    def __init__(self):
        super().__init__()
        self.kit = self.kit_class()
        self.clients = [self.kit.client(), self.kit.client()]
        self.rows: dict[str, Row] = {}
        self.answers: dict[bytes, tuple[str, float]] = {}
        self.marks: dict[str, str] = {}
        self.leases: list[tuple[str, str]] = [("none", "x:0")]
        self.numbers = 0
        self.rated: list[tuple[float, int]] = [(self.now, 0)]
        """Claims with a rate: when, and how many calls. A new outbox may begin with none to give."""
        self.is_full = self.is_broken = False
        self.batch = []
        self.saved = None

    def teardown(self):
        self.flush()
        self.kit.close()

    # time

    @property
    def now(self):
        return self.kit.now() if self.kit.can_move_time else 0.0

    @property
    def wall(self):
        return self.kit.wall() if self.kit.can_move_time else 0.0

    def seconds(self, seconds):
        """Where time can't be moved a duration is over at once, or never."""
        if self.kit.can_move_time:
            return seconds
        return 0.0 if seconds < 1.0 else FOREVER_S

    # batches

    def add(self, operation, expected):
        """Puts an operation into the batch; `expected` is its result, or checks it."""
        self.batch.append((operation, expected))

    def about_to_change(self):
        """The model as it was before the batch, in case that fails."""
        if self.saved is None:
            self.saved = deepcopy((self.rows, self.answers, self.marks))

    def flush(self, client=0):
        """Runs the batch, and compares its results."""
        batch, self.batch, saved, self.saved = self.batch, [], self.saved, None
        if not batch:
            return
        try:
            results = self.clients[client].run([operation for operation, _ in batch])
        except EngineError:
            assert self.is_full or self.is_broken, "nothing else refuses"
            self.rows, self.answers, self.marks = saved or (self.rows, self.answers, self.marks)
            return
        for (operation, expected), result in zip(batch, results, strict=True):
            if callable(expected):
                expected(result)
            else:
                assert expected == result, operation

    @invariant()
    def the_outbox_is_what_the_model_says(self):
        """At the end of each batch: no call is lost, none is there twice, none is in another state."""
        if self.batch:
            return
        (stored,) = self.clients[0].run([op.ListCalls()])
        model = {name: self.shown(row) for name, row in self.rows.items()}
        assert model == {one.id: (one.url, one.state, one.attempts, one.last, one.reason) for one in stored}
        assert len(model) == len(stored)

    @staticmethod
    def shown(row):
        """What people see of a call."""
        return row.call.url, row.state, row.attempts, row.last, row.reason

    # what is there

    def new_lease(self, holder="a"):
        self.numbers += 1
        return f"{holder}:{self.numbers}"

    def any_lease(self, pick):
        """Of a call that is still there, mostly: a stale one may then do harm."""
        leases = [one for one in self.leases if one[0] in self.rows and not self.holds(*one)] or self.leases
        leases = self.leases if pick % 5 == 0 else leases
        return leases[-1 - pick % len(leases)]

    def live_lease(self, pick):
        """One that holds, where there is one: most of what production asks is about these."""
        live = [(name, row.lease) for name, row in self.rows.items() if row.lease]
        return live[-1 - pick % len(live)] if live and pick % 3 else self.any_lease(pick)

    def any_id(self, pick):
        names = list(self.rows) or ["none"]
        return names[-1 - pick % len(names)]

    def holds(self, call_id, lease):
        row = self.rows.get(call_id)
        return row is not None and row.state == "leased" and row.lease == lease

    def answer_of(self, key):
        text, until = self.answers.get(key, (None, 0.0))
        return text if until > self.now else None

    def make_due(self, row, at):
        row.state, row.lease, row.until, row.is_held = "due", None, at, False
