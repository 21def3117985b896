"""The early dialogs of a call that we place, one for each fork (RFC 3261 12.1, RFC 3262 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ringback.sip.dialog import Dialog
from ringback.sip.errors import ParseError
from ringback.sip.message import Response
from ringback.sip.peer_abilities import supports
from ringback.sip.reliable_provisionals import OPTION_TAG


class Provisional(StrEnum):
    """How a provisional response is to be taken."""

    PLAIN = "plain"
    RELIABLE = "reliable"
    """Owed a PRACK."""
    REPEATED = "repeated"
    """A retransmission, or one that came before its turn: to be ignored, it comes again."""


@dataclass(slots=True)
class EarlyDialog:
    """``sdp`` is the description of its responses that counts: a reliable one for good."""

    dialog: Dialog
    rseq: int | None = None
    sdp: bytes | None = None
    settled: bool = False
    """Offer and answer were exchanged reliably: either side may offer anew by UPDATE."""
    answered: bool = False
    """``sdp`` was the far end's offer, and ours answered it."""

    def take(self, response: Response) -> Provisional:
        """RFC 3262 4: the first RSeq may be any, each further one is the next number."""
        rseq = rseq_of(response)
        if rseq is None:
            return Provisional.PLAIN
        if self.rseq is not None and rseq != self.rseq + 1:
            return Provisional.REPEATED
        self.rseq = rseq
        return Provisional.RELIABLE

    def describe(self, sdp: bytes | None, *, reliable: bool) -> None:
        if sdp is None or self.settled:
            return
        self.sdp = sdp
        self.settled = reliable


def rseq_of(response: Response) -> int | None:
    """The number of a reliable provisional response; ``None``: it is none."""
    try:
        return response.rseq if supports(response, OPTION_TAG) else None
    except ParseError:
        return None


class EarlyDialogs:
    """By To tag; at most ``limit``, those that were given up included: should such a fork answer
    after all, the ACK and the BYE go on with the sequence numbers that its PRACKs began."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._dialogs: dict[str | None, EarlyDialog] = {}
        self._given_up: dict[str | None, EarlyDialog] = {}

    def __contains__(self, tag: str | None) -> bool:
        return tag in self._dialogs

    def __iter__(self) -> Iterator[EarlyDialog]:
        return iter(list(self._dialogs.values()))

    def __len__(self) -> int:
        return len(self._dialogs)

    @property
    def full(self) -> bool:
        return len(self._dialogs) + len(self._given_up) >= self._limit

    def get(self, tag: str | None) -> EarlyDialog | None:
        return self._dialogs.get(tag)

    def add(self, tag: str | None, dialog: Dialog) -> EarlyDialog:
        early = self._dialogs[tag] = EarlyDialog(dialog)
        return early

    def give_up(self, tag: str | None) -> EarlyDialog | None:
        """Nothing is expected of this fork any more; returns what there was of it."""
        early = self._dialogs.pop(tag, None)
        if early is not None:
            self._given_up[tag] = early
        return early

    def find(self, tag: str | None) -> EarlyDialog | None:
        """As ``get``, given up or not."""
        return self._dialogs.get(tag) or self._given_up.get(tag)

    def answered(self, tag: str | None) -> None:
        """This fork is early no more."""
        self._dialogs.pop(tag, None)
        self._given_up.pop(tag, None)

    def forget_given_up(self) -> None:
        """A new INVITE: the forks of the one before cannot answer it."""
        self._given_up.clear()
