from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from ringback.core.errors import NotConfigured, RingbackError
from ringback.media.plane import VoiceSpec
from ringback.voice.factory import HostedVoices, available, build_voice_factory
from ringback.voice.providers.local import vendor
from ringback.voice.providers.local.vendor import INSTALL
from ringback.voice.providers.registry import find_vendor, vendor_names
from unit.voice.chat_server import DONE, STREAM_HEAD, chat_server, chunk
from unit.voice.voice_rig import Call

needs_extra = pytest.mark.skipif(
    vendor.missing() is not None, reason=f"the local voice is not installed: {INSTALL}"
)


def run(scenario: Callable[[HostedVoices], Awaitable[None]]) -> None:
    async def scene() -> None:
        voices = build_voice_factory(lambda: datetime(2026, 11, 21, 15, 4))
        try:
            async with asyncio.timeout(60):
                await scenario(voices)
        finally:
            await voices.stop()
            await voices.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())


@needs_extra
def test_the_demo_agent_greets_a_caller_aloud() -> None:
    async def scenario(voices: HostedVoices) -> None:
        call = Call()
        session = voices("call-1", VoiceSpec("agent_demo"), call)
        session.start()
        await call.noticed.wait()
        assert call.ports[0].queued_ms > 0
        await call.over(session)

    run(scenario)


@needs_extra
@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"brain": "magic"}, "unknown_brain"),
        ({"brain": "openai"}, "model_not_configured"),
        ({"tts": "nobody"}, "unknown_voice_provider"),
        ({"stt": {"provider": "registry"}}, "unknown_voice_provider"),
        ({"language": "de"}, "language_not_supported"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(
    settings: dict[str, object], code: str
) -> None:
    async def scenario(voices: HostedVoices) -> None:
        with pytest.raises(NotConfigured) as caught:
            voices("call-1", VoiceSpec("a", settings), Call())
        assert caught.value.code == code
        assert caught.value.hint

    run(scenario)


@needs_extra
def test_a_mouth_only_voice_speaks_other_languages_and_needs_no_brain() -> None:
    async def scenario(voices: HostedVoices) -> None:
        settings = {"listen": False, "brain": "magic", "language": "de"}
        call = Call()
        session = voices("call-1", VoiceSpec("a", settings), call)
        session.say("Guten Tag.")
        session.start()
        await call.noticed.wait()
        await call.over(session)

    run(scenario)


@needs_extra
def test_a_model_somewhere_answers_a_key_press_through_the_whole_pipeline() -> None:
    async def scenario(voices: HostedVoices) -> None:
        async with chat_server([STREAM_HEAD, chunk(content="You pressed one."), DONE]) as chat:
            model = {"base_url": chat.base_url, "model": "m", "api_key": "k"}
            settings = {"brain": "openai", "openai": model, "prompt": "Be kind.", "greeting": ""}
            call = Call()
            session = voices("call-1", VoiceSpec("a", settings), call)
            session.start()
            call.bridge.dtmf("1", 100)
            await call.noticed.wait()
            await call.over(session)
            assert chat.requests[0][2]["messages"][-1]["content"] == (
                "(The caller pressed 1 on the keypad.)"
            )

    run(scenario)


def test_without_the_extra_a_hosted_call_is_refused_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vendor, "find_spec", lambda name: None)

    async def scenario(voices: HostedVoices) -> None:
        with pytest.raises(RingbackError) as caught:
            voices("call-1", VoiceSpec("agent_demo"), Call())
        assert INSTALL in caught.value.hint
        status = available()
        assert not status.hosted_tts
        assert INSTALL in status.vendors[0].missing

    run(scenario)


@needs_extra
def test_what_is_available_is_told_without_starting_anything() -> None:
    status = available()
    assert status.hosted_stt
    assert status.hosted_tts
    (local,) = status.vendors
    assert "expected phrases" in local.caution


def test_vendors_are_found_by_name() -> None:
    assert vendor_names() == ("local",)
    assert find_vendor("local").name == "local"
    with pytest.raises(NotConfigured, match="'elsewhere'"):
        find_vendor("elsewhere")
