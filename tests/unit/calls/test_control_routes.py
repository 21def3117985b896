"""Hold, transfer, participants and gather as REST operations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ringback.connectors.contract import Cause, TransferResult
from ringback.core.end_reason import EndReason
from ringback.core.errors import UpstreamFailed
from ringback.media.plane import DtmfReceived
from unit.calls.fakes import HOSTED, CallLab
from unit.calls.rest import DIAL, refusal, run
from unit.calls.scenario import active_call, turns

NUMBER = "+493012345678"


def test_a_call_is_held_and_resumed(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id = await active_call(lab)
        path = f"/api/call/{call_id}"
        for sent in (None, {"music": False}):
            held = (await api.post(f"{path}/hold", json=sent)).json()
            assert (held["state"], held["held_by"]) == ("on_hold", "agent")
        assert [c[2] for c in lab.plane.commands if c[0] == "hold"] == [None, ""]
        lab.connector.legs[0].failing = UpstreamFailed("488", code="hold_refused")
        assert refusal(await api.post(f"{path}/resume")) == (502, "hold_refused")
        lab.connector.legs[0].failing = None
        resumed = (await api.post(f"{path}/resume")).json()
        assert (resumed["state"], resumed["held_by"]) == ("active", None)
        lab.control.service.sink.leg_held(call_id, True)
        assert refusal(await api.post(f"{path}/resume")) == (409, "held_by_remote")
        assert (await api.get(path)).json()["held_by"] == "remote"

    run(tmp_path, body)


def test_a_transfer_is_begun_followed_and_recorded(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id = await active_call(lab)
        path = f"/api/call/{call_id}"
        answer = await api.post(f"{path}/transfer", json={"target": NUMBER, "mode": "bridge"})
        assert answer.status_code == 202
        begun = answer.json()
        assert (begun["state"], begun["mode"], begun["by"]) == ("trying", "bridge", "agent")
        other_id = lab.connector.dialled[0].call_id
        assert begun["to_call_id"] == other_id
        again = await api.post(f"{path}/transfer", json={"target": NUMBER})
        assert refusal(again) == (409, "transfer_in_progress")
        lab.control.service.sink.leg_answered(other_id)
        await turns()
        shown = (await api.get(path)).json()
        assert [transfer["state"] for transfer in shown["transfers"]] == ["done"]
        assert shown["conference_id"] == call_id
        other = (await api.get(f"/api/call/{other_id}")).json()
        assert (other["parent_call_id"], other["remote"]) == (call_id, NUMBER)

    run(tmp_path, body)


def test_a_transfer_can_be_cancelled(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id = await active_call(lab)
        path = f"/api/call/{call_id}/transfer"
        assert refusal(await api.delete(path)) == (409, "no_transfer")
        await api.post(path, json={"target": NUMBER, "mode": "bridge"})
        assert (await api.delete(path)).status_code == 200
        await turns()
        transfers = (await api.get(f"/api/call/{call_id}")).json()["transfers"]
        assert transfers[0]["reason"] == "cancelled"

    run(tmp_path, body)


def test_a_refer_that_is_taken_ends_the_call(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id = await active_call(lab)
        lab.connector.legs[0].transferred.set_result(TransferResult(True, False, 200, "OK"))
        answer = await api.post(f"/api/call/{call_id}/transfer", json={"target": NUMBER})
        assert (answer.status_code, answer.json()["state"]) == (202, "done")
        await lab.settle()
        ended = (await api.get(f"/api/call/{call_id}")).json()
        assert (ended["state"], ended["end_reason"]) == ("ended", "transferred")
        assert ended["transfers"][0]["state"] == "done"

    run(tmp_path, body)


def test_people_are_brought_in_listed_and_taken_out(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id, other_id = await active_call(lab), await active_call(lab)
        path = f"/api/call/{call_id}/participants"
        answer = await api.post(path, json={"target": NUMBER, "timeout": 20})
        assert answer.status_code == 201
        guest = answer.json()
        assert (guest["role"], guest["joined"], guest["remote"]) == ("participant", False, NUMBER)
        lab.control.service.sink.leg_answered(guest["call_id"])
        joined = (await api.post(path, json={"call_id": other_id})).json()
        assert joined["joined"] is True
        listed = (await api.get(path)).json()["items"]
        assert [(one["role"], one["joined"]) for one in listed] == [
            ("host", True),
            ("participant", True),
            ("participant", True),
        ]
        kept = await api.delete(f"{path}/{other_id}", params={"keep": "true"})
        assert (kept.json()["state"], kept.json()["conference_id"]) == ("active", None)
        removed = await api.delete(f"{path}/{guest['call_id']}")
        assert removed.json()["end_reason"] == "agent_hangup"
        again = await api.delete(f"{path}/{other_id}")
        assert refusal(again) == (404, "participant_not_found")

    run(tmp_path, body)


@pytest.mark.requirement("media.gather")
def test_gather_answers_with_the_keys(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        path = f"/api/call/{call_id}/gather"
        wanted = {"maxDigits": 4, "prompt": "Your PIN, please."}
        request = asyncio.ensure_future(api.post(path, json=wanted))
        await _under_way(lab, call_id)
        assert refusal(await api.post(path, json={})) == (409, "gather_in_progress")
        for digit in "12#":
            lab.plane.report_event(DtmfReceived(call_id, digit, 100))
        answer = await request
        assert answer.json() == {"call_id": call_id, "digits": "12", "reason": "terminator"}
        assert refusal(await api.delete(path)) == (409, "no_gather")

    run(tmp_path, body)


def test_gather_can_be_stopped(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id = await active_call(lab)
        path = f"/api/call/{call_id}/gather"
        request = asyncio.ensure_future(api.post(path, json={}))
        await _under_way(lab, call_id)
        assert (await api.delete(path)).status_code == 200
        assert (await request).json()["reason"] == "cancelled"

    run(tmp_path, body)


def test_a_key_may_be_pressed_by_info(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id = await active_call(lab)
        path = f"/api/call/{call_id}/dtmf"
        for method in ("auto", "rtp", "inband", "info"):
            assert (await api.post(path, json={"digits": "1", "method": method})).status_code == 200
        sent = [command[3] for command in lab.plane.commands if command[0] == "send_dtmf"]
        assert sent == ["auto", "rtp", "inband"]
        assert lab.connector.legs[0].told[-1] == "send_dtmf 1"
        lab.connector.legs[0].failing = UpstreamFailed("415", code="dtmf_refused")
        refused = await api.post(path, json={"digits": "1", "method": "info"})
        assert refusal(refused) == (502, "dtmf_refused")

    run(tmp_path, body)


@pytest.mark.requirement("call.x-headers")
def test_headers_of_ones_own_are_sent_along_and_shown(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        headers = {"X-Campaign": "spring"}
        placed = (await api.post("/api/call", json={**DIAL, "headers": headers})).json()
        assert placed["headers"] == headers
        assert dict(lab.connector.dialled[0].headers) == headers

    run(tmp_path, body)


@pytest.mark.parametrize(
    "headers",
    [
        {"Via": "SIP/2.0/UDP evil"},
        {"X-A\r\nVia": "1"},
        {"X-A": "1\r\nVia: 2"},
        {"X-A": "x" * 257},
        {f"X-{number}": "1" for number in range(17)},
        {"X-": "1"},
        {"X-A": 5},
    ],
)
@pytest.mark.requirement("call.x-headers")
def test_other_headers_and_endless_ones_are_refused(
    tmp_path: Path, headers: dict[str, object]
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        answer = await api.post("/api/call", json={**DIAL, "headers": headers})
        assert refusal(answer) == (422, "invalid_request")
        assert lab.connector.dialled == []

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("command", "sent", "code"),
    [
        ("hold", {"music": "loud"}, "invalid_request"),
        ("transfer", {}, "invalid_request"),
        ("transfer", {"target": ""}, "invalid_request"),
        ("transfer", {"target": NUMBER, "to_call_id": "call_1"}, "invalid_request"),
        ("transfer", {"target": NUMBER, "mode": "teleport"}, "invalid_request"),
        ("transfer", {"target": NUMBER, "timeout": 0}, "invalid_request"),
        ("transfer", {"target": f"{NUMBER}\r\nVia: x"}, "invalid_request"),
        ("participants", {}, "invalid_request"),
        ("participants", {"target": NUMBER, "call_id": "call_1"}, "invalid_request"),
        ("gather", {"max_digits": 65}, "invalid_request"),
        ("gather", {"max_digits": 2, "min_digits": 3}, "invalid_request"),
        ("gather", {"terminator": "##"}, "invalid_request"),
        ("gather", {"allowed": ""}, "invalid_request"),
        ("gather", {"first_timeout": 1e9}, "invalid_request"),
        ("dtmf", {"digits": "1", "method": "smoke"}, "invalid_request"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_happens(
    tmp_path: Path, command: str, sent: dict[str, Any], code: str
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        call_id = await active_call(lab)
        answer = await api.post(f"/api/call/{call_id}/{command}", json=sent)
        assert refusal(answer) == (422, code)
        assert [c[0] for c in lab.plane.commands] == ["activate"]

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/hold", None),
        ("POST", "/resume", None),
        ("POST", "/transfer", {"target": NUMBER}),
        ("DELETE", "/transfer", None),
        ("POST", "/participants", {"target": NUMBER}),
        ("GET", "/participants", None),
        ("DELETE", "/participants/call_1", None),
        ("POST", "/gather", {}),
        ("DELETE", "/gather", None),
    ],
)
def test_a_call_that_is_not_there_is_not_found(
    tmp_path: Path, method: str, path: str, sent: dict[str, str] | None
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        over = await active_call(lab)
        lab.control.service.sink.leg_ended(over, Cause(EndReason.CALLER_HANGUP))
        for call_id in ("call_nowhere", over):
            answer = await api.request(method, f"/api/call/{call_id}{path}", json=sent)
            assert refusal(answer) == (404, "call_not_found")

    run(tmp_path, body)


async def _under_way(lab: CallLab, call_id: str) -> None:
    entry = lab.control.registry.get(call_id)
    for _ in range(1000):
        if entry is not None and entry.gathering is not None:
            return
        await asyncio.sleep(0)
    raise TimeoutError(call_id)
