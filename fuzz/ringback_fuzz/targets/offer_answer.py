"""Two offers of a peer, and its answer to ours, whatever they say.

The input is descriptions with NUL bytes between: first offer, re-offer, answer. The first byte
says what we are like: codecs, protection, preference.
"""

from __future__ import annotations

from ringback.sip.audio_stream import LocalMedia
from ringback.sip.errors import ParseError
from ringback.sip.media_security import SecurityPolicy
from ringback.sip.offer_answer import NegotiationState, NotAcceptable, OfferAnswer, StateError
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import PCMA, PCMU, Codec
from ringback_fuzz.targets import require

OPUS = Codec("opus", 48000, 2, "useinbandfec=1")
G722 = Codec("G722", 8000)
REFUSALS = (ParseError, NotAcceptable, StateError)


def local(traits: int) -> LocalMedia:
    return LocalMedia(
        "2001:db8::1" if traits & 1 else "192.0.2.1",
        10_000,
        codecs=(OPUS, G722, PCMA, PCMU) if traits & 2 else (PCMA,),
        prefer_local=bool(traits & 4),
        security=SecurityPolicy(
            plain=bool(traits & 8) or not traits & 16,
            sdes=bool(traits & 16),
            new_key=bytes,
        ),
    )


def run(data: bytes) -> None:
    if not data:
        return
    machine = OfferAnswer(local(data[0]), 1)
    parts = data[1:].split(b"\0")
    for part in parts[:2]:
        _offered(machine, part)
    try:
        ours = machine.offer()
    except StateError:
        return
    _readable(ours)
    _answered(machine, parts[2] if len(parts) > 2 else parts[0])


def _offered(machine: OfferAnswer, part: bytes) -> None:
    before = machine.negotiated
    try:
        machine.receive_offer(SessionDescription.parse(part))
        answer = machine.answer()
    except REFUSALS as error:
        str(error)
        if machine.state is NegotiationState.REMOTE_OFFER:
            machine.rollback()
        require(machine.negotiated == before, "a refused offer changed what was agreed on")
        return
    _readable(answer)
    require(machine.state is NegotiationState.STABLE, "answered, and not stable")
    require(machine.negotiated is not None, "answered, and nothing is agreed on")


def _answered(machine: OfferAnswer, part: bytes) -> None:
    try:
        machine.receive_answer(SessionDescription.parse(part))
    except REFUSALS as error:
        str(error)
        if machine.state is NegotiationState.LOCAL_OFFER:
            machine.rollback()


def _readable(description: SessionDescription) -> None:
    written = bytes(description)
    require(bytes(SessionDescription.parse(written)) == written, "our description is unreadable")
