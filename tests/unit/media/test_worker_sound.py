"""Sound, legs and streams over several workers."""

from __future__ import annotations

import asyncio
import json
import socket
import struct

import pytest
import websockets
from websockets.exceptions import InvalidStatus

from ringback.core.errors import (
    LimitReached,
)
from ringback.media import bridge
from ringback.media import conference_map as map_module
from ringback.media.plane import (
    OpenSession,
    SessionReport,
    StreamAttached,
    StreamDetached,
)
from unit.media.media_lab import LOCALHOST, Run, audio, front_door, phone_socket, receive
from unit.media.test_plane_control import Phone
from unit.media.worker_lab import call, lab, names, talk

pytestmark = pytest.mark.usefixtures("quick_workers")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_conference_is_heard_by_all_of_it_until_they_part(run: Run, workers: int) -> None:
    async def main() -> None:
        async with lab(workers) as n:
            with phone_socket() as a, phone_socket() as b, phone_socket() as c:
                one, two = await call(n, a, "one"), await call(n, b, "two")
                three = await call(n, c, "three")
                say = (one, 1000), (two, 3000), (three, 5000)
                n.plane.join("two", "one")
                n.plane.join("three", "two")
                await n.settled()
                await talk(n, *say)
                assert abs(one.level() - 8000) < 400
                assert abs(two.level() - 6000) < 300
                assert abs(three.level() - 4000) < 300
                n.plane.part("three")
                await n.settled()
                await talk(n, *say)
                assert abs(one.level() - 3000) < 150
                assert three.level() == 0
                n.plane.part("two")
                n.plane.part("two")
                await n.settled()
                await talk(n, *say)
                assert (one.level(), two.level(), three.level()) == (0, 0, 0)

    run(main())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ends", ["one", "two"])
def test_the_end_of_either_leaves_the_other_alone(run: Run, workers: int, ends: str) -> None:
    async def main() -> None:
        async with lab(workers) as n:
            with phone_socket() as a, phone_socket() as b:
                phones = {"one": await call(n, a, "one"), "two": await call(n, b, "two")}
                n.plane.join("two", "one")
                await n.settled()
                await n.plane.close(ends)
                (left,) = set(phones) - {ends}
                await n.settled()
                await talk(n, (phones[left], 3000))
                assert phones[left].level() == 0
                assert all(process.plane._links == {} for process in n.living)
                (again,) = await n.open(ends)
                n.plane.join(left, ends)
                await n.settled()
                assert again.rtp_port

    run(main())


