"""The JSON messages about calls, as the bus carries them and the streams show them.

They are plain mappings, since they cross a wire unchanged. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ringback.calls.live_call import LiveCall
from ringback.calls.states import HeldBy
from ringback.calls.transcript import Line
from ringback.calls.transfer import Transfer

Message = dict[str, Any]


def iso(at: datetime | None) -> str | None:
    """``2026-03-13T10:00:00.123Z``, or ``None``."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def held_by(call: LiveCall) -> str | None:
    """``agent``, ``remote`` or ``both`` for a call that is on hold, else ``None``."""
    return call.held_by.value if call.held_by is not HeldBy.NOBODY and call.answered else None


def call_invite(call: LiveCall) -> Message:
    """Somebody calls. An agent accepts or refuses while the call is ``ringing``."""
    facts = call.facts
    return {
        "type": "call_invite",
        "call_id": facts.call_id,
        "platform": facts.platform,
        "direction": facts.direction.value,
        "state": call.state.value,
        "caller": facts.caller,
        "caller_name": facts.caller_name,
        "callee": facts.callee,
        "agent_id": facts.agent_id,
        "phone_number_id": facts.phone_number_id,
        "trunk_id": facts.trunk_id,
        "capabilities": sorted(facts.capabilities),
        "headers": dict(facts.headers),
        "identity": dict(facts.identity) if facts.identity is not None else None,
        "created_at": iso(facts.created_at),
    }


def call_state(call: LiveCall) -> Message:
    """A call entered a state; in a final one with the reason, once per call."""
    message: Message = {
        "type": "call_state",
        "call_id": call.call_id,
        "platform": call.facts.platform,
        "direction": call.facts.direction.value,
        "state": call.state.value,
        "held_by": held_by(call),
    }
    if call.cause is not None:
        message |= {
            "end_reason": call.cause.reason.value,
            "sip_code": call.cause.sip_code,
            "q850": call.cause.q850,
            "reason_text": call.cause.text,
            "ended_at": iso(call.ended_at),
        }
    return message


def call_transcript(call: LiveCall, line: Line) -> Message:
    return {
        "type": "call_transcript",
        "call_id": call.call_id,
        "index": line.index,
        "speaker": line.speaker,
        "text": line.text,
        "start_ms": line.start_ms,
        "end_ms": line.end_ms,
    }


def dtmf(call: LiveCall, digit: str, duration_ms: int) -> Message:
    return {
        "type": "dtmf",
        "call_id": call.call_id,
        "digit": digit,
        "duration_ms": duration_ms,
    }


def bridge_disconnected(call_id: str) -> Message:
    """The platform's side of the call broke off; a new call is needed to go on."""
    return call_error(
        call_id,
        "bridge_disconnected",
        "Bridge connection lost. Place a call with the same meeting_url to reconnect.",
        "POST /api/call",
    )


def call_error(call_id: str, code: str, message: str, hint: str = "") -> Message:
    """A command on a stream that could not be carried out; the call goes on."""
    return {
        "type": "call_error",
        "call_id": call_id,
        "code": code,
        "message": message,
        "hint": hint,
    }


def call_transfer(call: LiveCall, transfer: Transfer) -> Message:
    """How far a transfer has got. ``remote`` is who is at the far end of the call now."""
    return {
        "type": "call_transfer",
        "call_id": call.call_id,
        **transfer.as_data(),
        "remote": call.person,
        "remote_name": call.person_name,
    }


def participant_joined(host: LiveCall, call: LiveCall) -> Message:
    """Somebody is in the call of ``host`` from now on."""
    return _participant("participant_joined", host, call)


def participant_left(host: LiveCall, call: LiveCall) -> Message:
    return _participant("participant_left", host, call)


def participant_failed(host: LiveCall, call: LiveCall) -> Message:
    """Somebody who was called into the call did not answer."""
    return _participant("participant_failed", host, call)


def _participant(kind: str, host: LiveCall, call: LiveCall) -> Message:
    cause = call.cause
    return {
        "type": kind,
        "call_id": host.call_id,
        "participant_call_id": call.call_id,
        "remote": call.person,
        "remote_name": call.person_name,
        "end_reason": cause.reason.value if cause else None,
        "sip_code": cause.sip_code if cause else None,
        "reason_text": cause.text if cause else "",
    }


def gather_result(call_id: str, digits: str, reason: str, request_id: str | None) -> Message:
    """The answer to ``gather`` on a stream; ``id`` is what the request had as such."""
    message: Message = {
        "type": "gather_result",
        "call_id": call_id,
        "digits": digits,
        "reason": reason,
    }
    return message if request_id is None else message | {"id": request_id}
