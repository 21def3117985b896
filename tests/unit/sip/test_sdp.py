from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.sip import sdp as sdp_module
from ringback.sip.errors import ParseError, UnsafeValue
from ringback.sip.sdp import (
    Attribute,
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
)
from ringback.sip.sdp_values import (
    PCMA,
    PCMU,
    PROFILES,
    Codec,
    Crypto,
    Direction,
    PayloadFormat,
    RtcpAttribute,
    SdpError,
    SdpTooLarge,
)

PHONE = b"""v=0
o=jdoe 2890844526 2890842807 IN IP4 10.47.16.5
s=SDP Seminar
i=A Seminar on the session description protocol
u=http://www.example.com/seminars/sdp.pdf
e=j.doe@example.com (Jane Doe)
p=+1 617 555-6011
c=IN IP4 203.0.113.7/127
b=AS:128
t=2873397496 2873404696
a=recvonly
m=audio 49170 RTP/AVP 0 8 101
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
m=video 51372 RTP/AVP 99
c=IN IP6 2001:db8::7
a=rtpmap:99 h263-1998/90000
a=sendonly
"""


def parse(text: str) -> SessionDescription:
    return SessionDescription.parse(text.encode())


def audio(*lines: str, m: str = "audio 4000 RTP/AVP 0") -> MediaDescription:
    head = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"]
    return parse("\r\n".join([*head, f"m={m}", *lines, ""])).media[0]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_gives_the_same_description(end: bytes) -> None:
    assert SessionDescription.parse(PHONE.replace(b"\n", end)) == SessionDescription.parse(PHONE)


def test_every_field_of_a_full_description_is_read() -> None:
    session = SessionDescription.parse(PHONE)
    assert session.origin == Origin("jdoe", "2890844526", "2890842807", "10.47.16.5")
    assert session.name == "SDP Seminar"
    assert session.information == "A Seminar on the session description protocol"
    assert session.uri == "http://www.example.com/seminars/sdp.pdf"
    assert session.emails == ("j.doe@example.com (Jane Doe)",)
    assert session.phones == ("+1 617 555-6011",)
    assert session.connection == Connection("203.0.113.7")
    assert session.bandwidths == ("AS:128",)
    assert session.times == ("2873397496 2873404696",)
    sound, video = session.media
    assert (sound.kind, sound.port, sound.protocol) == ("audio", 49170, "RTP/AVP")
    assert sound.payload_formats == (
        PayloadFormat(0, PCMU),
        PayloadFormat(8, PCMA),
        PayloadFormat(101, Codec("telephone-event", 8000, fmtp="0-16")),
    )
    assert sound.ptime == 20
    assert video.connection == Connection("2001:db8::7")


def test_it_writes_lines_in_the_order_of_the_rfc_with_crlf() -> None:
    written = bytes(SessionDescription.parse(PHONE))
    expected = PHONE.replace(b"/127", b"").replace(b"\n", b"\r\n")
    assert written == expected


@pytest.mark.requirement("rfc3264.5")
def test_media_level_values_win_over_session_level_ones() -> None:
    session = SessionDescription.parse(PHONE)
    sound, video = session.media
    assert session.connection_of(sound) == Connection("203.0.113.7")
    assert session.connection_of(video) == Connection("2001:db8::7")
    assert session.direction_of(sound) is Direction.RECVONLY
    assert session.direction_of(video) is Direction.SENDONLY


@pytest.mark.requirement("rfc3264.5")
def test_direction_is_sendrecv_when_nobody_says_otherwise() -> None:
    session = parse("o=- 1 1 IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n")
    assert session.direction_of(session.media[0]) is Direction.SENDRECV


def test_lines_out_of_order_blank_lines_and_indentation_are_accepted() -> None:
    session = parse(
        "\n  c=IN IP4 192.0.2.1\nt=0 0\n\nm=audio 4000 RTP/AVP 8\ns=late\no=- 7 8 IN IP4 x\n"
    )
    assert session.name == "late"
    assert session.origin.session_id == "7"
    assert session.connection == Connection("192.0.2.1")
    assert session.media[0].port == 4000


