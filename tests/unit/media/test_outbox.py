"""What is sent at the end of a round of the event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref

from ringback.media.outbox import running_outbox
from unit.media.media_lab import Run


def never() -> None:
    raise AssertionError("nothing was refused")


def test_what_is_posted_goes_in_its_order_when_the_round_is_over(run: Run) -> None:
    async def main() -> None:
        sent: list[tuple[object, object]] = []
        outbox = running_outbox()
        for number in range(3):
            outbox.post(lambda first, second: sent.append((first, second)), number, "a", never)
        assert sent == []
        await asyncio.sleep(0)
        assert sent == [(0, "a"), (1, "a"), (2, "a")]

    run(main())


def test_what_the_network_refuses_is_told_and_keeps_nothing_back(run: Run) -> None:
    async def main() -> None:
        told: list[object] = []

        def send(first: object, second: object) -> None:
            if first == 1:
                raise PermissionError("no")
            told.append(first)

        outbox = running_outbox()
        for number in range(3):
            outbox.post(send, number, "a", lambda: told.append("refused"))
        outbox.flush()
        assert told == [0, "refused", 2]

    run(main())


def test_a_loop_that_is_over_is_not_kept() -> None:
    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        running_outbox().post(lambda first, second: None, 1, 2, never)
        return weakref.ref(asyncio.get_running_loop())

    with asyncio.Runner() as runner:
        loop = runner.run(main())
    del runner
    gc.collect()
    assert loop() is None
