from __future__ import annotations

import pytest

from ringback.audio import tones
from ringback.audio.g722 import G722


def test_six_kilohertz_survive() -> None:
    coded = G722().encode(tones.sine(6000, 500, 16_000))
    assert len(coded) == 4000
    heard = G722().decode(coded)
    assert tones.goertzel(heard[4000:], 6000, 16_000) == pytest.approx(-20, abs=1)


def test_the_state_goes_on_from_packet_to_packet() -> None:
    said = tones.tone((300, 2500, 5000), 300, 16_000)
    whole = G722().encode(said)
    sender, receiver = G722(), G722()
    parts = [sender.encode(said[n : n + 640]) for n in range(0, len(said), 640)]
    assert b"".join(parts) == whole
    assert b"".join(map(receiver.decode, parts)) == G722().decode(whole)


def test_half_a_pair_of_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs"):
        G722().encode(bytes(6))


def test_any_bytes_are_audio() -> None:
    assert len(G722().decode(bytes(range(256)))) == 1024
