"""Tables: trunks, phone numbers, and what was dialled."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ringback.core.database import Base, UtcDateTime
from ringback.core.secrets import EncryptedText


class Trunk(Base):
    """A connection to a SIP provider or PBX. Secrets are encrypted."""

    __tablename__ = "trunks"
    __table_args__ = (Index("ix_trunks_account_id_id", "account_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(Text)
    provider: Mapped[str] = mapped_column(String(32))
    mode: Mapped[str] = mapped_column(String(16))
    host: Mapped[str | None] = mapped_column(String(255))
    port: Mapped[int | None]
    transport: Mapped[str] = mapped_column(String(8))
    username: Mapped[str | None] = mapped_column(String(60))
    password: Mapped[str | None] = mapped_column(EncryptedText)
    auth_username: Mapped[str | None] = mapped_column(EncryptedText)
    realm: Mapped[str | None] = mapped_column(String(255))
    caller_id: Mapped[str | None] = mapped_column(String(64))
    outbound_proxy: Mapped[str | None] = mapped_column(String(270))
    allowed_ips: Mapped[list[str]] = mapped_column(JSON)
    media_encryption: Mapped[str] = mapped_column(String(8))
    tls_verify: Mapped[bool]
    dtmf_mode: Mapped[str] = mapped_column(String(8), server_default="auto")
    limits: Mapped[dict[str, Any]] = mapped_column(JSON, server_default="{}")
    """What may be dialled, and how much: a ``TrunkLimits``, or nothing for its defaults."""
    codecs: Mapped[list[str]] = mapped_column(JSON)
    tech_prefix: Mapped[str] = mapped_column(String(16))
    dial_format: Mapped[str] = mapped_column(String(16))
    country: Mapped[str | None] = mapped_column(String(2))
    register_expires: Mapped[int]
    agent_id: Mapped[str | None] = mapped_column(ForeignKey("agents.id", ondelete="SET NULL"))
    enabled: Mapped[bool]
    contact_token: Mapped[str] = mapped_column(EncryptedText)
    """The unguessable user part of the contact that we register."""
    made_for_number: Mapped[bool]
    """Came with a phone number's own SIP fields; goes with the last number on it."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PhoneNumber(Base):
    """A number (DID) that an account answers on. Calls to any other number are refused."""

    __tablename__ = "phone_numbers"
    __table_args__ = (
        UniqueConstraint("account_id", "number"),
        Index("ix_phone_numbers_account_id_id", "account_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    number: Mapped[str] = mapped_column(String(16))
    """E.164."""
    label: Mapped[str] = mapped_column(String(100))
    provider: Mapped[str] = mapped_column(String(16))
    trunk_id: Mapped[str | None] = mapped_column(
        ForeignKey("trunks.id", ondelete="SET NULL"), index=True
    )
    """``None``: any trunk of the account may bring its calls."""
    agent_id: Mapped[str | None] = mapped_column(ForeignKey("agents.id", ondelete="SET NULL"))
    auto_answer: Mapped[bool]
    extra: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OutboundUsage(Base):
    """One trunk's outbound calls of one day (ISO date in the node's time zone)."""

    __tablename__ = "outbound_usage"

    account_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    trunk_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    calls: Mapped[int]
    cost: Mapped[float]
