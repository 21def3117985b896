"""A node that has no room for another call: new calls are refused, live ones go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import uvloop

from interop.peers.gateway import Gateway
from interop.peers.raw_sip import RawSip, header
from ringback.app import Application, build
from ringback.core.clock import SystemClock
from unit.app_lab import KEY, app_settings

PARIS = "+33612345678"
REFUSED = 'ringback_calls_turned_away_total{{code="node_overloaded",direction="{}"}} {}'
pytestmark = pytest.mark.requirement("node.overload")


@dataclass
class Lab:
    """A node in this process, whose load is what a test says, and a trunk of it."""

    application: Application
    peer: RawSip
    api: httpx2.AsyncClient

    def load(self, share: float) -> None:
        self.application.load.meter.observe("media-1", share, 0.0, SystemClock().monotonic())

    async def invite(self) -> tuple[str, str]:
        """A new call of the trunk and its final answer."""
        request = self.peer.request("INVITE", f"sip:{PARIS}@127.0.0.1", body=self.peer.sdp())
        self.peer.send(request)
        return request, await self.answer("INVITE", header(request, "Call-ID"))

    async def answer(self, method: str, call_id: str = "") -> str:
        def fits(message: str) -> bool:
            status = message.split(" ")[1]
            final = message.startswith("SIP/2.0 ") and not status.startswith("1")
            return final and f" {method}\r\n" in message and call_id in message

        return await asyncio.to_thread(self.peer.wait, fits)

    def within(self, method: str, answer: str, cseq: int, *headers: str, body: str = "") -> None:
        """A request of the caller in the dialog that ``answer`` made."""
        kind = ("Content-Type: application/sdp",) if body else ()
        via = f"{self.peer.host}:{self.peer.port};branch=z9hG4bKin{cseq};rport"
        lines = (
            f"{method} {header(answer, 'Contact').partition('<')[2].partition('>')[0]} SIP/2.0",
            f"Via: SIP/2.0/UDP {via}",
            f"From: {header(answer, 'From')}",
            f"To: {header(answer, 'To')}",
            f"Call-ID: {header(answer, 'Call-ID')}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            f"Contact: <sip:raw@{self.peer.host}:{self.peer.port}>",
            *headers,
            *kind,
            f"Content-Length: {len(body)}",
        )
        self.peer.send("\r\n".join((*lines, "", body)))

    async def metrics(self) -> str:
        return (await self.api.get("/metrics")).text


@asynccontextmanager
async def lab_of(folder: Path) -> AsyncIterator[Lab]:
    application = build(app_settings(folder, load_limit=0.85, media_workers=0))
    await application.start()
    application.load.stop()  # what this process itself uses is not what is tested
    base = f"http://127.0.0.1:{application.http_port}"
    try:
        async with httpx2.AsyncClient(
            base_url=base, headers={"X-API-Key": KEY}, trust_env=False
        ) as api:
            with RawSip(int(application.demo_uris[0].rpartition(":")[2])) as peer:
                trunk = {"name": "peer", "mode": "ip_allowlist", "host": peer.host}
                made = await api.post("/api/trunks", json={**trunk, "port": peer.port})
                number = {"number": PARIS, "trunk_id": made.json()["id"], "auto_answer": True}
                assert (await api.post("/api/phone-numbers", json=number)).is_success
                yield Lab(application, peer, api)
    finally:
        await application.stop()


def run(folder: Path, scenario: Callable[[Lab], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60), lab_of(folder) as lab:
            await scenario(lab)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


def test_a_busy_node_refuses_new_calls_of_either_direction_and_says_why(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        lab.load(0.99)
        _, refused = await lab.invite()
        assert refused.startswith("SIP/2.0 503 ")
        assert header(refused, "Retry-After") == "10"
        body = {"platform": "sip", "meeting_url": PARIS}
        answer = await lab.api.post("/api/call", json=body)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        error = answer.json()["error"]
        assert (error["code"], error["retryable"]) == ("node_overloaded", True)
        ready = await lab.api.get("/readyz")
        assert (ready.status_code, list(ready.json()["problems"])) == (503, ["load"])
        metrics = await lab.metrics()
        for direction in ("inbound", "outbound"):
            assert REFUSED.format(direction, 1.0) in metrics
        assert "ringback_load_refusing 1.0" in metrics
        assert "ringback_media_sessions 0.0" in metrics
        lab.load(0.2)
        assert (await lab.api.get("/readyz")).status_code == 200
        _, answered = await lab.invite()
        assert answered.startswith("SIP/2.0 200 ")

    run(tmp_path, scenario)


def test_live_calls_go_on_change_and_are_transferred_on_a_busy_node(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        _, answered = await lab.invite()
        lab.within("ACK", answered, 1)
        call_id = (await lab.api.get("/api/calls")).json()["items"][0]["call_id"]
        lab.load(0.99)
        assert (await lab.invite())[1].startswith("SIP/2.0 503 ")

        lab.within("INVITE", answered, 2, body=lab.peer.sdp())
        again = await lab.answer("INVITE", header(answered, "Call-ID"))
        assert again.startswith("SIP/2.0 200 ")
        lab.within("ACK", answered, 2)
        path = f"/api/call/{call_id}/participants"
        joined = await lab.api.post(path, json={"target": PARIS})
        assert (joined.status_code, joined.json()["error"]["code"]) == (503, "node_overloaded")

        target = f"sip:carol@127.0.0.1:{lab.peer.port}"
        path = f"/api/call/{call_id}/transfer"
        moved = await lab.api.post(path, json={"target": target, "mode": "bridge"})
        assert moved.status_code == 202, moved.text
        dialled = await asyncio.to_thread(lab.peer.wait, lambda m: m.startswith("INVITE "))
        lab.peer.answer(dialled, "486 Busy Here")
        lab.within("REFER", answered, 3, f"Refer-To: <{target}>")
        assert (await lab.answer("REFER")).startswith("SIP/2.0 202 ")
        await asyncio.to_thread(lab.peer.wait, lambda m: m.startswith("INVITE "))
        lab.within("BYE", answered, 4)
        assert (await lab.answer("BYE")).startswith("SIP/2.0 200 ")

    run(tmp_path, scenario)


def test_a_gateway_with_hardly_any_room_measures_that_it_has_none(tmp_path: Path) -> None:
    with (
        Gateway(tmp_path / "data", load_limit="0.001") as gateway,
        RawSip(gateway.sip_port) as phone,
    ):
        phone.send(phone.request("INVITE", "sip:demo@127.0.0.1", body=phone.sdp()))
        refused = phone.wait(lambda m: m.startswith("SIP/2.0 503 "))
        assert header(refused, "Retry-After") == "10"
        body = {"platform": "sip", "meeting_url": "sip:bob@127.0.0.1"}
        assert gateway.api.post("/api/call", json=body).status_code == 503
        assert 'ringback_load{process="control"}' in gateway.api.get("/metrics").text
