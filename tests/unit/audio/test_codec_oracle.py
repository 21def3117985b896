"""Our codecs against FFmpeg's, which has an Opus decoder and a G.722 codec of its own."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import av
import pytest
from av.audio.codeccontext import AudioCodecContext

from ringback.audio import codec, tones
from ringback.audio.resample import Resampler

TONE_HZ = 1000


def context_of(name: str, mode: Literal["r", "w"]) -> AudioCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, AudioCodecContext)
    return context


def decoded_by_ffmpeg(name: str, payloads: list[bytes], sample_rate: int) -> bytes:
    context = context_of(name, "r")
    context.sample_rate = sample_rate
    context.layout = "mono"
    converter = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
    pcm = b""
    for payload in payloads:
        for frame in context.decode(av.Packet(payload)):
            for converted in converter.resample(frame):
                pcm += bytes(converted.planes[0])[: converted.samples * 2]
    return pcm


def encoded_by_ffmpeg(name: str, pcm: bytes, sample_rate: int, layout: str = "mono") -> list[bytes]:
    """In frames of 20 ms."""
    context = context_of(name, "w")
    context.sample_rate = sample_rate
    context.layout = layout
    context.format = "s16"
    context.time_base = Fraction(1, sample_rate)
    channels = 2 if layout == "stereo" else 1
    size = sample_rate // 50
    packets = []
    for n in range(len(pcm) // 2 // size):
        frame = av.AudioFrame(format="s16", layout=layout, samples=size)
        frame.sample_rate = sample_rate
        frame.pts = n * size
        mono = pcm[n * size * 2 : (n + 1) * size * 2]
        frame.planes[0].update(b"".join(mono[k : k + 2] * channels for k in range(0, len(mono), 2)))
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets


@pytest.mark.requirement("media.opus")
@pytest.mark.parametrize("fmtp", ["", "useinbandfec=1;usedtx=1", "maxplaybackrate=8000;cbr=1"])
def test_what_we_encode_as_opus_another_decoder_hears(fmtp: str) -> None:
    ours = codec.create("opus", fmtp=fmtp)
    said = tones.sine(TONE_HZ, 1000, 48_000)
    payloads = [ours.encode(said[n : n + 1920]) for n in range(0, len(said), 1920)]
    heard = decoded_by_ffmpeg("opus", [payload for payload in payloads if payload], 48_000)
    assert len(heard) > 60_000
    assert tones.goertzel(heard[30_000:60_000], TONE_HZ, 48_000) == pytest.approx(-20, abs=1)


@pytest.mark.requirement("media.opus")
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_opus_of_another_encoder_is_heard_in_mono_and_stereo(layout: str) -> None:
    payloads = encoded_by_ffmpeg("libopus", tones.sine(TONE_HZ, 1000, 48_000), 48_000, layout)
    stereo = {bool(payload[0] & 4) for payload in payloads}
    assert layout == "stereo" or stereo == {False}
    ours = codec.create("opus")
    heard = b"".join(map(ours.decode, payloads))
    assert len(heard) == len(payloads) * 1920
    assert tones.goertzel(heard[30_000:60_000], TONE_HZ, 48_000) == pytest.approx(-20, abs=1)


@pytest.mark.requirement("media.codecs")
def test_g722_is_that_of_others_both_ways() -> None:
    said = Resampler(48_000, 16_000).process(tones.sine(TONE_HZ, 1000, 48_000))[:-1000]
    said = said[: len(said) // 640 * 640]
    ours = codec.create("G722")
    payloads = [ours.encode(said[n : n + 640]) for n in range(0, len(said), 640)]
    heard = decoded_by_ffmpeg("g722", payloads, 16_000)
    assert len(heard) == len(said)
    assert tones.goertzel(heard[8000:], TONE_HZ, 16_000) == pytest.approx(-20, abs=1)
    theirs = encoded_by_ffmpeg("g722", said, 16_000)
    back = b"".join(map(codec.create("G722").decode, theirs))
    assert tones.goertzel(back[8000:], TONE_HZ, 16_000) == pytest.approx(-20, abs=1)
