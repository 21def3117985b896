"""What the phones of ``bench/load.c`` send where that is not its own u-law: whole RTP packets in a
file, made by the gateway's codecs and, where they are protected, by its SRTP."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ringback.audio import codec as codecs
from ringback.audio.codec import Codec
from ringback.media.plane import SdesSecurity
from ringback.media.srtp import SUITES, SrtpSender
from ringback.rtp.packet import RtpPacketizer

PAYLOAD_TYPES = {"pcmu": 0, "pcma": 8, "g722": 9, "opus": 111}
FRAME_MS = 20
SSRC = 0x5EED
SUITE = "AES_CM_128_HMAC_SHA1_80"
SECURITY = SdesSecurity(SUITE, bytes(range(30)), bytes(range(100, 130)))
"""The gateway's key and the phones', the same for every call of a bench."""
_MARK_CODES = 8
_SPEECH_SECONDS = 10


def is_marked(codec: str) -> bool:
    """Whether a frame can carry its number in codes of G.711."""
    return codec in ("pcmu", "pcma")


def clock_units(codec: str) -> int:
    """RTP clock units of a packet."""
    return codecs.clock_rate_of(codec) * FRAME_MS // 1000


def write(path: Path, codec: str, count: int, *, protected: bool) -> None:
    """``count`` packets of 20 ms, numbered from 0, each after its length in two bytes."""
    packetizer = RtpPacketizer(SSRC, 0, 0)
    units, number = clock_units(codec), PAYLOAD_TYPES[codec]
    sender = SrtpSender(SUITES[SUITE], SECURITY.remote_key) if protected else None
    payloads = _g711(count) if is_marked(codec) else _encoded(codecs.create(codec), count)
    with path.open("wb") as file:
        for payload in payloads:
            packet = packetizer.pack(number, payload, units)
            if sender is not None:
                packet = sender.protect(packet) or b""
            file.write(struct.pack("!H", len(packet)) + packet)


def _g711(count: int) -> list[bytes]:
    """Loud enough never to be taken for a pause; the number in two bits of each last code."""
    filler = bytes((0x20, 0xA0)) * ((160 - _MARK_CODES) // 2)
    return [
        filler + bytes(0x10 + (number >> shift & 3) for shift in range(14, -2, -2))
        for number in range(count)
    ]


def _encoded(codec: Codec, count: int) -> list[bytes]:
    pcm = _speech(codec.sample_rate)
    size = codec.sample_rate * FRAME_MS // 1000 * 2
    frames = [pcm[at : at + size] for at in range(0, len(pcm), size)]
    return [codec.encode(frames[number % len(frames)]) for number in range(count)]


def _speech(sample_rate: int) -> bytes:
    """Something that costs a codec what speech does: syllables of a gliding voice, and noise."""
    time = np.arange(sample_rate * _SPEECH_SECONDS) / sample_rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    highest = min(3400, sample_rate * 0.45)
    voice = np.zeros_like(time)
    for harmonic in range(1, int(highest / 150)):
        frequency = 120 * harmonic
        formants = sum(np.exp(-(((frequency - f) / 250) ** 2)) for f in (600, 1300, 2500))
        voice += (0.05 + formants) * np.sin(harmonic * phase)
    envelope = np.clip(np.sin(2 * np.pi * 2 * time) + 0.5, 0.02, 1)
    noise = np.random.default_rng(1).standard_normal(time.size)
    samples = envelope * (voice * 2500 + noise * 300)
    pcm: bytes = np.clip(np.rint(samples), -32768, 32767).astype(np.int16).tobytes()
    return pcm
