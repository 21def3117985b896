"""The settings that guard the node and the phone bill: part of
:class:`ringback.core.settings.Settings`, explained in ``docs/guards.md``."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode

from ringback.core.time_zones import time_zone

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _complaint(text: str) -> PydanticCustomError:
    return PydanticCustomError("setting", "{complaint}", {"complaint": text})


def _words(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(
            ipaddress.ip_network(part.strip(), strict=False)
            for part in value.split(",")
            if part.strip()
        )
    except ValueError:
        raise _complaint(
            "must be addresses and networks with commas between, such as 192.168.0.0/16"
        ) from None


def _prefixes(value: object) -> object:
    words = _words(value)
    if isinstance(words, tuple):
        for word in words:
            digits = str(word).removeprefix("+")
            if not (digits.isascii() and digits.isdigit()):
                raise _complaint("must be prefixes with commas between, such as +225,+263")
    return words


def _time_zone(value: object) -> object:
    if isinstance(value, str):
        try:
            time_zone(value)
        except ValueError:
            raise _complaint("must be a time zone such as Europe/Paris or UTC") from None
    return value


class GuardSettings(BaseSettings):
    guard: bool = Field(True, description="Limit and ban strangers that send SIP.")
    guard_exempt: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        (),
        description="Addresses and networks, with commas between, that are never limited or "
        "banned. Trunks never are.",
    )
    guard_scanners: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = Field(
        (), description="Further words, with commas between, by which a User-Agent is a scanner's."
    )
    guard_rate: float = Field(
        10.0, gt=0, le=10_000, description="New SIP requests per second of one stranger."
    )
    guard_burst: int = Field(
        30, ge=1, le=100_000, description="New SIP requests of one stranger at once."
    )
    guard_total_rate: float = Field(
        100.0, gt=0, le=100_000, description="New SIP requests per second of all strangers."
    )
    guard_trunk_rate: float = Field(
        1000.0, gt=0, le=100_000, description="New SIP requests per second of one trunk's address."
    )
    guard_offences: int = Field(
        20, ge=1, le=100_000, description="Refused requests within a minute that bring a ban."
    )
    guard_ban: float = Field(
        600.0, ge=1, le=86_400, description="Seconds of a first ban; each next one is doubled."
    )
    demo_calls_per_source: int = Field(
        20,
        ge=1,
        le=100_000,
        description="Calls that one address on the internet has with the demo agent at once.",
    )
    outbound_max_calls: int = Field(
        500, ge=0, le=100_000, description="Outbound calls of one account at once."
    )
    outbound_calls_per_second: float = Field(
        50.0, gt=0, le=10_000, description="Outbound calls per second of one account."
    )
    outbound_calls_per_day: int = Field(
        10_000, ge=0, le=100_000_000, description="Outbound calls of one account in a day."
    )
    outbound_cost_per_day: float | None = Field(
        None,
        ge=0,
        description="What one account's calls may cost in a day, by the rates of its trunks; "
        "unset: no limit.",
    )
    outbound_denied_prefixes: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_prefixes)] = (
        Field(
            (), description="Prefixes that no account may call, such as +225, with commas between."
        )
    )
    outbound_time_zone: Annotated[str, BeforeValidator(_time_zone)] = Field(
        "UTC", description="Time zone in which the day of the limits begins."
    )
    trunk_max_calls: int = Field(
        200, ge=0, le=100_000, description="Outbound calls of a trunk that names no limit itself."
    )
    trunk_max_inbound_calls: int = Field(
        500, ge=0, le=100_000, description="Inbound calls of a trunk that names no limit itself."
    )
