from __future__ import annotations

from collections.abc import Callable

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.audio import g711

Convert = Callable[[bytes], bytes]

ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)
LAWS = [
    pytest.param(g711.decode_ulaw, g711.encode_ulaw, id="ulaw"),
    pytest.param(g711.decode_alaw, g711.encode_alaw, id="alaw"),
]


def pcm(*samples: int) -> bytes:
    return np.array(samples, np.int16).tobytes()


def samples(data: bytes) -> list[int]:
    return [int(sample) for sample in np.frombuffer(data, np.int16)]


@pytest.mark.requirement("media.codecs")
@pytest.mark.parametrize(
    ("code", "sample"),
    [(0xFF, 0), (0x7F, 0), (0xFE, 8), (0x7E, -8), (0x80, 32124), (0x00, -32124), (0xEF, 132)],
)
def test_ulaw_codes_of_the_recommendation(code: int, sample: int) -> None:
    assert samples(g711.decode_ulaw(bytes((code,)))) == [sample]


@pytest.mark.requirement("media.codecs")
@pytest.mark.parametrize(
    ("code", "sample"),
    [(0xD5, 8), (0x55, -8), (0xD4, 24), (0xAA, 32256), (0x2A, -32256), (0x80, 5504)],
)
def test_alaw_codes_of_the_recommendation(code: int, sample: int) -> None:
    assert samples(g711.decode_alaw(bytes((code,)))) == [sample]


@pytest.mark.parametrize("decision", [31, 95, 223, 479, 991, 2015, 4063])
def test_ulaw_segments_begin_at_the_decision_values_of_table_2a(decision: int) -> None:
    below, at = g711.encode_ulaw(pcm(4 * decision - 1, 4 * decision))
    assert at == below - 1
    assert at & 0x0F == 0x0F
    negative_below, negative_at = g711.encode_ulaw(pcm(1 - 4 * decision, -4 * decision))
    assert (negative_below, negative_at) == (below & 0x7F, at & 0x7F)


@pytest.mark.parametrize("decision", [64, 128, 256, 512, 1024, 2048])
def test_alaw_segments_begin_at_the_decision_values_of_table_1a(decision: int) -> None:
    below, at = (code ^ 0x55 for code in g711.encode_alaw(pcm(8 * decision - 1, 8 * decision)))
    assert at == below + 1
    if decision > 64:
        assert at & 0x0F == 0


def test_silence_is_the_idle_code() -> None:
    assert g711.encode_ulaw(pcm(0)) == bytes((g711.ULAW_SILENCE,)) == b"\xff"
    assert g711.encode_alaw(pcm(0)) == bytes((g711.ALAW_SILENCE,)) == b"\xd5"


def test_every_alaw_code_survives_the_round_trip() -> None:
    assert g711.encode_alaw(g711.decode_alaw(ALL_CODES)) == ALL_CODES


def test_every_ulaw_code_survives_the_round_trip_but_minus_zero() -> None:
    expected = ALL_CODES.replace(b"\x7f", b"\xff")
    assert g711.encode_ulaw(g711.decode_ulaw(ALL_CODES)) == expected


@pytest.mark.parametrize(("decode", "encode"), LAWS)
def test_a_louder_sample_never_becomes_a_quieter_one(decode: Convert, encode: Convert) -> None:
    out = np.frombuffer(decode(encode(ALL_SAMPLES.tobytes())), np.int16).astype(np.int32)
    assert (np.diff(out) >= 0).all()


@pytest.mark.parametrize(("decode", "encode"), LAWS)
def test_the_error_is_half_a_step_at_most(decode: Convert, encode: Convert) -> None:
    levels = np.unique(np.frombuffer(decode(ALL_CODES), np.int16)).astype(np.int32)
    widest_step = np.maximum(np.diff(levels, prepend=-33280), np.diff(levels, append=33280))
    out = np.frombuffer(decode(encode(ALL_SAMPLES.tobytes())), np.int16).astype(np.int32)
    step = widest_step[np.searchsorted(levels, out)]
    inside = np.abs(ALL_SAMPLES.astype(np.int32)) <= 32635
    assert (np.abs(out - ALL_SAMPLES)[inside] <= step[inside] // 2 + 4).all()


@pytest.mark.parametrize(("decode", "encode"), LAWS)
def test_full_scale_is_clipped_and_not_wrapped(decode: Convert, encode: Convert) -> None:
    low, high = samples(decode(encode(pcm(-32768, 32767))))
    assert high == -low
    assert high > 32000


@pytest.mark.requirement("media.codecs")
@pytest.mark.parametrize(
    ("codec", "decode"), [("pcm_mulaw", g711.decode_ulaw), ("pcm_alaw", g711.decode_alaw)]
)
def test_decodes_as_ffmpeg_does(codec: str, decode: Convert) -> None:
    reference = av.CodecContext.create(codec, "r")
    assert isinstance(reference, av.AudioCodecContext)
    reference.sample_rate = 8000
    reference.layout = "mono"
    (frame,) = reference.decode(av.Packet(ALL_CODES))
    assert frame.to_ndarray().reshape(-1).astype(np.int16).tobytes() == decode(ALL_CODES)


@pytest.mark.parametrize(("decode", "encode"), LAWS)
def test_no_samples_are_no_samples(decode: Convert, encode: Convert) -> None:
    assert decode(b"") == encode(b"") == b""


@pytest.mark.parametrize("encode", [g711.encode_ulaw, g711.encode_alaw])
def test_refuses_half_a_sample(encode: Convert) -> None:
    with pytest.raises(ValueError, match="buffer size|whole samples"):
        encode(b"abc")


@given(st.binary(max_size=400))
def test_what_was_coded_once_is_not_changed_by_coding_again(payload: bytes) -> None:
    for decode, encode in (
        (g711.decode_ulaw, g711.encode_ulaw),
        (g711.decode_alaw, g711.encode_alaw),
    ):
        assert decode(encode(decode(payload))) == decode(payload)
