"""A phone of our own parts: a SIP endpoint, offer and answer, and an RTP session, without sockets.

It does what a connector does with them, in the shortest way: answers calls, agrees to offers,
sends a tone while there is a call, and keeps what it saw.
"""

from __future__ import annotations

import math
import struct
from random import Random

from ringback.connectors.sip.terms import negotiated_audio
from ringback.media.metrics import MediaCounters
from ringback.media.rtp_session import RtpIdentity, RtpSession
from ringback.sip.audio_stream import LocalMedia, Negotiated, NotAcceptable
from ringback.sip.endpoint import SipEndpoint
from ringback.sip.endpoint_config import EndpointConfig
from ringback.sip.errors import SipError
from ringback.sip.events import (
    ENDING_EVENTS,
    Acked,
    Answered,
    Event,
    IncomingInvite,
    OfferAnswered,
    OfferFailed,
    OfferReceived,
    OfferWithdrawn,
    RefreshDue,
)
from ringback.sip.headers import NameAddr
from ringback.sip.invite_session import InviteRequest, InviteSession
from ringback.sip.offer_answer import NegotiationState, OfferAnswer, StateError
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import Direction
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from sim.network import Address, Network

SIP_PORT = 5060
RTP_PORT = 4000
TICK = 0.02
_FRAME = struct.pack("<160h", *(int(9000 * math.sin(2 * math.pi * n / 32)) for n in range(160)))
"""20 ms of 250 Hz."""


