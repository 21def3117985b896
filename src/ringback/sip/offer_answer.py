"""Offer and answer for the one audio stream of a call (RFC 3264), without I/O.

The order of offers and answers is ``TRANSITIONS``; a step that it does not list raises
:class:`StateError`. :class:`OfferAnswer` is one call's negotiation: early media, late offers,
hold, resume and codec changes are all rounds of the same machine. ``rollback`` undoes an offer
that was refused (488, 491), so the session goes on as it was.

Codecs and protection are data: what :class:`LocalMedia` lists is what can be agreed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from enum import StrEnum

from ringback.sip.audio_stream import (
    LocalMedia,
    MediaAddress,
    Negotiated,
    NotAcceptable,
    effective_direction,
    rejection,
    section_at,
)
from ringback.sip.codec_choice import (
    MAX_PTIME_MS,
    PayloadNumbers,
    choose,
    comfort_noise_for,
    events_for,
    packet_time,
    receivable,
)
from ringback.sip.errors import SipError
from ringback.sip.media_address import reachable_host, rtcp_address
from ringback.sip.media_security import Plan, Security, SecurityNegotiation, profile_of
from ringback.sip.not_acceptable import WARN_MEDIA_TYPE
from ringback.sip.sdp import (
    Attribute,
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
)
from ringback.sip.sdp_values import Codec, Direction, PayloadFormat

__all__ = [
    "TRANSITIONS",
    "LocalMedia",
    "MediaAddress",
    "Negotiated",
    "NegotiationState",
    "NotAcceptable",
    "OfferAnswer",
    "StateError",
    "Step",
]


MAX_AUDIO_SECTIONS = 8
"""Audio sections of an offer that are looked at; the others are rejected unseen."""


class NegotiationState(StrEnum):
    NO_SDP = "no_sdp"
    LOCAL_OFFER = "local_offer"
    REMOTE_OFFER = "remote_offer"
    STABLE = "stable"


class Step(StrEnum):
    SEND_OFFER = "send_offer"
    RECEIVE_OFFER = "receive_offer"
    SEND_ANSWER = "send_answer"
    RECEIVE_ANSWER = "receive_answer"
    ROLLBACK = "rollback"


_N = NegotiationState
_T = Step

TRANSITIONS: dict[tuple[NegotiationState, Step], NegotiationState | None] = {
    (_N.NO_SDP, _T.SEND_OFFER): _N.LOCAL_OFFER,
    (_N.NO_SDP, _T.RECEIVE_OFFER): _N.REMOTE_OFFER,
    (_N.LOCAL_OFFER, _T.RECEIVE_ANSWER): _N.STABLE,
    (_N.LOCAL_OFFER, _T.ROLLBACK): None,
    (_N.REMOTE_OFFER, _T.SEND_ANSWER): _N.STABLE,
    (_N.REMOTE_OFFER, _T.ROLLBACK): None,
    (_N.STABLE, _T.SEND_OFFER): _N.LOCAL_OFFER,
    (_N.STABLE, _T.RECEIVE_OFFER): _N.REMOTE_OFFER,
    (_N.STABLE, _T.RECEIVE_ANSWER): _N.STABLE,
}
"""``None``: back to the state that the offer was made in. ``STABLE`` takes another answer to our
own last offer only: the 200 that differs from its 183, or another fork's."""


class StateError(SipError):
    """A step that offer/answer does not allow now (an offer while one is pending, …)."""


