"""A REFER of the far end as its owner sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ringback.sip.errors import ParseError
from ringback.sip.headers import NameAddr
from ringback.sip.message import Request
from ringback.sip.refer import ReferTo


class Referral(ABC):
    """``accept`` or ``reject`` it, then tell how the new call goes.

    Every command may be given in every state and returns whether it had an effect. An owner that
    says nothing within 64*T1 has rejected it.
    """

    refer_to: ReferTo
    request: Request

    @property
    def referred_by(self) -> NameAddr | None:
        """Who transfers, as they say (RFC 3892); not verified."""
        text = self.request.headers.get("Referred-By")
        try:
            return NameAddr.parse(text, "Referred-By") if text is not None else None
        except ParseError:
            return None

    @property
    @abstractmethod
    def open(self) -> bool:
        """A command may still have an effect."""

    @abstractmethod
    def accept(self, *, now: float) -> bool:
        """202, and the NOTIFY with 100 that is due at once."""

    @abstractmethod
    def reject(self, status: int, reason: str | None = None, *, now: float) -> bool:
        """Refuse it; the call goes on."""

    @abstractmethod
    def report(self, status: int, reason: str = "", *, now: float) -> bool:
        """Tell of a response to the new call's INVITE; from 200 on it is the last."""
