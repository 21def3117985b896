"""What the composition root tells calls and media, and what it shows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from ringback.app import Foundation, PhoneStack, build
from ringback.audio import codec
from ringback.core.clock import SystemClock
from ringback.core.load import AudioSlots, LoadMeter, Sample
from ringback.media.plane import (
    MediaPlane,
    NegotiatedAudio,
    OpenSession,
    RtpAddress,
    SessionOpened,
)
from ringback.net.public_address import PublicAddress
from ringback.rtp.packet import RtpPacketizer
from ringback.telephony.service import Telephony
from unit.app_lab import AppLab, app_lab, app_settings
from unit.calls.fakes import FakeConnector, FakePlane
from unit.media.media_lab import phone_socket


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


class Watched(FakePlane):
    """Remembers how long each session is to wait for audio."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float] = []

    async def open(self, request: OpenSession) -> SessionOpened:
        self.timeouts.append(request.media_timeout)
        return await super().open(request)


@pytest.mark.requirement("media.timeout", "media.music-on-hold")
def test_the_media_timeout_and_the_music_of_the_settings_are_those_of_every_call(
    tmp_path: Path,
) -> None:
    plane, phones = Watched(), list[FakeConnector]()

    def make_phone(foundation: Foundation, telephony: Telephony, media: MediaPlane) -> PhoneStack:
        phones.append(FakeConnector(media))
        phones[0].account_id = "acct_owner"
        return PhoneStack(phones[0], PublicAddress(clock=SystemClock()))

    async def main() -> None:
        settings = app_settings(tmp_path, media_timeout=7, hold_music=tmp_path / "wait.wav")
        application = build(
            settings, make_plane=lambda foundation, exits: plane, make_phone=make_phone
        )
        await application.start()
        try:
            leg = await phones[0].call_in(auto_answer=True)
            assert plane.timeouts == [7.0]
            assert phones[0].plane is not None
            running = application._running
            assert running is not None
            await running.control.lifecycle.background.finish(10)
            await running.control.service.holding.hold("acct_owner", leg.call_id)
            assert ("hold", leg.call_id, str(tmp_path / "wait.wav")) in plane.commands
        finally:
            await application.stop()

    run(main)


@pytest.mark.requirement("ops.quality-metrics", "media.mos")
def test_the_quality_of_a_call_is_in_its_record_the_api_and_prometheus(tmp_path: Path) -> None:
    async def heard(lab: AppLab, path: str) -> dict[str, object]:
        while True:
            quality: dict[str, object] = (await lab.api.get(path)).json()["quality"]
            if quality["mos"] is not None:
                return quality

    async def main() -> None:
        async with app_lab(tmp_path) as lab:
            leg = await lab.phone.call_in(auto_answer=True)
            path = f"/api/call/{leg.call_id}"
            media = lab.phone.plane
            assert media is not None
            with phone_socket() as phone:
                address = RtpAddress(*phone.getsockname())
                media.negotiate(leg.call_id, NegotiatedAudio(address, "PCMU", 0))
                rtp = RtpPacketizer(7, 1, 1)
                first = lab.application.settings.rtp_ports.first
                for port in range(first + first % 2, first + 20, 2):
                    phone.sendto(
                        rtp.pack(0, codec.create("PCMU").silence(160), 160), ("127.0.0.1", port)
                    )
                live = await heard(lab, path)
            assert live["codec"] == "PCMU"
            await lab.api.delete(path)
            kept = (await lab.api.get(path)).json()
            assert (kept["state"], kept["quality"]["mos"]) == ("ended", live["mos"])
            shown = (await lab.api.get("/metrics")).text
            assert 'ringback_call_mos_count{codec="PCMU",direction="received"} 1.0' in shown

    run(main)


@pytest.mark.requirement("node.overload")
@pytest.mark.parametrize("workers", [0, 1])
def test_the_audio_clock_of_a_node_is_part_of_its_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    async def main() -> None:
        ran = asyncio.Event()

        def sample(meter: LoadMeter, sample: Sample) -> None:
            if sample.audio.ran and not workers:
                ran.set()

        def account(
            meter: LoadMeter, name: str, used: float, now: float, audio: AudioSlots
        ) -> None:
            if audio.ran and name == "media-1":
                ran.set()

        monkeypatch.setattr(LoadMeter, "sample", sample)
        monkeypatch.setattr(LoadMeter, "account", account)
        async with app_lab(tmp_path, media_workers=workers) as lab, asyncio.timeout(30):
            leg = await lab.phone.call_in(auto_answer=True)
            assert lab.phone.plane is not None
            with phone_socket() as phone:
                address = RtpAddress(*phone.getsockname())
                lab.phone.plane.negotiate(leg.call_id, NegotiatedAudio(address, "PCMU", 0))
                await ran.wait()

    run(main)
