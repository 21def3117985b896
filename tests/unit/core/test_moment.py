"""Something that happens once."""

from __future__ import annotations

import asyncio

import pytest

from ringback.core.moment import Moment


def test_all_who_wait_are_told_and_who_comes_later_does_not_wait() -> None:
    async def main() -> None:
        moment = Moment()
        waiting = [asyncio.ensure_future(moment.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        assert not moment.is_set()
        moment.set()
        moment.set()
        await asyncio.wait_for(asyncio.gather(*waiting), 1)
        assert moment.is_set()
        await asyncio.wait_for(moment.wait(), 1)

    asyncio.run(main())


def test_one_who_gives_up_does_not_keep_the_others_waiting() -> None:
    async def main() -> None:
        moment = Moment()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(moment.wait(), 0)
        other = asyncio.ensure_future(moment.wait())
        await asyncio.sleep(0)
        moment.set()
        await asyncio.wait_for(other, 1)

    asyncio.run(main())
