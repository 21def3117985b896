from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.audio import level, opus, opus_library, opus_packet, tones
from ringback.audio.opus import Opus, OpusParameters
from ringback.audio.polyphase import PolyphaseResampler

LIBRARY = opus_library.load()
FRAME = 960


def codec(fmtp: str = "", sample_rate: int = 48_000) -> Opus:
    if LIBRARY is None:
        pytest.fail("the tests need libopus")
    return Opus(LIBRARY, fmtp, sample_rate)


def speech(ms: int = 2000, sample_rate: int = 48_000) -> bytes:
    """Something with a pitch and formants, that comes and goes."""
    parts = [
        tones.tone((150, 300, 450, 700, 1200 + 100 * (n % 3)), 80, sample_rate, -24)
        + tones.silence(20, sample_rate)
        for n in range(ms // 100)
    ]
    return b"".join(parts)


def packets(instance: Opus, pcm: bytes, ms: int = 20) -> list[bytes]:
    size = instance.sample_rate * ms // 1000 * 2
    return [instance.encode(pcm[n : n + size]) for n in range(0, len(pcm) - size + 1, size)]


def bandwidth(packet: bytes) -> int:
    """0 narrowband to 4 fullband (RFC 6716 table 2)."""
    config = packet[0] >> 3
    if config < 12:
        return config // 4
    return 3 + (config - 12) // 2 if config < 16 else (0, 2, 3, 4)[(config - 16) // 4]


# ---- what the peer wants --------------------------------------------------------------------


@pytest.mark.requirement("media.opus")
@given(
    st.builds(
        OpusParameters,
        st.integers(8000, 48_000),
        st.integers(6000, 510_000),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
)
def test_parameters_are_read_as_they_are_written(parameters: OpusParameters) -> None:
    assert OpusParameters.parse(str(parameters)) == parameters


@pytest.mark.requirement("media.opus")
@given(st.text(max_size=100))
def test_no_parameters_are_too_odd(fmtp: str) -> None:
    OpusParameters.parse(fmtp)


@pytest.mark.requirement("media.opus")
def test_parameters_are_read_as_people_write_them() -> None:
    read = OpusParameters.parse("MaxPlaybackRate=16000; useinbandfec=1 ;sprop-stereo=1;;usedtx = 1")
    assert read == OpusParameters(max_playback_rate=16_000, in_band_fec=True, dtx=True)
    assert OpusParameters.parse("maxaveragebitrate=1;useinbandfec=yes;cbr=99999999999") == (
        OpusParameters(max_average_bitrate=6000)
    )


@pytest.mark.requirement("media.opus")
def test_no_more_is_sent_than_the_peer_plays() -> None:
    assert max(map(bandwidth, packets(codec(), speech()))) >= 3
    assert {bandwidth(p) for p in packets(codec("maxplaybackrate=16000"), speech())} <= {0, 1, 2}
    assert {bandwidth(p) for p in packets(codec("maxplaybackrate=8000"), speech())} == {0}


@pytest.mark.requirement("media.opus")
@pytest.mark.parametrize("limit", [8000, 12_000, 20_000])
def test_no_more_bits_are_sent_than_the_peer_takes(limit: int) -> None:
    sent = packets(codec(f"maxaveragebitrate={limit}"), speech(10_000))
    assert sum(map(len, sent)) * 8 / 10 < limit * 1.1


@pytest.mark.requirement("media.opus")
def test_a_constant_rate_is_constant() -> None:
    assert len({len(packet) for packet in packets(codec("cbr=1"), speech())}) == 1
    assert len({len(packet) for packet in packets(codec(), speech())}) > 3


@pytest.mark.requirement("media.opus")
def test_with_dtx_pauses_are_not_sent_and_without_they_are() -> None:
    pause = bytes(2 * FRAME * 100)
    sent = packets(codec("usedtx=1"), speech() + pause)
    assert sent[-80:].count(b"") > 60
    assert all(packets(codec(), speech() + pause))


# ---- packets --------------------------------------------------------------------------------


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize(("wanted", "made"), [(10, 10), (20, 20), (30, 20), (40, 40), (60, 60)])
def test_packets_are_as_long_as_opus_can_make_them(wanted: int, made: int) -> None:
    instance = codec()
    assert instance.packet_ms(wanted) == made
    packet = packets(instance, speech(), made)[5]
    assert opus_packet.duration(packet) == 48 * made
    assert len(instance.decode(packet)) == 2 * 48 * made


def frames(toc: int, count: int) -> bytes:
    """A packet of code 3 with ``count`` frames of one byte."""
    return bytes((toc | 3, count)) + bytes(count)


@pytest.mark.requirement("media.opus")
@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (bytes((0,)), 480),  # SILK, 10 ms
        (bytes((0x18, 1)), 2880),  # SILK, 60 ms
        (bytes((0x09, 1, 1)), 1920),  # two of 20 ms
        (bytes((0x0A, 1, 1, 1)), 1920),  # two of different sizes
        (frames(0xE0, 48), 5760),  # CELT, 48 of 2.5 ms
        (frames(0x78, 6), 5760),  # hybrid, six of 20 ms
    ],
)
def test_the_toc_says_how_long_a_packet_is(packet: bytes, samples: int) -> None:
    assert codec().duration(packet) == samples