def test_missing_version_origin_name_and_time_get_their_defaults() -> None:
    session = parse("m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1\n")
    assert session.origin == Origin()
    assert bytes(session).startswith(b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=")


def test_a_description_without_media_is_legal() -> None:
    assert parse("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n").media == ()


def test_unknown_lines_are_kept_aside_and_not_written() -> None:
    session = parse("o=- 1 1 IN IP4 h\ny=0100\nm=audio 4000 RTP/AVP 0\nf=v/1/2\ngarbage\n")
    assert session.unknown == (("y", "0100"),)
    assert session.media[0].unknown == (("f", "v/1/2"), ("", "garbage"))
    assert b"0100" not in bytes(session)


def test_unknown_attributes_are_kept_and_written() -> None:
    media = audio("a=X-nat:0 Unknown", "a=silenceSupp:off - - - -", "a=flag")
    assert media.first("x-nat") == "0 Unknown"
    assert media.first("FLAG") == ""
    assert media.first("missing") is None
    assert "a=silenceSupp:off - - - -" in media.lines()


@pytest.mark.parametrize("protocol", [*PROFILES, "TCP/MSRP", "udptl", "rtp/avp"])
def test_every_transport_is_parsed_and_kept_as_written(protocol: str) -> None:
    assert audio(m=f"audio 4000 {protocol} 0").protocol == protocol


@pytest.mark.requirement("rfc3551.6")
def test_static_payload_types_need_no_rtpmap() -> None:
    media = audio(m="audio 4000 RTP/AVP 9 18 0 8 3")
    assert [item.codec.name for item in media.payload_formats] == [
        "G722",
        "G729",
        "PCMU",
        "PCMA",
        "GSM",
    ]


@pytest.mark.requirement("rfc3551.6")
def test_g722_has_the_clock_rate_of_its_rtpmap_and_not_its_sampling_rate() -> None:
    assert audio(m="audio 4000 RTP/AVP 9").payload_formats[0].codec.clock_rate == 8000


@pytest.mark.requirement("rfc3551.6")
def test_an_rtpmap_overrides_the_static_meaning() -> None:
    media = audio("a=rtpmap:8 opus/48000/2", m="audio 4000 RTP/AVP 8")
    assert media.payload_formats == (PayloadFormat(8, Codec("opus", 48000, 2)),)


def test_payload_types_that_nothing_explains_are_left_out() -> None:
    media = audio(
        "a=rtpmap:97 broken", "a=rtpmap:200 PCMU/8000", m="audio 4000 RTP/AVP 96 97 200 x 8"
    )
    assert media.payload_formats == (PayloadFormat(8, PCMA),)


@pytest.mark.requirement("rfc3551.6")
def test_a_broken_rtpmap_of_a_static_type_leaves_the_static_meaning() -> None:
    media = audio("a=rtpmap:0 PCMU", "a=fmtp:0 x=1")
    assert media.payload_formats == (PayloadFormat(0, replace(PCMU, fmtp="x=1")),)


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("20", 20),
        ("20.0", 20),
        ("16.25", 16),
        ("0", None),
        ("-20", None),
        ("abc", None),
        ("", None),
    ],
)
def test_packet_times_are_whole_milliseconds_or_nothing(
    text: str, milliseconds: int | None
) -> None:
    assert audio(f"a=ptime:{text}").ptime == milliseconds
    assert audio(f"a=maxptime:{text}").maxptime == milliseconds


def test_rtcp_attributes_are_read_with_and_without_an_address() -> None:
    assert audio("a=rtcp:4005").rtcp == RtcpAttribute(4005)
    assert audio("a=rtcp:4005 IN IP6 2001:db8::1").rtcp == RtcpAttribute(4005, "2001:db8::1")
    assert audio("a=rtcp:nonsense").rtcp is None
    assert not audio("a=rtcp:4005").rtcp_mux
    assert audio("a=rtcp-mux").rtcp_mux


