"""Whether a destination may be dialled over a trunk at this hour. Pure: the time comes in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from datetime import time as time_of_day

from ringback.core.errors import Forbidden
from ringback.core.time_zones import time_zone
from ringback.telephony.destinations import Destination, DestinationClass
from ringback.telephony.limit_schemas import NightRule, TrunkLimits

CODES: Mapping[DestinationClass, str] = {
    DestinationClass.EMERGENCY: "emergency_denied",
    DestinationClass.PREMIUM: "premium_denied",
    DestinationClass.SHARED_COST: "premium_denied",
    DestinationClass.SATELLITE: "satellite_denied",
    DestinationClass.ONE_RING: "destination_denied",
    DestinationClass.INTERNATIONAL: "destination_denied",
}
"""The error code for each kind of destination; the first of these that applies is given."""

_WORDS: Mapping[DestinationClass, str] = {
    DestinationClass.EMERGENCY: "an emergency number",
    DestinationClass.PREMIUM: "a premium rate number",
    DestinationClass.SHARED_COST: "a shared cost number",
    DestinationClass.SATELLITE: "a satellite or international network number",
    DestinationClass.ONE_RING: "in a range known for call-back fraud",
    DestinationClass.INTERNATIONAL: "outside of the trunk's country",
}


def check_destination(
    destination: Destination,
    limits: TrunkLimits,
    trunk_id: str,
    now: datetime,
    node_denied: tuple[str, ...] = (),
) -> None:
    """Raises ``Forbidden`` with the code of the rule that says no, and how to lift it."""
    where = f"PATCH /api/trunks/{trunk_id}"
    for kind, code in CODES.items():
        if kind in destination.classes and kind.value in limits.denied_classes:
            raise Forbidden(
                f"{destination.shown} is {_WORDS[kind]}, which this trunk may not call.",
                code=code,
                hint=f"To allow it, take `{kind.value}` out of `limits.denied_classes`: {where}.",
            )
    if any(destination.begins_with(prefix) for prefix in node_denied):
        raise _denied(destination, "RINGBACK_OUTBOUND_DENIED_PREFIXES denies it to everybody.")
    if any(destination.begins_with(prefix) for prefix in limits.denied_prefixes):
        raise _denied(destination, f"It is in `limits.denied_prefixes`: {where}.")
    allowed = limits.allowed_prefixes
    if allowed and not destination.lies_within(allowed):
        raise _denied(destination, f"It is not in `limits.allowed_prefixes`: {where}.")
    _check_night(destination, limits.night_rule, now, where)


def _denied(destination: Destination, hint: str) -> Forbidden:
    return Forbidden(
        f"{destination.shown} may not be called over this trunk.",
        code="destination_denied",
        hint=hint,
    )


def _check_night(
    destination: Destination, night: NightRule | None, now: datetime, where: str
) -> None:
    if night is None or not is_night(night, now):
        return
    if not destination.lies_within(night.allowed_prefixes):
        raise Forbidden(
            f"{destination.shown} may not be called between {night.begins} and {night.ends} "
            f"({night.time_zone}).",
            code="night_rule",
            hint=f"Call later, or change `limits.night_rule`: {where}.",
        )


def is_night(night: NightRule, now: datetime) -> bool:
    """Whether ``now`` (aware) lies within the hours of the rule; equal ends mean all day."""
    at = now.astimezone(time_zone(night.time_zone)).time()
    begins, ends = time_of_day.fromisoformat(night.begins), time_of_day.fromisoformat(night.ends)
    if begins < ends:
        return begins <= at < ends
    return at >= begins or at < ends
