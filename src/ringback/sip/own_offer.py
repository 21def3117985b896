"""One offer of ours within a call, by re-INVITE or UPDATE, until it is settled (RFC 3261 14.1,
RFC 3311 5.1).

491 is met with the random time of 14.1, 500 with its Retry-After, 422 with a longer session
timer, a challenge with credentials; each within bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ringback.sip.authentication import Authenticator
from ringback.sip.bodies import SDP
from ringback.sip.dialog import Dialog
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.exchange import Exchange, Outcome
from ringback.sip.headers import NameAddr
from ringback.sip.invite_attempt import InviteAttempt
from ringback.sip.invite_session import Direction, ExtraHeaders
from ringback.sip.message import Request, Response
from ringback.sip.session_timer import SessionTimer
from ringback.sip.timers import Timer
from ringback.sip.transaction import TransactionFailure
from ringback.sip.transport import Flow, Hop

MAX_OFFER_RETRIES = 4
"""How often one offer of ours is made again after 491 or 500."""
MAX_RETRY_AFTER = 10
"""Seconds; 0 to this is what we let a peer wait whose offer came at a bad time, and the most
that we wait ourselves (14.2, RFC 3311 5.2)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """``method`` is INVITE or UPDATE."""

    method: str
    sdp: bytes
    headers: ExtraHeaders
    dialog: Dialog


class OfferHost(Protocol):
    """Whose offer it is."""

    core: EndpointCore
    authenticator: Authenticator
    direction: Direction
    timer: SessionTimer

    def local_contact(self, hop: Hop) -> NameAddr: ...


class OfferHandler(Protocol):
    """What becomes of it: exactly one of the two is called, and nothing after ``abandon``."""

    def offer_answered(self, offer: OwnOffer, response: Response, now: float) -> None: ...

    def offer_failed(
        self, offer: OwnOffer, status: int, response: Response | None, gone: bool, now: float
    ) -> None:
        """``response`` is ``None`` for a timeout (408) and where nothing could be sent (503).
        ``gone``: the peer does not know the dialog, or does not answer at all (12.2.1.2)."""
        ...

    @property
    def peer_offers(self) -> bool:
        """An offer of the peer's waits for its answer."""
        ...


