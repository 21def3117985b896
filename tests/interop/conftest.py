"""Peers and a gateway for every interop test; each on free ports of 127.0.0.1."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.peers.gateway import EventStream, Gateway
from interop.peers.process import program

SPEECH_RATE = 8000


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "gateway") as running:
        yield running


@pytest.fixture
def events(gateway: Gateway) -> Iterator[EventStream]:
    """What happens in the account, from now on."""
    with gateway.events() as stream:
        yield stream


@pytest.fixture(scope="session")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV of somebody who waits for the greeting, asks for the time, waits, and is silent."""
    folder = tmp_path_factory.mktemp("speech")
    spoken = say(folder, "what time is it")
    return join(folder / "question.wav", [8.0, spoken, 14.0])


def say(folder: Path, text: str) -> Path:
    """``text`` in espeak-ng's voice, mono 8 kHz."""
    espeak, sox = program("espeak-ng", "espeak-ng"), program("sox", "sox")
    raw, out = folder / "raw.wav", folder / f"{abs(hash(text))}.wav"
    subprocess.run([espeak, "-s", "140", "-w", raw, text], check=True, timeout=20)
    subprocess.run(
        [sox, raw, "-r", str(SPEECH_RATE), "-c", "1", "-b", "16", out], check=True, timeout=20
    )
    return out


def join(target: Path, parts: list[float | Path]) -> Path:
    """Speech and pauses (seconds) one after another."""
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        for part in parts:
            if isinstance(part, Path):
                with wave.open(str(part)) as speech:
                    file.writeframes(speech.readframes(speech.getnframes()))
            else:
                file.writeframes(bytes(2 * int(SPEECH_RATE * part)))
    return target
