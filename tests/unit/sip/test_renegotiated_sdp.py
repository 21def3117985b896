from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.sip.offer_answer import (
    NegotiationState,
    NotAcceptable,
    OfferAnswer,
)
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import PCMA, PCMU, Direction
from unit.sip.sdp_peers import LOCAL, OPUS, PEER, answered, machine, sdp, wire

# ---- later rounds ---------------------------------------------------------------------------


@pytest.mark.requirement("rfc3264.8")
def test_the_version_grows_only_when_the_description_changed() -> None:
    oa = machine()
    first, _ = answered(oa, sdp())
    second, _ = answered(oa, sdp())
    assert first.origin.version == second.origin.version == "0"
    third, negotiated = answered(oa, sdp("audio 20000 RTP/AVP 0 101"))
    assert third.origin.version == "1"
    assert negotiated.codec == "PCMU"
    assert first.origin.session_id == third.origin.session_id == "42"


@pytest.mark.requirement("rfc3264.8")
def test_a_reoffer_keeps_the_numbers_learned_from_the_peer() -> None:
    oa = machine(replace(LOCAL, codecs=(OPUS, PCMA)))
    answered(
        oa,
        SessionDescription.parse(
            b"o=- 1 1 IN IP4 h\nc=IN IP4 198.51.100.7\nm=audio 20000 RTP/AVP 101 96\n"
            b"a=rtpmap:101 opus/48000/2\na=rtpmap:96 telephone-event/48000\n"
        ),
    )
    formats = {str(item.codec): item.payload_type for item in oa.offer().media[0].payload_formats}
    assert formats["opus/48000/2"] == 101
    assert formats["telephone-event/48000"] == 96
    assert len(set(formats.values())) == len(formats)
    oa.rollback()
    answered(
        oa,
        SessionDescription.parse(
            b"o=- 1 2 IN IP4 h\nc=IN IP4 198.51.100.7\nm=audio 20000 RTP/AVP 8\n"
        ),
    )
    again = {str(item.codec): item.payload_type for item in oa.offer().media[0].payload_formats}
    assert again == formats  # also what the last round did not name


@pytest.mark.requirement("rfc3264.8")
def test_a_number_that_the_peer_gave_another_meaning_is_not_used_twice() -> None:
    oa = machine(replace(LOCAL, codecs=(OPUS, PCMA)))
    oa.offer()
    oa.rollback()
    answered(
        oa,
        SessionDescription.parse(
            b"c=IN IP4 198.51.100.7\nm=audio 20000 RTP/AVP 8\na=rtpmap:8 opus/48000/2\n"
        ),
    )
    formats = {str(item.codec): item.payload_type for item in oa.offer().media[0].payload_formats}
    assert formats["opus/48000/2"] == 8
    assert formats["PCMA/8000"] != 8


@pytest.mark.requirement("rfc3264.8")
def test_a_reoffer_keeps_every_section_in_its_place() -> None:
    oa = machine()
    answered(oa, sdp("video 30000 RTP/AVP 99", "m=audio 20000 RTP/AVP 8 101"))
    offer = oa.offer(direction=Direction.SENDONLY)
    assert [(media.kind, media.port) for media in offer.media] == [("video", 0), ("audio", 10_000)]
    negotiated = oa.receive_answer(sdp("video 0 RTP/AVP 99", "m=audio 20000 RTP/AVP 8 101"))
    assert negotiated.remote.port == 20_000


def test_a_reoffer_keeps_profile_and_rtcp_mux() -> None:
    oa = machine()
    answered(oa, sdp("audio 20000 RTP/AVPF 8", "a=rtcp-mux"))
    media = oa.offer().media[0]
    assert media.protocol == "RTP/AVPF"
    assert media.rtcp_mux


@pytest.mark.requirement("rfc3264.8")
def test_the_section_in_use_is_kept_when_several_fit() -> None:
    oa = machine()
    answered(oa, sdp("audio 20000 RTP/SAVP 8", "m=audio 20002 RTP/AVP 8"))
    answer, negotiated = answered(oa, sdp("audio 20000 RTP/AVP 8", "m=audio 20002 RTP/AVP 8"))
    assert [media.port for media in answer.media] == [0, 10_000]
    assert negotiated.remote.port == 20_002


