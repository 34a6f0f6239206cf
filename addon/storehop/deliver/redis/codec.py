"""Operations as the script reads them, and its results as `Engine.run` gives them.

Durations are whole milliseconds there. What is None is left out: JSON's null is not Lua's nil.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from storehop.deliver import operations as op
from storehop.deliver.redis.parts import Ids, ListThese, ReleaseThese
from storehop.model import Dead, DeadReason, Delivered, RetryIn, S2SCall, Verdict

logger = logging.getLogger(__name__)

PROBE_BYTES = 16 * 1024
"""What a Probe writes: as much as a large click."""
FULL_SHARE = 7 / 8
"""Of max_outbox: clicks may fill so much."""


def request(
    batch: Sequence[op.Operation[Any]],
    *,
    writes: bool,
    deadline_ms: float | None = None,
    max_bytes: int | None = None,
) -> str:
    """The script's argument. After `deadline_ms`, by the script's clock, the batch is refused; so are clicks that
    would fill more than their share of `max_bytes`.
    """
    run = [_ENCODERS[type(one)](one) for one in batch]
    for one in run:
        if one["what"] == "sweep" and max_bytes is not None:
            one["most_dead_bytes"] = max_bytes // 2
    most_bytes = None if max_bytes is None else int(max_bytes * FULL_SHARE)
    asked = _some(run=run, writes=writes, deadline=deadline_ms, most_bytes=most_bytes)
    return json.dumps(asked, ensure_ascii=False)  # what is no Unicode never leaves us: the script could not read it


def results_of(batch: Sequence[op.Operation[Any]], results: Sequence[Any]) -> list[Any]:
    """What `Engine.run` gives for the script's results."""
    return [_decoded(one, result) for one, result in zip(batch, results, strict=True)]


