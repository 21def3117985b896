"""What may stop a process with live calls."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from ringback.core import pauses
from ringback.core.clock import SystemClock
from ringback.core.pauses import (
    BUSY_SECONDS,
    GROWTH_BYTES,
    QUIET_SECONDS,
    SWITCH_SECONDS,
    THRESHOLDS,
    FullCollections,
    ShortPauses,
    resident_bytes,
)

MB = 1 << 20


@pytest.mark.parametrize(
    ("since", "live", "grown", "due"),
    [
        (QUIET_SECONDS - 1, 0, 0, False),
        (QUIET_SECONDS, 0, 0, True),
        (QUIET_SECONDS, 1, 0, False),
        (BUSY_SECONDS - 1, 500, 0, False),
        (BUSY_SECONDS, 500, 0, True),
        (1.0, 500, GROWTH_BYTES - 1, False),
        (1.0, 500, GROWTH_BYTES, True),
        (1.0, 500, -200 * MB, False),
    ],
)
def test_everything_is_collected_when_nobody_hears_it_or_it_has_to_be(
    since: float, live: int, grown: int, due: bool
) -> None:
    full = FullCollections(100.0, 200 * MB)
    assert full.due(100.0 + since, live, 200 * MB + grown) is due


def test_a_large_process_grows_by_more_before_it_is_looked_at() -> None:
    full = FullCollections(0.0, 1000 * MB)
    assert not full.due(1.0, 5, 1200 * MB)
    assert full.due(1.0, 5, 1250 * MB)
    full.done(1.0, 1250 * MB)
    assert not full.due(2.0, 5, 1250 * MB)


@pytest.fixture
def restored() -> Iterator[None]:
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)
    gc.unfreeze()


def full_collections() -> int:
    return int(gc.get_stats()[2]["collections"])


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("restored")
def test_a_quiet_process_collects_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(pauses, "QUIET_SECONDS", 0.0)
    live = 1

    async def main() -> None:
        nonlocal live
        short = ShortPauses(SystemClock(), lambda: live)
        short.start()
        assert gc.get_threshold() == THRESHOLDS
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        begun = full_collections()
        gc.collect(1)
        await turns(20)
        assert full_collections() == begun  # somebody would hear it
        live = 0
        await turns(20)
        assert full_collections() == begun + 1
        await turns(20)
        assert full_collections() == begun + 1  # nothing was made since
        short.stop()
        short.stop()
        gc.collect(1)
        await turns(20)
        assert full_collections() == begun + 1

    asyncio.run(main())


def test_the_memory_of_this_process_is_known() -> None:
    assert 10 * MB < resident_bytes() < 100_000 * MB
