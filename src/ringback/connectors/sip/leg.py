"""One phone leg: a SIP session, its offer/answer and its media session, kept in step.

``SipLeg`` holds what both directions share; ``inbound.py`` and ``outbound.py`` add how a leg
begins. The leg reports to the ``CallSink`` and tells the media plane what was negotiated. It is
over exactly once, with the event that ends its SIP session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from ringback.connectors.contract import (
    CallSink,
    Cause,
    LegControl,
    TracedMessage,
    TransferResult,
)
from ringback.connectors.sip.causes import cause_of_ending
from ringback.connectors.sip.directory import DtmfMode, Lease, Route, TrunkAccount
from ringback.connectors.sip.info_keys import InfoKeys
from ringback.connectors.sip.refer_out import ReferOut
from ringback.connectors.sip.reoffers import Reoffers
from ringback.connectors.sip.takeover import Takeover
from ringback.connectors.sip.terms import confined, dtmf_of_info, negotiated_audio, warning_of
from ringback.connectors.sip.trace import TraceBook
from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict
from ringback.media.plane import MediaPlane
from ringback.sip.audio_stream import NotAcceptable
from ringback.sip.endpoint import SipEndpoint
from ringback.sip.errors import SipError
from ringback.sip.events import (
    Acked,
    Answered,
    Cancelled,
    Ended,
    EndedBy,
    Event,
    InfoReceived,
    InviteFailed,
    OfferAnswered,
    OfferFailed,
    OfferReceived,
    OfferWithdrawn,
    ProvisionalReceived,
    ReferProgress,
    ReferReceived,
    RefreshDue,
    RequestCompleted,
)
from ringback.sip.headers import NameAddr, Reason
from ringback.sip.invite_session import Direction as CallDirection
from ringback.sip.invite_session import InviteSession
from ringback.sip.offer_answer import NegotiationState, OfferAnswer, StateError
from ringback.sip.refer import ReferTo
from ringback.sip.referral import Referral
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import Direction, SdpTooLarge

log = structlog.get_logger(__name__)

Q850_CAUSES = {
    EndReason.AGENT_HANGUP: (16, "Normal call clearing"),
    EndReason.SHUTDOWN: (41, "Temporary failure"),
    EndReason.MEDIA_TIMEOUT: (41, "Temporary failure"),
    EndReason.INTERNAL_ERROR: (41, "Temporary failure"),
    EndReason.CODEC_MISMATCH: (88, "Incompatible destination"),
    EndReason.ENCRYPTION_FAILED: (88, "Media encryption required"),
}
"""The Reason header (RFC 3326) of a BYE of ours; normal clearing for all others."""


class SipDriver(Protocol):
    """The part of the transport that a leg needs: the core, its clock, and a drain."""

    @property
    def endpoint(self) -> SipEndpoint: ...

    def now(self) -> float: ...

    def pump(self) -> None:
        """Drain the core: send, deliver events, arm the timer. Due after every command."""
        ...


class TransferDesk(Protocol):
    """What concerns more than one leg (``transfers.py`` implements it)."""

    def follow(self, leg: SipLeg, referral: Referral) -> None:
        """The far end of ``leg`` transfers us."""
        ...

    async def refer_to(
        self, leg: SipLeg, target: str, replaces: LegControl | None
    ) -> ReferTo | None:
        """Where to send the far end of ``leg``; ``None`` where it cannot do it itself. Raises
        ``InvalidRequest`` and ``Conflict`` as ``LegControl.transfer``."""
        ...


@dataclass(frozen=True, slots=True)
class LegServices:
    """What every leg works with. ``adopt`` enters a leg, by its SIP session, into the connector's
    books, so that the session's events reach it; ``forget`` takes a finished one out."""

    driver: SipDriver
    plane: MediaPlane
    sink: CallSink
    adopt: Callable[[SipLeg], None]
    forget: Callable[[SipLeg], None]
    desk: TransferDesk | None = None
    """Who follows REFERs; ``None``: nobody."""
    trace: TraceBook | None = None
    """Where the signalling of our calls is kept; ``None``: nowhere."""


