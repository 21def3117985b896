"""Whatever is asked of several calls and whatever their far ends do, in whatever order: each ends
exactly once, nobody is left in a room or on hold by mistake, and nothing is left behind."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringback.calls.conferences import Invitation
from ringback.calls.gather import GatherWanted
from ringback.calls.states import CallState, HeldBy
from ringback.calls.transfer import TransferMode
from ringback.calls.transfers import TransferWanted
from ringback.connectors.contract import Cause, TransferResult
from ringback.core.end_reason import EndReason
from ringback.core.errors import RingbackError
from ringback.media.plane import DtmfReceived
from unit.calls.fakes import ACCOUNT, HOSTED, CallLab, FakeLeg, call_lab
from unit.calls.scenario import turns

TARGET = "+493012345678"
FINAL = {state.value for state in CallState if state.final}
Step = tuple[str, int, int]
"""What happens, to which call, and with which other one; indices modulo the calls there are."""

WORDS = [
    "hold", "resume", "they hold", "they resume", "bridge", "refer", "refer done", "refer refused",
    "refer busy", "attended", "cancel transfer", "invite", "join", "remove", "keep", "gather",
    "cancel gather", "key", "answer", "busy", "bye", "hang up", "asked by far end", "replaced",
    "leg fails", "leg works", "a minute",
]  # fmt: skip

LIKELY = [
    "hold",
    "resume",
    "bridge",
    "refer refused",
    "attended",
    "invite",
    "join",
    "answer",
    "busy",
]
"""What leads somewhere new comes more often than the rest."""

REFERS = {
    "refer done": TransferResult(True, False, 200, "OK"),
    "refer refused": TransferResult(False, True, 405, "No"),
    "refer busy": TransferResult(False, False, 486, "Busy"),
}


class Play:
    def __init__(self, lab: CallLab) -> None:
        self.lab = lab
        self.service = lab.control.service
        self.tasks: list[asyncio.Task[object]] = []

    def step(self, word: str, leg: FakeLeg, other: FakeLeg) -> None:
        try:
            work = self._do(word, leg, other)
        except RingbackError:
            return  # refused: that is an answer
        if work is not None:
            self.tasks.append(asyncio.ensure_future(_answered(work)))

    def _do(self, word: str, leg: FakeLeg, other: FakeLeg) -> Coroutine[Any, Any, object] | None:
        service, sink, call_id = self.service, self.service.sink, leg.call_id
        bridge = TransferWanted(target=TARGET, mode=TransferMode.BRIDGE)
        match word:
            case "hold":
                return service.holding.hold(ACCOUNT, call_id)
            case "resume":
                return service.holding.resume(ACCOUNT, call_id)
            case "they hold" | "they resume":
                sink.leg_held(call_id, word == "they hold")
            case "bridge":
                return service.transfers.start(ACCOUNT, call_id, bridge)
            case "refer":
                wanted = TransferWanted(target=TARGET)
                return service.transfers.start(ACCOUNT, call_id, wanted)
            case "refer done" | "refer refused" | "refer busy":
                if not leg.transferred.done():
                    leg.transferred.set_result(REFERS[word])
            case "attended":
                wanted = TransferWanted(to_call_id=other.call_id)
                return service.transfers.start(ACCOUNT, call_id, wanted)
            case "cancel transfer":
                service.transfers.cancel(ACCOUNT, call_id)
            case "invite":
                return service.conferences.invite(ACCOUNT, call_id, Invitation(TARGET))
            case "join":
                service.conferences.join(ACCOUNT, call_id, other.call_id)
            case "remove" | "keep":
                service.conferences.remove(ACCOUNT, call_id, other.call_id, word == "keep")
            case "gather":
                return service.gathers.gather(ACCOUNT, call_id, GatherWanted(max_digits=2))
            case "cancel gather":
                service.gathers.cancel(ACCOUNT, call_id)
            case "key":
                self.lab.plane.report_event(DtmfReceived(call_id, "1", 100))
            case "answer":
                sink.leg_answered(call_id)
            case "busy" | "bye":
                reason = EndReason.BUSY if word == "busy" else EndReason.CALLER_HANGUP
                leg.over = True
                sink.leg_ended(call_id, Cause(reason))
            case "hang up":
                service.hang_up(ACCOUNT, call_id)
            case "asked by far end":
                return sink.leg_transfer_requested(call_id, TARGET)
            case "replaced":
                sink.leg_replaced(call_id, leg, "+15550001111", "Bob")
            case "leg fails" | "leg works":
                leg.failing = OSError("gone") if word == "leg fails" else None
            case _:
                self.lab.time.pass_by(61)
        return None


async def _answered(work: Coroutine[Any, Any, object]) -> object:
    try:
        return await work
    except (RingbackError, OSError):
        return None  # refused, or a leg that stopped working: the service says so


def _check_rooms(lab: CallLab) -> None:
    """What the records say about rooms and holds is what media was told."""
    joined: dict[str, str] = {}
    held: dict[str, bool] = {}
    for command, call_id, *rest in lab.plane.commands:
        if command == "join":
            joined[call_id] = str(rest[0])
        elif command == "part":
            joined.pop(call_id, None)
        elif command in ("hold", "resume"):
            held[call_id] = command == "hold"
    for entry in lab.control.registry:
        call = entry.call
        if call.final:
            continue
        ours = call.held_by in (HeldBy.AGENT, HeldBy.BOTH)
        assert held.get(call.call_id, False) == ours
        room = joined.get(call.call_id)
        if room is not None:
            assert call.conference_id == room
        else:
            assert call.conference_id in (None, call.call_id)


async def play(steps: list[Step], beginnings: list[bool]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with asyncio.timeout(30), call_lab(Path(folder)) as lab:
            for hosted in beginnings:
                agent_id = HOSTED.agent_id if hosted else None
                await lab.connector.call_in(auto_answer=True, agent_id=agent_id)
            await turns()
            acting = Play(lab)
            for word, first, second in steps:
                legs = lab.connector.legs
                acting.step(word, legs[first % len(legs)], legs[second % len(legs)])
                await turns(4)
                _check_rooms(lab)
            for leg in lab.connector.legs:
                leg.failing = None
                if not leg.transferred.done():
                    leg.transferred.set_result(REFERS["refer busy"])
            await turns()
            lab.time.pass_by(24 * 3600)
            await turns()
            lab.time.pass_by(60)
            await asyncio.gather(*acting.tasks)
            await lab.settle()
            ends: dict[str, list[bool]] = {}
            for event in lab.events():
                if event["type"] in ("call_state", "call_invite"):
                    ends.setdefault(event["call_id"], []).append(event["state"] in FINAL)
            for seen in ends.values():
                assert seen == [False] * (len(seen) - 1) + [True]
            assert len(lab.control.registry) == 0
            assert len(lab.control.service.conferences) == 0
            assert lab.plane.sessions == set()
            assert lab.control.lifecycle.background.failures == 0
            assert lab.time.pending == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(WORDS + 3 * LIKELY), st.integers(0, 3), st.integers(0, 3)),
        max_size=20,
    ),
    beginnings=st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_calls_that_are_held_transferred_and_joined_end_once_and_leave_nothing_behind(
    steps: list[Step], beginnings: list[bool]
) -> None:
    asyncio.run(play(steps, beginnings))
