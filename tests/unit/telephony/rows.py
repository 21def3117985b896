"""Rows of the telephony tables, made without a database."""

from __future__ import annotations

from typing import Any

from ringback.telephony.directory import Directory
from ringback.telephony.models import PhoneNumber, Trunk
from unit.core.stores import START


def trunk(trunk_id: str, **values: Any) -> Trunk:
    """A registering trunk of account ``a`` at 203.0.113.1 unless ``values`` say otherwise."""
    defaults: dict[str, Any] = {
        "account_id": "a",
        "name": trunk_id,
        "description": "",
        "provider": "generic",
        "mode": "registration",
        "host": "203.0.113.1",
        "port": None,
        "transport": "udp",
        "username": "user",
        "password": "pass",
        "auth_username": None,
        "realm": None,
        "caller_id": None,
        "outbound_proxy": None,
        "allowed_ips": [],
        "media_encryption": "none",
        "tls_verify": True,
        "dtmf_mode": "auto",
        "limits": {},
        "codecs": ["PCMA", "PCMU"],
        "tech_prefix": "",
        "dial_format": "e164",
        "country": None,
        "register_expires": 300,
        "agent_id": None,
        "enabled": True,
        "contact_token": f"token-{trunk_id}",
        "made_for_number": False,
        "created_at": START,
        "updated_at": START,
    }
    return Trunk(id=trunk_id, **{**defaults, **values})


def number(number_id: str, e164: str, **values: Any) -> PhoneNumber:
    """A number of account ``a`` on any trunk, without an agent."""
    defaults: dict[str, Any] = {
        "account_id": "a",
        "label": "",
        "provider": "sip",
        "trunk_id": None,
        "agent_id": None,
        "auto_answer": False,
        "extra": {},
        "created_at": START,
        "updated_at": START,
    }
    return PhoneNumber(id=number_id, number=e164, **{**defaults, **values})


def directory(*rows: Trunk | PhoneNumber) -> Directory:
    made = Directory()
    made.load(
        [row for row in rows if isinstance(row, Trunk)],
        [row for row in rows if isinstance(row, PhoneNumber)],
    )
    return made