# to the script


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _some(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def _answer(answer: op.Answer | None) -> dict[str, Any] | None:
    return answer and {"key": answer.key.hex(), "text": answer.text, "ms": _ms(answer.seconds)}


def _body(call: S2SCall) -> str:
    return json.dumps([call.target, call.headers, call.rule], ensure_ascii=False)


def _accept(one: op.Accept) -> dict[str, Any]:
    return _some(
        what="accept",
        id=one.call.id,
        origin=one.call.origin,
        body=_body(one.call),
        lease=one.lease,
        lease_ms=_ms(one.lease_s),
        hold_ms=_ms(one.hold_s),
        answer=_answer(one.answer),
        retry=_answer(one.retry),
    )


def _withdraw(one: op.Withdraw) -> dict[str, Any]:
    return _some(what="withdraw", id=one.call_id, lease=one.lease, answer=_answer(one.answer), text=one.text)


def _amend(one: op.Amend) -> dict[str, Any]:
    call = one.call
    return {
        "what": "amend",
        "id": call.id,
        "origin": call.origin,
        "body": _body(call),
        "lease": one.lease,
        "lease_ms": _ms(one.lease_s),
    }


def _claim(one: op.ClaimDue) -> dict[str, Any]:
    return _some(
        what="claim",
        most=one.most,
        lease=one.lease,
        lease_ms=_ms(one.lease_s),
        ids=one.ids,
        only=one.only,
        but=one.but,
        overdue_ms=_ms(one.overdue_s),
        rate=one.rate,
    )


def _settle(one: op.Settle) -> dict[str, Any]:
    return _some(what="settle", id=one.call_id, lease=one.lease, last=one.last, **_verdict(one.verdict))


def _verdict(verdict: Verdict) -> dict[str, Any]:
    match verdict:
        case Delivered():
            return {"verdict": "delivered"}
        case RetryIn(seconds, is_spent):
            return {"verdict": "retry", "ms": _ms(seconds), "spent": int(is_spent)}
        case Dead(reason):
            return {"verdict": "dead", "reason": reason, "spent": 1}


type _Encode = Callable[[Any], dict[str, Any]]

_ENCODERS: dict[type, _Encode] = {
    op.Accept: _accept,
    op.Withdraw: _withdraw,
    op.Amend: _amend,
    op.ClaimDue: _claim,
    op.Extend: lambda one: {"what": "extend", "id": one.call_id, "lease": one.lease, "lease_ms": _ms(one.lease_s)},
    op.Settle: _settle,
    op.Remember: lambda one: {"what": "remember", "answer": _answer(one.answer)},
    op.Recall: lambda one: {"what": "recall", "key": one.key.hex()},
    op.Forget: lambda one: {"what": "forget", "key": one.key.hex(), "text": one.text},
    op.Sweep: lambda one: {
        "what": "sweep",
        "max_age_ms": _ms(one.max_age_s),
        "most": one.most,
        "reason": DeadReason.TOO_OLD,
    },
    op.Probe: lambda _one: {"what": "probe", "bytes": PROBE_BYTES},
    op.Release: lambda one: {"what": "release", "holder": one.holder},
    ReleaseThese: lambda one: {"what": "release", "holder": one.holder, "ids": one.ids},
    op.Mark: lambda one: {"what": "mark", "name": one.name, "text": one.text},
    op.Unmark: lambda one: {"what": "unmark", "name": one.name},
    op.Marks: lambda _one: {"what": "marks"},
    op.ListCalls: lambda one: _some(what="list", dead=one.dead, ids=(one.call_id,) if one.call_id else None),
    op.Revive: lambda one: {"what": "revive", "ids": one.call_ids},
    op.Purge: lambda one: {"what": "purge", "ids": one.call_ids},
    Ids: lambda one: _some(what="ids", dead=one.dead),
    ListThese: lambda one: _some(what="list", dead=one.dead, ids=one.ids),
}
"""The closed list, and what this engine has for itself."""

# from the script


def _decoded(one: op.Operation[Any], result: Any) -> Any:
    decode = _DECODERS.get(type(one))
    return decode(one, result) if decode else result


def _accepted(one: op.Accept, result: Any) -> op.Leased | str:
    return op.Leased(one.call, one.lease, 1, 0.0) if result is True else str(result)


def _amended(one: op.Amend, result: Any) -> op.Leased | None:
    return result and op.Leased(one.call, one.lease, result[0], result[1] / 1000)


def _claimed(one: op.ClaimDue, result: Any) -> list[op.Leased]:
    leased = []
    for place, (call_id, origin, body, attempt, age_ms) in enumerate(result):
        try:
            call = _call(call_id, origin, body)
        except (TypeError, ValueError):  # a newer storehop's: whoever asks for others gets them
            logger.error(  # noqa: TRY400  no traceback needed
                "click=%s can't be read: it is left to others, and in the end to the dead letters", call_id
            )
        else:
            leased.append(op.Leased(call, f"{one.lease}.{place}", attempt, age_ms / 1000))
    return leased


def _call(call_id: str, origin: str, body: str) -> S2SCall:
    target, headers, rule = json.loads(body)
    return S2SCall(call_id, origin, target, tuple((name, value) for name, value in headers), rule)


def _swept(_one: op.Sweep, result: Any) -> op.Swept:
    expired, dropped, pending, due, dead, oldest_ms = result
    return op.Swept(tuple(expired), dropped, pending, due, dead, None if oldest_ms is None else oldest_ms / 1000)


def _marks(_one: op.Marks, result: Any) -> dict[str, str]:
    pairs = dict(zip(result[::2], result[1::2], strict=True)) if result else {}
    return dict(sorted(pairs.items()))


def _listed(_one: op.ListCalls | ListThese, result: Any) -> list[op.StoredCall]:
    rows = [_stored(*row) for row in result]
    return sorted(rows, key=lambda row: row.age)


def _stored(
    call_id: str, origin: str, body: str, state: str, age_ms: float, attempts: int, *words: str | None
) -> op.StoredCall:
    try:
        call = _call(call_id, origin, body)
    except (TypeError, ValueError):
        call = S2SCall(call_id, origin, "", (), "unreadable")
    return op.StoredCall(call_id, call.rule, call.url, state, age_ms / 1000, attempts, *words)


_DECODERS: dict[type, Callable[[Any, Any], Any]] = {
    op.Accept: _accepted,
    op.Amend: _amended,
    op.ClaimDue: _claimed,
    op.Sweep: _swept,
    op.Marks: _marks,
    op.ListCalls: _listed,
    ListThese: _listed,
    Ids: lambda _one, result: list(result),
}
"""Results that are no plain values."""
