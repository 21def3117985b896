"""How each trunk fares, as the SIP connector last said. In memory: it is true only while we run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ringback.core.clock import Clock


class RegistrationStatus(StrEnum):
    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TrunkStatus:
    """``reason`` is a sentence; ``expires_in`` seconds until the registration runs out."""

    status: RegistrationStatus
    reason: str
    since: datetime | None
    expires_in: float | None = None


STARTING = "Not tried yet."
TRYING = "The trunk was saved and is being tried."
DISABLED = "The trunk is switched off."
DOES_NOT_REGISTER = "The trunk does not register: its calls are known by their addresses."


@dataclass(frozen=True, slots=True)
class _Reported:
    status: RegistrationStatus
    reason: str
    since: datetime
    expires_at: float | None


class RegistrationBoard:
    """The last word on every trunk. ``changed`` is called when status or reason change, not when
    a registration is merely refreshed."""

    def __init__(self, clock: Clock, changed: Callable[[str, TrunkStatus], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._reports: dict[str, _Reported] = {}

    def report(
        self,
        trunk_id: str,
        status: RegistrationStatus,
        reason: str,
        expires_in: float | None = None,
    ) -> None:
        last = self._reports.get(trunk_id)
        same_status = last is not None and last.status is status
        since = last.since if last is not None and same_status else self._clock.now()
        expires_at = None if expires_in is None else self._clock.monotonic() + expires_in
        self._reports[trunk_id] = _Reported(status, reason, since, expires_at)
        if last is None or not same_status or last.reason != reason:
            self._changed(trunk_id, self.get(trunk_id))

    def forget(self, trunk_id: str) -> None:
        """The trunk was edited or removed: what was known no longer holds."""
        self._reports.pop(trunk_id, None)

    def get(self, trunk_id: str) -> TrunkStatus:
        report = self._reports.get(trunk_id)
        if report is None:
            return TrunkStatus(RegistrationStatus.UNKNOWN, STARTING, None)
        left: float | None = None
        if report.expires_at is not None:
            left = max(0.0, round(report.expires_at - self._clock.monotonic(), 1))
        return TrunkStatus(report.status, report.reason, report.since, left)

    def is_down(self, trunk_id: str) -> bool:
        report = self._reports.get(trunk_id)
        return report is not None and report.status is RegistrationStatus.UNREGISTERED
