"""Codecs, their numbers, their companions and their packet times in offer and answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.sip.codec_choice import (
    NoPayloadType,
    PayloadNumbers,
    choose,
    receivable,
    telephone_event,
)
from ringback.sip.offer_answer import Negotiated, OfferAnswer
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import G722, OPUS, PCMA, PCMU, Codec, PayloadFormat
from unit.sip.sdp_peers import LOCAL, PEER, answered, machine, sdp, wire

ALL = replace(LOCAL, codecs=(OPUS, G722, PCMA, PCMU), prefer_local=True)


def offer(m: str, *lines: str) -> SessionDescription:
    """A description with these lines alone: no rtpmap of its own."""
    head = "v=0\no=p 1 1 IN IP4 198.51.100.7\ns=-\nc=IN IP4 198.51.100.7\nt=0 0\n"
    return SessionDescription.parse((head + "\n".join([f"m={m}", *lines]) + "\n").encode())


CHROME_OPUS = offer(
    "audio 20000 RTP/AVP 111 9 8 0 13 110 126",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;maxaveragebitrate=24000",
    "a=rtpmap:110 telephone-event/48000",
    "a=rtpmap:126 telephone-event/8000",
)


# ---- preference -----------------------------------------------------------------------------


@pytest.mark.requirement("media.codecs")
def test_the_default_preference_is_opus_then_g722_then_g711() -> None:
    assert answered(machine(ALL), CHROME_OPUS)[1].codec == "opus"
    assert answered(machine(ALL), offer("audio 20000 RTP/AVP 0 8 9"))[1].codec == "G722"
    assert answered(machine(ALL), offer("audio 20000 RTP/AVP 0 8"))[1].codec == "PCMA"
    assert answered(machine(ALL), offer("audio 20000 RTP/AVP 18 0"))[1].codec == "PCMU"


@pytest.mark.requirement("media.codecs")
def test_the_order_of_the_trunk_decides_over_the_offerers() -> None:
    cheap = replace(ALL, codecs=(PCMU, PCMA, G722, OPUS))
    assert answered(machine(cheap), CHROME_OPUS)[1].codec == "PCMU"
    polite = replace(cheap, prefer_local=False)
    assert answered(machine(polite), CHROME_OPUS)[1].codec == "opus"


codecs = st.lists(
    st.sampled_from([OPUS, G722, PCMA, PCMU, Codec("L16", 16000)]),
    min_size=1,
    unique_by=lambda codec: codec.key,
)


@pytest.mark.requirement("media.codecs")
@given(codecs, codecs, st.booleans())
def test_the_chosen_codec_is_the_first_common_one_of_whoever_decides(
    offered: list[Codec], ours: list[Codec], prefer_local: bool
) -> None:
    formats = tuple(PayloadFormat(96 + n, codec) for n, codec in enumerate(offered))
    found = choose(formats, tuple(ours), prefer_local)
    common = [c for c in (ours if prefer_local else offered) if c in ours and c in offered]
    if not common:
        assert found is None
        return
    assert found is not None
    chosen, codec = found
    assert chosen in formats
    assert codec.key == chosen.codec.key == common[0].key


@pytest.mark.requirement("rfc3551.6")
@pytest.mark.parametrize(
    ("m", "lines", "codec", "payload_type", "clock_rate"),
    [
        ("audio 20000 RTP/AVP 9", (), "G722", 9, 8000),
        ("audio 20000 RTP/AVP 9", ("a=rtpmap:9 G722/8000",), "G722", 9, 8000),
        ("audio 20000 RTP/AVP 9", ("a=rtpmap:9 g722/8000/1",), "G722", 9, 8000),
        ("audio 20000 RTP/AVP 9", ("a=rtpmap:9 G722/16000",), "G722", 9, 8000),
        ("audio 20000 RTP/AVP 8", (), "PCMA", 8, 8000),
        ("audio 20000 RTP/AVP 0", ("a=RTPMAP:0 pcmu/8000",), "PCMU", 0, 8000),
        ("audio 20000 RTP/AVP 97", ("a=rtpmap:97 PCMA/8000",), "PCMA", 97, 8000),
        ("audio 20000 RTP/AVP 8", ("a=rtpmap:8\tPCMA/8000",), "PCMA", 8, 8000),
        ("audio 20000 RTP/AVP 107", ("a=rtpmap:107   OPUS/48000/2",), "opus", 107, 48000),
        ("audio 20000 RTP/AVP 107", ("a=rtpmap:107 opus/48000",), "opus", 107, 48000),
    ],
)
def test_a_codec_is_known_by_number_or_name_in_the_spellings_of_the_field(
    m: str, lines: tuple[str, ...], codec: str, payload_type: int, clock_rate: int
) -> None:
    answer, result = answered(machine(ALL), offer(m, *lines))
    assert (result.codec, result.payload_type) == (codec, payload_type)
    assert result.clock_rate == clock_rate
    assert answer.media[0].formats == (str(payload_type),)


# ---- Opus -----------------------------------------------------------------------------------


@pytest.mark.requirement("media.opus")
def test_opus_is_offered_in_stereo_form_with_repair_data_wished_for() -> None:
    lines = bytes(machine(ALL).offer()).decode().split("\r\n")
    assert "m=audio 10000 RTP/AVP 96 9 8 0 101 97" in lines
    assert "a=rtpmap:96 opus/48000/2" in lines
    assert "a=fmtp:96 minptime=10;useinbandfec=1" in lines
    assert "a=rtpmap:9 G722/8000" in lines
    assert "a=rtpmap:101 telephone-event/48000" in lines
    assert "a=rtpmap:97 telephone-event/8000" in lines


@pytest.mark.requirement("media.opus")
def test_what_the_peer_wants_of_opus_is_handed_on_and_ours_is_answered() -> None:
    answer, result = answered(machine(ALL), CHROME_OPUS)
    assert result.fmtp == "minptime=10;useinbandfec=1;usedtx=1;maxaveragebitrate=24000"
    assert "a=fmtp:111 minptime=10;useinbandfec=1\r\n" in str(answer)
    oa = machine(ALL)
    oa.offer()
    result = oa.receive_answer(
        offer("audio 20000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 stereo=1;cbr=1")
    )
    assert result.fmtp == "stereo=1;cbr=1"


@pytest.mark.requirement("media.opus")
def test_a_codec_without_parameters_has_none() -> None:
    assert answered(machine(ALL), offer("audio 20000 RTP/AVP 8"))[1].fmtp == ""


# ---- DTMF events ------------------------------------------------------------------------------


@pytest.mark.requirement("media.telephone-event-rate")
def test_events_go_by_the_clock_of_the_codec_that_is_chosen() -> None:
    answer, result = answered(machine(ALL), CHROME_OPUS)
    assert answer.media[0].formats == ("111", "110")
    assert result.dtmf_payload_type == 110
    narrow = replace(ALL, codecs=(PCMA,))
    answer, result = answered(machine(narrow), CHROME_OPUS)
    assert answer.media[0].formats == ("8", "126", "13")
    assert result.dtmf_payload_type == 126


@pytest.mark.requirement("media.telephone-event-rate")
def test_g722_has_its_events_at_8_khz() -> None:
    g722 = replace(ALL, codecs=(G722,))
    assert "a=rtpmap:101 telephone-event/8000\r\n" in str(machine(g722).offer())
    assert answered(machine(g722), CHROME_OPUS)[1].dtmf_payload_type == 126


@pytest.mark.requirement("media.telephone-event-rate")
def test_events_of_any_rate_that_were_offered_are_understood() -> None:
    result = answered(machine(ALL), CHROME_OPUS)[1]
    assert result.dtmf_receive_payload_types == ((110, 48000), (126, 8000))


@pytest.mark.requirement("media.telephone-event-rate")
def test_the_numbers_of_events_may_differ_in_each_direction() -> None:
    oa = machine(replace(LOCAL, codecs=(PCMA,)))
    oa.offer()
    result = oa.receive_answer(
        offer("audio 20000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-15")
    )
    assert result.dtmf_payload_type == 96
    assert result.dtmf_receive_payload_types == ((101, 8000), (96, 8000))


def test_a_number_of_the_peers_that_means_something_else_here_keeps_our_meaning() -> None:
    ours = (PayloadFormat(96, OPUS), PayloadFormat(101, telephone_event(48000)))
    theirs = (PayloadFormat(101, OPUS), PayloadFormat(96, telephone_event(48000)))
    assert receivable(ours, theirs) == ours
    spare = (PayloadFormat(120, Codec("OPUS", 48000, 2)), PayloadFormat(18, Codec("G729", 8000)))
    assert receivable(ours, spare) == (*ours, PayloadFormat(120, OPUS))


# ---- comfort noise ----------------------------------------------------------------------------


@pytest.mark.requirement("media.comfort-noise")
def test_comfort_noise_is_agreed_to_when_offered_and_never_asked_for() -> None:
    answer, result = answered(machine(), offer("audio 20000 RTP/AVP 8 13"))
    assert result.comfort_noise_payload_type == 13
    assert answer.media[0].formats == ("8", "13")
    assert "CN/" not in str(machine(ALL).offer())
    without = machine(replace(LOCAL, comfort_noise=False))
    assert (
        answered(without, offer("audio 20000 RTP/AVP 8 13"))[1].comfort_noise_payload_type is None
    )


@pytest.mark.requirement("media.comfort-noise")
def test_comfort_noise_at_another_rate_goes_with_the_codec_of_that_rate() -> None:
    remote = offer(
        "audio 20000 RTP/AVP 96 8 13 105", "a=rtpmap:96 L16/16000", "a=rtpmap:105 CN/16000"
    )
    wide = machine(replace(LOCAL, codecs=(Codec("L16", 16000),)))
    assert answered(wide, remote)[1].comfort_noise_payload_type == 105
    assert answered(machine(), remote)[1].comfort_noise_payload_type == 13


@pytest.mark.requirement("media.comfort-noise")
def test_comfort_noise_once_agreed_stays_in_our_own_reoffer() -> None:
    oa = machine(replace(LOCAL, codecs=(PCMA,)))
    answered(oa, offer("audio 20000 RTP/AVP 8 13"))
    assert oa.offer().media[0].formats == ("8", "101", "13")
    result = oa.receive_answer(offer("audio 20000 RTP/AVP 8 13"))
    assert result.comfort_noise_payload_type == 13


# ---- packet times -----------------------------------------------------------------------------


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize(
    ("lines", "opus", "g722"),
    [
        ((), 20, 20),
        (("a=ptime:10",), 10, 10),
        (("a=ptime:30",), 20, 30),
        (("a=ptime:50",), 40, 50),
        (("a=ptime:60",), 60, 60),
        (("a=ptime:120",), 60, 60),
        (("a=ptime:60", "a=maxptime:30"), 20, 30),
        (("a=ptime:nonsense",), 20, 20),
    ],
)
def test_packet_times_are_those_that_the_codec_has(
    lines: tuple[str, ...], opus: int, g722: int
) -> None:
    remote = offer("audio 20000 RTP/AVP 107 9", "a=rtpmap:107 opus/48000/2", *lines)
    assert answered(machine(ALL), remote)[1].ptime == opus
    assert answered(machine(replace(ALL, codecs=(G722,))), remote)[1].ptime == g722


@pytest.mark.requirement("media.ptime")
def test_a_peer_that_decodes_no_short_packets_gets_none() -> None:
    remote = offer(
        "audio 20000 RTP/AVP 107",
        "a=rtpmap:107 opus/48000/2",
        "a=fmtp:107 minptime=40",
        "a=ptime:10",
    )
    assert answered(machine(ALL), remote)[1].ptime == 40


@pytest.mark.requirement("media.ptime")
def test_our_descriptions_say_up_to_which_packet_time_we_hear() -> None:
    assert machine().offer().media[0].maxptime == 60
    assert answered(machine(), sdp())[0].media[0].maxptime == 60


# ---- numbers ----------------------------------------------------------------------------------


def test_a_session_that_used_up_its_numbers_says_so() -> None:
    numbers = PayloadNumbers()
    many = tuple(Codec(f"X{n}", 8000) for n in range(60))
    with pytest.raises(NoPayloadType):
        numbers.for_offer(many, dtmf=True)


def exchange(us: OfferAnswer, them: OfferAnswer) -> tuple[Negotiated, Negotiated]:
    them.receive_offer(wire(us.offer()))
    mine = us.receive_answer(wire(them.answer()))
    assert them.negotiated is not None
    return mine, them.negotiated


@pytest.mark.requirement("rfc3264.8")
@given(codecs, codecs, codecs)
def test_over_any_rounds_each_side_sends_what_the_other_expects(
    ours: list[Codec], theirs: list[Codec], later: list[Codec]
) -> None:
    us = machine(replace(LOCAL, codecs=tuple(ours)))
    them = machine(replace(PEER, codecs=(*theirs, *(c for c in ours if c not in theirs))), 7)
    rounds = [exchange(us, them)]
    us.local = replace(LOCAL, codecs=(*later, *(c for c in ours if c not in later)))
    rounds += [exchange(us, them), exchange(them, us)]
    for mine, peer in rounds:
        assert (mine.payload_type, mine.codec) in peer.receive_codecs
        assert (peer.payload_type, peer.codec) in mine.receive_codecs
        assert mine.dtmf_payload_type in dict(peer.dtmf_receive_payload_types)
        assert peer.dtmf_payload_type in dict(mine.dtmf_receive_payload_types)


@pytest.mark.requirement("call.codec-change")
def test_a_pcma_only_reoffer_changes_the_codec_in_mid_call() -> None:
    oa = machine(ALL)
    assert answered(oa, CHROME_OPUS)[1].codec == "opus"
    answer, result = answered(oa, offer("audio 20000 RTP/AVP 8"))
    assert (result.codec, result.clock_rate, result.fmtp) == ("PCMA", 8000, "")
    assert answer.media[0].formats == ("8",)
    assert answer.origin.version == "1"
