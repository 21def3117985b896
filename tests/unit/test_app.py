from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from ringback.app import build
from ringback.core.errors import StartupError
from unit.app_lab import KEY, AppLab, app_lab, app_settings

CALL = {"platform": "sip", "meeting_url": "sip:+33612345678@sip.example.com"}


def run(main: Callable[[], Awaitable[None]]) -> None:
    """On uvloop, as the program does; nothing may be left running afterwards."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


def in_lab(
    folder: Path, body: Callable[[AppLab], Awaitable[None]], **changes: object
) -> Callable[[], Awaitable[None]]:
    async def main() -> None:
        async with app_lab(folder, **changes) as lab:
            await body(lab)

    return main


def test_the_node_comes_up_with_sip_and_goes_down_without_a_trace(tmp_path: Path) -> None:
    async def main() -> None:
        application = build(app_settings(tmp_path))
        await application.start()
        (demo,) = application.demo_uris
        assert demo.startswith("sip:demo@127.0.0.1:")
        assert application.docs_url == f"http://127.0.0.1:{application.http_port}/docs"
        assert application.first_api_key is None
        assert application.live_calls == 0
        await application.stop()
        await application.stop()

    run(main)


def test_without_a_configured_key_the_first_start_makes_one_and_shows_it_once(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        keys = []
        for _ in range(2):
            application = build(app_settings(tmp_path, api_key=None))
            await application.start()
            keys.append(application.first_api_key)
            await application.stop()
        assert keys[0] is not None
        assert keys[0].startswith("rb_live_")
        assert keys[1] is None

    run(main)


def test_a_configured_key_that_came_too_late_is_a_warning(tmp_path: Path) -> None:
    async def main() -> None:
        for key in (KEY, KEY + "-another"):
            application = build(app_settings(tmp_path, api_key=key))
            await application.start()
            warned = [text for text in application.warnings if "RINGBACK_API_KEY" in text]
            assert len(warned) == (key != KEY)
            await application.stop()

    run(main)


@pytest.mark.requirement("host.rtp-range")
def test_a_small_range_of_rtp_ports_is_a_warning_at_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        for ports, warned in (("20000-20007", True), ("20000-29999", False)):
            application = build(app_settings(tmp_path, rtp_ports=ports))
            await application.start()
            told = [text for text in application.warnings if "20000-20007 have room" in text]
            assert bool(told) is warned
            await application.stop()

    run(main)


def test_a_demo_agent_that_is_switched_off_has_no_address(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        assert lab.application.demo_uris == []

    run(in_lab(tmp_path, body, demo_agent=False))


def test_a_second_node_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        with pytest.raises(StartupError, match="Another Ringback runs on the data folder"):
            await build(app_settings(tmp_path)).start()
        assert (await lab.api.get("/readyz")).status_code == 200

    run(in_lab(tmp_path, body))


@pytest.mark.parametrize("setting", ["http_port", "sip_port"])
def test_a_port_in_use_names_its_setting_and_leaves_nothing_open(
    tmp_path: Path, setting: str
) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            application = build(app_settings(tmp_path, **{setting: taken}))
            with pytest.raises(StartupError, match=f"RINGBACK_{setting.upper()}|{taken}"):
                await application.start()
        application = build(app_settings(tmp_path))
        await application.start()
        await application.stop()

    run(main)


def test_a_data_folder_that_is_a_file_names_the_setting(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "data").write_text("not a folder")
        with pytest.raises(StartupError, match="RINGBACK_DATA_DIR"):
            await build(app_settings(tmp_path)).start()

    run(main)


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringback.front.data_folder.MIN_FREE_BYTES", 1 << 62)

    async def main() -> None:
        with pytest.raises(StartupError, match=r"RINGBACK_DATA_DIR\) is full"):
            await build(app_settings(tmp_path)).start()
        assert not (tmp_path / "data" / "ringback.db").exists()

    run(main)


def test_a_database_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "ringback.db").write_text("this is a letter, not a database" * 99)
        with pytest.raises(StartupError, match="not a SQLite database"):
            await build(app_settings(tmp_path)).start()

    run(main)


def test_a_sip_host_must_be_an_address(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(StartupError, match="RINGBACK_SIP_HOST"):
            await build(app_settings(tmp_path, sip_host="pbx.example.com")).start()

    run(main)


def test_going_down_refuses_new_calls_and_completes_the_live_ones(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        call_id = (await lab.api.post("/api/call", json=CALL)).json()["call_id"]
        lab.phone.legs[0].sink.leg_answered(call_id)
        stopping = asyncio.create_task(lab.application.stop())
        await asyncio.sleep(0)
        assert (await lab.api.get("/readyz")).status_code == 503
        refused = await lab.api.post("/api/call", json=CALL)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "shutting_down"
        assert (await lab.api.get(f"/api/call/{call_id}")).json()["state"] == "active"
        lab.phone.legs[0].sink.leg_held(call_id, True)
        hung_up = await lab.api.delete(f"/api/call/{call_id}")
        assert hung_up.json()["state"] == "ended"
        await stopping
        assert lab.phone.stopped

    async def again(lab: AppLab) -> None:
        calls = (await lab.api.get("/api/calls", params={"state": "ended"})).json()["items"]
        assert [call["end_reason"] for call in calls] == ["agent_hangup"]

    run(in_lab(tmp_path, body, shutdown_grace=30))
    run(in_lab(tmp_path, again))


def test_the_grace_is_not_longer_than_it_was_set(tmp_path: Path) -> None:
    async def body(lab: AppLab) -> None:
        call_id = (await lab.api.post("/api/call", json=CALL)).json()["call_id"]
        lab.phone.legs[0].sink.leg_answered(call_id)
        await lab.application.stop()
        assert lab.phone.legs[0].told == ["hang_up shutdown"]

    async def again(lab: AppLab) -> None:
        calls = (await lab.api.get("/api/calls", params={"state": "ended"})).json()["items"]
        assert [call["end_reason"] for call in calls] == ["shutdown"]

    run(in_lab(tmp_path, body))
    run(in_lab(tmp_path, again))
