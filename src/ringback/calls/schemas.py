"""Calls as they cross the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from ringback.audio.codec import sample_rate_of
from ringback.calls.conferences import Participant, Role
from ringback.calls.dialler import DEFAULT_AGENT_NAME, PlaceCall
from ringback.calls.events import held_by
from ringback.calls.gather import GatherReason
from ringback.calls.live_call import CallFacts, LiveCall
from ringback.calls.requests import CALL_ID, Identifier
from ringback.calls.service import CallSnapshot
from ringback.calls.states import CallState, Direction, Party
from ringback.calls.texts import MAX_TARGET
from ringback.calls.transfer import Transfer, TransferMode, TransferState
from ringback.core.end_reason import EndReason
from ringback.core.http import ApiModel, api_example
from ringback.core.http.models import Line, Matching, Name
from ringback.media.plane import FRAME_MS

MAX_HEADERS = 16
MAX_HEADER_VALUE = 256
HEADER_NAME = r"^[Xx]-[A-Za-z0-9_-]{1,62}$"

Platform = Annotated[
    Line,
    StringConstraints(min_length=1, max_length=32),
    Field(description="`sip` for phone calls.", examples=["sip"]),
]
HeaderName = Annotated[
    str,
    Matching(
        HEADER_NAME,
        "must be named X- and up to 62 letters, digits, - and _, such as X-Campaign",
    ),
]
HeaderValue = Annotated[Line, StringConstraints(max_length=MAX_HEADER_VALUE)]


class CallCreate(ApiModel):
    model_config = api_example(
        platform="sip", meeting_url="sip:+33612345678@sip.example.com", agent_name="AI Agent"
    )
    misnomers: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("target", "to", "number", "callee", "uri"), "meeting_url"
    )

    platform: Platform
    meeting_url: Annotated[Line, StringConstraints(max_length=MAX_TARGET)] | None = Field(
        default=None,
        description="Whom to call: `sip:+{number}@{your-trunk-host}`, or a number in E.164. "
        "Required for `sip`.",
        examples=["sip:+33612345678@sip.example.com"],
    )
    agent_name: Name = Field(default=DEFAULT_AGENT_NAME, description="Shown for the agent.")
    transcripts: bool = Field(
        default=True, description="`false`: no transcript is kept and no `call_transcript` sent."
    )
    agent_id: Identifier | None = Field(
        default=None,
        description="The agent that talks. A hosted one speaks by itself once the call is "
        "answered; without one, your program does, on the call WebSocket.",
    )
    caller_id: Annotated[Line, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="The number to show; null: the trunk's.",
        examples=["+33123456789"],
    )
    trunk_id: Identifier | None = Field(
        default=None, description="The trunk to dial over; null: the one that fits."
    )
    recording: bool | None = Field(
        default=None, description="Whether to record the call; null: yes, unless the agent says no."
    )

    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        max_length=MAX_HEADERS,
        description="`X-` headers to send along with the call.",
        examples=[{"X-Campaign": "spring"}],
        json_schema_extra={"propertyNames": {"pattern": HEADER_NAME}},
    )

    def wanted(self) -> PlaceCall:
        return PlaceCall(**self.model_dump())


class Audio(ApiModel):
    """The audio of a call at its native rate, which needs no resampling: before the codec is
    agreed on, that of its platform. The call stream's `audio_config` tells each change."""

    sample_rate: int = Field(examples=[8000])
    format: str = "pcm_s16le"
    channels: int = 1
    frame_duration_ms: int = FRAME_MS
    frame_bytes: int = Field(examples=[320])

    @classmethod
    def at(cls, sample_rate: int) -> Audio:
        return cls(sample_rate=sample_rate, frame_bytes=sample_rate * FRAME_MS // 1000 * 2)


Figure = Annotated[float, AfterValidator(lambda value: round(value, 2))]
"""A measured figure, without the digits that mean nothing."""


class Quality(ApiModel):
    """What the media of a call is like so far, or was (RFC 3550's figures)."""

    packets_received: int
    packets_sent: int
    packets_lost: int
    packets_late: int
    packets_duplicate: int
    jitter_ms: Figure
    round_trip_ms: Figure | None
    codec: str = Field(default="", description="The codec in use; empty: none was agreed on.")
    security: str = Field(default="none", description="`none`, or the SRTP suite of the audio.")
    buffer_ms: Figure = Field(default=0.0, description="The delay of the jitter buffer.")
    remote_packets_lost: int | None = Field(
        default=None, description="Of our packets, as the far end reports; null: it does not."
    )
    remote_jitter_ms: Figure | None = None
    mos: Figure | None = Field(
        default=None, description="How the person is heard here: 1.0 to 4.5 (ITU-T G.107)."
    )
    remote_mos: Figure | None = Field(default=None, description="How we are heard there.")
    recorded_ms: int


class TransferView(ApiModel):
    """One transfer of a call."""

    at: datetime
    by: Party = Field(description="`agent`: asked for here. `remote`: by the far end.")
    target: str
    mode: TransferMode = Field(description="The way that is tried, in the end that was taken.")
    state: TransferState
    to_call_id: str | None = Field(description="The call at the other end, where it is one here.")
    sip_code: int | None
    reason: str | None = Field(description="Why it failed: an `end_reason` or an error code.")
    reason_text: str

    @classmethod
    def of(cls, transfer: Transfer) -> TransferView:
        return cls.model_validate(transfer.as_data())


class ParticipantView(ApiModel):
    """One person of a call."""

    call_id: str = Field(description="Their own call.", examples=[CALL_ID])
    role: Role
    joined: bool = Field(description="Hears the others; `false` while they are being called.")
    state: CallState
    remote: str = Field(examples=["+493012345678"])
    remote_name: str

    @classmethod
    def of(cls, participant: Participant) -> ParticipantView:
        call = participant.entry.call
        return cls(
            call_id=call.call_id,
            role=participant.role,
            joined=participant.joined,
            state=call.state,
            remote=call.person,
            remote_name=call.person_name,
        )


class ParticipantList(ApiModel):
    items: list[ParticipantView]


class GatherDone(ApiModel):
    """What the person pressed."""

    call_id: str = Field(examples=[CALL_ID])
    digits: str = Field(examples=["1234"])
    reason: GatherReason


class CallView(ApiModel):
    """A call."""

    call_id: str = Field(examples=[CALL_ID])
    room_id: str = Field(description="The audio room; one per call.")
    participant_id: str = Field(description="The agent's place in the room.")
    text_ws_url: str = Field(description="The call WebSocket: audio, transcript, events.")
    state: CallState
    capabilities: list[str] = Field(examples=[["audio_in", "audio_out", "dtmf"]])
    platform: str = Field(examples=["sip"])
    meeting_url: str = Field(description="What was dialled; empty for an inbound call.")
    agent_name: str
    audio: Audio
    direction: Direction
    caller: str
    caller_name: str
    callee: str
    agent_id: str | None
    phone_number_id: str | None
    trunk_id: str | None
    headers: dict[str, str] = Field(
        description="What came along with the call (`X-…`, Diversion), or was sent with it."
    )
    identity: dict[str, Any] | None = Field(
        description="What the caller's STIR/SHAKEN token claims; not verified."
    )
    held_by: Literal["agent", "remote", "both"] | None = Field(
        description="Who holds a call that is `on_hold`."
    )
    remote: str = Field(description="Who is at the far end now; after a transfer not the first.")
    remote_name: str
    parent_call_id: str | None = Field(
        description="The call for whose transfer or conference this one was placed."
    )
    conference_id: str | None = Field(
        description="The call with whose participants this one is joined; its own id for theirs."
    )
    transfers: list[TransferView]
    created_at: datetime
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    end_reason: EndReason | None = Field(description="Set when the call is over.")
    sip_code: int | None = Field(description="The SIP status behind the reason, if any.")
    q850: int | None = Field(description="The network's own cause (ITU-T Q.850), if it said one.")
    reason_text: str = Field(description="The far end's own words for the reason; may be empty.")
    recording_url: str | None = Field(description="Where the WAV is, once the call is over.")

    @classmethod
    def of(cls, call: LiveCall, base_url: str) -> CallView:
        return cls(**_fields(call, base_url))


class TranscriptLine(ApiModel):
    index: int
    speaker: str = Field(examples=["caller"])
    text: str
    start_ms: int = Field(description="Milliseconds since the answer.")
    end_ms: int


class CallDetail(CallView):
    """A call with its transcript."""

    transcript: list[str] = Field(
        description="Lines from `since` on.", examples=[["[caller] Hello", "[agent] Hi!"]]
    )
    transcript_length: int = Field(description="Lines in all: the `since` of your next request.")
    transcript_lines: list[TranscriptLine] = Field(description="The same lines, with their times.")
    quality: Quality | None

    @classmethod
    def from_snapshot(cls, snapshot: CallSnapshot, base_url: str) -> CallDetail:
        fields = _fields(snapshot.call, base_url)
        if snapshot.quality is not None and (codec := snapshot.quality.get("codec")):
            fields["audio"] = Audio.at(sample_rate_of(str(codec)))
        return cls(
            **fields,
            transcript=[str(line) for line in snapshot.lines],
            transcript_length=snapshot.transcript_length,
            transcript_lines=[
                TranscriptLine(
                    index=line.index,
                    speaker=line.speaker,
                    text=line.text,
                    start_ms=line.start_ms,
                    end_ms=line.end_ms,
                )
                for line in snapshot.lines
            ],
            quality=Quality.model_validate(snapshot.quality) if snapshot.quality else None,
        )


class CommandDone(ApiModel):
    """The command was handed to the call's media."""

    call_id: str = Field(examples=[CALL_ID])
    status: str = Field(default="accepted")


def _fields(call: LiveCall, base_url: str) -> dict[str, Any]:
    facts, cause = call.facts, call.cause
    return {
        "call_id": facts.call_id,
        "room_id": f"room_{_tail(facts)}",
        "participant_id": f"part_{_tail(facts)}",
        "text_ws_url": stream_url(base_url, facts.call_id),
        "state": call.state,
        "capabilities": sorted(facts.capabilities),
        "platform": facts.platform,
        "meeting_url": facts.target,
        "agent_name": facts.agent_name,
        "audio": Audio.at(facts.sample_rate),
        "direction": facts.direction,
        "caller": facts.caller,
        "caller_name": facts.caller_name,
        "callee": facts.callee,
        "agent_id": facts.agent_id,
        "phone_number_id": facts.phone_number_id,
        "trunk_id": facts.trunk_id,
        "headers": dict(facts.headers),
        "identity": dict(facts.identity) if facts.identity is not None else None,
        "held_by": held_by(call),
        "remote": call.person,
        "remote_name": call.person_name,
        "parent_call_id": facts.parent_call_id,
        "conference_id": call.conference_id,
        "transfers": [TransferView.of(transfer) for transfer in call.transfers],
        "created_at": facts.created_at,
        "ringing_at": call.ringing_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "end_reason": cause.reason if cause else None,
        "sip_code": cause.sip_code if cause else None,
        "q850": cause.q850 if cause else None,
        "reason_text": cause.text if cause else "",
        "recording_url": _recording_url(call, base_url),
    }


def _tail(facts: CallFacts) -> str:
    return facts.call_id.partition("_")[2]


def _recording_url(call: LiveCall, base_url: str) -> str | None:
    if not call.final or call.answered_at is None or call.facts.recording is None:
        return None
    return f"{base_url.rstrip('/')}/api/call/{call.call_id}/recording"


def stream_url(base_url: str, call_id: str) -> str:
    """``ws://…`` or ``wss://…``, as the request's own address was ``http`` or ``https``."""
    return f"ws{base_url.rstrip('/').removeprefix('http')}/api/call/{call_id}/stream"