@pytest.mark.requirement("rfc4568.6.1")
def test_crypto_attributes_are_read_in_order_and_broken_ones_skipped() -> None:
    media = audio(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20|1:4 UNENCRYPTED_SRTCP",
        "a=crypto:x AES inline:abc",
        "a=crypto:2 AES",
        "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:a;inline:b",
        m="audio 4000 RTP/SAVP 0",
    )
    assert media.crypto == (
        Crypto(1, "AES_CM_128_HMAC_SHA1_80", ("inline:c2VjcmV0|2^20|1:4",), ("UNENCRYPTED_SRTCP",)),
        Crypto(2, "AES_CM_128_HMAC_SHA1_32", ("inline:a", "inline:b")),
    )
    assert str(media.crypto[1]) == "2 AES_CM_128_HMAC_SHA1_32 inline:a;inline:b"


def test_srtp_keys_do_not_show_in_a_repr() -> None:
    media = audio("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0")
    assert "c2VjcmV0" not in repr(media)
    assert "c2VjcmV0" not in repr(media.crypto)


def test_an_origin_with_spaces_in_the_user_name_is_read_and_written_legally() -> None:
    session = parse("o=Jane Doe 12 13 IN IP4 192.0.2.1\n")
    assert session.origin == Origin("Jane Doe", "12", "13", "192.0.2.1")
    assert b"o=Jane_Doe 12 13 IN IP4 192.0.2.1\r\n" in bytes(session)


@pytest.mark.requirement("rfc3264.8.4")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "anything.INVALID"])
def test_addresses_that_mean_nowhere_are_recognised(host: str) -> None:
    assert Connection(host).unspecified
    assert not Connection("192.0.2.1").unspecified


def test_ipv6_addresses_are_written_with_their_family() -> None:
    assert str(Connection("2001:db8::1")) == "IN IP6 2001:db8::1"
    assert Connection.parse("IN IP6 FF15::101/3") == Connection("FF15::101")


@pytest.mark.requirement("rfc3264.6")
def test_dual_sections_and_switched_off_ones_are_all_kept_in_order() -> None:
    session = parse(
        "o=- 1 1 IN IP4 h\nm=audio 4000 RTP/SAVP 0\nm=audio 4000 RTP/AVP 0\nm=image 0 udptl t38\n"
    )
    assert [(m.kind, m.port, m.protocol) for m in session.media] == [
        ("audio", 4000, "RTP/SAVP"),
        ("audio", 4000, "RTP/AVP"),
        ("image", 0, "udptl"),
    ]


def test_a_port_count_is_kept() -> None:
    media = audio(m="audio 4000/2 RTP/AVP 0")
    assert (media.port, media.port_count) == (4000, 2)
    assert media.lines()[0] == "m=audio 4000/2 RTP/AVP 0"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"\xff\xfe\x00",
        b"s=-\r\nt=0 0\r\n",
        b"v=1\r\no=- 1 1 IN IP4 h\r\n",
        b"o=too short\r\n",
        b"o=- 1 1 IN IP4 h\r\nc=ATM NSAP 1\r\n",
        b"o=- 1 1 IN IP4 h\r\nc=IN IP4\r\n",
        b"o=- 1 1 IN IP4 h\r\nc=IN IP4 /127\r\n",
        b"m=audio 4000 RTP/AVP\r\n",
        b"m=audio x RTP/AVP 0\r\n",
        b"m=audio 65536 RTP/AVP 0\r\n",
        b"m=audio -1 RTP/AVP 0\r\n",
        b"m=audio 4000/0 RTP/AVP 0\r\n",
        "m=audio ４０００ RTP/AVP 0\r\n".encode(),
        b"o=- 1 1 IN IP4 h\r\ns=a\0b\r\n",
    ],
)
def test_what_has_no_meaning_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(ParseError):
        SessionDescription.parse(body)


def test_a_body_that_a_phone_ended_with_a_nul_is_accepted() -> None:
    assert SessionDescription.parse(PHONE + b"\0") == SessionDescription.parse(PHONE)