class Phone:
    """One end of one call at a time. ``drift`` is how much faster its clock runs (1e-6 is ppm)."""

    def __init__(
        self,
        host: str,
        network: Network,
        seed: int,
        *,
        drift: float = 0.0,
        config: EndpointConfig | None = None,
        speaks: bool = True,
        auto_answer: bool = True,
    ) -> None:
        random = Random(f"{seed} {host}")
        self.host = host
        self.seen: list[Event] = []
        self.session: InviteSession | None = None
        self.negotiation: OfferAnswer | None = None
        self.counters = MediaCounters()
        self.heard = 0
        """Frames with sound."""
        self.ticks = 0
        self.auto_answer = auto_answer
        self._network = network
        self._world = network.world
        self._tokens = 0
        self._talking = False
        self.endpoint = SipEndpoint(config or EndpointConfig(), self, self._token, random.random)
        self.rtp = RtpSession(
            RtpIdentity(random.getrandbits(32), 1, 1, host.encode()),
            8000,
            self.counters,
            send_rtp=lambda data, to: network.send(data, (host, RTP_PORT), to[:2]),
            send_rtcp=lambda data, to: network.send(data, (host, RTP_PORT + 1), to[:2]),
            on_dtmf=lambda event: None,
            random=random.random,
        )
        network.listen(host, self._deliver)
        self._world.attach(self)
        if speaks:
            self._world.every(TICK / (1 + drift), self._tick)

    # ---- names --------------------------------------------------------------------------------

    def advertised(self, hop: Hop) -> tuple[str, int]:
        return self.host, SIP_PORT

    def _token(self) -> str:
        self._tokens += 1
        return f"{self.host.replace('.', '')}x{self._tokens}"

    @property
    def state(self) -> SessionState | None:
        return None if self.session is None else self.session.state

    @property
    def endings(self) -> list[Event]:
        return [event for event in self.seen if isinstance(event, ENDING_EVENTS)]

    @property
    def agreed(self) -> Negotiated | None:
        return self.negotiation.negotiated if self.negotiation is not None else None

    @property
    def stable(self) -> bool:
        """No offer of either side is open."""
        return self.negotiation is not None and (self.negotiation.state is NegotiationState.STABLE)

    # ---- what its owner does ------------------------------------------------------------------

    def call(self, other: Phone) -> InviteSession:
        self.negotiation = self._negotiation()
        request = InviteRequest(
            target=Uri.parse(f"sip:bob@{other.host}"),
            from_=NameAddr.parse(f"<sip:alice@{self.host}>"),
            sdp=bytes(self.negotiation.offer()),
        )
        hop = Hop("udp", other.host, SIP_PORT)
        self.session = self.endpoint.invite(request, [hop], now=self._now)
        self.drain()
        return self.session

    def answer(self) -> None:
        if self.session is not None and self.negotiation is not None:
            try:
                ours = bytes(self.negotiation.answer())
            except StateError:
                return
            self.session.accept(ours, now=self._now)
            self._apply()
        self.drain()

    def offer(self, direction: Direction) -> bool:
        """Hold (``SENDONLY``), resume (``SENDRECV``)."""
        if self.session is None or self.negotiation is None or not self.stable:
            return False
        ours = bytes(self.negotiation.offer(direction=direction))
        begun = self.session.reinvite(ours, now=self._now)
        if not begun:
            self.negotiation.rollback()
        self.drain()
        return begun

    def _refresh(self) -> None:
        if self.session is not None and self.negotiation is not None and self.stable:
            if not self.session.reinvite(bytes(self.negotiation.reoffer()), now=self._now):
                self.negotiation.rollback()

    def hang_up(self) -> None:
        if self.session is not None:
            self.session.hang_up(now=self._now)
        self.drain()

    # ---- the world's side ---------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return self._world.now

    def next_timer(self) -> float | None:
        return self.endpoint.next_timer()

    def handle_timeout(self, now: float) -> None:
        self.endpoint.handle_timeout(now)
        self.drain()

    def _deliver(self, data: bytes, source: Address, target: Address) -> None:
        if target[1] == SIP_PORT:
            flow = Flow(Hop("udp", source[0], source[1]))
            self.endpoint.receive_datagram(data, flow, self._now)
            self.drain()
        elif target[1] == RTP_PORT:
            self.rtp.on_rtp(data, source, self._now)
        else:
            self.rtp.on_rtcp(data, source, self._now)

    def _tick(self) -> None:
        if not self._talking:
            return
        self.ticks += 1
        if self.rtp.read(self._now) is not None:
            self.heard += 1
        self.rtp.write(_FRAME, self._now)
        self.rtp.tick(self._now, lambda: 1_700_000_000.0 + self._now)

    def drain(self) -> None:
        busy = True
        while busy:
            busy = False
            for sent in self.endpoint.transmissions():
                to = sent.destination.hop
                self._network.send(sent.data, (self.host, SIP_PORT), (to.host, to.port))
            for event in self.endpoint.events():
                busy = True
                self.seen.append(event)
                self._act(event)

    # ---- events -------------------------------------------------------------------------------

    def _act(self, event: Event) -> None:
        match event:
            case IncomingInvite():
                self._on_invite(event)
            case Answered() | OfferAnswered():
                self._take_answer(event.sdp)
            case Acked():
                self._talking = True
            case OfferReceived():
                self._on_offer(event)
            case OfferFailed() | OfferWithdrawn():
                self._rollback()
            case RefreshDue():
                self._refresh()
            case _ if isinstance(event, ENDING_EVENTS):
                self._talking = False
            case _:
                pass

    def _on_invite(self, event: IncomingInvite) -> None:
        if self.session is not None and not self.session.ended:
            event.session.reject(486, now=self._now)
            return
        self.session = event.session
        self.negotiation = self._negotiation()
        self.negotiation.receive_offer(SessionDescription.parse(event.sdp or b""))
        event.session.progress(180, now=self._now)
        if self.auto_answer:
            self.answer()

    def _on_offer(self, event: OfferReceived) -> None:
        machine = self.negotiation
        if machine is None or self.session is None:
            return
        try:
            if event.sdp is None:
                self.session.respond_offer(bytes(machine.offer()), now=self._now)
                return
            machine.receive_offer(SessionDescription.parse(event.sdp))
            self.session.respond_offer(bytes(machine.answer()), now=self._now)
            self._apply()
        except StateError:
            self.session.reject_offer(491, now=self._now)
        except (NotAcceptable, SipError):
            self._rollback()
            self.session.reject_offer(488, now=self._now)

    def _take_answer(self, sdp: bytes | None) -> None:
        self._talking = True
        machine = self.negotiation
        if machine is None or machine.state is not NegotiationState.LOCAL_OFFER:
            return
        if sdp is None:
            machine.rollback()
            return
        machine.receive_answer(SessionDescription.parse(sdp))
        self._apply()

    def _rollback(self) -> None:
        pending = (NegotiationState.LOCAL_OFFER, NegotiationState.REMOTE_OFFER)
        if self.negotiation is not None and self.negotiation.state in pending:
            self.negotiation.rollback()

    def _apply(self) -> None:
        agreed = self.negotiation.negotiated if self.negotiation is not None else None
        if agreed is not None:
            self.rtp.negotiate(negotiated_audio(agreed), self._now)

    def _negotiation(self) -> OfferAnswer:
        return OfferAnswer(LocalMedia(self.host, RTP_PORT), 1)
