"""One transfer of a call: what was asked for and how far it has got. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from ringback.calls.states import Party
from ringback.core.end_reason import EndReason

MAX_KEPT = 32
"""Transfers that a call's record keeps; the oldest go first."""


class TransferMode(StrEnum):
    """How the person gets there. ``AUTO`` is a wish alone: ``REFER``, and where the far end
    refuses that, ``BRIDGE``."""

    AUTO = "auto"
    REFER = "refer"
    """The far end places the new call, and we are out of it (RFC 3515)."""
    BRIDGE = "bridge"
    """We place it, join the two and stay in the middle."""


class TransferState(StrEnum):
    REQUESTED = "requested"
    TRYING = "trying"
    RINGING = "ringing"
    DONE = "done"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return not STEPS[self]


_S = TransferState

STEPS: dict[TransferState, frozenset[TransferState]] = {
    _S.REQUESTED: frozenset({_S.TRYING, _S.RINGING, _S.DONE, _S.FAILED}),
    _S.TRYING: frozenset({_S.TRYING, _S.RINGING, _S.DONE, _S.FAILED}),
    _S.RINGING: frozenset({_S.TRYING, _S.DONE, _S.FAILED}),
    _S.DONE: frozenset(),
    _S.FAILED: frozenset(),
}
"""Which state may follow which. Trying follows itself when bridging takes over from REFER."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """``by`` is who wants it. ``mode`` is the way being tried, in the end the way that was taken.

    ``reason`` of one that failed is an :class:`EndReason` value or the code of an error;
    ``to_call_id`` is the call at the other end where there is one here.
    """

    at: datetime
    by: Party
    target: str
    mode: TransferMode
    state: TransferState = TransferState.REQUESTED
    to_call_id: str | None = None
    sip_code: int | None = None
    reason: str | None = None
    text: str = ""

    def step(self, state: TransferState, **changes: Any) -> Transfer:
        """The transfer in ``state``; the same object where that cannot follow."""
        if state not in STEPS[self.state]:
            return self
        return replace(self, state=state, **changes)

    def as_data(self) -> dict[str, Any]:
        """Plain data, for the record and the API."""
        return {
            "at": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "by": self.by.value,
            "target": self.target,
            "mode": self.mode.value,
            "state": self.state.value,
            "to_call_id": self.to_call_id,
            "sip_code": self.sip_code,
            "reason": self.reason,
            "reason_text": self.text,
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Transfer:
        """What :meth:`as_data` made."""
        return cls(
            at=datetime.fromisoformat(data["at"]),
            by=Party(data["by"]),
            target=data["target"],
            mode=TransferMode(data["mode"]),
            state=TransferState(data["state"]),
            to_call_id=data["to_call_id"],
            sip_code=data["sip_code"],
            reason=data["reason"],
            text=data["reason_text"],
        )


def reason_of_status(status: int) -> EndReason:
    """Why a call that the far end placed for us failed, by its SIP status."""
    if status in _REASONS:
        return _REASONS[status]
    return EndReason.DECLINED if status >= 600 else EndReason.UNAVAILABLE


_REASONS = {
    401: EndReason.NOT_ALLOWED,
    403: EndReason.NOT_ALLOWED,
    404: EndReason.INVALID_NUMBER,
    407: EndReason.NOT_ALLOWED,
    408: EndReason.NO_ANSWER,
    410: EndReason.INVALID_NUMBER,
    416: EndReason.INVALID_NUMBER,
    484: EndReason.INVALID_NUMBER,
    486: EndReason.BUSY,
    487: EndReason.NO_ANSWER,
    488: EndReason.CODEC_MISMATCH,
    600: EndReason.BUSY,
    603: EndReason.DECLINED,
    604: EndReason.INVALID_NUMBER,
    606: EndReason.CODEC_MISMATCH,
}
