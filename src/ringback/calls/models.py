"""The tables of calls. Identifiers sort by time, so that a page is a range of the primary key.

``account_id`` and the other references are deliberately no foreign keys: a record must not be
refused because an agent, a trunk or an account went away while the call was live.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringback.core.database import Base, UtcDateTime


class CallRow(Base):
    """One call, live or over. While it is live, ``node_id`` says which node holds it."""

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_account_id_id", "account_id", "id"),
        Index("ix_calls_node_id_state", "node_id", "state"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(40))
    node_id: Mapped[str] = mapped_column(String(40))
    platform: Mapped[str] = mapped_column(String(32))
    direction: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(16))
    caller: Mapped[str] = mapped_column(Text)
    caller_name: Mapped[str] = mapped_column(Text)
    callee: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    agent_id: Mapped[str | None] = mapped_column(String(40))
    agent_name: Mapped[str] = mapped_column(Text)
    hosted: Mapped[bool]
    phone_number_id: Mapped[str | None] = mapped_column(String(40))
    trunk_id: Mapped[str | None] = mapped_column(String(40))
    capabilities: Mapped[list[str]] = mapped_column(JSON)
    sample_rate: Mapped[int]
    transcripts: Mapped[bool]
    recording: Mapped[str | None] = mapped_column(Text)
    headers: Mapped[dict[str, str]] = mapped_column(JSON)
    identity: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    parent_call_id: Mapped[str | None] = mapped_column(String(40))
    conference_id: Mapped[str | None] = mapped_column(String(40))
    remote: Mapped[str] = mapped_column(Text, server_default="")
    remote_name: Mapped[str] = mapped_column(Text, server_default="")
    transfers: Mapped[list[dict[str, Any]]] = mapped_column(JSON, server_default="[]")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ringing_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end_reason: Mapped[str | None] = mapped_column(String(32))
    sip_code: Mapped[int | None]
    q850: Mapped[int | None]
    cause_text: Mapped[str] = mapped_column(Text)
    quality: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class TranscriptRow(Base):
    """One line of a call's transcript."""

    __tablename__ = "call_transcript_lines"

    call_id: Mapped[str] = mapped_column(
        ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True
    )
    line: Mapped[int] = mapped_column(primary_key=True)
    speaker: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    start_ms: Mapped[int]
    end_ms: Mapped[int]


class SignallingRow(Base):
    """The signalling of one finished call, as ``signalling.packed`` makes it. It goes with its
    call."""

    __tablename__ = "call_signalling"

    call_id: Mapped[str] = mapped_column(
        String(40), ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True
    )
    messages: Mapped[bytes] = mapped_column(LargeBinary)


class IdempotencyRow(Base):
    """The answer to a write that carried an ``Idempotency-Key``."""

    __tablename__ = "idempotency_keys"

    account_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
