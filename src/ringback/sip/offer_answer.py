"""Offer and answer for the one audio stream of a call (RFC 3264), without I/O.

The order of offers and answers is ``TRANSITIONS``; a step that it does not list raises
:class:`StateError`. :class:`OfferAnswer` is one call's negotiation: early media, late offers,
hold, resume and codec changes are all rounds of the same machine. ``rollback`` undoes an offer
that was refused (488, 491), so the session goes on as it was.

Codecs and transport profiles are data: what :class:`LocalMedia` lists is what can be agreed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ringback.sip.audio_stream import (
    LocalMedia,
    MediaAddress,
    Negotiated,
    NotAcceptable,
    effective_direction,
    events_for,
    first_common,
    packet_time,
    rejection,
    rtcp_address,
    section_at,
    telephone_event,
)
from ringback.sip.errors import SipError
from ringback.sip.sdp import (
    Attribute,
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
)
from ringback.sip.sdp_values import (
    STATIC_PAYLOAD_TYPES,
    TELEPHONE_EVENT,
    Codec,
    Direction,
    PayloadFormat,
)

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

_DTMF_PAYLOAD_TYPE = 101
_DYNAMIC_PAYLOAD_TYPES = range(96, 128)


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
        self._payload_types: dict[tuple[str, int, int], int] = {}
        self._layout: tuple[MediaDescription, ...] = ()
        self._audio_index = 0
        self._before = _Snapshot(self.state, self.direction, None, None)
        self._offered: SessionDescription | None = None

    # ---- we offer ---------------------------------------------------------------------------

    def offer(
        self, *, direction: Direction | None = None, codecs: Sequence[Codec] | None = None
    ) -> SessionDescription:
        """Our offer: the first, a late one (in a 200 or its PRACK round) or a re-offer.

        ``direction`` stays in force (``SENDONLY`` to hold, ``SENDRECV`` to resume); ``None``
        keeps the present one. ``codecs`` narrows this offer, default ``local.codecs``.

        Raises :class:`StateError` while another offer is pending.
        """
        self._step(Step.SEND_OFFER)
        self.direction = direction or self.direction
        formats = self._number(tuple(codecs or self.local.codecs))
        mux = self.negotiated is not None and self.negotiated.rtcp_mux
        profile = self.negotiated.profile if self.negotiated else self.local.profiles[0]
        audio = self._audio(profile, formats, self.direction, self.local.ptime, mux)
        sections = [rejection(media) for media in self._layout]
        sections[self._audio_index : self._audio_index + 1] = [audio]
        self._offered = self._describe(tuple(sections), ("0 0",))
        return self._offered

    def receive_answer(self, remote: SessionDescription) -> Negotiated:
        """The peer's answer to our offer, or a later one to the same offer.

        Raises :class:`NotAcceptable` when it takes none of what we offered (the state stays: a
        better answer may still come) and :class:`StateError` without an offer of ours.
        """
        if self._offered is None or (self.state, Step.RECEIVE_ANSWER) not in TRANSITIONS:
            raise StateError(f"an answer in state {self.state}, where no offer of ours is open")
        ours = self._offered.media[self._audio_index]
        theirs = section_at(remote, self._audio_index)
        if theirs is None or theirs.port == 0:
            raise NotAcceptable("the answer rejects the audio stream", 304)
        if theirs.protocol.upper() not in self.local.profiles:
            raise NotAcceptable(f"the answer changes the transport to {theirs.protocol}", 302)
        chosen = first_common(theirs.payload_formats, ours.payload_formats)
        if chosen is None:
            raise NotAcceptable("the answer names none of the offered codecs")
        negotiated = self._agree(remote, theirs, ours, chosen)
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
        self._select(remote)
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
        index, chosen = self._select(remote)
        self._step(Step.SEND_ANSWER)
        self.direction = direction or self.direction
        self._audio_index = index
        theirs = remote.media[index]
        flow = self.direction & effective_direction(remote, theirs).reversed
        ours = self._audio(
            theirs.protocol,
            self._mirror(theirs, chosen),
            flow,
            packet_time(theirs, self.local.ptime),
            theirs.rtcp_mux and self.local.rtcp_mux,
        )
        sections = [rejection(media) for media in remote.media]
        sections[index] = ours
        self._offered = None
        description = self._describe(tuple(sections), remote.times)
        self._complete(remote, self._agree(remote, theirs, ours, chosen), description.media)
        return description

    def rollback(self) -> None:
        """The pending offer, ours or the peer's, was refused or given up: as before it."""
        self._step(Step.ROLLBACK)
        self.direction = self._before.direction
        self.remote_description = self._before.remote
        self._offered = self._before.offered

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

    def _select(self, remote: SessionDescription) -> tuple[int, PayloadFormat]:
        """The audio section to take and the peer's format to use in it: the section in use
        before others, else the first that fits (RFC 3264 6, 8)."""
        order = sorted(range(len(remote.media)), key=lambda n: (n != self._audio_index, n))
        refusal = NotAcceptable("the offer has no audio stream", 304)
        for index in order:
            media = remote.media[index]
            if media.kind != "audio" or media.port == 0:
                continue
            if media.protocol.upper() not in self.local.profiles:
                refusal = NotAcceptable(f"no support for the transport {media.protocol}", 302)
                continue
            if remote.connection_of(media) is None:
                refusal = NotAcceptable("the audio stream has no address (c=)", 301)
                continue
            chosen = self._choose(media.payload_formats)
            if chosen is not None:
                return index, chosen
            refusal = NotAcceptable("none of the offered codecs is supported")
        raise refusal

    def _choose(self, offered: Sequence[PayloadFormat]) -> PayloadFormat | None:
        ours = [PayloadFormat(0, codec) for codec in self.local.codecs]
        if not self.local.prefer_local:
            return first_common(offered, ours)
        preferred = first_common(ours, offered)
        return first_common(offered, [preferred]) if preferred else None

    def _mirror(self, theirs: MediaDescription, chosen: PayloadFormat) -> list[PayloadFormat]:
        """The formats of our answer under the peer's numbers (RFC 3264 6.1)."""
        ours = next(codec for codec in self.local.codecs if codec.same_as(chosen.codec))
        formats = [PayloadFormat(chosen.payload_type, ours)]
        events = events_for(theirs.payload_formats, chosen.codec) if self.local.dtmf else None
        if events is not None:
            formats.append(PayloadFormat(events, telephone_event(chosen.codec.clock_rate)))
        numbers = {item.payload_type for item in formats}
        kept = {key: n for key, n in self._payload_types.items() if n not in numbers}
        self._payload_types = kept | {item.codec.key: item.payload_type for item in formats}
        return formats

    def _number(self, codecs: tuple[Codec, ...]) -> list[PayloadFormat]:
        """Payload types for our offer: those in use already (RFC 3264 8.3.2 forbids another
        meaning within a session), static ones, then free dynamic ones."""
        wanted = list(codecs)
        if self.local.dtmf:
            rates = dict.fromkeys(codec.clock_rate for codec in codecs)
            wanted += [telephone_event(rate) for rate in rates]
        for codec in wanted:
            if codec.key not in self._payload_types:
                self._payload_types[codec.key] = self._free_payload_type(codec)
        return [PayloadFormat(self._payload_types[codec.key], codec) for codec in wanted]

    def _free_payload_type(self, codec: Codec) -> int:
        taken = set(self._payload_types.values())
        for number, known in STATIC_PAYLOAD_TYPES.items():
            if known.same_as(codec) and number not in taken:
                return number
        if codec.name == TELEPHONE_EVENT and _DTMF_PAYLOAD_TYPE not in taken:
            return _DTMF_PAYLOAD_TYPE
        usable = (n for n in _DYNAMIC_PAYLOAD_TYPES if n not in taken and n != _DTMF_PAYLOAD_TYPE)
        try:
            return next(usable)
        except StopIteration:
            raise StateError("no payload type is left for another codec") from None

    def _audio(
        self,
        profile: str,
        formats: Sequence[PayloadFormat],
        direction: Direction,
        ptime: int,
        mux: bool,
    ) -> MediaDescription:
        attributes = []
        for item in formats:
            attributes.append(Attribute("rtpmap", f"{item.payload_type} {item.codec}"))
            if item.codec.fmtp:
                attributes.append(Attribute("fmtp", f"{item.payload_type} {item.codec.fmtp}"))
        attributes.append(Attribute("ptime", str(ptime)))
        if mux:
            attributes.append(Attribute("rtcp-mux"))
        elif self.local.rtcp_port not in (None, self.local.port + 1):
            attributes.append(Attribute("rtcp", str(self.local.rtcp_port)))
        attributes.append(Attribute(direction.value))
        return MediaDescription(
            kind="audio",
            port=self.local.port,
            protocol=profile,
            formats=tuple(str(item.payload_type) for item in formats),
            attributes=tuple(attributes),
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
        theirs: MediaDescription,
        ours: MediaDescription,
        chosen: PayloadFormat,
    ) -> Negotiated:
        connection = remote.connection_of(theirs)
        if connection is None:
            raise NotAcceptable("the audio stream has no address (c=)", 301)
        peer = effective_direction(remote, theirs)
        flow = (ours.direction or Direction.SENDRECV) & peer.reversed
        mux = theirs.rtcp_mux and ours.rtcp_mux
        local = next(item for item in ours.payload_formats if item.codec.same_as(chosen.codec))
        return Negotiated(
            remote=MediaAddress(connection.host, theirs.port),
            remote_rtcp=rtcp_address(theirs, connection.host, mux),
            codec=local.codec.name,
            payload_type=chosen.payload_type,
            clock_rate=chosen.codec.clock_rate,
            channels=chosen.codec.channels,
            ptime=packet_time(theirs, self.local.ptime),
            dtmf_payload_type=(
                events_for(theirs.payload_formats, chosen.codec)
                if events_for(ours.payload_formats, chosen.codec) is not None
                else None
            ),
            send=flow.send,
            receive=flow.receive,
            held_by_remote=not peer.receive,
            rtcp_mux=mux,
            profile=theirs.protocol.upper(),
            receive_formats=ours.payload_formats,
        )

    def _complete(
        self,
        remote: SessionDescription,
        negotiated: Negotiated,
        layout: tuple[MediaDescription, ...],
    ) -> None:
        self.remote_description = remote
        self.negotiated = negotiated
        self._layout = layout


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What a rollback goes back to."""

    state: NegotiationState
    direction: Direction
    remote: SessionDescription | None
    offered: SessionDescription | None