@pytest.mark.parametrize(
    "packet", [b"", b"\x03", b"\x03\x00", frames(0x78, 7), bytes((0x1B, 3, 0, 0, 0))]
)
def test_what_no_decoder_takes_is_refused(packet: bytes) -> None:
    for use in (codec().duration, codec().decode):
        with pytest.raises(ValueError, match="Opus packet"):
            use(packet)


def test_a_stereo_packet_is_heard_in_mono() -> None:
    instance = codec()
    packet = bytearray(packets(instance, speech())[3])
    packet[0] |= 4
    assert len(instance.decode(bytes(packet))) == 2 * FRAME


@pytest.mark.requirement("bad.fuzz")
def test_noise_is_refused_or_decoded_to_the_length_that_it_claims() -> None:
    generator = random.Random(3)
    instance = codec()
    for _ in range(3000):
        packet = generator.randbytes(generator.randrange(60))
        try:
            samples = instance.duration(packet)
        except ValueError:
            continue
        try:
            assert len(instance.decode(packet)) == 2 * samples
        except ValueError:
            assert len(instance.conceal(samples)) == 2 * samples


@pytest.mark.requirement("media.opus")
@pytest.mark.parametrize("sample_rate", opus.SAMPLE_RATES)
def test_the_pcm_may_have_any_rate_of_opus(sample_rate: int) -> None:
    sender, receiver = codec(), codec(sample_rate=sample_rate)
    heard = b"".join(map(receiver.decode, packets(sender, tones.sine(1000, 1000, 48_000))))
    assert len(heard) == 2 * sample_rate
    assert tones.goertzel(heard[sample_rate:], 1000, sample_rate) == pytest.approx(-20, abs=1)


def test_other_rates_are_not() -> None:
    with pytest.raises(ValueError, match="44100"):
        codec(sample_rate=44_100)


# ---- loss -----------------------------------------------------------------------------------


def narrow(pcm: bytes) -> bytes:
    return PolyphaseResampler(48_000, 8000).process(pcm)


def likeness(one: bytes, other: bytes) -> float:
    """Signal to difference in dB, below 4 kHz, where the repeated copy is."""
    import numpy as np

    a, b = (np.frombuffer(narrow(pcm), np.int16).astype(float) for pcm in (one, other))
    return float(10 * np.log10((a @ a) / ((a - b) @ (a - b) + 1)))


def heard_with_losses(fmtp: str, *, recover: bool) -> float:
    """How like the loss-free call a call is of which every tenth packet is lost."""
    said = speech(6000)
    sender = codec(fmtp)
    sender.expect_loss(25)
    sent = packets(sender, said)
    whole, lossy = codec(), codec()
    wanted, heard = b"", b""
    for n, packet in enumerate(sent[:-1]):
        wanted += whole.decode(packet)
        if n % 10 != 7:
            heard += lossy.decode(packet)
        else:
            got = lossy.recover(sent[n + 1], FRAME) if recover else lossy.conceal(FRAME)
            heard += got or b""
    assert len(heard) == len(wanted)
    return likeness(wanted, heard)


@pytest.mark.requirement("media.opus")
def test_a_lost_packet_is_recovered_from_the_next_one() -> None:
    recovered = heard_with_losses("useinbandfec=1", recover=True)
    assert recovered > heard_with_losses("useinbandfec=1", recover=False) + 1


@pytest.mark.requirement("media.opus")
def test_nothing_is_repeated_for_a_peer_that_did_not_ask_for_it() -> None:
    recovered = heard_with_losses("", recover=True)
    assert recovered < heard_with_losses("", recover=False) + 0.5


@pytest.mark.requirement("media.plc", "media.opus")
def test_what_is_not_repeated_is_made_up() -> None:
    assert codec().recover(packets(codec(), speech())[3], FRAME)
    assert codec().recover(packets(codec(), speech())[3], 7) is None


@pytest.mark.requirement("media.plc")
def test_a_gap_is_made_up_to_the_sample_and_fades() -> None:
    instance = codec()
    for packet in packets(instance, tones.tone((200, 400, 800), 500, 48_000)):
        instance.decode(packet)
    assert level.dbfs(instance.conceal(FRAME)) > -30
    assert [len(instance.conceal(n)) for n in (1, 100, 120, 961, 9000)] == [
        2,
        200,
        240,
        1922,
        18000,
    ]
    for _ in range(40):
        instance.conceal(FRAME)
    assert level.dbfs(instance.conceal(FRAME)) < -50


def test_libopus_is_found_and_refuses_what_it_cannot() -> None:
    assert LIBRARY is not None
    assert LIBRARY.version.startswith("libopus 1.")
    with pytest.raises(opus_library.OpusError):
        codec().encode(bytes(2 * 77))
