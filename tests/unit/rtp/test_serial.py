from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.rtp.serial import sequence_delta, timestamp_delta


@pytest.mark.parametrize(
    ("later", "earlier", "delta"),
    [(1, 0, 1), (0, 1, -1), (0, 65535, 1), (65535, 0, -1), (32767, 0, 32767), (32768, 0, -32768)],
)
def test_sequence_numbers_wrap(later: int, earlier: int, delta: int) -> None:
    assert sequence_delta(later, earlier) == delta


@given(st.integers(0, 0xFFFFFFFF), st.integers(-(2**31), 2**31 - 1))
def test_a_timestamp_moved_by_a_step_is_that_step_ahead(start: int, step: int) -> None:
    assert timestamp_delta((start + step) & 0xFFFFFFFF, start) == step