@pytest.mark.requirement("bad.sdp-size")
def test_size_lines_media_and_formats_are_bounded() -> None:
    head = b"o=- 1 1 IN IP4 h\n"
    for body in (
        head + b"a=" + b"x" * sdp_module.MAX_BYTES,
        head + b"a=x\n" * sdp_module.MAX_LINES,
        head + b"m=audio 1 RTP/AVP 0\n" * (sdp_module.MAX_MEDIA + 1),
        head + b"m=audio 1 RTP/AVP" + b" 0" * (sdp_module.MAX_FORMATS + 1),
    ):
        with pytest.raises(ParseError):
            SessionDescription.parse(body)
    assert len(parse("m=audio 1 RTP/AVP 0\n" * sdp_module.MAX_MEDIA).media) == sdp_module.MAX_MEDIA


@pytest.mark.parametrize("value", ["a\r\nm=audio 1 RTP/AVP 0", "a\nb", "a\rb", "a\0b"])
def test_line_breaks_in_our_own_values_are_refused(value: str) -> None:
    for session in (
        SessionDescription(name=value),
        SessionDescription(attributes=(Attribute("x", value),)),
        SessionDescription(connection=Connection(value)),
        SessionDescription(media=(MediaDescription("audio", 1, value, ("0",)),)),
    ):
        with pytest.raises(UnsafeValue):
            bytes(session)


def test_bytes_that_are_not_utf8_do_not_cost_the_description() -> None:
    session = SessionDescription.parse(b"o=J\xfcrgen 1 1 IN IP4 h\r\nm=audio 4 RTP/AVP 0\r\n")
    assert session.media[0].port == 4
    assert SessionDescription.parse(bytes(session)) == session


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_nothing_but_parse_errors(data: bytes) -> None:
    exercise(data)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["v=", "o=", "s=", "c=", "t=", "m=", "b=", "a=", "a=rtpmap:", "a=fmtp:"]
            ),
            st.text(st.sampled_from("0189 /:.-INP46rtpaudioRTP/AVP\u00e9\u0660\x85"), max_size=30),
        ),
        max_size=12,
    )
)
def test_lines_that_look_like_sdp_raise_nothing_but_parse_errors(
    lines: list[tuple[str, str]],
) -> None:
    exercise("\n".join(key + value for key, value in lines).encode())


def exercise(data: bytes) -> None:
    try:
        session = SessionDescription.parse(data)
    except ParseError:
        return
    for media in session.media:
        _ = (media.payload_formats, media.ptime, media.maxptime, media.rtcp, media.crypto)
        _ = (session.direction_of(media), session.connection_of(media))
    assert SessionDescription.parse(bytes(session)) == session


tokens = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=12)
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20
)
hosts = st.one_of(st.ip_addresses().map(str), tokens)
LEFT_OUT = {"candidate", "remote-candidates", "end-of-candidates"}
attributes = st.builds(
    Attribute, tokens.filter(lambda name: name not in LEFT_OUT), st.none() | texts
)
media_sections = st.builds(
    MediaDescription,
    kind=st.sampled_from(["audio", "video", "image", "application"]),
    port=st.integers(0, 65535),
    protocol=st.sampled_from(list(PROFILES)),
    formats=st.lists(st.integers(0, 127).map(str), min_size=1, max_size=5).map(tuple),
    title=st.none() | texts,
    connection=st.none() | st.builds(Connection, hosts),
    bandwidths=st.lists(texts, max_size=2).map(tuple),
    attributes=st.lists(attributes, max_size=5).map(tuple),
    port_count=st.integers(1, 3),
)
sessions = st.builds(
    SessionDescription,
    origin=st.builds(
        Origin, tokens, st.integers(0, 2**63).map(str), st.integers(0, 2**31).map(str), hosts
    ),
    name=texts,
    information=st.none() | texts,
    uri=st.none() | texts,
    emails=st.lists(texts, max_size=2).map(tuple),
    phones=st.lists(texts, max_size=2).map(tuple),
    connection=st.none() | st.builds(Connection, hosts),
    bandwidths=st.lists(texts, max_size=2).map(tuple),
    times=st.lists(texts, min_size=1, max_size=2).map(tuple),
    attributes=st.lists(attributes, max_size=5).map(tuple),
    media=st.lists(media_sections, max_size=4).map(tuple),
)