class SipLeg:
    """Implements :class:`ringback.connectors.contract.LegControl` over one SIP session."""

    def __init__(self, services: LegServices) -> None:
        self.call_id = ""
        self.session: InviteSession | None = None
        self.negotiation: OfferAnswer | None = None
        self.over = False
        self.confined_to: str | None = None
        """The only host that is sent sound, for a caller whom no trunk vouches for."""
        self.lease: Lease | None = None
        """Our place among the calls that the trunk may carry."""
        self._services = services
        self._answered = False
        self._held = False
        self._our_reason: EndReason | None = None
        self._early_end: Cause | None = None
        self.media_id = ""
        """The media session of its audio: the call's, or its own until it takes over."""
        self.account_id = ""
        self.trunk_id: str | None = None
        self.terms: TrunkAccount | Route | None = None
        """What its trunk agreed to, for a leg that takes its place."""
        self.takeover: Takeover | None = None
        """Another leg that is about to take its place."""
        self._end: Cause | None = None
        """How its session ended, while another leg may still take its place."""
        self._retired = False
        self._begun_reoffers: Reoffers | None = None
        self._refer = ReferOut()
        self._begun_keys: InfoKeys | None = None
        self._mismatch = EndReason.CODEC_MISMATCH
        """Why the last answer could not be used."""

    @property
    def _reoffers(self) -> Reoffers:
        """Most calls are over without another offer, and without a key by INFO."""
        if self._begun_reoffers is None:
            self._begun_reoffers = Reoffers(self)
        return self._begun_reoffers

    @property
    def _keys(self) -> InfoKeys:
        if self._begun_keys is None:
            self._begun_keys = InfoKeys(self)
        return self._begun_keys

    def take_place(self, lease: Lease | None) -> None:
        """Hold ``lease`` until the leg is over."""
        self.lease = lease
        if self.over:
            self.give_back()

    def give_back(self) -> None:
        if self.lease is not None:
            self.lease.release()

    # ---- LegControl -------------------------------------------------------------------------

    async def ring(self) -> None:
        """Inbound legs ring; an outbound one has nobody to tell."""

    async def accept(self) -> None:
        """Inbound legs answer; an outbound one is answered by the far end."""

    async def reject(self, reason: EndReason) -> None:
        await self.hang_up(reason)

    async def hang_up(self, reason: EndReason) -> None:
        self._hang_up(reason)

    def trace(self) -> Sequence[TracedMessage]:
        """The signalling of the call so far, that of its former legs too."""
        book = self._services.trace
        return book.of_call(self.call_id) if book is not None else ()

    def _hang_up(self, reason: EndReason, status: int = 480) -> None:
        """End the SIP session, or the leg alone where there is none yet."""
        if self.over:
            return
        self._our_reason = self._our_reason or reason
        if self._end is not None:
            self._end = Cause(reason)
        if self.takeover is not None:
            self.takeover.abort(reason)
        if self.session is None:
            self._finish(Cause(reason))
            return
        q850, text = Q850_CAUSES.get(reason, (16, "Normal call clearing"))
        now = self._services.driver.now()
        self.session.hang_up(status=status, reasons=(Reason("Q.850", q850, text),), now=now)
        self._services.driver.pump()

    @property
    def services(self) -> LegServices:
        return self._services

    # ---- while it is answered ---------------------------------------------------------------

    @property
    def answered(self) -> bool:
        """It is, and its session is not over."""
        return self._answered and self.session is not None and not self.session.ended

    async def hold(self) -> None:
        await self._reoffers.turn(Direction.SENDONLY)

    async def resume(self) -> None:
        await self._reoffers.turn(Direction.SENDRECV)

    @property
    def dtmf_method(self) -> str:
        return self.terms.dtmf_mode.value if self.terms is not None else DtmfMode.AUTO.value

    async def send_dtmf(self, digits: str) -> None:
        await self._keys.press(digits)

    async def transfer(self, target: str, replaces: LegControl | None = None) -> TransferResult:
        if not self.answered or self._services.desk is None:
            raise Conflict("The call is not active.", code="call_not_active")
        refer_to = await self._services.desk.refer_to(self, target, replaces)
        if refer_to is None:
            return TransferResult(False, True, 488, "The two calls are on different trunks")
        result = self._refer.begin()
        if self.session is None or not self.session.refer(
            refer_to, referred_by=self.identity, now=self.now()
        ):
            self._refer.stop()
            raise Conflict("The call cannot be transferred now.", code="transfer_in_progress")
        self.pump()
        return await result

    @property
    def identity(self) -> NameAddr | None:
        """Who we are in the session."""
        if self.session is None:
            return None
        invite = self.session.invite
        mine = invite.from_ if self.session.direction is CallDirection.OUTBOUND else invite.to
        return mine.without_tag()

    def now(self) -> float:
        return self._services.driver.now()

    def pump(self) -> None:
        self._services.driver.pump()

    # ---- the SIP session's events -----------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Act on one event of this leg's session. Called by the driver's drain: never blocks."""
        match event:
            case ProvisionalReceived():
                self._on_provisional(event)
            case Answered():
                self._on_answered(event)
            case Acked():
                self._on_acked(event)
            case OfferReceived():
                self._on_offer(event)
            case OfferWithdrawn():
                self._rollback()
            case OfferFailed():
                self._rollback()
                self._reoffers.settled(event)
            case OfferAnswered():
                self._on_offer_answered(event)
            case InfoReceived():
                self._on_info(event)
            case InviteFailed() | Cancelled() | Ended():
                self._on_ending(event)
            case RefreshDue():
                self._reoffers.refresh()
            case RequestCompleted():
                self._keys.completed(event)
            case ReferProgress():
                self._refer.progress(event)
            case ReferReceived():
                self._on_refer(event)
            case _:
                log.debug("sip event without effect", sip_event=type(event).__name__)

    def _on_provisional(self, event: ProvisionalReceived) -> None:
        raise StateError("a provisional response to no call of ours")

    def _on_answered(self, event: Answered) -> None:
        raise StateError("an answer to no call of ours")

    def _on_acked(self, event: Acked) -> None:
        """The caller has our answer; with a late offer, theirs is in the ACK."""
        if event.sdp is not None and self._awaits_answer():
            self._take_answer(event.sdp)
        if self._awaits_answer():
            self._hang_up(self._mismatch)
            return
        self._report_answered()

    def _on_offer(self, event: OfferReceived) -> None:
        """re-INVITE or UPDATE: hold, resume, another codec or address, or a keepalive."""
        if self.session is None or self.negotiation is None:
            return
        now = self._services.driver.now()
        try:
            if event.sdp is None:
                self.session.respond_offer(bytes(self.negotiation.offer()), now=now)
            else:
                negotiation = self.negotiation.without_own_offer()
                negotiation.receive_offer(SessionDescription.parse(event.sdp))
                answer = negotiation.answer()
                self.negotiation = negotiation
                self.session.respond_offer(bytes(answer), now=now)
                self._apply_negotiated()
        except NotAcceptable as refusal:
            log.info("re-offer refused", call_id=self.call_id, why=str(refusal))
            self.session.reject_offer(488, headers=(warning_of(refusal),), now=now)
        except StateError:
            self.session.reject_offer(491, now=now)
        except SdpTooLarge:
            self.session.reject_offer(413, now=now)
        except SipError as error:
            log.info("re-offer unreadable", call_id=self.call_id, why=str(error))
            self.session.reject_offer(400, "Bad SDP", now=now)

    def _on_offer_answered(self, event: OfferAnswered) -> None:
        if event.sdp is not None and self._awaits_answer():
            self._take_answer(event.sdp)
        if self._awaits_answer() and self.session is not None:
            self._rollback()
            unusable = OfferFailed(self.session, 488, "the answer cannot be used", None)
            self._reoffers.settled(unusable)
        else:
            self._reoffers.settled(None)

    def _rollback(self) -> None:
        pending = (NegotiationState.LOCAL_OFFER, NegotiationState.REMOTE_OFFER)
        if self.negotiation is not None and self.negotiation.state in pending:
            self.negotiation.rollback()

    def _on_info(self, event: InfoReceived) -> None:
        key = dtmf_of_info(event.content_type, event.body)
        if key is not None and not self.over and not self._retired:
            self._services.sink.leg_dtmf(self.call_id, *key)

    # ---- media ------------------------------------------------------------------------------

    def _awaits_answer(self) -> bool:
        return (
            self.negotiation is not None and self.negotiation.state is NegotiationState.LOCAL_OFFER
        )

    def _take_answer(self, sdp: bytes) -> bool:
        """Apply the peer's answer; ``False`` where it cannot be read or agrees on nothing."""
        if self.negotiation is None:
            return False
        try:
            self.negotiation.receive_answer(SessionDescription.parse(sdp))
        except SipError as error:
            if isinstance(error, NotAcceptable):
                self._mismatch = mismatch_of(error)
            log.info("answer not usable", call_id=self.call_id, why=str(error))
            return False
        self._apply_negotiated()
        return True

    def _apply_negotiated(self) -> None:
        result = self.negotiation.negotiated if self.negotiation else None
        if result is None or not self.media_id:
            return
        audio = negotiated_audio(result, events=self.dtmf_method != DtmfMode.INBAND)
        if self.confined_to is not None:
            audio = confined(audio, self.confined_to)
        self._services.plane.negotiate(self.media_id, audio)
        self._report_hold()

    def _report_hold(self) -> None:
        """Tell when the far end holds or resumes; a call may be answered on hold."""
        result = self.negotiation.negotiated if self.negotiation else None
        if not self._answered or result is None or result.held_by_remote == self._held:
            return
        self._held = result.held_by_remote
        self._services.plane.set_hold(self.media_id, self._held)
        self._services.sink.leg_held(self.call_id, self._held)

    # ---- reporting --------------------------------------------------------------------------

    def bind(self, call_id: str) -> bool:
        """The call has its id. ``False`` when the far end gave up meanwhile: reported now."""
        self.call_id = self.media_id = call_id
        if self._services.trace is not None and self.session is not None:
            self._services.trace.adopt(self.session.call_id, call_id)
        if self._early_end is not None:
            if self._services.trace is not None:
                self._services.trace.finish(call_id)
            self._services.sink.leg_ended(call_id, self._early_end)
            return False
        return True

    def _report_answered(self) -> None:
        if not self._answered and not self.over:
            self._answered = True
            if self.lease is not None:
                self.lease.answered()
            self._services.sink.leg_answered(self.call_id)
            self._report_hold()

    def _on_ending(self, event: InviteFailed | Cancelled | Ended) -> None:
        by_far_end = isinstance(event, Ended) and event.by is EndedBy.REMOTE
        if by_far_end and self._refer.hung_up():
            self._finish(Cause(EndReason.TRANSFERRED))
        else:
            self._finish(cause_of_ending(event, self._our_reason))

    def _finish(self, cause: Cause) -> None:
        if self.over:
            return
        self.give_back()
        if self._begun_reoffers is not None:
            self._begun_reoffers.stop()
        self._refer.stop()
        if self._begun_keys is not None:
            self._begun_keys.stop()
        if self.takeover is not None and not self.takeover.over:
            self._end = cause  # another leg may still go on with the call
            return
        self.over = True
        self._services.forget(self)
        if self._retired:
            return
        if self.call_id:
            if self._services.trace is not None and self.media_id == self.call_id:
                self._services.trace.finish(self.call_id)
            self._services.sink.leg_ended(self.call_id, cause)
        else:
            self._early_end = cause

    # ---- another leg in its place -----------------------------------------------------------

    def retire(self) -> None:
        """Another leg has the call and its audio: report nothing more."""
        self._retired = True
        self.media_id = ""
        self.takeover = None
        if self._end is not None:
            self._finish(self._end)

    def takeover_failed(self) -> None:
        """The call goes on with this leg, or ends as this leg did."""
        self.takeover = None
        if self._end is not None:
            self._finish(self._end)

    def settle(self, call_id: str, sink: CallSink) -> None:
        """It has taken over: from now on it is the leg of ``call_id`` and reports to ``sink``."""
        self.call_id = self.media_id = call_id
        self._services = replace(self._services, sink=sink)

    def give_up(self, reason: EndReason) -> None:
        """End the leg, whatever its state."""
        self._hang_up(reason)

    def _on_refer(self, event: ReferReceived) -> None:
        if self._services.desk is not None and not self._retired:
            self._services.desk.follow(self, event.referral)
        else:
            event.referral.reject(603, now=self.now())


def mismatch_of(error: NotAcceptable) -> EndReason:
    """What an offer or answer that agrees on nothing ends a call with."""
    return EndReason.ENCRYPTION_FAILED if error.encryption else EndReason.CODEC_MISMATCH