class OwnOffer:
    def __init__(self, host: OfferHost, handler: OfferHandler, proposal: Proposal) -> None:
        self.proposal = proposal
        self.outdated = False
        """The peer's offer was accepted while ours waited: its owner has to make a new one."""
        self._host = host
        self._core = host.core
        self._handler = handler
        self._round = host.authenticator.round()
        self._retries = 0
        self._attempt: InviteAttempt | None = None
        self._exchange: Exchange | None = None
        self._timer: Timer | None = None
        self._over = False

    @property
    def on_the_way(self) -> bool:
        """It was sent and has no final response; ``False`` while it waits to be sent again."""
        return self._attempt is not None or self._exchange is not None

    def start(self, now: float) -> None:
        self._core.route(self.proposal.dialog, self._send, now)

    def abandon(self) -> None:
        """Nobody wants to know any more. A re-INVITE's answer is still acknowledged."""
        self._over = True
        self._core.queue.cancel(self._timer)
        self._timer = None

    # ---- sending ------------------------------------------------------------------------------

    def _send(self, destinations: tuple[Flow, ...], now: float) -> None:
        if self._over:
            return
        if not destinations:
            self._fail(503, None, now)
        elif self.proposal.method == "INVITE":
            self._send_invite(destinations[0], now)
        else:
            self._exchange = Exchange(self._core, self._build, self._round, self._update_done)
            self._exchange.start(destinations, now)

    def _send_invite(self, destination: Flow, now: float) -> None:
        request = self._build(destination)
        self._round.authorize(request)
        self._attempt = InviteAttempt(self._core, request, destination, self, self.proposal.dialog)
        self._attempt.start(now)  # its Timer B is set before, and so fires before, the next one
        self._run(now + self._core.config.timers.give_up, self._no_final_response)

    def _build(self, destination: Flow) -> Request:
        wish = self.proposal
        request = wish.dialog.request(wish.method)
        request.headers.add("Contact", self._host.local_contact(destination.hop))
        request.headers.add("Allow", self._core.config.allow)
        request.headers.add("Supported", self._core.config.supports)
        for name, value in (*self._host.timer.request_headers(), *wish.headers):
            request.headers.add(name, value)
        request.headers.add("Content-Type", SDP)
        request.body = wish.sdp
        return request

    # ---- what the re-INVITE comes to ----------------------------------------------------------

    def answered(self, attempt: InviteAttempt, response: Response, flow: Flow, now: float) -> None:
        if self._over or attempt is not self._attempt:
            attempt.acknowledge(now)  # given up meanwhile, but the peer must hear of it
            return
        refresh_target(self.proposal.dialog, response)
        attempt.acknowledge(now)
        self._succeed(response, now)

    def rejected(self, attempt: InviteAttempt, response: Response, flow: Flow, now: float) -> None:
        if self._over or attempt is not self._attempt:
            return
        if self._round.answer(response):
            self._send((attempt.destination,), now)
        else:
            self._refused(response, now)

    def failed(self, attempt: InviteAttempt, failure: TransactionFailure, now: float) -> None:
        if not self._over and attempt is self._attempt:
            self._fail(408 if failure is TransactionFailure.TIMEOUT else 503, None, now)

    def provisional(
        self, attempt: InviteAttempt, response: Response, flow: Flow, now: float
    ) -> None:
        """The final response is what counts."""

    def over(self, attempt: InviteAttempt, now: float) -> None:
        """The answer was acknowledged long ago."""

    def _no_final_response(self, now: float) -> None:
        """It rings at the other end, as it were: the call goes on without the offer."""
        if self._attempt is not None:
            self._attempt.cancel((), now)
            self._fail(408, None, now, gone=False)

    # ---- what the UPDATE comes to -------------------------------------------------------------

    def _update_done(self, outcome: Outcome, now: float) -> None:
        self._exchange = None
        if self._over:
            return
        response = outcome.response
        if response is None:
            self._fail(outcome.status, None, now)
        elif response.is_success:
            refresh_target(self.proposal.dialog, response)
            self._succeed(response, now)
        else:
            self._refused(response, now)

    # ---- both ---------------------------------------------------------------------------------

    def _refused(self, response: Response, now: float) -> None:
        wait = self._wait_after(response)
        if wait is not None and self._retries < MAX_OFFER_RETRIES:
            self._retries += 1
            self._attempt = None
            self.outdated = False
            self._run(now + wait, self._again)
        else:
            self._fail(response.status, response, now)

    def _wait_after(self, response: Response) -> float | None:
        """Seconds until the offer may be made again, ``None`` where it is refused for good."""
        if response.status == 491:
            return self._glare_wait()
        if response.status == 422 and self._host.timer.lengthen(response):
            return 0.0
        if response.status == 500:
            try:
                retry_after = response.retry_after
            except ParseError:
                return None
            if retry_after is not None and retry_after.seconds <= MAX_RETRY_AFTER:
                return float(retry_after.seconds)
        return None

    def _glare_wait(self) -> float:
        """14.1: 2.1 to 4 s if the Call-ID is ours, else up to 2 s, in steps of 10 ms."""
        if self._host.direction is Direction.OUTBOUND:
            return 2.1 + int(self._core.random() * 191) / 100
        return int(self._core.random() * 201) / 100

    def _again(self, now: float) -> None:
        self._timer = None
        if self.outdated or self._handler.peer_offers:
            self._fail(491, None, now)
        else:
            self._core.route(self.proposal.dialog, self._send, now)

    def _succeed(self, response: Response, now: float) -> None:
        self.abandon()
        self._host.timer.answered(response, now)
        self._handler.offer_answered(self, response, now)

    def _fail(
        self, status: int, response: Response | None, now: float, gone: bool | None = None
    ) -> None:
        self.abandon()
        lost = status in (408, 481) if gone is None else gone
        self._handler.offer_failed(self, status, response, lost, now)

    def _run(self, when: float, then: Callable[[float], None]) -> None:
        self._core.queue.cancel(self._timer)
        self._timer = self._core.queue.start(when, then)


def refresh_target(dialog: Dialog, message: Request | Response) -> None:
    """Take the Contact of ``message``; an unreadable one leaves the target as it was."""
    try:
        dialog.refresh_target(message)
    except ParseError:
        return
