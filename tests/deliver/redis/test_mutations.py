"""The laws hold the script: one that is wrong in a single place breaks the law that says so."""

from __future__ import annotations

import hashlib

import pytest

from storehop.deliver.engine import EngineError
from storehop.deliver.redis import primary
from storehop.deliver.redis.script import Script, script
from tests.deliver.conformance.laws import LAWS
from tests.support.engines import RedisInRealTimeKit, RedisKit

pytestmark = pytest.mark.process

STALE = "law_5_a_stale_lease_changes_nothing"
ONE_VERDICT = "law_5_a_verdict_ends_a_lease"
ONE_LEASE = "law_4_a_call_has_one_live_lease"
TOLD = "law_7_what_is_gone_is_said"
AMENDED = "law_of_amending_the_new_call_is_sent"
WANTED = "law_of_claims_only_what_is_wanted_is_leased"
PAUSE = "law_of_claims_a_pause_is_kept"
RELEASED = "law_of_release_a_holder_that_has_ended_lets_go"
REVIVED = "law_of_people_what_is_revived_is_as_new"
PURGED = "law_of_people_only_the_dead_are_purged"
TOO_OLD = "law_of_sweeps_what_is_too_old_is_given_up"
LEFT = "law_of_sweeps_what_has_left_is_not_due"
ONCE = "law_3_the_same_click_is_taken_once"
WITHDRAWN = "law_2_a_withdrawn_click_s_answer_says_otherwise"
FULL = "law_10_a_full_outbox_hands_out_and_settles"
RATES = "law_of_rates_recovery_has_one_budget"
BATCHES = "law_of_batches_all_or_nothing"
CREATED = "'created', row.created or row.born, 'born', now, 'attempts', 0)"

MUTATIONS = [
    ("row.lease == one.lease and row", "row.lease ~= nil and row", STALE),
    ("if call('ZREM', TIMES, row.id) == 0 then", "if false then", LEFT),
    ("  call('ZREM', ready(row.origin), row.id)\n  call('ZADD', TIMES", "  call('ZADD', TIMES", LEFT),
    ("if row.held then", "if false then", TOLD),
    ("'until', at)\n  call('HDEL', key_of(row.id), 'lease', 'held')", "'until', at)", ONE_VERDICT),
    ("'lease', 'held', 'until')", "'held', 'until')", ONE_VERDICT),
    ("call('ZADD', DEAD, now, row.id)", "", TOO_OLD),
    ("local is_dead = row ~= nil and row.reason ~= nil", "local is_dead = row ~= nil", PURGED),
    ("  call('ZREM', DEAD, id)\n  return is_dead", "  return is_dead", PURGED),
    ("tonumber(ends) > now and text", "text", ONCE),
    ("if not earlier then\n    keep_answer(answer)", "if true then\n    keep_answer(answer)", ONCE),
    ("call('SADD', ORIGINS, row.origin)", "", "law_1_what_is_accepted_survives_a_crash"),
    ("(one.only == '' or one.only == origin) and", "", WANTED),
    ("and not is_among(one.but, origin)", "", WANTED),
    ("row['until'] <= now - one.overdue_ms", "row['until'] <= now", WANTED),
    ("row['until'] <= now - one.overdue_ms", "true", ONE_LEASE),
    ("not row.reason and row['until']", "row['until']", ONE_VERDICT),
    ("return a.born > b.born", "return a.born < b.born", "law_8_the_newest_goes_first"),
    ("PAGE - 1, 'REV')", "PAGE - 1)", "law_8_the_newest_of_many_goes_first"),
    ("rate * BUDGET_S), left", "rate * BUDGET_S * 50), left", RATES),
    ("spend(budget - #leased)", "spend(budget)", RATES),
    ("local earlier = one.answer and remember(one.answer)", "local earlier = nil", ONCE),
    ("now + one.hold_ms + one.lease_ms", "now + one.lease_ms", ONE_LEASE),
    ("if one.hold_ms > 0 then", "if true then", TOLD),
    ("delete(row)\n  local own", "local own", "law_2_what_is_withdrawn_is_never_handed_out"),
    ("if text == own.text then", "if true then", "law_2_withdrawing_leaves_the_answer_of_another_click"),
    ("if own then", "if false then", WITHDRAWN),
    ("if not (row and row.held) then", "if not row then", TOLD),
    ("'body', one.body, 'origin', one.origin)\n  row", "'origin', one.origin)\n  row", AMENDED),
    ("call('HSET', key_of(row.id), 'body', one.body, 'origin', one.origin)", "", AMENDED),
    ("row.attempts + one.spent", "row.attempts + 1", PAUSE),
    ("if one.last then", "if false then", PAUSE),
    ("make_due(row, now + one.ms)", "make_due(row, now)", PAUSE),
    ("if token and token:sub(1, #prefix) == prefix", "if token", RELEASED),
    ("one.holder .. ':'", "one.holder", RELEASED),
    ("make_due(read(id), now)\n", "", RELEASED),
    ("or (row.lease and row['until'] > now)", "", TOO_OLD),
    ("(row.lease and row['until'] > now)", "row.lease", "law_of_sweeps_a_lapsed_lease_saves_nothing"),
    ("'-inf', now - one.max_age_ms", "'-inf', now", TOO_OLD),
    ("due = due + call('ZCARD', ready(origin))", "", LEFT),
    (CREATED, CREATED.replace(" 'born', now,", ""), REVIVED),
    (CREATED, CREATED.replace(", 'attempts', 0", ""), REVIVED),
    (CREATED, CREATED.replace("'created', row.created or row.born, ", ""), REVIVED),
    ("call('ZREM', DEAD, id)\n      call('HSET'", "call('HSET'", REVIVED),
    ("call('HDEL', key_of(id), 'reason')", "", REVIVED),
    ("if row and row.reason then", "if row then", REVIVED),
    ("call('ZADD', ALIVE, now, id)\n      make_due", "make_due", REVIVED),
    ("if new[one.id] or call", "if call", BATCHES),
    ("if new[one.id] or call('EXISTS', key_of(one.id)) == 1 then", "if new[one.id] then", BATCHES),
    ("dead_bytes + added > request.most_bytes", "dead_bytes > request.most_bytes", FULL),
    ("is_full and takes and 'full'", "is_full and 'full'", FULL),
    ("is_full and takes and 'full' or nil", "nil", "law_2_what_is_refused_is_never_handed_out"),
]
"""What is written in the script, what stands there instead, and the law that fails."""


@pytest.fixture
def kit(law):
    """A rate is one of the server's own seconds."""
    made = RedisInRealTimeKit() if law == RATES else RedisKit()
    yield made
    made.close()


@pytest.mark.parametrize(("right", "wrong", "law"), MUTATIONS, ids=range(len(MUTATIONS)))
def test_a_broken_law_is_caught(monkeypatch, kit, right, wrong, law):
    """The script is right but for one thing."""
    assert script().text.count(right) == 1

    def mutated(flags):
        text = script(flags).text.replace(right, wrong)
        return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    monkeypatch.setattr(primary, "script", mutated)
    with pytest.raises((AssertionError, AttributeError, ValueError, EngineError)) as caught:
        LAWS[law](kit)

    assert "compiling" not in str(caught.value)