@given(sessions)
def test_every_description_survives_writing_and_reading(session: SessionDescription) -> None:
    assert SessionDescription.parse(bytes(session)) == session


@given(tokens, st.integers(1, 200_000), st.integers(1, 8))
def test_every_codec_survives_writing_and_reading(name: str, rate: int, channels: int) -> None:
    codec = Codec(name, rate, channels)
    assert Codec.parse(str(codec)) == codec


@given(st.integers(0, 65535), st.none() | st.ip_addresses().map(str))
def test_every_rtcp_attribute_survives_writing_and_reading(port: int, host: str | None) -> None:
    assert RtcpAttribute.parse(str(RtcpAttribute(port, host))) == RtcpAttribute(port, host)


@given(st.integers(0, 999_999_999), tokens, st.lists(tokens, min_size=1, max_size=3))
def test_every_crypto_survives_writing_and_reading(tag: int, suite: str, keys: list[str]) -> None:
    crypto = Crypto(tag, suite, tuple(f"inline:{key}" for key in keys), ("KDR=1",))
    assert Crypto.parse(str(crypto)) == crypto


@pytest.mark.requirement("rfc3551.6")
def test_codecs_are_the_same_by_name_in_any_case_rate_and_channels() -> None:
    assert Codec("pcmu", 8000).same_as(PCMU)
    assert Codec("opus", 48000, 2, "useinbandfec=1").same_as(Codec("OPUS", 48000, 2))
    assert not Codec("PCMU", 16000).same_as(PCMU)
    assert not Codec("L16", 44100).same_as(Codec("L16", 44100, 2))
    assert not Codec("telephone-event", 8000).is_audio
    assert not Codec("cn", 8000).is_audio


@pytest.mark.requirement("rfc3264.5", "rfc3264.8.4")
@pytest.mark.parametrize("ours", list(Direction))
@pytest.mark.parametrize("theirs", list(Direction))
def test_directions_combine_flow_by_flow(ours: Direction, theirs: Direction) -> None:
    both = ours & theirs.reversed
    assert both.send == (ours.send and theirs.receive)
    assert both.receive == (ours.receive and theirs.send)
    assert theirs.reversed.reversed is theirs


@pytest.mark.requirement("bad.sdp-size")
def test_a_section_of_too_many_attributes_is_too_large_and_candidates_do_not_count() -> None:
    head = b"v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 8\n"
    fits = SessionDescription.parse(head + b"a=x\n" * sdp_module.MAX_ATTRIBUTES)
    assert len(fits.media[0].attributes) == sdp_module.MAX_ATTRIBUTES
    with pytest.raises(SdpTooLarge):
        SessionDescription.parse(head + b"a=x\n" * (sdp_module.MAX_ATTRIBUTES + 1))
    many = b"a=candidate:1 1 udp 1 192.0.2.1 4000 typ host\n" * 2000
    assert SessionDescription.parse(head + many).media[0].attributes == ()


@pytest.mark.requirement("bad.sdp-size")
@pytest.mark.parametrize(
    "data",
    [
        b"v=0\n" + b"a=" + b"x" * sdp_module.MAX_BYTES,
        b"v=0\n" + b"a=candidate:1\n" * sdp_module.MAX_LINES,
        b"v=0\n" + b"m=audio 4000 RTP/AVP 8\n" * (sdp_module.MAX_MEDIA + 1),
        b"m=audio 4000 RTP/AVP" + b" 8" * (sdp_module.MAX_FORMATS + 1),
    ],
)
def test_what_is_beyond_the_bounds_is_said_to_be_too_large(data: bytes) -> None:
    with pytest.raises(SdpTooLarge):
        SessionDescription.parse(data)


def test_a_section_that_is_switched_off_needs_no_formats() -> None:
    data = b"v=0\nc=IN IP4 192.0.2.1\nm=video 0 RTP/AVP\nm=audio 4000 RTP/AVP 8\n"
    assert [m.port for m in SessionDescription.parse(data).media] == [0, 4000]
    with pytest.raises(SdpError):
        SessionDescription.parse(data.replace(b"video 0", b"video 1"))
