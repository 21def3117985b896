"""Calls and transcript lines as rows of their tables, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from ringback.calls.live_call import CallFacts, LiveCall
from ringback.calls.models import CallRow, TranscriptRow
from ringback.calls.states import CallState, Direction
from ringback.calls.transcript import Line
from ringback.calls.transfer import Transfer
from ringback.connectors.contract import Capability, Cause
from ringback.core.end_reason import EndReason
from ringback.media.plane import SessionReport

Row = dict[str, Any]

_NOT_QUALITY = ("session_id", "recording")
_QUALITY = tuple(f.name for f in fields(SessionReport) if f.name not in _NOT_QUALITY)


@dataclass(slots=True)
class Batch:
    """Rows to write, calls by id and lines by call and number, so that a repeat is harmless."""

    calls: dict[str, Row] = field(default_factory=dict)
    lines: dict[tuple[str, int], Row] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.calls) + len(self.lines)

    def put_back(self, older: Batch) -> None:
        """Take in ``older``, which was not written; what came since is newer and wins."""
        self.calls = older.calls | self.calls
        self.lines = older.lines | self.lines

    def split(self) -> Iterator[Batch]:
        """One batch per row, calls first."""
        for call_id, row in self.calls.items():
            yield Batch(calls={call_id: row})
        for key, row in self.lines.items():
            yield Batch(lines={key: row})


def call_row(call: LiveCall, node_id: str, quality: SessionReport | None) -> Row:
    facts, cause = call.facts, call.cause
    return {
        "id": facts.call_id,
        "account_id": facts.account_id,
        "node_id": node_id,
        "platform": facts.platform,
        "direction": facts.direction.value,
        "state": call.state.value,
        "caller": facts.caller,
        "caller_name": facts.caller_name,
        "callee": facts.callee,
        "target": facts.target,
        "agent_id": facts.agent_id,
        "agent_name": facts.agent_name,
        "hosted": facts.hosted,
        "phone_number_id": facts.phone_number_id,
        "trunk_id": facts.trunk_id,
        "capabilities": sorted(facts.capabilities),
        "sample_rate": facts.sample_rate,
        "transcripts": facts.transcripts,
        "recording": facts.recording,
        "headers": dict(facts.headers),
        "identity": dict(facts.identity) if facts.identity is not None else None,
        "parent_call_id": facts.parent_call_id,
        "conference_id": call.conference_id,
        "remote": call.remote,
        "remote_name": call.remote_name,
        "transfers": [transfer.as_data() for transfer in call.transfers],
        "created_at": facts.created_at,
        "ringing_at": call.ringing_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "end_reason": cause.reason.value if cause else None,
        "sip_code": cause.sip_code if cause else None,
        "q850": cause.q850 if cause else None,
        "cause_text": cause.text if cause else "",
        "quality": quality_of(quality) if quality else None,
    }


def quality_of(report: SessionReport) -> dict[str, Any]:
    """The figures of a report, by their names, as plain data."""
    return {name: getattr(report, name) for name in _QUALITY}


def call_of(row: CallRow) -> LiveCall:
    facts = CallFacts(
        call_id=row.id,
        account_id=row.account_id,
        platform=row.platform,
        direction=Direction(row.direction),
        caller=row.caller,
        callee=row.callee,
        created_at=row.created_at,
        caller_name=row.caller_name,
        target=row.target,
        agent_id=row.agent_id,
        agent_name=row.agent_name,
        hosted=row.hosted,
        phone_number_id=row.phone_number_id,
        trunk_id=row.trunk_id,
        capabilities=frozenset(Capability(name) for name in row.capabilities),
        sample_rate=row.sample_rate,
        transcripts=row.transcripts,
        recording=row.recording,
        headers=row.headers,
        identity=row.identity,
        parent_call_id=row.parent_call_id,
    )
    cause = None
    if row.end_reason is not None:
        cause = Cause(EndReason(row.end_reason), row.sip_code, row.q850, row.cause_text)
    return LiveCall(
        facts,
        CallState(row.state),
        ringing_at=row.ringing_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        cause=cause,
        conference_id=row.conference_id,
        remote=row.remote,
        remote_name=row.remote_name,
        transfers=tuple(Transfer.from_data(data) for data in row.transfers),
    )


def line_row(call_id: str, line: Line) -> Row:
    return {
        "call_id": call_id,
        "line": line.index,
        "speaker": line.speaker,
        "text": line.text,
        "start_ms": line.start_ms,
        "end_ms": line.end_ms,
    }


def line_of(row: TranscriptRow) -> Line:
    return Line(row.line, row.speaker, row.text, row.start_ms, row.end_ms)