def test_a_member_may_move_from_one_conference_to_another(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            with phone_socket() as a, phone_socket() as b, phone_socket() as c:
                one, two = await call(n, a, "one"), await call(n, b, "two")
                three = await call(n, c, "three")
                assert n.place("one") is n.place("three") is not n.place("two")
                for _ in range(3):
                    n.plane.join("three", "two")
                    await n.settled()
                    await talk(n, (one, 1000), (two, 3000), (three, 5000))
                    assert one.level() == 0
                    assert abs(two.level() - 5000) < 250
                    n.plane.join("three", "one")
                    await n.settled()
                    await talk(n, (one, 1000), (two, 3000), (three, 5000))
                    assert two.level() == 0
                    assert abs(one.level() - 5000) < 250
                    assert sum(len(each.plane._links) for each in n.processes) == 0

    run(main())


def test_the_host_of_a_conference_may_die_with_its_worker(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            with phone_socket() as a, phone_socket() as b:
                await call(n, a, "one")
                two = await call(n, b, "two")
                n.plane.join("two", "one")
                await n.settled()
                n.place("one").die()
                await n.until(lambda: n.lost() == ["one"])
                await talk(n, (two, 3000))
                assert two.level() == 0
                await n.until(lambda: n.place("two").plane._links == {})
                assert n.plane._links == {}

    run(main())


def test_a_full_conference_refuses_whoever_comes_and_leaves_them_where_they_are(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_module, "MAX_PARTICIPANTS", 3)
    monkeypatch.setattr(bridge, "MAX_PARTICIPANTS", 3)

    async def main() -> None:
        async with lab(2) as n:
            await n.open("a", "b", "c", "d")
            n.plane.join("b", "a")
            n.plane.join("c", "a")
            with pytest.raises(LimitReached) as caught:
                n.plane.join("d", "b")
            assert caught.value.code == "conference_full"
            await n.settled()
            n.plane.part("c")
            n.plane.join("d", "b")
            await n.settled()
            assert n.lost() == []

    run(main())


def test_without_descriptors_there_is_no_link_and_everything_stays_as_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*args: object) -> None:
        raise OSError(24, "Too many open files")

    async def main() -> None:
        async with lab(2) as n:
            await n.open("a", "b", "c")
            n.plane.join("c", "a")
            with monkeypatch.context() as patch:
                patch.setattr(socket, "socketpair", none)
                with pytest.raises(LimitReached):
                    n.plane.join("c", "b")
            await n.settled()
            assert n.plane._conferences.host_of("c") == "a"

    run(main())


def test_a_leg_is_taken_over_and_its_session_is_gone(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            with phone_socket() as a, phone_socket() as b:
                await call(n, a, "one")
                opened = await n.plane.open(OpenSession("new", LOCALHOST, stands_in_for="one"))
                n.plane.negotiate("new", audio(b.getsockname()[1]))
                n.plane.take_leg("one", "new")
                await n.settled()
                assert len(n.plane) == 1
                assert names(n.place("one")) == {"one"}
                two = Phone(b, opened.rtp_port)
                await talk(n, (two, 3000))
                report = await n.plane.close("one")
                assert report.packets_received > 10
                assert await n.plane.close("new") == SessionReport("new")

    run(main())


@pytest.mark.parametrize("why", ["gone", "closing", "elsewhere", "itself"])
def test_a_leg_that_nobody_takes_can_still_be_closed(run: Run, why: str) -> None:
    async def main() -> None:
        async with lab(2) as n:
            await n.open("one", "two")
            if why == "elsewhere":
                n.plane.take_leg("one", "two")
            elif why == "itself":
                n.plane.take_leg("two", "two")
            else:
                await n.plane.open(OpenSession("new", LOCALHOST, stands_in_for="one"))
                closing = asyncio.ensure_future(n.plane.close("one"))
                await (closing if why == "gone" else asyncio.sleep(0))
                n.plane.take_leg("one", "new")
                await closing
                assert len(n.plane) == 2
                await n.plane.close("new")
            await n.plane.close("two")
            await n.settled()
            assert set().union(*(names(each) for each in n.processes)) <= {"one"}

    run(main())


def test_a_stream_is_handed_over_and_carries_sound_and_messages(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            with phone_socket() as a:
                await n.open("other")
                one = await call(n, a, "c1")
                async with (
                    front_door(n.plane) as url,
                    websockets.connect(url, compression=None) as ws,
                ):
                    await ws.send(json.dumps({"type": "audio_config", "receive": True}))
                    await receive(ws)
                    await ws.send(struct.pack("<1600h", *[4000] * 1600))
                    await asyncio.wait_for(await ws.ping(), 5)
                    await talk(n, (one, 1000), seconds=0.2)
                    assert abs(one.level() - 4000) < 200
                    frame = await asyncio.wait_for(ws.recv(), 5)
                    assert isinstance(frame, bytes)
                    assert StreamAttached("c1", "stream-1") in n.events
                    n.plane.notify("c1", {"type": "call_state", "state": "x"})
                    async with asyncio.timeout(5):
                        while isinstance(await ws.recv(), bytes):
                            pass
                    await n.plane.close("c1")
                    await asyncio.wait_for(ws.wait_closed(), 5)
                    assert ws.close_code == 1000
                assert StreamDetached("c1", "stream-1", 1000) in n.events

    run(main())


def test_a_stream_to_a_call_that_is_over_gets_404(run: Run) -> None:
    async def main() -> None:
        async with lab() as n, front_door(n.plane) as url:
            with pytest.raises(InvalidStatus) as refused:
                await websockets.connect(url)
            assert refused.value.response.status_code == 404
            # Gone by the time the worker comes to it.
            await n.open("c1")
            place = n.place("c1")
            await place.plane.close("c1")
            with pytest.raises(InvalidStatus) as refused:
                await websockets.connect(url)
            assert refused.value.response.status_code == 404

    run(main())
