"""How many media workers there are, and which ports each of them has."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.core.errors import StartupError
from ringback.core.settings import (
    FEWEST_PAIRS,
    MOST_AUTO_WORKERS,
    MOST_WORKERS,
    PortRange,
    load_settings,
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("RINGBACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("value", "workers"),
    [(None, "auto"), ("auto", "auto"), ("0", 0), ("1", 1), (" 3 ", 3), ("64", 64), (7, 7)],
)
def test_media_workers_are_a_number_or_auto(value: object, workers: object) -> None:
    assert load_settings({"media_workers": value}).media_workers == workers


@pytest.mark.parametrize(
    "value", ["65", "-1", "1.5", "many", "AUTO!", "0x2", "²", "9" * 30, 65, -1, 2.5]
)
def test_anything_else_is_refused_with_what_is_wanted(value: object) -> None:
    with pytest.raises(StartupError) as caught:
        load_settings({"media_workers": value})
    message = caught.value.message
    assert "--media-workers" in message
    assert f"must be auto or a number from 0 to {MOST_WORKERS}" in message


def test_media_workers_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGBACK_MEDIA_WORKERS", "5")
    assert load_settings().media_workers == 5


@pytest.mark.parametrize(
    ("workers", "cores", "count"),
    [
        ("auto", 1, 0),
        ("auto", 2, 2),
        ("auto", 3, 3),
        ("auto", MOST_AUTO_WORKERS, MOST_AUTO_WORKERS),
        ("auto", 128, MOST_AUTO_WORKERS),
        ("0", 128, 0),
        ("1", 1, 1),
        ("9", 2, 9),
    ],
)
def test_auto_is_one_per_core_within_bounds(workers: str, cores: int, count: int) -> None:
    assert load_settings({"media_workers": workers}).media_worker_count(cores) == count


@pytest.mark.parametrize(
    ("text", "parts", "ranges"),
    [
        ("10000-20000", 1, ["10000-19999"]),
        ("10000-20000", 2, ["10000-14999", "15000-19999"]),
        ("10000-10031", 2, ["10000-10015", "10016-10031"]),
        ("10000-10029", 2, ["10000-10029"]),
        ("10000-10001", 4, ["10000-10001"]),
        ("10000-10052", 3, ["10000-10015", "10016-10033", "10034-10051"]),
    ],
)
def test_ports_are_split(text: str, parts: int, ranges: list[str]) -> None:
    assert [str(each) for each in PortRange.parse(text).split(parts)] == ranges


@given(
    st.integers(512, 32766).map(lambda half: 2 * half),
    st.integers(1, 3000),
    st.integers(1, MOST_WORKERS),
)
def test_parts_are_disjoint_and_cover_every_pair(first: int, more: int, parts: int) -> None:
    whole = PortRange(first, min(first + more, 65535))
    split = whole.split(parts)
    pairs = [pair for each in split for pair in each.rtp_ports]
    assert pairs == list(whole.rtp_ports)
    assert all(each.first % 2 == 0 and len(each.rtp_ports) >= 1 for each in split)
    assert all(whole.first <= each.first < each.last <= whole.last for each in split)
    assert all(one.last < other.first for one, other in itertools.pairwise(split))
    sizes = [len(each.rtp_ports) for each in split]
    assert max(sizes) - min(sizes) <= 1
    assert len(split) <= parts
    assert len(split) == 1 or min(sizes) >= FEWEST_PAIRS
    assert len(split) == parts or len(pairs) < FEWEST_PAIRS * (len(split) + 1)
