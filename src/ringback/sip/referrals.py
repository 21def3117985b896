"""The transfers of one call: at most one that we ask for and one that the far end asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringback.sip.dialog import Dialog
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.events import ReferProgress, ReferReceived
from ringback.sip.exchange import Outcome
from ringback.sip.headers import NameAddr
from ringback.sip.incoming_requests import refuse_method
from ringback.sip.invite_session import ExtraHeaders, InviteSession
from ringback.sip.message import Request
from ringback.sip.refer import EVENT, EventType, ReferTo
from ringback.sip.refer_asker import ReferAsker
from ringback.sip.refer_follower import ReferFollower
from ringback.sip.refer_states import ReferStage
from ringback.sip.transaction import ServerTransaction

_SCHEMES = frozenset({"sip", "sips", "tel"})


class ReferHost(Protocol):
    """What a session does for its transfers."""

    core: EndpointCore

    def exchange(
        self,
        dialog: Dialog,
        method: str,
        headers: ExtraHeaders,
        body: bytes,
        done: Callable[[Outcome, float], None],
        now: float,
    ) -> None: ...

    def lost(self, now: float) -> None: ...


class Referrals:
    def __init__(self, host: ReferHost, session: InviteSession) -> None:
        self._host = host
        self._core = host.core
        self._session = session
        self._asker: ReferAsker | None = None
        self._referral: ReferFollower | None = None
        self._dialog: Dialog | None = None

    def stop(self, now: float) -> None:
        """The call is over, and with it what its transfers were told by."""
        if self._asker is not None:
            self._asker.stop()
        if self._referral is not None:
            self._referral.session_over(now)

    def receive(
        self, request: Request, transaction: ServerTransaction, dialog: Dialog, now: float
    ) -> None:
        """REFER, NOTIFY or SUBSCRIBE."""
        match request.method:
            case "REFER":
                self._receive_refer(request, transaction, dialog, now)
            case "NOTIFY":
                self._receive_notify(request, transaction, now)
            case _:
                self._receive_subscribe(request, transaction, now)

    # ---- ours ---------------------------------------------------------------------------------

    def refer(
        self,
        dialog: Dialog,
        refer_to: ReferTo,
        referred_by: NameAddr | None,
        headers: ExtraHeaders,
        now: float,
    ) -> bool:
        if self._asker is not None and self._asker.waiting:
            return False
        asker = self._asker = ReferAsker(self._core, self._report)
        by = (("Referred-By", str(referred_by)),) if referred_by is not None else ()
        extra: ExtraHeaders = (("Refer-To", str(refer_to)), *by, *headers)

        def done(outcome: Outcome, later: float) -> None:
            asker.answered(outcome, later)
            if outcome.status == 481:
                self._host.lost(later)

        self._host.exchange(dialog, "REFER", extra, b"", done, now)
        return True

    def _report(self, stage: ReferStage, status: int, reason: str) -> None:
        self._core.emit(ReferProgress(self._session, stage, status, reason))

    def _receive_notify(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        event = EventType.of(request)
        if event is None or event.package != EVENT:
            refuse_method(self._core, transaction, now, in_dialog=True)
            return
        known = self._asker is not None and self._asker.notified(request, now)
        self._core.reply(transaction, 200 if known else 481, now=now)

    # ---- theirs -------------------------------------------------------------------------------

    def _receive_refer(
        self, request: Request, transaction: ServerTransaction, dialog: Dialog, now: float
    ) -> None:
        try:
            refer_to = ReferTo.of(request)
        except ParseError as error:
            self._core.reply(transaction, 400, error.message, now=now)
            return
        if self._referral is not None and self._referral.open:
            self._core.reply(transaction, 491, now=now)
        elif refer_to.method != "INVITE":
            self._core.reply(transaction, 603, now=now)
        elif refer_to.target.scheme not in _SCHEMES:
            self._core.reply(transaction, 416, now=now)
        else:
            self._dialog = dialog
            self._referral = ReferFollower(self._core, self, transaction, refer_to, now)
            self._core.emit(ReferReceived(self._session, self._referral))

    def _receive_subscribe(
        self, request: Request, transaction: ServerTransaction, now: float
    ) -> None:
        """The implicit subscription is ended, or asked to go on (RFC 6665 4.1.2)."""
        event = EventType.of(request)
        if event is None or event.package != EVENT:
            refuse_method(self._core, transaction, now, in_dialog=True)
            return
        if self._referral is None or not self._referral.followed:
            self._core.reply(transaction, 481, now=now)
            return
        try:
            expires = request.expires
        except ParseError as error:
            self._core.reply(transaction, 400, error.message, now=now)
            return
        granted = 0 if expires == 0 else self._referral.seconds_left(now)
        self._core.reply(transaction, 200, headers=(("Expires", str(granted)),), now=now)
        if granted == 0:
            self._referral.unsubscribed(now)

    def send_notify(
        self, headers: ExtraHeaders, body: bytes, done: Callable[[Outcome, float], None], now: float
    ) -> None:
        if self._dialog is not None:
            self._host.exchange(self._dialog, "NOTIFY", headers, body, done, now)
