"""Descriptions and machines that the tests of offer and answer share."""

from __future__ import annotations

from ringback.sip.offer_answer import (
    LocalMedia,
    Negotiated,
    OfferAnswer,
)
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import Codec

OPUS = Codec("opus", 48000, 2, "useinbandfec=1")
LOCAL = LocalMedia("192.0.2.10", 10_000)
PEER = LocalMedia("198.51.100.7", 20_000)
EVENTS = Codec("telephone-event", 8000, fmtp="0-16")


def machine(local: LocalMedia = LOCAL, session_id: int = 42) -> OfferAnswer:
    return OfferAnswer(local, session_id)


def sdp(
    m: str = "audio 20000 RTP/AVP 8 0 101",
    *lines: str,
    host: str = "198.51.100.7",
    session: str = "",
) -> SessionDescription:
    """A peer's description; ``lines`` follow the m-line and may hold further m-lines."""
    family = "IP6" if ":" in host else "IP4"
    head = f"v=0\no=peer 5 5 IN {family} {host}\ns=-\nc=IN {family} {host}\nt=0 0\n{session}\n"
    tail = "\n".join([f"m={m}", "a=rtpmap:101 telephone-event/8000", *lines])
    return SessionDescription.parse((head + tail + "\n").encode())


def answered(oa: OfferAnswer, remote: SessionDescription) -> tuple[SessionDescription, Negotiated]:
    oa.receive_offer(remote)
    answer = oa.answer()
    assert oa.negotiated is not None
    return answer, oa.negotiated


def wire(description: SessionDescription) -> SessionDescription:
    """As the peer reads it."""
    return SessionDescription.parse(bytes(description))
