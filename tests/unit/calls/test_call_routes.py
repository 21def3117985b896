"""The REST operations on calls: documented shapes, statuses, and the words of each refusal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from ringback.calls.assembly import CallLimits
from ringback.core.errors import NotConfigured
from ringback.media.plane import OpenSession, SessionOpened, TranscriptLine
from unit.calls.fakes import ACCOUNT, HOSTED, CallLab
from unit.calls.rest import DIAL, refusal, run


def test_placing_a_call_answers_with_every_documented_field(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        answer = await api.post("/api/call", json={**DIAL, "agent_name": "Bob"})
        assert answer.status_code == 200
        call = answer.json()
        call_id = call["call_id"]
        assert call["state"] == "connecting"
        assert call["platform"] == "sip"
        assert call["meeting_url"] == "sip:+33612345678@sip.example.com"
        assert call["agent_name"] == "Bob"
        assert call["capabilities"] == ["audio_in", "audio_out", "dtmf", "hold", "transfer"]
        assert call["text_ws_url"] == f"ws://gateway.example:8080/api/call/{call_id}/stream"
        assert call["room_id"]
        assert call["participant_id"]
        assert call["audio"] == {
            "sample_rate": 8000,
            "format": "pcm_s16le",
            "channels": 1,
            "frame_duration_ms": 20,
            "frame_bytes": 320,
        }
        assert (call["direction"], call["caller"]) == ("outbound", "")
        assert call["created_at"] == "2026-03-13T10:00:00Z"
        assert call["ended_at"] is None

    run(tmp_path, body)


def test_the_stream_url_is_secure_where_the_request_was(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        api.base_url = httpx2.URL("https://voice.example")
        call = (await api.post("/api/call/", json=DIAL)).json()
        assert call["text_ws_url"].startswith("wss://voice.example/api/call/call_")

    run(tmp_path, body)


@pytest.mark.requirement("media.mos", "ops.quality-metrics")
def test_polling_reads_only_new_lines_live_and_afterwards(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        leg = await lab.connector.call_in(auto_answer=True)
        await lab.settle()
        path = f"/api/call/{leg.call_id}"
        lab.plane.report_event(TranscriptLine(leg.call_id, "caller", "Hello", 0, 400))
        first = (await api.get(path, params={"since": 0})).json()
        assert first["transcript"] == ["[caller] Hello"]
        assert first["transcript_length"] == 1
        lab.plane.report_event(TranscriptLine(leg.call_id, "agent", "Hi", 500, 700))
        second = (await api.get(path, params={"since": 1})).json()
        assert second["transcript"] == ["[agent] Hi"]
        assert second["transcript_lines"] == [
            {"index": 1, "speaker": "agent", "text": "Hi", "start_ms": 500, "end_ms": 700}
        ]
        assert (second["quality"]["codec"], second["quality"]["mos"]) == ("PCMA", 4.3)
        ended = (await api.delete(path)).json()
        assert (ended["state"], ended["end_reason"]) == ("ended", "agent_hangup")
        assert ended["recording_url"] == f"http://gateway.example:8080{path}/recording"
        await lab.settle()
        kept = (await api.get(path, params={"since": 1})).json()
        assert kept["transcript"] == ["[agent] Hi"]
        assert kept["transcript_length"] == 2
        assert kept["quality"]["packets_received"] == 250
        assert kept["state"] == "ended"

    run(tmp_path, body)


def test_an_inbound_call_is_listed_accepted_and_hung_up(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        leg = await lab.connector.call_in()
        (listed,) = (await api.get("/api/calls")).json()["items"]
        assert (listed["call_id"], listed["state"]) == (leg.call_id, "ringing")
        assert (listed["caller"], listed["callee"]) == ("+33612345678", "+33123456789")
        accepted = await api.post(f"/api/call/{leg.call_id}/accept")
        assert accepted.json()["state"] == "active"
        again = await api.post(f"/api/call/{leg.call_id}/accept")
        assert refusal(again) == (409, "call_not_ringing")
        assert (await api.delete(f"/api/call/{leg.call_id}/")).status_code == 200
        assert (await api.get("/api/calls")).json()["items"] == []
        assert refusal(await api.delete(f"/api/call/{leg.call_id}")) == (404, "call_not_found")

    run(tmp_path, body)


def test_an_inbound_call_is_refused(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        leg = await lab.connector.call_in()
        refused = (await api.post(f"/api/call/{leg.call_id}/refuse")).json()
        assert (refused["state"], refused["end_reason"]) == ("refused", "refused")
        assert refused["recording_url"] is None

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        ({"platform": "sip"}, (400, "meeting_url_required")),
        ({"platform": "sip", "meeting_url": ""}, (400, "meeting_url_required")),
        ({"platform": "zoom", "meeting_url": "x"}, (400, "platform_not_available")),
        ({"meeting_url": "x"}, (422, "invalid_request")),
        ({**DIAL, "meetingURI": "x"}, (422, "invalid_request")),
        ({**DIAL, "agent_id": "agent_gone"}, (400, "agent_not_found")),
        ({**DIAL, "transcripts": "perhaps"}, (422, "invalid_request")),
        ({**DIAL, "meeting_url": "sip:x\r\nVia: y"}, (422, "invalid_request")),
    ],
)
def test_a_call_that_cannot_be_placed_says_why(
    tmp_path: Path, request_body: dict[str, object], expected: tuple[int, str]
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        assert refusal(await api.post("/api/call", json=request_body)) == expected
        assert lab.connector.dialled == []

    run(tmp_path, body)


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        answer = await api.post("/api/call", json={**DIAL, "agent_nam": "x"})
        message = answer.json()["error"]["message"]
        assert "`agent_nam`" in message
        assert "`agent_name`" in message

    run(tmp_path, body)


def test_camel_case_is_understood(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        wanted = {"platform": "sip", "meetingUrl": "+33612345678", "callerId": "+33123456789"}
        assert (await api.post("/api/call", json=wanted)).status_code == 200
        assert lab.connector.dialled[0].caller_id == "+33123456789"

    run(tmp_path, body)


def test_no_trunk_and_too_many_calls_have_their_documented_statuses(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        lab.connector.refusal = NotConfigured("No SIP trunk configured", code="no_sip_trunk")
        assert refusal(await api.post("/api/call", json=DIAL)) == (400, "no_sip_trunk")
        lab.connector.refusal = None
        assert (await api.post("/api/call", json=DIAL)).status_code == 200
        limited = await api.post("/api/call", json=DIAL)
        assert refusal(limited) == (429, "concurrent_call_limit")
        assert int(limited.headers["Retry-After"]) > 0
        await lab.control.service.drain(0)
        assert refusal(await api.post("/api/call", json=DIAL)) == (503, "shutting_down")

    run(tmp_path, body, CallLimits(max_calls=1))


def test_without_a_key_there_is_nothing(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        del api.headers["X-API-Key"]
        for method, path in (("GET", "/api/calls"), ("POST", "/api/call"), ("GET", "/api/call/x")):
            assert (await api.request(method, path)).status_code == 401
        answer = await api.get("/api/calls", headers={"Authorization": "Bearer good"})
        assert answer.status_code == 200

    run(tmp_path, body)


def test_commands_reach_the_media(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        leg = await lab.connector.call_in(auto_answer=True, agent_id=HOSTED.agent_id)
        await lab.settle()
        path = f"/api/call/{leg.call_id}"
        for command, sent in (
            ("say", {"text": "Hello"}),
            ("stop-speaking", None),
            ("dtmf", {"digits": "1a#"}),
        ):
            answer = await api.post(f"{path}/{command}", json=sent)
            assert answer.json() == {"call_id": leg.call_id, "status": "accepted"}
        assert lab.plane.commands[-3:] == [
            ("say", leg.call_id, "Hello"),
            ("stop_speaking", leg.call_id),
            ("send_dtmf", leg.call_id, "1A#", "auto"),
        ]

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("command", "sent", "expected"),
    [
        ("say", {"text": "   "}, (422, "invalid_request")),
        ("say", {"text": "x" * 10_001}, (422, "invalid_request")),
        ("say", {"text": "Hello"}, (400, "tts_not_configured")),
        ("dtmf", {"digits": "12E"}, (422, "invalid_request")),
        ("dtmf", {"digits": ""}, (422, "invalid_request")),
        ("chat", {"text": "Hi", "sender_name": "AI"}, (400, "capability_missing")),
        ("typing", None, (400, "capability_missing")),
        ("recording", None, (405, "method_not_allowed")),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(
    tmp_path: Path, command: str, sent: dict[str, str] | None, expected: tuple[int, str]
) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        lab.plane.no_voice = NotConfigured("espeak-ng is not installed.")
        leg = await lab.connector.call_in(auto_answer=True)
        await lab.settle()
        assert refusal(await api.post(f"/api/call/{leg.call_id}/{command}", json=sent)) == expected

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/accept"),
        ("POST", "/refuse"),
        ("POST", "/stop-speaking"),
        ("POST", "/typing"),
        ("GET", "/recording"),
    ],
)
def test_a_call_that_is_not_there_is_not_found(tmp_path: Path, method: str, path: str) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        answer = await api.request(method, f"/api/call/call_nowhere{path}")
        assert refusal(answer) == (404, "call_not_found")

    run(tmp_path, body)


def test_ended_calls_come_in_pages(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        ids = []
        for _ in range(3):
            call_id = (await api.post("/api/call", json=DIAL)).json()["call_id"]
            await api.delete(f"/api/call/{call_id}")
            ids.append(call_id)
        page = (await api.get("/api/calls", params={"state": "ended", "limit": 2})).json()
        rest = (
            await api.get("/api/calls", params={"state": "ended", "cursor": page["next_cursor"]})
        ).json()
        assert [c["call_id"] for c in page["items"] + rest["items"]] == ids[::-1]
        assert page["items"][0]["end_reason"] == "cancelled"
        bad = await api.get("/api/calls", params={"state": "ended", "cursor": "###"})
        assert refusal(bad) == (400, "invalid_cursor")

    run(tmp_path, body)


def test_a_recording_can_be_downloaded_in_parts(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        leg = await lab.connector.call_in(auto_answer=True)
        await lab.settle()
        path = f"/api/call/{leg.call_id}/recording"
        assert refusal(await api.get(path)) == (409, "recording_not_ready")
        wav = tmp_path / "recordings" / "2026-03-13" / f"{leg.call_id}.wav"
        wav.parent.mkdir(parents=True)
        wav.write_bytes(b"RIFF0123456789")
        await api.delete(f"/api/call/{leg.call_id}")
        await lab.settle()
        whole = await api.get(path)
        assert whole.content == b"RIFF0123456789"
        assert whole.headers["content-type"] == "audio/wav"
        assert f"{leg.call_id}.wav" in whole.headers["content-disposition"]
        part = await api.get(path, headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"0123")
        wav.unlink()
        assert refusal(await api.get(path)) == (404, "recording_not_found")

    run(tmp_path, body)


# ---- Idempotency-Key ----------------------------------------------------------------------------


def once(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_the_same_request_with_the_same_key_places_one_call(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        first = await api.post("/api/call", json=DIAL, headers=once("k1"))
        await api.delete(f"/api/call/{first.json()['call_id']}")
        again = await api.post("/api/call", json=DIAL, headers=once("k1"))
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert len(lab.connector.dialled) == 1
        await api.post("/api/call", json=DIAL, headers=once("k2"))
        assert len(lab.connector.dialled) == 2

    run(tmp_path, body)


def test_requests_at_the_same_time_place_one_call(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        dialling, go_on, really_open = asyncio.Event(), asyncio.Event(), lab.plane.open

        async def open_slowly(request: OpenSession) -> SessionOpened:
            dialling.set()
            await go_on.wait()
            return await really_open(request)

        lab.plane.open = open_slowly  # type: ignore[method-assign]
        asking = [
            asyncio.create_task(api.post("/api/call", json=DIAL, headers=once("k1")))
            for _ in range(5)
        ]
        await dialling.wait()
        for _ in range(10):
            await lab.control.history.get(ACCOUNT, "call_none", 0)
        go_on.set()
        answers = await asyncio.gather(*asking)
        assert len({answer.json()["call_id"] for answer in answers}) == 1
        assert len(lab.connector.dialled) == 1

    run(tmp_path, body)


def test_another_request_with_the_same_key_conflicts(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        await api.post("/api/call", json=DIAL, headers=once("k1"))
        other = await api.post("/api/call", json={**DIAL, "agent_name": "X"}, headers=once("k1"))
        assert refusal(other) == (409, "idempotency_key_reused")

    run(tmp_path, body)


def test_a_failure_is_not_kept_so_that_the_key_may_try_again(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        lab.connector.refusal = NotConfigured("No SIP trunk configured", code="no_sip_trunk")
        assert (await api.post("/api/call", json=DIAL, headers=once("k1"))).status_code == 400
        lab.connector.refusal = None
        assert (await api.post("/api/call", json=DIAL, headers=once("k1"))).status_code == 200

    run(tmp_path, body)


def test_a_key_is_forgotten_after_a_day(tmp_path: Path) -> None:
    async def body(lab: CallLab, api: httpx2.AsyncClient) -> None:
        await api.post("/api/call", json=DIAL, headers=once("k1"))
        lab.time.pass_by(24 * 3600 + 1)
        await api.post("/api/call", json=DIAL, headers=once("k1"))
        assert len(lab.connector.dialled) == 2

    run(tmp_path, body)
