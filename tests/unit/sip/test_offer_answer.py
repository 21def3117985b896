from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.sip.offer_answer import (
    MAX_AUDIO_SECTIONS,
    MediaAddress,
    Negotiated,
    NegotiationState,
    NotAcceptable,
    StateError,
)
from ringback.sip.sdp import MediaDescription, SessionDescription
from ringback.sip.sdp_values import G722, PCMA, PCMU, Codec, Direction, PayloadFormat
from unit.sip.sdp_peers import EVENTS, LOCAL, OPUS, PEER, answered, machine, sdp, wire

# ---- the first offer ------------------------------------------------------------------------


@pytest.mark.requirement("rfc3264.5")
def test_an_offer_lists_our_codecs_in_order_with_dtmf_and_ptime() -> None:
    assert bytes(machine().offer()).decode().split("\r\n") == [
        "v=0",
        "o=- 42 0 IN IP4 192.0.2.10",
        "s=-",
        "c=IN IP4 192.0.2.10",
        "t=0 0",
        "m=audio 10000 RTP/AVP 8 0 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=maxptime:60",
        "a=sendrecv",
        "",
    ]


@pytest.mark.requirement("rfc3264.5", "media.telephone-event-rate")
def test_an_offer_numbers_dynamic_codecs_and_gives_each_clock_rate_its_dtmf() -> None:
    media = machine(replace(LOCAL, codecs=(OPUS, G722, PCMA))).offer().media[0]
    assert media.payload_formats == (
        PayloadFormat(96, OPUS),
        PayloadFormat(9, G722),
        PayloadFormat(8, PCMA),
        PayloadFormat(101, Codec("telephone-event", 48000, fmtp="0-16")),
        PayloadFormat(97, EVENTS),
    )


def test_an_offer_without_dtmf_lists_none() -> None:
    assert machine(replace(LOCAL, dtmf=False)).offer().media[0].formats == ("8", "0")


def test_an_rtcp_port_that_is_not_the_next_one_is_said() -> None:
    assert machine(replace(LOCAL, rtcp_port=10_001)).offer().media[0].rtcp is None
    rtcp = machine(replace(LOCAL, rtcp_port=11_001)).offer().media[0].rtcp
    assert rtcp is not None
    assert rtcp.port == 11_001


@pytest.mark.requirement("rfc3264.5")
def test_an_ipv6_host_is_offered_as_ip6() -> None:
    assert b"c=IN IP6 2001:db8::1\r\n" in bytes(machine(replace(LOCAL, host="2001:db8::1")).offer())


# ---- answering ------------------------------------------------------------------------------


@pytest.mark.requirement("rfc3264.6")
def test_an_answer_takes_the_first_of_the_offerers_codecs_that_we_support() -> None:
    answer, negotiated = answered(machine(), sdp("audio 20000 RTP/AVP 18 0 8 101"))
    assert negotiated == Negotiated(
        remote=MediaAddress("198.51.100.7", 20_000),
        remote_rtcp=MediaAddress("198.51.100.7", 20_001),
        codec="PCMU",
        payload_type=0,
        clock_rate=8000,
        channels=1,
        ptime=20,
        dtmf_payload_type=101,
        send=True,
        receive=True,
        held_by_remote=False,
        rtcp_mux=False,
        profile="RTP/AVP",
        receive_formats=(PayloadFormat(0, PCMU), PayloadFormat(101, EVENTS)),
    )
    assert answer.media[0].formats == ("0", "101")
    assert answer.media[0].port == 10_000


@pytest.mark.requirement("media.codecs")
def test_our_preference_wins_when_told_to() -> None:
    _, negotiated = answered(machine(replace(LOCAL, prefer_local=True)), sdp())
    assert (negotiated.codec, negotiated.payload_type) == ("PCMA", 8)
    reverse = replace(LOCAL, prefer_local=True, codecs=(PCMU, PCMA))
    _, negotiated = answered(machine(reverse), sdp())
    assert (negotiated.codec, negotiated.payload_type) == ("PCMU", 0)


@pytest.mark.requirement("rfc3264.6")
def test_an_answer_mirrors_the_offerers_payload_types() -> None:
    remote = sdp(
        "audio 20000 RTP/AVP 111 110 100",
        "a=rtpmap:111 OPUS/48000/2",
        "a=rtpmap:110 telephone-event/48000",
        "a=rtpmap:100 telephone-event/8000",
    )
    answer, negotiated = answered(machine(replace(LOCAL, codecs=(OPUS, PCMA))), remote)
    assert answer.media[0].formats == ("111", "110")
    assert answer.media[0].payload_formats[0].codec == OPUS
    assert (negotiated.codec, negotiated.payload_type) == ("opus", 111)
    assert (negotiated.clock_rate, negotiated.channels) == (48000, 2)
    assert negotiated.dtmf_payload_type == 110


