from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.audio.mix import mix, mix_minus


def pcm(*samples: int) -> bytes:
    return np.array(samples, np.int16).tobytes()


frames = st.integers(1, 5).flatmap(
    lambda count: st.integers(0, 8).flatmap(
        lambda size: st.lists(
            st.lists(st.integers(-32768, 32767), min_size=size, max_size=size),
            min_size=count,
            max_size=count,
        )
    )
)


def test_adds() -> None:
    assert mix([pcm(1, -5, 100), pcm(2, 5, -300)]) == pcm(3, 0, -200)


def test_saturates_instead_of_wrapping() -> None:
    assert mix([pcm(30000, -30000)] * 2) == pcm(32767, -32768)


def test_peaks_that_cancel_out_are_not_clipped_on_the_way() -> None:
    assert mix([pcm(30000), pcm(30000), pcm(-30000)]) == pcm(30000)


def test_one_frame_is_passed_through_untouched() -> None:
    frame = pcm(1, 2)
    assert mix([frame]) is frame
    assert mix([]) == b""


@pytest.mark.parametrize("count", [2, 3])
def test_frames_of_unequal_length_do_not_mix(count: int) -> None:
    with pytest.raises(ValueError, match="do not mix"):
        mix([*[pcm(1)] * (count - 1), pcm(1, 2)])


def test_two_hear_each_other_untouched() -> None:
    one, other = pcm(1), pcm(2)
    assert mix_minus([one, other])[0] is other
    assert mix_minus([one, other])[1] is one


def test_alone_one_hears_silence() -> None:
    assert mix_minus([pcm(5, 6)]) == [pcm(0, 0)]
    assert mix_minus([]) == []


def test_three_hear_the_two_others() -> None:
    assert mix_minus([pcm(1), pcm(10), pcm(100)]) == [pcm(110), pcm(101), pcm(11)]


@given(frames)
def test_everybody_hears_the_mix_of_the_others(voices: list[list[int]]) -> None:
    encoded = [pcm(*voice) for voice in voices]
    for index, heard in enumerate(mix_minus(encoded)):
        others = [np.array(v, np.int64) for at, v in enumerate(voices) if at != index]
        total = sum(others, np.zeros(len(voices[0]), np.int64))
        assert heard == np.clip(total, -32768, 32767).astype(np.int16).tobytes()