@pytest.mark.requirement("call.codec-change")
def test_a_codec_change_is_offered() -> None:
    us, them = machine(), machine(PEER, 7)
    them.receive_offer(wire(us.offer()))
    us.receive_answer(wire(them.answer()))
    offer = us.offer(codecs=(PCMU,))
    assert offer.media[0].formats == ("0", "101")
    them.receive_offer(wire(offer))
    assert us.receive_answer(wire(them.answer())).codec == "PCMU"


@pytest.mark.requirement("rfc3264.8")
def test_a_new_local_address_shows_in_the_next_offer() -> None:
    oa = machine()
    answered(oa, sdp())
    oa.local = replace(LOCAL, host="203.0.113.5", port=12_000)
    offer = oa.offer()
    assert offer.origin.address == "203.0.113.5"
    assert offer.origin.version == "1"
    assert offer.media[0].port == 12_000


def test_a_refused_reoffer_leaves_everything_as_it_was() -> None:
    oa = machine()
    answered(oa, sdp())
    before = oa.negotiated
    oa.offer(direction=Direction.INACTIVE)
    oa.rollback()
    assert oa.state is NegotiationState.STABLE
    assert oa.negotiated == before
    assert oa.direction is Direction.SENDRECV
    assert oa.offer().origin.version == "2"


@pytest.mark.requirement("rfc3261.14")
def test_a_refused_remote_offer_leaves_everything_as_it_was() -> None:
    oa = machine()
    oa.offer()
    oa.receive_answer(sdp())
    before = (oa.negotiated, oa.remote_description)
    oa.receive_offer(sdp("audio 1234 RTP/AVP 8", "a=inactive"))
    oa.rollback()
    assert (oa.negotiated, oa.remote_description) == before
    assert oa.receive_answer(sdp("audio 5678 RTP/AVP 8")).remote.port == 5678


@pytest.mark.requirement("rfc3264.8.4")
def test_an_answer_to_an_offer_that_sends_nothing_says_nothing_about_a_hold() -> None:
    oa = machine()
    answered(oa, sdp())
    oa.offer(direction=Direction.RECVONLY)
    assert not oa.receive_answer(sdp("audio 20000 RTP/AVP 8", "a=sendonly")).held_by_remote
    answered(oa, sdp("audio 20000 RTP/AVP 8", "a=sendonly"))
    oa.offer(direction=Direction.INACTIVE)
    assert oa.receive_answer(sdp("audio 20000 RTP/AVP 8", "a=inactive")).held_by_remote
    fresh = machine()
    fresh.offer(direction=Direction.INACTIVE)
    assert not fresh.receive_answer(sdp("audio 20000 RTP/AVP 8", "a=inactive")).held_by_remote


@pytest.mark.requirement("call.local-hold", "call.remote-hold")
def test_each_side_holds_and_resumes_by_itself() -> None:
    us, them = machine(), machine(PEER, 7)

    def round_of(first: OfferAnswer, other: OfferAnswer, direction: Direction) -> None:
        other.receive_offer(wire(first.offer(direction=direction)))
        first.receive_answer(wire(other.answer()))

    def held() -> tuple[bool, bool]:
        assert us.negotiated is not None
        assert them.negotiated is not None
        return us.negotiated.held_by_remote, them.negotiated.held_by_remote

    round_of(us, them, Direction.SENDRECV)
    assert held() == (False, False)
    round_of(us, them, Direction.SENDONLY)
    assert held() == (False, True)
    round_of(them, us, Direction.SENDONLY)
    assert held() == (True, True)
    assert us.negotiated is not None
    assert (us.negotiated.send, us.negotiated.receive) == (False, False)
    round_of(us, them, Direction.SENDRECV)
    assert held() == (True, False)
    round_of(them, us, Direction.SENDRECV)
    assert held() == (False, False)
    assert (us.negotiated.send, us.negotiated.receive) == (True, True)


def test_a_bad_reoffer_does_not_end_the_session() -> None:
    oa = machine()
    answered(oa, sdp())
    with pytest.raises(NotAcceptable):
        oa.receive_offer(sdp("audio 20000 RTP/AVP 18"))
    assert oa.state is NegotiationState.STABLE
