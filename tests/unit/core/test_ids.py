"""Identifiers sort by time, never repeat and are safe anywhere."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ringback.core.ids import IdSource, is_id, new_id

SHAPE = re.compile(r"call_[0-9a-hjkmnp-tv-z]{26}")


def test_an_id_has_its_prefix_and_26_characters_without_lookalikes() -> None:
    assert SHAPE.fullmatch(new_id("call"))
    assert is_id(new_id("call"), "call")


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=20).map(sorted))
def test_ids_sort_in_the_order_of_their_making(times: list[int]) -> None:
    clock = iter(times)
    source = IdSource(now_ms=lambda: next(clock))
    made = [source.new("x") for _ in times]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_grow_within_a_millisecond_even_when_randomness_is_at_its_highest() -> None:
    source = IdSource(now_ms=lambda: 7, random_bits=lambda bits: 2**bits - 1)
    made = [source.new("x") for _ in range(1000)]
    assert made == sorted(set(made))


def test_ids_grow_when_the_clock_is_set_back() -> None:
    clock = iter([1000, 10, 5])
    source = IdSource(now_ms=lambda: next(clock))
    made = [source.new("x") for _ in range(3)]
    assert made == sorted(made)


def test_the_next_id_cannot_be_guessed_from_the_last() -> None:
    source = IdSource(now_ms=lambda: 7)
    first, second = (source.new("x") for _ in range(2))
    assert first[:-3] != second[:-3]


def test_what_is_no_id_is_told_apart() -> None:
    good = new_id("trunk")
    assert not is_id(good, "call")
    assert not is_id(good[:-1], "trunk")
    assert not is_id(good[:-1] + "u", "trunk")
    assert not is_id("", "trunk")
