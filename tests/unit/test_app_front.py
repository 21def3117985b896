"""The pages around the API: account, health, metrics, documentation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from unit.app_lab import AppLab, app_lab

CALL = {"platform": "sip", "meeting_url": "sip:+33612345678@sip.example.com"}
TRUNK = {
    "sip_host": "sip.example.com",
    "sip_username": "user",
    "sip_password": "secret",
    "sip_caller_id": "+33612345678",
}


def run(folder: Path, body: Callable[[AppLab], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60), app_lab(folder) as lab:
            await body(lab)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


def test_the_account_says_what_works_and_how_much_is_in_use(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        account = (await lab.api.get("/api/account/")).json()
        assert account["plan"] == "self-hosted"
        assert account["features"]["transport"] == "ready"
        assert account["features"]["audio_in"] == "ready"
        assert account["features"]["hosted_tts"] in ("ready", "not_configured")
        assert account["features"]["text_chat"] == "not_available"
        assert account["features_note"]
        assert account["platforms"]["sip"]["status"] == "not_configured"
        assert account["platforms"]["sip"]["capabilities"] == [
            *("audio_in", "audio_out", "dtmf", "hold", "transfer")
        ]
        assert account["platforms"]["sip"]["files"] is False
        assert account["concurrent_calls"] == {"active": 0, "limit": 1000}
        assert account["identities"]["sip"] == {"agent": [], "operator": []}
        assert account["last_message_cursor"] is None

        assert (await lab.api.post("/api/sip/trunk", json=TRUNK)).status_code == 200
        did = await lab.api.post("/api/sip/trunk/dids", json={"number": "+33123456789"})
        assert did.status_code in (200, 201)
        await lab.api.post("/api/call", json=CALL)
        account = (await lab.api.get("/api/account")).json()
        assert account["platforms"]["sip"]["status"] == "error"
        assert account["platforms"]["sip"]["detail"].startswith("SIP trunk: ")
        assert account["concurrent_calls"]["active"] == 1
        assert account["identities"]["sip"]["agent"] == ["+33123456789", "+33612345678"]

    run(tmp_path, body)


def test_health_readiness_and_metrics_are_for_the_operator(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        del lab.api.headers["X-API-Key"]
        assert (await lab.api.get("/healthz")).json() == {"status": "ok"}
        assert (await lab.api.get("/readyz")).json() == {"status": "ready", "problems": {}}
        metrics = await lab.api.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        for name in ("calls_live 0.0", "media_packets_received_total 0.0", "rtp_ports_in_use 0.0"):
            assert f"\nringback_{name}" in metrics.text
        through_a_proxy = await lab.api.get("/metrics", headers={"X-Forwarded-For": "8.8.8.8"})
        assert through_a_proxy.status_code == 401
        with_key = await lab.api.get(
            "/metrics",
            headers={
                "X-Forwarded-For": "8.8.8.8",
                "Authorization": "Bearer a-key-that-the-operator-chose",
            },
        )
        assert with_key.status_code == 200

    run(tmp_path, body)


def test_the_documentation_is_served_by_the_node_itself(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        root = await lab.api.get("/")
        assert (root.status_code, root.headers["location"]) == (307, "/docs")
        page = await lab.api.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert f"http://{lab.host}/api/call" in page.text
        document = (await lab.api.get("/openapi.json")).json()
        assert document["info"]["title"] == "Ringback API"

    run(tmp_path, body)


def test_the_websocket_paths_say_so_to_plain_requests(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        for path in ("/api/events", "/api/call/call_x/stream"):
            answer = await lab.api.get(path)
            assert answer.status_code == 426
            assert answer.headers["upgrade"] == "websocket"
            assert answer.json()["error"]["code"] == "upgrade_required"

    run(tmp_path, body)


def test_every_answer_has_a_request_id(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        answer = await lab.api.get("/api/calls", headers={"X-Request-Id": "my-id-1"})
        assert answer.headers["x-request-id"] == "my-id-1"
        missing = await lab.api.get("/nowhere")
        assert missing.status_code == 404
        assert missing.headers["x-request-id"].startswith("req_")

    run(tmp_path, body)
