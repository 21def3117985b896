from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.audio import wav
from ringback.audio.wav import WavAudio, WavError, WavWriter, interleave

FORMAT = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)


def pcm(*samples: int) -> bytes:
    return np.array(samples, np.int16).tobytes()


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def data_chunk(samples: bytes) -> bytes:
    return b"data" + struct.pack("<I", len(samples)) + samples


def test_a_closed_file_is_what_others_read(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with WavWriter(path, 8000) as writer:
        writer.write_stereo(pcm(1, 2), pcm(-1, -2))
        writer.write(pcm(3, -3))
    with wave.open(str(path)) as reader:
        assert (reader.getnchannels(), reader.getframerate(), reader.getsampwidth()) == (2, 8000, 2)
        assert reader.readframes(10) == pcm(1, -1, 2, -2, 3, -3)


def test_an_unfinished_file_can_be_played_up_to_the_last_flush(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    writer = WavWriter(path, 8000, channels=1, patch_every=1000)
    sound = np.random.default_rng(1).bytes(3000)
    readable = []
    for at in range(0, 3000, 300):
        writer.write(sound[at : at + 300])
        left_behind = wav.read(path).pcm
        assert sound.startswith(left_behind)
        readable.append(len(left_behind))
    assert readable == [0, 0, 0, 1200, 1200, 1200, 1200, 2400, 2400, 2400]
    writer.close()
    assert wav.read(path).pcm == sound


def test_an_empty_recording_is_a_valid_file(tmp_path: Path) -> None:
    WavWriter(tmp_path / "a.wav", 16000).close()
    assert wav.read(tmp_path / "a.wav") == WavAudio(16000, b"")


def test_a_new_file_is_valid_before_anything_is_written(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", 8000)
    assert wav.read(tmp_path / "a.wav") == WavAudio(8000, b"")
    writer.close()


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", 8000)
    writer.close()
    writer.close()
    assert writer.closed


def test_the_duration_is_that_of_what_was_written(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "a.wav", 8000) as writer:
        writer.write_stereo(bytes(16000), b"")
        assert writer.duration_ms == 1000
    assert wav.read(tmp_path / "a.wav").duration_ms == 1000


def test_half_a_frame_is_refused(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "a.wav", 8000) as writer, pytest.raises(ValueError, match="whole"):
        writer.write(pcm(1))


def test_a_file_ends_where_the_format_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "MAX_DATA", 8)
    with WavWriter(tmp_path / "a.wav", 8000) as writer:
        writer.write(bytes(8))
        with pytest.raises(ValueError, match="4 GiB"):
            writer.write(bytes(4))


def test_the_shorter_side_is_filled_with_silence() -> None:
    assert interleave(pcm(1, 2), pcm(9)) == pcm(1, 9, 2, 0)
    assert interleave(b"", pcm(9)) == pcm(0, 9)
    assert interleave(b"", b"") == b""


def test_stereo_is_read_as_the_average_of_both() -> None:
    data = wav.header(8000, 2, 12) + pcm(100, 200, -100, -300, 32767, 32767)
    assert wav.parse(data) == WavAudio(8000, pcm(150, -200, 32767))


@given(st.sampled_from([8000, 16000, 44100]), st.lists(st.integers(-32768, 32767), max_size=50))
def test_what_is_written_is_read_back(rate: int, samples: list[int]) -> None:
    data = wav.header(rate, 1, 2 * len(samples)) + pcm(*samples)
    assert wav.parse(data) == WavAudio(rate, pcm(*samples))


def test_other_chunks_are_skipped_with_their_padding() -> None:
    listed = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert wav.parse(riff(listed, FORMAT, listed, data_chunk(pcm(7)))).pcm == pcm(7)


def test_the_extensible_format_is_read() -> None:
    body = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4)
    body += b"\x01\0" + bytes(14)
    chunk = b"fmt " + struct.pack("<I", len(body)) + body
    assert wav.parse(riff(chunk, data_chunk(pcm(7)))) == WavAudio(16000, pcm(7))


@pytest.mark.parametrize("promised", [0xFFFFFFFF, 100])
def test_a_recording_that_was_cut_off_gives_what_is_there(promised: int) -> None:
    data = riff(FORMAT, b"data" + struct.pack("<I", promised) + pcm(1, 2) + b"\x05")
    assert wav.parse(data).pcm == pcm(1, 2)


def fmt(encoding: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16) -> bytes:
    return struct.pack("<4sIHHIIHH", b"fmt ", 16, encoding, channels, rate, 0, 2, bits)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not a RIFF"),
        (b"RIFX\0\0\0\0WAVE", "not a RIFF"),
        (b"RIFF\0\0\0\0AVI ", "not a RIFF"),
        (riff(), "no samples"),
        (riff(FORMAT), "no samples"),
        (riff(data_chunk(b""), FORMAT), "before the format"),
        (riff(b"fmt \x04\0\0\0\x01\0\x01\0"), "cut short"),
        (riff(fmt(encoding=7)), "encoding 7"),
        (riff(fmt(bits=24)), "24 bits"),
        (riff(fmt(channels=6)), "6 channels"),
        (riff(fmt(channels=0)), "0 channels"),
        (riff(fmt(rate=0)), "at 0 Hz"),
    ],
)
def test_says_what_is_wrong_with_a_file(data: bytes, complaint: str) -> None:
    with pytest.raises(WavError, match=complaint):
        wav.parse(data)


@given(st.binary(max_size=100))
def test_noise_is_read_or_refused(data: bytes) -> None:
    for candidate in (data, riff(data), riff(FORMAT, data)):
        try:
            wav.parse(candidate)
        except WavError:
            continue
