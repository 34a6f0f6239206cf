"""Logs of AWS' Application Load Balancer.

The target's Location is not in them: `redirect_url` is a redirect that the load balancer made by its own rule, and
counts only there. So the link is known where it is the request, or stands in it.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any, BinaryIO

from storehop.audit.exchange import Asked, RecordingError
from storehop.audit.readers.building import Get, Row
from storehop.audit.readers.columns import Table, columns_of
from storehop.audit.readers.combined import fields as words
from storehop.audit.readers.lines import first_lines, text_lines
from storehop.audit.readers.names import HEADER, Path
from storehop.audit.readers.reading import Reading
from storehop.audit.readers.rows import BrokenLineError, built, parsed, sampled

NAME = "alb"
_START = re.compile(r"(?:https?|h2|grpcs|wss?) \d{4}-\d\d-\d\dT\S+Z app/")
_LAYOUT = (
    "type time elb client target request_processing_time target_processing_time response_processing_time"
    " elb_status_code target_status_code received_bytes sent_bytes request user_agent ssl_cipher ssl_protocol"
    " target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority request_creation_time"
    " actions_executed redirect_url"
)
_NAMES = _LAYOUT.split()
_ACTIONS, _REDIRECT = _NAMES.index("actions_executed"), _NAMES.index("redirect_url")
_POSITIONS = {
    "time": "request_creation_time",
    "ip": "client",
    "request": "request",
    "status": "elb_status_code",
    f"{HEADER}user-agent": "user_agent",
    "location": "redirect_url",
}


def looks_like(head: bytes) -> bool:
    """Whether a first line is one of a load balancer's."""
    return any(map(_START.match, first_lines(head)[:20]))


def fields(line: str) -> Row:
    """The fields that have names here; newer logs have more behind them."""
    found = words(line)
    if len(found) < len(_NAMES):
        raise BrokenLineError(f"has {len(found)} fields, expected {len(_NAMES)} or more")
    return found


def _own_redirect(row: Row) -> Any:
    return row[_REDIRECT] if "redirect" in row[_ACTIONS].split(",") else None


def read(stream: BinaryIO, asked: Asked) -> Reading:
    """Raises RecordingError where no request is a link, or holds one."""
    rows, everything = sampled(parsed(text_lines(stream), fields))
    if not rows:
        raise RecordingError("expected lines of an Application Load Balancer's log")
    gets: dict[Path, Get] = {(name,): itemgetter(index) for index, name in enumerate(_NAMES)}
    gets["redirect_url",] = _own_redirect
    positions: dict[str, Path] = {meaning: (name,) for meaning, name in _POSITIONS.items()}
    if not any(map(_own_redirect, rows)):
        del positions["location"]
    table = Table(rows, gets, by_position=positions, names_count=False)
    columns = columns_of(table, asked)
    table.remarks.append("the Location that the target answered is not in it: links are those in requests")
    return Reading(NAME, columns.knows, built(everything, columns.build), table.remarks)
