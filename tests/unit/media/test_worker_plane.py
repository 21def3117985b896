"""Sessions over several workers: where they go, and what their callers see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ringback.core import errors
from ringback.core.errors import (
    Conflict,
    InvalidRequest,
    RingbackError,
    Unavailable,
)
from ringback.media.metrics import MediaCounters
from ringback.media.plane import (
    DtmfReceived,
    MediaEvent,
    OpenSession,
    SessionReport,
    StreamCommand,
    VoiceSpec,
)
from ringback.media.worker_messages import Figures, Refused
from ringback.media.worker_plane import WorkerPlane
from unit.media.media_lab import LOCALHOST, Run, audio, phone_socket
from unit.media.worker_lab import call, lab, names, talk

pytestmark = pytest.mark.usefixtures("quick_workers")


# ---- placement -------------------------------------------------------------------------------


def test_a_session_goes_where_the_fewest_are(run: Run) -> None:
    async def main() -> None:
        async with lab(3) as n:
            await n.open("a", "b", "c", "d", "e", "f")
            assert [len(names(each)) for each in n.processes] == [2, 2, 2]
            assert len(n.plane) == 6
            emptied = n.place("b")
            for name in names(emptied):
                await n.plane.close(name)
            await n.open("g", "h")
            assert names(emptied) == {"g", "h"}
            assert len(n.plane) == 6

    run(main())


def test_sessions_that_are_being_opened_count(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            await asyncio.gather(*(n.open(name) for name in "abcdef"))
            assert [len(names(each)) for each in n.processes] == [3, 3]

    run(main())


def test_a_leg_that_replaces_another_goes_beside_it(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            await n.open("a", "b")
            for number in range(3):
                await n.plane.open(OpenSession(f"a{number}", LOCALHOST, stands_in_for="a"))
            assert names(n.place("a")) == {"a", "a0", "a1", "a2"}
            await n.plane.open(OpenSession("x", LOCALHOST, stands_in_for="gone"))
            assert names(n.place("b")) == {"b", "x"}

    run(main())


def test_without_a_port_the_next_worker_is_asked(run: Run) -> None:
    async def main() -> None:
        async with lab(2, capacity=2) as n:
            await n.open("a", "b", "c", "d")
            with pytest.raises(Unavailable) as caught:
                await n.open("e")
            assert (caught.value.code, caught.value.hint) == ("no_rtp_port", "Wait.")
            assert len(n.plane) == 4
            for name in names(n.processes[0]):
                await n.plane.close(name)
            other = n.processes[1]
            await n.plane.open(OpenSession("f", LOCALHOST))
            await n.plane.close(next(iter(names(other))))
            # The load is the same on both, but the order of asking differs; both have room.
            await n.open("g", "h")
            assert len(n.plane) == 4

    run(main())


def test_a_full_worker_with_fewer_sessions_is_not_the_last_word(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            await n.open("a", "b")
            n.processes[0].ports._capacity = 0
            await n.open("c", "d", "e")
            assert names(n.processes[1]) >= {"c", "d", "e"}

    run(main())


def test_an_id_that_is_in_use_is_refused(run: Run) -> None:
    async def main() -> None:
        async with lab() as n:
            await n.open("a")
            with pytest.raises(Conflict) as caught:
                await n.open("a")
            assert caught.value.code == "session_exists"
            assert len(n.plane) == 1
            await n.plane.close("a")
            await n.open("a")

    run(main())


# ---- what comes back -------------------------------------------------------------------------


KINDS = [each for each in vars(errors).values() if isinstance(each, type)]


@pytest.mark.parametrize(
    "kind",
    [each for each in KINDS if issubclass(each, RingbackError) and each is not RingbackError],
)
def test_every_error_is_the_same_again(kind: type[RingbackError]) -> None:
    error = kind("What.", code="why", hint="How.", field="where")
    again = Refused.of(1, error).error()
    assert type(again) is kind
    assert vars(again) == vars(error)


def test_errors_of_a_worker_reach_who_asked(run: Run) -> None:
    async def main() -> None:
        async with lab() as n:
            await n.open("a")
            with pytest.raises(InvalidRequest) as caught:
                await n.plane.send_dtmf("a", "1x")
            assert (caught.value.code, caught.value.field) == ("invalid_digits", "digits")
            with pytest.raises(InvalidRequest) as caught:
                n.plane.start_voice("a", VoiceSpec("mute"))
            assert caught.value.code == "bad_voice"

    run(main())


def test_a_fault_in_a_worker_is_an_error_of_that_call_only(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with lab(1) as n:
            await n.open("a", "b")

            async def broken(session_id: str) -> None:
                raise KeyError(session_id)

            n.processes[0].plane.report = broken  # type: ignore[method-assign]
            assert await n.plane.report("a") is None
            del n.processes[0].plane.report
            assert await n.plane.report("b") == SessionReport("b")
            assert n.lost() == []

    run(main())
    assert "report failed" in caplog.text


@pytest.mark.parametrize("fault", ["a refusal", "a fault"])
def test_a_command_that_fails_ends_its_own_call(run: Run, fault: str) -> None:
    async def main() -> None:
        async with lab(1) as n:
            await n.open("a", "b")
            if fault == "a refusal":
                n.plane.negotiate("a", audio(4000, 99, "NONESUCH"))
            else:
                n.plane.dtmf("a", 7, "long")  # type: ignore[arg-type]
            n.plane.dtmf("b", "5", 100)
            await n.until(lambda: len(n.events) >= 2)
            assert n.lost() == ["a"]
            assert DtmfReceived("b", "5", 100) in n.events

    run(main())


def test_events_come_in_order_and_a_listener_that_fails_harms_nobody(run: Run) -> None:
    async def main() -> None:
        async with lab(1) as n:
            await n.open("a")
            told: list[MediaEvent] = []

            def fail(event: MediaEvent) -> None:
                raise RuntimeError("as the test wants it")

            n.plane.subscribe(fail)
            n.plane.subscribe(told.append)
            sent = [StreamCommand("a", "s", {"type": "say", "n": each}) for each in range(500)]
            for each in sent:
                n.processes[0].plane._emit(each)
            await n.until(lambda: len(told) == 500)
            assert n.events == told == sent
            assert n.plane.listener_errors == 500

    run(main())


COMMANDS: dict[str, tuple[object, ...]] = {
    "negotiate": (audio(4000),),
    "activate": ("/tmp/x.wav",),
    "start_voice": (VoiceSpec("demo", {"a": 1}),),
    "say": ("hello",),
    "stop_speaking": (),
    "dtmf": ("5", 100),
    "set_hold": (True,),
    "hold": ("",),
    "resume": (),
    "part": (),
    "detach_agents": (),
    "notify": ({"type": "call_state"},),
}


@pytest.mark.parametrize(("name", "arguments"), COMMANDS.items(), ids=COMMANDS.keys())
def test_a_command_goes_to_its_worker_and_nowhere_when_the_session_is_gone(
    run: Run, name: str, arguments: tuple[object, ...]
) -> None:
    async def main() -> None:
        async with lab(2) as n:
            await n.open("a", "b")
            done: list[tuple[object, ...]] = []
            for process in n.processes:
                here = process
                setattr(process.plane, name, lambda *given, here=here: done.append((here, *given)))
            command: Callable[..., None] = getattr(n.plane, name)
            command("a", *arguments)
            command("gone", *arguments)
            await n.settled()
            assert done == [(n.place("a"), "a", *arguments)]

    run(main())


def test_what_is_asked_about_a_session_that_is_gone_is_nothing(run: Run) -> None:
    async def main() -> None:
        async with lab() as n:
            assert await n.plane.report("gone") is None
            assert await n.plane.close("gone") == SessionReport("gone")
            await n.plane.send_dtmf("gone", "not even digits")
            n.plane.join("gone", "gone too")
            n.plane.take_leg("gone", "gone too")

    run(main())


# ---- figures ---------------------------------------------------------------------------------


def test_a_report_comes_with_the_end_and_is_observed_when_the_call_was_answered(run: Run) -> None:
    async def main() -> None:
        async with lab() as n:
            with phone_socket() as a:
                one = await call(n, a, "one")
                await n.open("two")
                await talk(n, (one, 1000))
                so_far = await n.plane.report("one")
                assert so_far is not None
                first, second = await asyncio.gather(n.plane.close("one"), n.plane.close("one"))
                assert first == second
                assert first.packets_received == so_far.packets_received == 20
                await n.plane.close("two")
                await n.settled()
                assert n.reports == [first]

    run(main())


@pytest.mark.usefixtures("impatient")
def test_counters_never_go_down_over_a_death(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            seen: list[tuple[str, Figures]] = []
            n.plane.on_figures(lambda name, figures: seen.append((name, figures)))
            with phone_socket() as a, phone_socket() as b:
                phones = await call(n, a, "one"), await call(n, b, "two")
                await talk(n, *((phone, 1000) for phone in phones))
                await n.until(lambda: n.plane.counters().packets_received == 40)
                await n.until(lambda: n.plane.pacer_counters().frames == 40)
                assert n.plane.ports_in_use() == 2
                assert {name for name, _ in seen} == {"media-0", "media-1"}
                n.place("one").die()
                await n.until(lambda: n.plane.workers.lost == 1)
                assert n.plane.counters().packets_received == 40
                assert n.plane.pacer_counters().frames == 40
                assert n.plane.ports_in_use() == 1
                await n.until(lambda: n.plane.ready_workers() == 2)
                assert n.plane.counters().packets_received == 40
                await n.plane.stop()
                assert n.plane.counters().packets_received == 40
                assert n.plane.ready_workers() == len(n.plane) == 0

    run(main())


def test_before_anything_is_there_all_figures_are_nothing() -> None:
    plane = WorkerPlane([], lambda: asyncio.sleep(0), check_voice=lambda spec: None)  # type: ignore[arg-type,return-value]
    assert plane.counters() == MediaCounters()
    assert (len(plane), plane.ports_in_use(), plane.ready_workers()) == (0, 0, 0)
