"""SRTP against another implementation of it: ffmpeg's."""

from __future__ import annotations

import asyncio
import base64
import math
import secrets
import struct
import wave
from itertools import pairwise
from pathlib import Path

import pytest

from interop.peers.media_leg import LOCALHOST, MediaLeg
from interop.peers.process import Process, free_port_pair, program
from ringback.audio import g711
from ringback.media.plane import SdesSecurity
from ringback.media.srtp import SUITES

RATE = 8000
HZ = 440
SECONDS = 2
FFMPEG_SUITES = ["AES_CM_128_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_80"]
"""ffmpeg knows no AES-GCM."""

EACH_SUITE = pytest.mark.parametrize("suite", FFMPEG_SUITES)


def tone(n: int) -> bytes:
    """The n-th 20 ms of a tone as mu-law."""
    wave_form = (
        int(9000 * math.sin(2 * math.pi * HZ * k / RATE)) for k in range(160 * n, 160 * (n + 1))
    )
    return g711.encode_ulaw(struct.pack("<160h", *wave_form))


def pitch(pcm: bytes) -> float:
    """Hz, from how often a loud signal crosses zero."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    assert max(samples, default=0) > 2000
    crossings = len([a for a, b in pairwise(samples) if (a < 0) != (b < 0)])
    return crossings / 2 / (len(samples) / RATE)


def ffmpeg(folder: Path, *arguments: str | Path) -> Process:
    return Process(
        [program("ffmpeg", "ffmpeg"), "-hide_banner", "-nostdin", "-loglevel", "info", *arguments],
        cwd=folder,
    )


def key_for(suite: str) -> tuple[bytes, str]:
    key = secrets.token_bytes(SUITES[suite].master_bytes)
    return key, base64.b64encode(key).decode()


@EACH_SUITE
@pytest.mark.requirement("media.srtp-sdes", "rfc3711.3.3")
def test_what_ffmpeg_protects_is_heard(tmp_path: Path, suite: str) -> None:
    async def main() -> None:
        theirs, encoded = key_for(suite)
        async with MediaLeg() as leg:
            security = SdesSecurity(suite, key_for(suite)[0], theirs)
            leg.negotiate(security, LOCALHOST, free_port_pair())
            sender = ffmpeg(
                tmp_path,
                *("-re", "-f", "lavfi", "-i", f"sine=frequency={HZ}:sample_rate={RATE}"),
                *("-t", str(SECONDS), "-af", "volume=4", "-acodec", "pcm_mulaw", "-f", "rtp"),
                *("-srtp_out_suite", suite, "-srtp_out_params", encoded),
                f"srtp://{LOCALHOST}:{leg.port}?pkt_size=186",
            )
            try:
                packets = await leg.packets(50)
            finally:
                sender.stop()
            pcm = b"".join(g711.decode_ulaw(packet[12:]) for packet in packets)
            assert pitch(pcm) == pytest.approx(HZ, rel=0.03)
            # Its reports under the 32-bit suite have 32-bit tags, which RFC 4568 6.2.2 does not
            # allow: they are dropped, the audio is not.
            refused = leg.counters.srtp_unauthentic + leg.counters.dropped_malformed
            assert refused == 0 or (refused <= 2 and suite.endswith("_32"))

    asyncio.run(main())


@EACH_SUITE
@pytest.mark.requirement("media.srtp-sdes", "rfc3711.3.3")
def test_what_we_protect_is_heard_by_ffmpeg(tmp_path: Path, suite: str) -> None:
    ours, encoded = key_for(suite)
    port = free_port_pair()
    sdp = tmp_path / "call.sdp"
    sdp.write_text(
        "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {port} RTP/SAVP 0\na=rtpmap:0 PCMU/8000\n"
        f"a=crypto:1 {suite} inline:{encoded}\n"
    )
    heard = tmp_path / "heard.wav"

    async def main() -> None:
        async with MediaLeg() as leg:
            leg.speak = tone
            leg.negotiate(SdesSecurity(suite, ours, key_for(suite)[0]), LOCALHOST, port)
            leg.talk()
            receiver = ffmpeg(
                tmp_path,
                *("-protocol_whitelist", "file,crypto,data,udp,rtp,srtp", "-i", sdp),
                *("-t", str(SECONDS), "-acodec", "pcm_s16le", heard),
            )
            try:
                await asyncio.to_thread(receiver.wait, 30.0)
            finally:
                receiver.stop()

    asyncio.run(main())
    with wave.open(str(heard)) as file:
        pcm = file.readframes(file.getnframes())
    assert len(pcm) > RATE
    assert pitch(pcm) == pytest.approx(HZ, rel=0.03)
