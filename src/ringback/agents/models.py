"""The table of agents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ringback.core.database import Base, UtcDateTime
from ringback.core.secrets import EncryptedText

DEMO_AGENT_ID = "agent_demo"
"""The built-in agent of the owner account."""


class Agent(Base):
    """Who talks on a call: an outside program (``stream``) or Ringback's own pipeline."""

    __tablename__ = "agents"
    __table_args__ = (Index("ix_agents_account_id_id", "account_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    mode: Mapped[str] = mapped_column(String(8))
    brain: Mapped[str] = mapped_column(String(16))
    greeting: Mapped[str] = mapped_column(Text)
    prompt: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(16))
    llm_base_url: Mapped[str | None] = mapped_column(String(500))
    llm_model: Mapped[str | None] = mapped_column(String(200))
    llm_api_key: Mapped[str | None] = mapped_column(EncryptedText)
    stt: Mapped[dict[str, Any]] = mapped_column(JSON)
    tts: Mapped[dict[str, Any]] = mapped_column(JSON)
    silence_timeout: Mapped[float | None]
    max_duration: Mapped[float | None]
    inbound: Mapped[bool]
    built_in: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
