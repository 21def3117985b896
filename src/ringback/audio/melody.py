"""The music that a node has of its own: plucked notes around four chords, made of sines."""

from __future__ import annotations

import numpy as np

from ringback.audio.level import amplitude

_LEVEL_DBFS = -26.0
_CHORDS = ((60, 64, 67, 71), (57, 60, 64, 67), (53, 57, 60, 64), (55, 59, 62, 67))
"""MIDI notes: C major 7, A minor 7, F major 7, G."""
_ORDER = (0, 2, 1, 3, 2, 1, 3, 2)
_NOTE_SECONDS = 0.375
_RING_SECONDS = 2.0
_ATTACK_SECONDS = 0.01
_PARTIALS = ((1, 1.0), (2, 0.35), (3, 0.12))
"""Multiple of the note's frequency, and its share."""


def hold_melody(sample_rate: int) -> bytes:
    """Twelve seconds of PCM s16le mono that go on without a seam when they are repeated."""
    notes = [_CHORDS[bar][step] for bar in range(len(_CHORDS)) for step in _ORDER]
    spacing = round(_NOTE_SECONDS * sample_rate)
    total = np.zeros(len(notes) * spacing)
    time = np.arange(round(_RING_SECONDS * sample_rate)) / sample_rate
    envelope = np.minimum(1.0, time / _ATTACK_SECONDS) * np.exp(-2.5 * time)
    envelope *= np.minimum(1.0, (_RING_SECONDS - time) / _ATTACK_SECONDS)
    for number, note in enumerate(notes):
        frequency = 440.0 * 2 ** ((note - 69) / 12)
        wave = sum(share * np.sin(2 * np.pi * k * frequency * time) for k, share in _PARTIALS)
        # What rings on beyond the end is the beginning of the next round.
        at = (number * spacing + np.arange(time.size)) % total.size
        total[at] += wave * envelope
    total *= amplitude(_LEVEL_DBFS) / np.sqrt(np.mean(total**2))
    pcm: bytes = np.clip(np.rint(total), -32768, 32767).astype(np.int16).tobytes()
    return pcm