@pytest.mark.requirement("media.telephone-event-rate")
def test_dtmf_at_8_khz_beside_opus_is_agreed_where_the_peer_has_no_other() -> None:
    remote = sdp("audio 20000 RTP/AVP 111 101", "a=rtpmap:111 opus/48000/2")
    answer, negotiated = answered(machine(replace(LOCAL, codecs=(OPUS,))), remote)
    assert negotiated.dtmf_payload_type == 101
    assert negotiated.dtmf_receive_payload_types == ((101, 8000),)
    assert answer.media[0].formats == ("111", "101")


def test_no_dtmf_is_agreed_when_either_side_has_none() -> None:
    assert answered(machine(), sdp("audio 20000 RTP/AVP 8"))[1].dtmf_payload_type is None
    silent = machine(replace(LOCAL, dtmf=False))
    assert answered(silent, sdp())[1].dtmf_payload_type is None


@pytest.mark.requirement("rfc3264.6")
def test_other_sections_are_rejected_in_place() -> None:
    remote = sdp(
        "video 30000 RTP/AVP 99",
        "m=audio 20000 RTP/AVP 8",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "m=audio 20002 RTP/AVP 8",
    )
    answer, negotiated = answered(machine(), remote)
    assert [(media.kind, media.port) for media in answer.media] == [
        ("video", 0),
        ("audio", 10_000),
        ("application", 0),
        ("audio", 0),
    ]
    assert answer.media[2].protocol == "UDP/DTLS/SCTP"
    assert answer.media[2].formats == ("webrtc-datachannel",)
    assert negotiated.remote.port == 20_000


@pytest.mark.requirement("media.srtp-profiles")
def test_of_a_secure_and_a_plain_section_the_plain_one_is_taken() -> None:
    remote = sdp("audio 20002 RTP/SAVP 8", "m=audio 20000 RTP/AVP 8 101")
    answer, negotiated = answered(machine(), remote)
    assert [media.port for media in answer.media] == [0, 10_000]
    assert negotiated.remote.port == 20_000


@pytest.mark.requirement("bad.sdp-size")
def test_no_more_than_a_few_audio_sections_are_looked_at() -> None:
    strange = ["m=audio 20000 RTP/AVP 18"] * (MAX_AUDIO_SECTIONS - 1)
    rest = [*strange[1:], "m=audio 20002 RTP/AVP 8"]
    _, negotiated = answered(machine(), sdp("audio 20000 RTP/AVP 18", *rest))
    assert negotiated.remote.port == 20_002
    with pytest.raises(NotAcceptable):
        machine().receive_offer(sdp("audio 20000 RTP/AVP 18", *strange, *rest))


def test_the_feedback_profile_is_agreed_to_and_mirrored() -> None:
    answer, negotiated = answered(machine(), sdp("audio 20000 RTP/AVPF 8 101"))
    assert answer.media[0].protocol == "RTP/AVPF"
    assert negotiated.profile == "RTP/AVPF"


