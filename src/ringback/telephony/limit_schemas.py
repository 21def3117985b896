"""The limits of a trunk as they cross the API and as they are stored."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from ringback.core.http import ApiModel, rule
from ringback.core.time_zones import time_zone
from ringback.telephony.destinations import DestinationClass

MAX_PREFIXES = 1000
MAX_RATES = 5000

ClassName = Literal["emergency", "premium", "shared_cost", "satellite", "one_ring", "international"]
DENIED_BY_DEFAULT: tuple[ClassName, ...] = ("emergency", "premium", "shared_cost", "satellite")


def _prefix(text: str) -> str:
    text = text.strip().replace(" ", "")
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise rule("must be the beginning of a number: +33, or 10 for extensions of a PBX")
    return text


def _time_zone(name: str) -> str:
    try:
        time_zone(name)
    except ValueError:
        raise rule("must be a time zone such as Europe/Paris or UTC") from None
    return name


def _clock_time(text: str) -> str:
    try:
        return time.fromisoformat(text).strftime("%H:%M")
    except ValueError:
        raise rule("must be a time of day such as 22:00") from None


Prefix = Annotated[str, StringConstraints(min_length=1, max_length=16), AfterValidator(_prefix)]
Prefixes = Annotated[list[Prefix], Field(max_length=MAX_PREFIXES)]
TimeZone = Annotated[
    str, StringConstraints(min_length=1, max_length=64), AfterValidator(_time_zone)
]
ClockTime = Annotated[str, StringConstraints(max_length=8), AfterValidator(_clock_time)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]
Price = Annotated[float, Field(ge=0, le=1_000_000)]


class NightRule(ApiModel):
    """Hours in which only some destinations may be called."""

    begins: ClockTime = Field(default="22:00", description="Time of day, in `time_zone`.")
    ends: ClockTime = Field(default="06:00", description="Before `begins`: on the next morning.")
    time_zone: TimeZone = Field(default="UTC", examples=["Europe/Paris"])
    allowed_prefixes: Prefixes = Field(
        default_factory=list, description="What may be called all the same. Empty: nothing."
    )


class TrunkLimits(ApiModel):
    """What may be dialled over a trunk, and how much. Null is the node's default."""

    max_calls: Count | None = Field(default=None, description="Outbound calls at once.")
    max_inbound_calls: Count | None = Field(default=None, description="Inbound calls at once.")
    calls_per_second: Annotated[float, Field(gt=0, le=10_000)] | None = Field(
        default=None, description="Outbound calls per second; more are refused, not queued."
    )
    calls_per_day: Count | None = Field(default=None, description="Outbound calls in a day.")
    cost_per_day: Price | None = Field(
        default=None, description="What the calls of a day may cost, by `rates`."
    )
    rates: Annotated[dict[Prefix, Price], Field(max_length=MAX_RATES)] = Field(
        default_factory=dict,
        description="Price per minute by prefix, in any currency. The longest prefix counts; a "
        "destination without a rate costs nothing.",
        examples=[{"+33": 0.01, "+336": 0.03}],
    )
    allowed_prefixes: Prefixes = Field(
        default_factory=list,
        description="What may be called. Empty: everything that is not denied.",
        examples=[["+33", "+32"]],
    )
    denied_prefixes: Prefixes = Field(
        default_factory=list, description="What may not be called.", examples=[["+225"]]
    )
    denied_classes: list[ClassName] = Field(
        default_factory=lambda: list(DENIED_BY_DEFAULT),
        max_length=len(DestinationClass),
        description="Kinds of destinations that may not be called. `one_ring` are Caribbean codes "
        "that look domestic in the USA, and others known for call-back fraud.",
    )
    night_rule: NightRule | None = Field(
        default=None, description="Hours in which less may be called. Null: none."
    )