class OfferAnswer:
    """The negotiation of one call (one dialog).

    ``session_id`` is the number for our ``o=`` line, unique to the call (RFC 8866 5.2).
    ``local`` may be replaced between rounds (another port, other codecs) and counts from the
    next offer or answer on.
    """

    def __init__(self, local: LocalMedia, session_id: int) -> None:
        self.local = local
        self.state = NegotiationState.NO_SDP
        self.negotiated: Negotiated | None = None
        """The result of the last complete round."""
        self.direction = Direction.SENDRECV
        """What we want, as we see it; an offer or answer may narrow what happens."""
        self.local_description: SessionDescription | None = None
        """The last description that we sent, whatever became of it."""
        self.remote_description: SessionDescription | None = None
        """The peer's description that counts, or its pending offer."""
        self._session_id = session_id
        self._version = 0
        self._numbers = PayloadNumbers()
        self._security = SecurityNegotiation()
        self._layout: tuple[MediaDescription, ...] = ()
        self._audio_index = 0
        self._before = _Snapshot(self.state, self.direction, None, None)
        self._offered: SessionDescription | None = None
        self._judged: tuple[LocalMedia, SessionDescription, _Choice] | None = None
        """What was chosen of the pending offer, with what it was judged by."""

    # ---- we offer ---------------------------------------------------------------------------

    def offer(
        self, *, direction: Direction | None = None, codecs: Sequence[Codec] | None = None
    ) -> SessionDescription:
        """Our offer: the first, a late one (in a 200 or its PRACK round) or a re-offer.

        ``direction`` stays in force (``SENDONLY`` to hold, ``SENDRECV`` to resume); ``None``
        keeps the present one. ``codecs`` narrows this offer, default ``local.codecs``.

        Raises :class:`StateError` while another offer is pending and :class:`NotAcceptable` where
        the protection that there has to be cannot be offered.
        """
        if (self.state, Step.SEND_OFFER) not in TRANSITIONS:
            raise StateError(f"{Step.SEND_OFFER} in state {self.state}")
        before = self.negotiated
        profile, protection = self._security.offer(
            self.local.security, before.profile if before is not None else None
        )
        self._step(Step.SEND_OFFER)
        self.direction = direction or self.direction
        formats = self._numbers.for_offer(tuple(codecs or self.local.codecs), dtmf=self.local.dtmf)
        by_dtls = any(line.name == "fingerprint" for line in protection)
        mux = before.rtcp_mux if before is not None else by_dtls and self.local.rtcp_mux
        shape = _Shape(profile, formats, self.direction, self.local.ptime, mux, protection)
        return self._offer(shape, ("0 0",))

    def reoffer(self) -> SessionDescription:
        """What we said last, as an offer: for a session timer, which wants nothing to change and
        the version to stay (RFC 4028 section 7.4). Raises as :meth:`offer`."""
        said = self.local_description
        if said is None or self.negotiated is None:
            return self.offer()
        if (self.state, Step.SEND_OFFER) not in TRANSITIONS:
            raise StateError(f"{Step.SEND_OFFER} in state {self.state}")
        audio = said.media[self._audio_index]
        profile, protection = self._security.offer(self.local.security, self.negotiated.profile)
        self._step(Step.SEND_OFFER)
        shape = _Shape(
            profile,
            audio.payload_formats,
            audio.direction or self.direction,
            audio.ptime or self.local.ptime,
            audio.rtcp_mux,
            protection,
        )
        return self._offer(shape, said.times)

    def _offer(self, shape: _Shape, times: tuple[str, ...]) -> SessionDescription:
        sections = [rejection(media) for media in self._layout]
        sections[self._audio_index : self._audio_index + 1] = [self._audio(shape)]
        self._offered = self._describe(tuple(sections), times)
        return self._offered

    def receive_answer(self, remote: SessionDescription) -> Negotiated:
        """The peer's answer to our offer, or a later one to the same offer.

        Raises :class:`NotAcceptable` when it takes none of what we offered or lacks the protection
        that there has to be (the state stays: a better answer may still come), and
        :class:`StateError` without an offer of ours.
        """
        if self._offered is None or (self.state, Step.RECEIVE_ANSWER) not in TRANSITIONS:
            raise StateError(f"an answer in state {self.state}, where no offer of ours is open")
        ours = self._offered.media[self._audio_index]
        theirs = section_at(remote, self._audio_index)
        if theirs is None or theirs.port == 0 or theirs.kind != "audio":
            raise NotAcceptable("the answer rejects the audio stream", WARN_MEDIA_TYPE)
        security = self._security.take_answer(self.local.security, ours, remote, theirs)
        known = tuple(item.codec for item in ours.payload_formats)
        chosen = choose(theirs.payload_formats, known, prefer_local=False)
        if chosen is None:
            raise NotAcceptable("the answer names none of the offered codecs")
        choice = _Choice(self._audio_index, theirs, *chosen, plan=None)
        negotiated = self._agree(remote, ours, choice, security, answered=True)
        self._step(Step.RECEIVE_ANSWER)
        self._complete(remote, negotiated, self._offered.media)
        return negotiated

    # ---- the peer offers --------------------------------------------------------------------

    def receive_offer(self, remote: SessionDescription) -> None:
        """Take the peer's offer; :meth:`answer` or :meth:`rollback` must follow.

        Raises :class:`NotAcceptable` when no audio stream in it can be agreed on (the state is
        as before) and :class:`StateError` while another offer is pending (glare: 491).
        """
        if (self.state, Step.RECEIVE_OFFER) not in TRANSITIONS:
            raise StateError(f"an offer in state {self.state}")
        self._judged = (self.local, remote, self._select(remote))
        self._step(Step.RECEIVE_OFFER)
        self.remote_description = remote

    def answer(self, *, direction: Direction | None = None) -> SessionDescription:
        """Our answer to the pending offer; ``negotiated`` is set afterwards.

        Raises :class:`StateError` without an offer, :class:`NotAcceptable` when ``local`` was
        changed meanwhile so that nothing fits any more.
        """
        if (self.state, Step.SEND_ANSWER) not in TRANSITIONS or self.remote_description is None:
            raise StateError(f"an answer in state {self.state}, where no offer is open")
        remote = self.remote_description
        local, offered, choice = self._judged or (None, None, None)
        if choice is None or local is not self.local or offered is not remote:
            choice = self._select(remote)
        theirs = choice.theirs
        security, protection = self._security.answer(self.local.security, choice.plan)
        self._step(Step.SEND_ANSWER)
        self.direction = direction or self.direction
        self._audio_index = choice.index
        formats = self._numbers.for_answer(
            theirs.payload_formats,
            choice.chosen,
            choice.codec,
            dtmf=self.local.dtmf,
            noise=self.local.comfort_noise,
        )
        flow = self.direction & effective_direction(remote, theirs).reversed
        ptime = packet_time(theirs, choice.codec, choice.chosen.codec.fmtp, self.local.ptime)
        mux = theirs.rtcp_mux and self.local.rtcp_mux
        ours = self._audio(_Shape(theirs.protocol, formats, flow, ptime, mux, protection))
        sections = [rejection(media) for media in remote.media]
        sections[choice.index] = ours
        self._offered = None
        description = self._describe(tuple(sections), remote.times)
        self._complete(remote, self._agree(remote, ours, choice, security), description.media)
        return description

    def rollback(self) -> None:
        """The pending offer, ours or the peer's, was refused or given up: as before it."""
        self._step(Step.ROLLBACK)
        self.direction = self._before.direction
        self.remote_description = self._before.remote
        self._offered = self._before.offered

    def without_own_offer(self) -> OfferAnswer:
        """A copy to take an offer of the peer's with. An offer of ours that met one of theirs
        (491) and waits to be made again is not open in it: theirs may come first (RFC 3261 14.1).
        Once theirs is answered the copy is the negotiation; until then this one is as it was."""
        other = copy(self)
        if other.state is NegotiationState.LOCAL_OFFER:
            other.rollback()
        return other

    # ---- the rules --------------------------------------------------------------------------

    def _step(self, step: Step) -> None:
        try:
            after = TRANSITIONS[self.state, step]
        except KeyError:
            raise StateError(f"{step} in state {self.state}") from None
        if step in (Step.SEND_OFFER, Step.RECEIVE_OFFER):
            self._before = _Snapshot(
                self.state, self.direction, self.remote_description, self._offered
            )
        self.state = after or self._before.state

    def _select(self, remote: SessionDescription) -> _Choice:
        """The audio section to take and the peer's format to use in it: one that is protected
        before one that is not, then the section in use, then the first that fits (RFC 3264 6, 8).
        """
        refusal = NotAcceptable("the offer has no audio stream", WARN_MEDIA_TYPE)
        best: tuple[tuple[bool, bool, int], _Choice] | None = None
        audio = [n for n, m in enumerate(remote.media) if m.kind == "audio" and m.port]
        for index in audio[:MAX_AUDIO_SECTIONS]:
            media = remote.media[index]
            try:
                choice = self._judge(remote, index, media)
            except NotAcceptable as error:
                refusal = error
                continue
            rank = (choice.plan is None, index != self._audio_index, index)
            if best is None or rank < best[0]:
                best = (rank, choice)
        if best is None:
            raise refusal
        return best[1]

    def _judge(self, remote: SessionDescription, index: int, media: MediaDescription) -> _Choice:
        """What could be agreed on for one section. Raises :class:`NotAcceptable`."""
        profile_of(media)
        self._host_of(remote, media)
        plan = self._security.plan(self.local.security, remote, media)
        chosen = choose(media.payload_formats, self.local.codecs, self.local.prefer_local)
        if chosen is None:
            raise NotAcceptable("none of the offered codecs is supported")
        return _Choice(index, media, *chosen, plan=plan)

    def _audio(self, shape: _Shape) -> MediaDescription:
        attributes = []
        for item in shape.formats:
            attributes.append(Attribute("rtpmap", f"{item.payload_type} {item.codec}"))
            if item.codec.fmtp:
                attributes.append(Attribute("fmtp", f"{item.payload_type} {item.codec.fmtp}"))
        attributes.append(Attribute("ptime", str(shape.ptime)))
        attributes.append(Attribute("maxptime", str(MAX_PTIME_MS)))
        if shape.mux:
            attributes.append(Attribute("rtcp-mux"))
        elif self.local.rtcp_port not in (None, self.local.port + 1):
            attributes.append(Attribute("rtcp", str(self.local.rtcp_port)))
        attributes.append(Attribute(shape.direction.value))
        return MediaDescription(
            kind="audio",
            port=self.local.port,
            protocol=shape.profile,
            formats=tuple(str(item.payload_type) for item in shape.formats),
            attributes=(*attributes, *shape.protection),
        )

    def _describe(
        self, media: tuple[MediaDescription, ...], times: tuple[str, ...]
    ) -> SessionDescription:
        """Ours with its ``o=``: the version grows only when something changed (RFC 3264 8)."""
        last = self.local_description
        origin = Origin("-", str(self._session_id), str(self._version), self.local.host)
        description = SessionDescription(
            origin=last.origin if last else origin,
            connection=Connection(self.local.host),
            times=times,
            media=media,
        )
        if last is not None and description != last:
            self._version += 1
            description = replace(description, origin=replace(origin, version=str(self._version)))
        self.local_description = description
        return description

    def _agree(
        self,
        remote: SessionDescription,
        ours: MediaDescription,
        choice: _Choice,
        security: Security | None,
        *,
        answered: bool = False,
    ) -> Negotiated:
        theirs, codec = choice.theirs, choice.codec
        host = self._host_of(remote, theirs)
        peer = effective_direction(remote, theirs)
        wanted = ours.direction or Direction.SENDRECV
        held = not peer.receive
        if answered and not wanted.send:  # there was nothing that it could have refused to hear
            held = self.negotiated is not None and self.negotiated.held_by_remote
        flow = wanted & peer.reversed
        mux = theirs.rtcp_mux and ours.rtcp_mux
        mine, offered = ours.payload_formats, theirs.payload_formats
        events = events_for(offered, codec) if events_for(mine, codec) is not None else None
        noise = comfort_noise_for(offered, codec) if comfort_noise_for(mine, codec) else None
        fmtp = choice.chosen.codec.fmtp
        return Negotiated(
            remote=MediaAddress(host, theirs.port),
            remote_rtcp=rtcp_address(theirs, host, mux),
            codec=codec.name,
            payload_type=choice.chosen.payload_type,
            clock_rate=codec.clock_rate,
            channels=codec.channels,
            ptime=packet_time(theirs, codec, fmtp, self.local.ptime),
            dtmf_payload_type=events.payload_type if events is not None else None,
            send=flow.send,
            receive=flow.receive,
            held_by_remote=held,
            rtcp_mux=mux,
            profile=theirs.protocol.upper(),
            receive_formats=receivable(mine, offered),
            fmtp=fmtp,
            comfort_noise_payload_type=noise.payload_type if noise is not None else None,
            security=security,
        )

    def _host_of(self, remote: SessionDescription, media: MediaDescription) -> str:
        """Raises :class:`NotAcceptable` where no audio can go."""
        connection = remote.connection_of(media)
        return reachable_host(connection, self.local.host, self.local.heard_from)

    def _complete(
        self,
        remote: SessionDescription,
        negotiated: Negotiated,
        layout: tuple[MediaDescription, ...],
    ) -> None:
        self.remote_description = remote
        self.negotiated = negotiated
        self._security.agreed = negotiated.security
        self._layout = layout


@dataclass(frozen=True, slots=True)
class _Choice:
    """A section of the peer's, its format that is used, our codec for it, and its protection."""

    index: int
    theirs: MediaDescription
    chosen: PayloadFormat
    codec: Codec
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Shape:
    """What goes into an m-section of ours."""

    profile: str
    formats: Sequence[PayloadFormat]
    direction: Direction
    ptime: int
    mux: bool
    protection: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What a rollback goes back to."""

    state: NegotiationState
    direction: Direction
    remote: SessionDescription | None
    offered: SessionDescription | None
