"""What each step of a call's audio costs, per 20 ms packet, beside plain work of its size.

    python bench/audio_path.py [--calls 500]

Two baselines: writing an RTP header into a buffer with ``struct.pack_into``, and copying a
payload of 160 bytes. The last columns are the step as a multiple of the first baseline, measured
beside it, and what ``--calls`` calls with one packet every 20 ms spend on it, in percent of one
core. Each figure is processor time, the best of several runs: what the step costs, not what else
the machine did.
"""

from __future__ import annotations

import argparse
import itertools
import struct
import time
import timeit
from collections.abc import Callable

import numpy as np

from ringback.audio import codec, g711, tones
from ringback.audio.comfort_noise import ComfortNoise
from ringback.audio.dtmf_detector import DtmfDetector
from ringback.audio.level import is_quiet
from ringback.audio.mix import mix, mix_minus
from ringback.audio.plc import Concealer
from ringback.audio.resample import FrameResampler
from ringback.audio.vad import VoiceGate
from ringback.audio.wav import interleave
from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.packet import RtpPacket, RtpPacketizer, classify
from ringback.rtp.statistics import ReceiverStatistics

Step = Callable[[], object]

PACKETS_PER_SECOND = 50
REPEATS = 7


def microseconds(step: Step, seconds: float = 0.02) -> float:
    """The best of ``REPEATS`` runs of about ``seconds`` each."""
    timer = timeit.Timer(step, timer=time.process_time)
    count, taken = timer.autorange()
    count = max(1, round(count * seconds / taken))
    return min(timer.repeat(REPEATS, count)) / count * 1e6


def baselines() -> list[tuple[str, Step]]:
    header = struct.Struct("!BBHII")
    buffer = bytearray(172)
    payload = bytes(range(160))
    return [
        ("struct.pack_into, 12 bytes", lambda: header.pack_into(buffer, 0, 128, 0, 1, 2, 3)),
        ("bytes copy, 160 bytes", lambda: payload[1:]),
    ]


def buffered(network: str) -> Step:
    """One packet in and one frame out, over a network that keeps or mixes up the order."""
    buffer = JitterBuffer(8000)
    payload = bytes(160)
    numbers = itertools.count()
    swap = network == "reordering"

    def step() -> object:
        tick = next(numbers)
        number = tick ^ 1 if swap else tick
        packet = RtpPacket(0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 1, payload)
        buffer.add(packet, 100 + tick * 0.02)
        return buffer.pop(100 + tick * 0.02)

    return step


def counted() -> Step:
    statistics = ReceiverStatistics(8000)
    payload = bytes(160)
    numbers = itertools.count()

    def step() -> object:
        number = next(numbers)
        packet = RtpPacket(0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 1, payload)
        return statistics.receive(packet, 100 + number * 0.02)

    return step


def concealed(frame: bytes) -> Step:
    """One lost frame and the good one after it."""
    concealer = Concealer(8000)
    for _ in range(5):
        concealer.good(frame)

    def step() -> object:
        concealer.conceal(160)
        return concealer.good(frame)

    return step


def resampled(from_hz: int, to_hz: int) -> Step:
    resampler = FrameResampler(from_hz, to_hz)
    frame = tones.sine(440, 20, from_hz)
    return lambda: resampler.process(frame)


def encoded(name: str, fmtp: str = "") -> Step:
    """A frame of something like a vowel, of which every 16th is another."""
    coder = codec.create(name, fmtp=fmtp)
    rate = coder.sample_rate
    frames = [tones.tone((150 + 5 * n, 450, 1200, 2500), 20, rate) for n in range(16)]
    numbers = itertools.count()
    return lambda: coder.encode(frames[next(numbers) % 16])


def decoded(name: str) -> Step:
    coder = codec.create(name)
    rate = coder.sample_rate
    packets = [
        coder.encode(tones.tone((150 + 5 * n, 450, 1200, 2500), 20, rate)) for n in range(16)
    ]
    numbers = itertools.count()
    return lambda: coder.decode(packets[next(numbers) % 16])


def listened(rate: int, frame: bytes) -> Step:
    detector = DtmfDetector(rate)
    return lambda: detector.process(frame)


