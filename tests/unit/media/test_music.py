from __future__ import annotations

import asyncio
import logging
import struct
from pathlib import Path

import numpy as np
import pytest

from ringback.audio import g711, wav
from ringback.media import music
from ringback.media.music import MusicLibrary, MusicPlayer

LEVEL = struct.pack("<h", 4000)


def write_wav(path: Path, rate: int, channels: int, body: bytes, encoding: int = 1) -> Path:
    width = 2 if encoding == 1 else 1
    fields = (encoding, channels, rate, rate * width * channels, width * channels, 8 * width)
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, *fields)
    data = head + b"data" + struct.pack("<I", len(body)) + body
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data)
    return path


async def frames(
    library: MusicLibrary, path: str | None, count: int, rate: int = 8000
) -> list[bytes]:
    player = MusicPlayer(library, path)
    assert player.take(rate) is None
    await library.loaded()
    return [player.take(rate) or b"" for _ in range(count)]


@pytest.mark.requirement("media.music-on-hold")
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_of_any_rate_mono_or_stereo_plays_at_the_bridge_s(
    tmp_path: Path, rate: int, channels: int
) -> None:
    path = write_wav(tmp_path / "m.wav", rate, channels, LEVEL * channels * rate)
    heard = asyncio.run(frames(MusicLibrary(), str(path), 40, 16000))
    samples = np.frombuffer(b"".join(heard[2:]), np.int16)
    assert {len(frame) for frame in heard} == {640}
    assert abs(samples.mean() - 4000) < 40


@pytest.mark.requirement("media.music-on-hold")
@pytest.mark.parametrize(("encoding", "encode"), [(6, g711.encode_alaw), (7, g711.encode_ulaw)])
def test_g711_files_play_too(tmp_path: Path, encoding: int, encode: object) -> None:
    assert callable(encode)
    path = write_wav(tmp_path / "m.wav", 8000, 1, encode(LEVEL * 800), encoding)
    heard = np.frombuffer(asyncio.run(frames(MusicLibrary(), str(path), 1))[0], np.int16)
    assert abs(heard.mean() - 4000) < 100


@pytest.mark.requirement("media.music-on-hold")
def test_music_is_looped_in_whole_frames(tmp_path: Path) -> None:
    body = b"".join(struct.pack("<h", n // 160 + 1) * 1 for n in range(400))
    path = write_wav(tmp_path / "m.wav", 8000, 1, body)
    heard = asyncio.run(frames(MusicLibrary(), str(path), 7))
    firsts = [struct.unpack_from("<h", frame)[0] for frame in heard]
    assert firsts == [1, 2, 3, 1, 2, 3, 1]
    assert heard[2] == struct.pack("<h", 3) * 80 + bytes(160)


@pytest.mark.requirement("media.music-on-hold")
def test_a_change_of_rate_goes_on_at_the_same_time(tmp_path: Path) -> None:
    async def main() -> None:
        body = b"".join(struct.pack("<h", 1000 * (n // 160)) for n in range(1600))
        path = str(write_wav(tmp_path / "m.wav", 8000, 1, body))
        library = MusicLibrary()
        library.get(path, 8000)
        library.get(path, 48000)
        await library.loaded()
        player = MusicPlayer(library, path)
        for _ in range(4):
            player.take(8000)
        wide = np.frombuffer(player.take(48000) or b"", np.int16)
        assert abs(int(wide[480]) - 4000) < 50

    asyncio.run(main())


def test_a_file_is_read_once_for_all_who_hear_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[object] = []
    load = music.load

    def counted(path: str | None, rate: int) -> bytes:
        reads.append((path, rate))
        return load(path, rate)

    monkeypatch.setattr(music, "load", counted)
    path = str(write_wav(tmp_path / "m.wav", 8000, 1, LEVEL * 800))

    async def main() -> None:
        library = MusicLibrary()
        players = [MusicPlayer(library, path) for _ in range(5)]
        for player in players:
            player.take(8000)
        await library.loaded()
        assert all(player.take(8000) for player in players)

    asyncio.run(main())
    assert reads == [(path, 8000)]


@pytest.mark.requirement("media.music-on-hold")
def test_what_cannot_be_played_is_told_and_the_node_s_own_tune_plays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF....WAVE")
    empty = write_wav(tmp_path / "empty.wav", 8000, 1, b"")
    library = MusicLibrary()

    async def main() -> list[bytes]:
        own = (await frames(library, None, 3))[2]
        for path in (broken, empty, tmp_path / "missing.wav", tmp_path):
            assert (await frames(library, str(path), 3))[2] == own
        return [own]

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert library.failures == len(caplog.records) == 4


def test_the_cache_is_bounded_and_what_plays_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(music, "MAX_CACHE_BYTES", 4000)

    async def main() -> None:
        library = MusicLibrary()
        players = []
        for number in range(6):
            path = write_wav(tmp_path / f"{number}.wav", 8000, 1, LEVEL * 800)
            players.append(MusicPlayer(library, str(path)))
            players[-1].take(8000)
            await library.loaded()
            assert players[-1].take(8000)
        assert (len(library), library.cached_bytes) == (2, 3200)
        assert all(player.take(8000) for player in players)

    asyncio.run(main())


def test_only_so_much_of_a_file_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(music, "MAX_TUNE_SECONDS", 1)
    path = write_wav(tmp_path / "long.wav", 8000, 1, LEVEL * 24_000)
    assert len(music.load(str(path), 16000)) == 32_000


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_node_s_own_tune_is_pleasantly_quiet_whole_frames_without_a_seam(rate: int) -> None:
    tune = music.load(None, rate)
    samples = np.frombuffer(tune, np.int16).astype(float)
    assert samples.size == 12 * rate
    assert 1000 < np.sqrt(np.mean(samples**2)) < 2500
    assert np.abs(samples).max() < 20_000
    step = np.abs(np.diff(samples)).max()
    assert abs(samples[0] - samples[-1]) <= step


def test_wav_files_of_g711_are_read_with_both_channels() -> None:
    body = g711.encode_ulaw(struct.pack("<4h", 1000, 3000, 1000, 3000))
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 7, 2, 8000, 16000, 2, 8)
    data = head + b"data" + struct.pack("<I", len(body)) + body
    audio = wav.parse(b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data)
    assert len(audio.pcm) == 4
    assert abs(struct.unpack("<2h", audio.pcm)[0] - 2000) < 60
