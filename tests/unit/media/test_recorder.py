from __future__ import annotations

import asyncio
import logging
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ringback.audio.wav import WavWriter
from ringback.media import recorder
from ringback.media.metrics import MediaCounters
from ringback.media.recorder import MAX_QUEUED_FRAMES, RecorderThread, Recording


def level(value: int, samples: int = 160) -> bytes:
    return struct.pack(f"<{samples}h", *([value] * samples))


def stereo(path: Path) -> tuple[int, list[tuple[int, int]]]:
    """Sample rate and (left, right) of each 20 ms frame of a recording of constant frames."""
    data = path.read_bytes()
    channels, rate = struct.unpack_from("<HI", data, 22)
    assert (data[:4], data[8:16], channels) == (b"RIFF", b"WAVEfmt ", 2)
    (size,) = struct.unpack_from("<I", data, 40)
    assert size == len(data) - 44
    step = rate // 50 * 4
    return rate, [struct.unpack_from("<hh", data, n) for n in range(44, len(data), step)]


async def record(path: Path, counters: MediaCounters, rate: int = 8000) -> Recording:
    thread = RecorderThread()
    recording = thread.open(path, rate, counters)
    samples = rate // 50
    recording.write(level(1, samples), level(2, samples))
    recording.write(None, level(3, samples))
    recording.skip(2)
    recording.write(level(4, samples), None)
    await recording.close()
    await thread.stop()
    return recording


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_file_has_the_caller_left_and_the_agent_right(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "calls" / "one.wav"
    recording = asyncio.run(record(path, MediaCounters(), rate))
    assert stereo(path) == (rate, [(1, 2), (0, 3), (0, 0), (0, 0), (4, 0)])
    assert recording.recorded_ms == 100


def test_a_recording_without_a_frame_is_an_empty_file_that_plays(tmp_path: Path) -> None:
    async def run() -> None:
        thread = RecorderThread()
        recording = thread.open(tmp_path / "empty.wav", 8000, MediaCounters())
        await recording.close()
        await thread.stop()

    asyncio.run(run())
    assert stereo(tmp_path / "empty.wav") == (8000, [])


def test_frames_beyond_the_bound_are_counted_and_time_stays_right(tmp_path: Path) -> None:
    counters = MediaCounters()

    async def run() -> None:
        idle = RecorderThread()
        recording = Recording(tmp_path / "slow.wav", 8000, counters, idle)
        for _ in range(MAX_QUEUED_FRAMES + 3):
            recording.write(level(1), None)
        recording.drain()
        recording.write(level(2), None)
        recording.drain()
        assert recording.recorded_ms == (MAX_QUEUED_FRAMES + 4) * 20
        recording._closing = True
        recording.drain()

    asyncio.run(run())
    assert counters.recording_frames_dropped == 3
    assert stereo(tmp_path / "slow.wav")[1][-4:] == [(0, 0), (0, 0), (0, 0), (2, 0)]


def test_the_file_can_be_played_while_it_is_written(tmp_path: Path) -> None:
    async def run() -> None:
        recording = Recording(tmp_path / "live.wav", 8000, MediaCounters(), RecorderThread())
        for _ in range(200):
            recording.write(level(5), level(6))
        recording.drain()
        assert len(stereo(tmp_path / "live.wav")[1]) == 200
        recording._closing = True
        recording.drain()

    asyncio.run(run())


class FullDisk(WavWriter):
    def write(self, pcm: bytes) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_counted_and_logged_once_and_the_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder, "WavWriter", FullDisk)
    counters = MediaCounters()

    async def run() -> None:
        recording = Recording(tmp_path / "full.wav", 8000, counters, RecorderThread())
        for _ in range(3):
            recording.write(level(1), None)
            recording.drain()
        recording._closing = True
        assert recording.drain()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert counters.recording_errors == 1
    assert len(caplog.records) == 1


