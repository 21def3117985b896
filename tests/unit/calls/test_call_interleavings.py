"""Whatever happens to a call, in whatever order: it ends exactly once and leaves nothing behind."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringback.calls.dialler import PlaceCall
from ringback.calls.states import CallState
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason
from ringback.core.errors import RingbackError
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaTimedOut,
    StreamCommand,
    TranscriptLine,
)
from unit.calls.fakes import ACCOUNT, HOSTED, CallLab, FakeLeg, call_lab

Step = Callable[[CallLab, FakeLeg], object]

FINAL = {state.value for state in CallState if state.final}


def _ended_by(reason: EndReason) -> Step:
    return lambda lab, leg: leg.sink.leg_ended(leg.call_id, Cause(reason))


STEPS: dict[str, Step] = {
    "far end rings": lambda lab, leg: leg.sink.leg_ringing(leg.call_id),
    "early media": lambda lab, leg: leg.sink.leg_early_media(leg.call_id),
    "far end answers": lambda lab, leg: leg.sink.leg_answered(leg.call_id),
    "hold": lambda lab, leg: leg.sink.leg_held(leg.call_id, True),
    "resume": lambda lab, leg: leg.sink.leg_held(leg.call_id, False),
    "key": lambda lab, leg: leg.sink.leg_dtmf(leg.call_id, "1", 100),
    "bye": _ended_by(EndReason.CALLER_HANGUP),
    "cancel": _ended_by(EndReason.CALLER_CANCELLED),
    "busy": _ended_by(EndReason.BUSY),
    "network": _ended_by(EndReason.NETWORK_ERROR),
    "bridge lost": _ended_by(EndReason.BRIDGE_DISCONNECTED),
    "refuse": lambda lab, leg: lab.control.service.refuse(ACCOUNT, leg.call_id),
    "hang up": lambda lab, leg: lab.control.service.hang_up(ACCOUNT, leg.call_id),
    "say": lambda lab, leg: lab.control.service.say(ACCOUNT, leg.call_id, "hi"),
    "media key": lambda lab, leg: lab.plane.report_event(DtmfReceived(leg.call_id, "2", 90)),
    "media timeout": lambda lab, leg: lab.plane.report_event(MediaTimedOut(leg.call_id, 60)),
    "agent leaves": lambda lab, leg: lab.plane.report_event(
        HangUpRequested(leg.call_id, "silence")
    ),
    "words": lambda lab, leg: lab.plane.report_event(
        TranscriptLine(leg.call_id, "caller", "a", 0, 1)
    ),
    "stream hangs up": lambda lab, leg: lab.plane.report_event(
        StreamCommand(leg.call_id, "stream_1", {"type": "hangup"})
    ),
    "a second": lambda lab, leg: lab.time.pass_by(1),
    "a minute": lambda lab, leg: lab.time.pass_by(61),
    "leg stops working": lambda lab, leg: setattr(leg, "failing", OSError("gone")),
}


async def play(lab: CallLab, beginning: str, obliging: bool, steps: list[str]) -> None:
    if beginning == "outbound":
        wanted = PlaceCall("sip", "+33612345678", agent_id=HOSTED.agent_id)
        await lab.control.service.place(ACCOUNT, wanted)
        leg = lab.connector.legs[0]
        leg.obliging = obliging
    else:
        auto_answer = beginning == "auto_answer"
        leg = await lab.connector.call_in(auto_answer=auto_answer, obliging=obliging)
    accepting = []
    for step in steps:
        try:
            if step == "accept":
                accept = lab.control.service.accept(ACCOUNT, leg.call_id)
                accepting.append(asyncio.create_task(accept))
            elif step == "loop turns":
                await asyncio.sleep(0)
            else:
                STEPS[step](lab, leg)
        except RingbackError:
            pass  # refused: that is an answer
    for _ in range(4):
        await asyncio.sleep(0)
    lab.time.pass_by(24 * 3600)
    lab.time.pass_by(60)
    await asyncio.gather(*accepting, return_exceptions=True)
    await lab.settle()


async def check(beginning: str, obliging: bool, steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with asyncio.timeout(30), call_lab(Path(folder)) as lab:
            await play(lab, beginning, obliging, steps)
            call_id = lab.connector.legs[0].call_id
            states = lab.states()
            assert [state in FINAL for state in states] == [False] * (len(states) - 1) + [True]
            row = await lab.row(call_id)
            assert row.state == states[-1]
            assert row.end_reason == lab.events()[-1].get("end_reason", row.end_reason)
            assert row.ended_at is not None
            assert len(lab.control.registry) == 0
            assert lab.control.registry.live == 0
            assert lab.plane.sessions == set()
            assert lab.time.pending == 0
            assert lab.control.lifecycle.background.failures == 0
            activations = [c for c in lab.plane.commands if c[0] == "activate"]
            assert len(activations) == ("active" in states)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    beginning=st.sampled_from(["inbound", "auto_answer", "outbound"]),
    obliging=st.booleans(),
    steps=st.lists(st.sampled_from([*STEPS, "accept", "loop turns", "loop turns"]), max_size=12),
)
def test_a_call_ends_exactly_once_and_leaves_nothing_behind(
    beginning: str, obliging: bool, steps: list[str]
) -> None:
    asyncio.run(check(beginning, obliging, steps))