@pytest.mark.parametrize(
    ("m", "lines", "warning"),
    [
        ("audio 20000 RTP/SAVP 8", ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",), 302),
        ("audio 20000 UDP/TLS/RTP/SAVPF 8", (), 302),
        ("audio 20000 TCP/MSRP 8", (), 302),
        ("audio 20000 RTP/AVP 18 101", (), 305),
        ("audio 20000 RTP/AVP 101 13", (), 305),
        ("audio 0 RTP/AVP 8", (), 304),
        ("video 20000 RTP/AVP 99", (), 304),
    ],
)
def test_an_offer_without_a_stream_for_us_is_not_acceptable(
    m: str, lines: tuple[str, ...], warning: int
) -> None:
    oa = machine()
    with pytest.raises(NotAcceptable) as caught:
        oa.receive_offer(sdp(m, *lines))
    assert caught.value.warning_code == warning
    assert oa.state is NegotiationState.NO_SDP


def test_an_offer_without_any_section_or_address_is_not_acceptable() -> None:
    with pytest.raises(NotAcceptable):
        machine().receive_offer(SessionDescription.parse(b"o=- 1 1 IN IP4 h\n"))
    with pytest.raises(NotAcceptable) as caught:
        machine().receive_offer(SessionDescription.parse(b"m=audio 4000 RTP/AVP 8\n"))
    assert caught.value.warning_code == 301


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize(
    ("lines", "milliseconds"),
    [
        (("a=ptime:30",), 30),
        (("a=ptime:25",), 20),
        (("a=ptime:5",), 10),
        (("a=ptime:200",), 60),
        (("a=ptime:60", "a=maxptime:40"), 40),
        (("a=maxptime:10",), 10),
        ((), 20),
    ],
)
def test_the_packet_time_follows_the_peer_within_bounds(
    lines: tuple[str, ...], milliseconds: int
) -> None:
    answer, negotiated = answered(machine(), sdp("audio 20000 RTP/AVP 8", *lines))
    assert negotiated.ptime == milliseconds
    assert answer.media[0].ptime == milliseconds


@pytest.mark.requirement("media.rtcp")
def test_rtcp_goes_where_the_peer_says() -> None:
    explicit = sdp("audio 20000 RTP/AVP 8", "a=rtcp:20005 IN IP4 198.51.100.9")
    assert answered(machine(), explicit)[1].remote_rtcp == MediaAddress("198.51.100.9", 20_005)
    port_only = sdp("audio 20000 RTP/AVP 8", "a=rtcp:20005")
    assert answered(machine(), port_only)[1].remote_rtcp == MediaAddress("198.51.100.7", 20_005)


@pytest.mark.requirement("media.rtcp")
def test_rtcp_mux_is_agreed_to_when_offered_and_wanted() -> None:
    remote = sdp("audio 20000 RTP/AVP 8", "a=rtcp-mux", "a=rtcp:20005")
    answer, negotiated = answered(machine(), remote)
    assert answer.media[0].rtcp_mux
    assert negotiated.rtcp_mux
    assert negotiated.remote_rtcp == negotiated.remote
    answer, negotiated = answered(machine(replace(LOCAL, rtcp_mux=False)), remote)
    assert not answer.media[0].rtcp_mux
    assert not negotiated.rtcp_mux


def test_the_times_of_the_offer_are_those_of_the_answer() -> None:
    remote = replace(sdp(), times=("100 200",))
    assert answered(machine(), remote)[0].times == ("100 200",)


@pytest.mark.requirement("rfc3264.5")
def test_a_media_level_address_wins() -> None:
    remote = sdp("audio 20000 RTP/AVP 8", "c=IN IP4 198.51.100.99")
    assert answered(machine(), remote)[1].remote == MediaAddress("198.51.100.99", 20_000)


# ---- hold and direction ---------------------------------------------------------------------


@pytest.mark.requirement("rfc3264.6", "rfc3264.8.4")
@pytest.mark.parametrize(
    ("offered", "answer", "send", "receive"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendonly", "recvonly", False, True),
        ("recvonly", "sendonly", True, False),
        ("inactive", "inactive", False, False),
    ],
)
def test_the_direction_of_an_answer_follows_the_offer(
    offered: str, answer: str, send: bool, receive: bool
) -> None:
    ours, negotiated = answered(machine(), sdp("audio 20000 RTP/AVP 8", f"a={offered}"))
    assert ours.media[0].direction is Direction(answer)
    assert (negotiated.send, negotiated.receive) == (send, receive)
    assert negotiated.held_by_remote == (not send)


@pytest.mark.requirement("rfc3264.5")
def test_a_session_level_direction_counts() -> None:
    assert answered(machine(), sdp(session="a=sendonly"))[1].held_by_remote


@pytest.mark.requirement("call.remote-hold", "rfc3264.8.4")
def test_an_old_style_hold_by_a_null_address_is_a_hold() -> None:
    answer, negotiated = answered(machine(), sdp(host="0.0.0.0"))
    assert negotiated.held_by_remote
    assert not negotiated.send
    assert answer.media[0].direction is Direction.RECVONLY


@pytest.mark.requirement("call.remote-hold", "rfc3264.8.4")
def test_the_peer_holds_and_resumes() -> None:
    oa = machine()
    answered(oa, sdp())
    answer, negotiated = answered(oa, sdp("audio 20000 RTP/AVP 8 0 101", "a=sendonly"))
    assert negotiated.held_by_remote
    assert answer.origin.version == "1"
    answer, negotiated = answered(oa, sdp())
    assert not negotiated.held_by_remote
    assert (negotiated.send, negotiated.receive) == (True, True)
    assert answer.origin.version == "2"


@pytest.mark.requirement("rfc3264.8.4")
def test_we_hold_and_resume() -> None:
    us, them = machine(), machine(PEER, 7)
    them.receive_offer(wire(us.offer()))
    us.receive_answer(wire(them.answer()))
    hold = us.offer(direction=Direction.SENDONLY)
    them.receive_offer(wire(hold))
    held = us.receive_answer(wire(them.answer()))
    assert (held.send, held.receive) == (True, False)
    assert not held.held_by_remote
    assert them.negotiated is not None
    assert them.negotiated.held_by_remote
    them.receive_offer(wire(us.offer(direction=Direction.SENDRECV)))
    resumed = us.receive_answer(wire(them.answer()))
    assert (resumed.send, resumed.receive) == (True, True)
    assert us.local_description is not None
    assert us.local_description.origin.version == "2"


@pytest.mark.requirement("rfc3264.8.4")
def test_our_hold_stands_when_the_peer_reoffers() -> None:
    us = machine()
    us.offer(direction=Direction.SENDONLY)
    us.receive_answer(sdp("audio 20000 RTP/AVP 8", "a=recvonly"))
    answer, negotiated = answered(us, sdp())
    assert answer.media[0].direction is Direction.SENDONLY
    assert not negotiated.receive


@pytest.mark.requirement("rfc3264.8.4")
def test_both_sides_holding_is_inactive() -> None:
    us = machine()
    us.offer(direction=Direction.SENDONLY)
    us.receive_answer(sdp("audio 20000 RTP/AVP 8", "a=recvonly"))
    answer, _ = answered(us, sdp("audio 20000 RTP/AVP 8", "a=sendonly"))
    assert answer.media[0].direction is Direction.INACTIVE


# ---- the peer answers -----------------------------------------------------------------------


def test_the_answerers_first_codec_is_what_we_send() -> None:
    oa = machine()
    oa.offer()
    negotiated = oa.receive_answer(sdp("audio 20000 RTP/AVP 0 8 101"))
    assert (negotiated.codec, negotiated.payload_type) == ("PCMU", 0)
    assert [item.payload_type for item in negotiated.receive_formats] == [8, 0, 101]


@pytest.mark.requirement("rfc3264.5")
def test_we_send_under_the_answerers_numbers_and_receive_under_ours() -> None:
    oa = machine(replace(LOCAL, codecs=(OPUS,)))
    oa.offer()
    remote = sdp(
        "audio 20000 RTP/AVP 120 121",
        "a=rtpmap:120 opus/48000/2",
        "a=rtpmap:121 telephone-event/48000",
    )
    negotiated = oa.receive_answer(remote)
    assert negotiated.payload_type == 120
    assert negotiated.dtmf_payload_type == 121
    numbers = [item.payload_type for item in negotiated.receive_formats]
    assert numbers == [96, 101, 120, 121]  # ours, and the peer's for those who do not swap them
    assert negotiated.dtmf_receive_payload_types == ((101, 48000), (121, 48000))


@pytest.mark.parametrize(
    ("m", "warning"),
    [
        ("audio 0 RTP/AVP 8", 304),
        ("audio 20000 RTP/SAVP 8", 302),
        ("audio 20000 RTP/AVP 18", 305),
        ("audio 20000 RTP/AVP 101", 305),
    ],
)
def test_an_answer_that_takes_nothing_is_not_acceptable(m: str, warning: int) -> None:
    oa = machine()
    oa.offer()
    with pytest.raises(NotAcceptable) as caught:
        oa.receive_answer(sdp(m))
    assert caught.value.warning_code == warning
    assert oa.state is NegotiationState.LOCAL_OFFER
    assert oa.receive_answer(sdp()).codec == "PCMA"


def test_an_answer_without_sections_or_without_an_address_is_not_acceptable() -> None:
    oa = machine()
    oa.offer()
    with pytest.raises(NotAcceptable):
        oa.receive_answer(SessionDescription.parse(b"o=- 1 1 IN IP4 h\n"))
    with pytest.raises(NotAcceptable):
        oa.receive_answer(SessionDescription.parse(b"m=audio 4000 RTP/AVP 8\n"))


def test_a_late_offer_is_answered_in_the_ack() -> None:
    us, them = machine(), machine(PEER, 7)
    late = us.offer()
    them.receive_offer(wire(late))
    negotiated = us.receive_answer(wire(them.answer()))
    assert negotiated.remote == MediaAddress("198.51.100.7", 20_000)
    assert us.state is them.state is NegotiationState.STABLE


def test_a_second_answer_to_our_offer_moves_the_media() -> None:
    oa = machine()
    oa.offer()
    oa.receive_answer(sdp())
    moved = oa.receive_answer(sdp("audio 30000 RTP/AVP 0", host="198.51.100.8"))
    assert moved.remote == MediaAddress("198.51.100.8", 30_000)
    assert oa.negotiated == moved


def test_a_second_answer_is_refused_once_the_peer_has_offered() -> None:
    oa = machine()
    oa.offer()
    oa.receive_answer(sdp())
    answered(oa, sdp())
    with pytest.raises(StateError):
        oa.receive_answer(sdp())


def test_a_rejected_section_has_nothing_but_its_line() -> None:
    answer, _ = answered(machine(), sdp("video 30000 RTP/AVP 99", "m=audio 20000 RTP/AVP 8"))
    assert answer.media[0] == MediaDescription("video", 0, "RTP/AVP", ("99",))