def coded() -> list[tuple[str, Step]]:
    """What needs a library; Opus only where there is one."""
    result = [("encode G.722", encoded("G722")), ("decode G.722", decoded("G722"))]
    if "opus" in codec.names():
        result += [
            ("encode Opus", encoded("opus")),
            ("encode Opus with FEC", encoded("opus", "useinbandfec=1")),
            ("encode Opus for a wideband peer", encoded("opus", "maxplaybackrate=16000")),
            ("decode Opus", decoded("opus")),
        ]
    return result


def steps() -> list[tuple[str, Step]]:
    packetizer = RtpPacketizer(1, 2, 3)
    ulaw = bytes(range(160))
    alaw_frame = g711.decode_alaw(ulaw)
    frame = tones.tone((180, 360, 700, 1500), 20, 8000)
    frame_16k = tones.tone((180, 360, 700, 1500), 20, 16000)
    datagram = packetizer.pack(0, ulaw, 160)
    concealer = Concealer(8000)
    gate = VoiceGate(8000)
    gate_16k = VoiceGate(16000)
    noise = ComfortNoise(8000, np.random.default_rng(1))
    return [
        ("tell RTP from RTCP, STUN, DTLS", lambda: classify(datagram)),
        ("parse a packet", lambda: RtpPacket.parse(datagram)),
        ("count it (made included)", counted()),
        ("jitter buffer in and out (made included)", buffered("orderly")),
        ("the same, every pair reordered", buffered("reordering")),
        ("decode mu-law", lambda: g711.decode_ulaw(ulaw)),
        ("decode A-law", lambda: g711.decode_alaw(ulaw)),
        ("concealment, nothing lost", lambda: concealer.good(frame)),
        ("concealment, a frame lost", concealed(frame)),
        ("encode mu-law", lambda: g711.encode_ulaw(frame)),
        ("encode A-law", lambda: g711.encode_alaw(alaw_frame)),
        ("write a packet", lambda: packetizer.pack(0, ulaw, 160)),
        ("mix two", lambda: mix((frame, alaw_frame))),
        ("mix-minus of three", lambda: mix_minus((frame, alaw_frame, frame))),
        ("interleave for the recorder", lambda: interleave(frame, alaw_frame)),
        ("is it quiet", lambda: is_quiet(frame)),
        ("is it speech, 8 kHz", lambda: gate.is_speech(frame)),
        ("is it speech, 16 kHz", lambda: gate_16k.is_speech(frame_16k)),
        ("resample 8 to 16 kHz", resampled(8000, 16000)),
        ("resample 16 to 8 kHz", resampled(16000, 8000)),
        ("resample 8 to 24 kHz", resampled(8000, 24000)),
        ("resample 24 to 8 kHz", resampled(24000, 8000)),
        ("resample 48 to 16 kHz", resampled(48000, 16000)),
        ("resample 16 to 48 kHz", resampled(16000, 48000)),
        ("resample 48 to 8 kHz", resampled(48000, 8000)),
        ("resample 8 to 48 kHz", resampled(8000, 48000)),
        ("comfort noise", lambda: noise.generate(160)),
        ("keys in the audio, silence, 8 kHz", listened(8000, bytes(320))),
        ("keys in the audio, speech, 8 kHz", listened(8000, frame)),
        ("keys in the audio, a key, 8 kHz", listened(8000, tones.dtmf("5", 20, 8000))),
        ("keys in the audio, a key, 48 kHz", listened(48000, tones.dtmf("5", 20, 48000))),
        *coded(),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=500, help="for the last column")
    calls = parser.parse_args().calls
    print(f"{'per 20 ms packet':42}{'us':>8}{'ratio':>8}{f'{calls} calls':>12}")
    plain = baselines()
    for name, step in [*plain, *steps()]:
        unit = microseconds(plain[0][1])
        cost = microseconds(step)
        share = cost * calls * PACKETS_PER_SECOND / 1e4
        print(f"{name:42}{cost:8.2f}{cost / unit:7.1f}x{share:11.1f}%")


if __name__ == "__main__":
    main()