def test_a_place_that_cannot_be_written_does_not_disturb_other_recordings(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way")
    counters = MediaCounters()

    async def run() -> None:
        thread = RecorderThread()
        bad = thread.open(tmp_path / "file" / "x.wav", 8000, counters)
        good = thread.open(tmp_path / "good.wav", 8000, counters)
        bad.write(level(1), None)
        good.write(level(1), None)
        await bad.close()
        await good.close()
        await thread.stop()
        assert bad.recorded_ms == 0

    asyncio.run(run())
    assert counters.recording_errors == 1
    assert stereo(tmp_path / "good.wav")[1] == [(1, 0)]


def test_stopping_finishes_open_recordings_and_ends_the_thread(tmp_path: Path) -> None:
    async def run() -> None:
        thread = RecorderThread()
        recordings = [thread.open(tmp_path / f"{n}.wav", 8000, MediaCounters()) for n in range(3)]
        for recording in recordings:
            recording.write(level(9), level(8))
        await thread.stop()
        await thread.stop()

    asyncio.run(run())
    assert all(stereo(tmp_path / f"{n}.wav")[1] == [(9, 8)] for n in range(3))
    assert not [each for each in threading.enumerate() if each.name == "ringback-recorder"]


RECORD_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from ringback.media import recorder
from ringback.media.metrics import MediaCounters

recorder.WRITE_EVERY_SECONDS = 0.01

async def main():
    recording = recorder.RecorderThread().open(Path(sys.argv[1]), 8000, MediaCounters())
    for _ in range(500):
        recording.write(bytes((1, 0)) * 160, bytes((2, 0)) * 160)
    while not recording.recorded_ms:
        await asyncio.sleep(0)
    print("written", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_after_a_kill_the_file_has_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "killed.wav"
    command = [sys.executable, "-c", RECORD_UNTIL_KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    assert line == "written\n"
    assert stereo(path)[1] == [(1, 2)] * 500


def test_a_disk_that_hangs_holds_the_end_of_a_call_up_only_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "CLOSE_SECONDS", 0.0)

    async def run() -> None:
        recording = Recording(tmp_path / "hung.wav", 8000, MediaCounters(), RecorderThread())
        await recording.close()
        assert not recording._finished.is_set()

    asyncio.run(run())


@pytest.mark.requirement("media.wideband")
@pytest.mark.parametrize(("before", "after"), [(8000, 48000), (16000, 8000)])
def test_a_file_keeps_its_rate_when_the_call_s_changes(
    tmp_path: Path, before: int, after: int
) -> None:
    path = tmp_path / "two-rates.wav"

    async def run() -> Recording:
        thread = RecorderThread()
        recording = thread.open(path, before, MediaCounters())
        for _ in range(10):
            recording.write(level(1000, before // 50), None)
        recording.set_sample_rate(after)
        for _ in range(10):
            recording.write(None, level(2000, after // 50))
        recording.set_sample_rate(before)
        recording.write(level(3000, before // 50), level(4000, before // 50))
        await recording.close()
        await thread.stop()
        return recording

    recording = asyncio.run(run())
    rate, frames = stereo(path)
    assert (rate, recording.recorded_ms) == (before, 420)
    assert frames[:10] == [(1000, 0)] * 10
    assert [round(right, -2) for _, right in frames[12:20]] == [2000] * 8
    assert [left for left, _ in frames[10:20]] == [0] * 10
    assert frames[20] == (3000, 4000)


def test_many_recordings_take_turns(tmp_path: Path) -> None:
    """All of them within a third of a second, and never many in one go."""

    async def run() -> None:
        thread = RecorderThread()
        thread._thread = threading.Thread()  # turns are taken by hand
        recordings = [thread.open(tmp_path / f"{n}.wav", 8000, MediaCounters()) for n in range(120)]
        rounds = [thread._due(0.02, False) for _ in range(16)]
        assert max(map(len, rounds)) == 8
        assert {each.path for due in rounds for each in due} == {each.path for each in recordings}
        recordings[77]._closing = True
        assert recordings[77] in thread._due(0.02, True)

    asyncio.run(run())
