from __future__ import annotations

import pytest

from ringback.core.errors import InvalidRequest
from ringback.voice.settings import VendorChoice, VoiceSettings
from ringback.voice.turns import TurnConfig


def test_nothing_said_means_the_demo_agent_with_the_local_voice() -> None:
    settings = VoiceSettings.parse({})
    assert (settings.brain, settings.greeting, settings.language) == ("demo", None, "en")
    assert settings.stt == settings.tts == VendorChoice("local")
    assert settings.turns == TurnConfig()


def test_an_agents_settings_are_read_as_they_are_written() -> None:
    settings = VoiceSettings.parse(
        {
            "name": "Reception",
            "brain": "openai",
            "greeting": "",
            "prompt": "Be brief.",
            "language": "en-GB",
            "openai": {"base_url": "http://127.0.0.1:1/v1/", "model": "m", "api_key": "secret"},
            "stt": {"provider": "local"},
            "tts": {"provider": "local", "voice": "en-gb", "rate": None},
            "silence_timeout": None,
            "max_duration": 1800,
            "endpointing_ms": 800,
            "barge_in": False,
        }
    )
    assert settings.openai is not None
    assert settings.openai.base_url == "http://127.0.0.1:1/v1"
    assert settings.tts == VendorChoice("local", {"voice": "en-gb"})
    assert settings.greeting == ""
    assert settings.turns == TurnConfig(
        endpointing=800, barge_in=None, silence_timeout=None, max_duration=1_800_000
    )


def test_the_key_is_never_shown() -> None:
    settings = VoiceSettings.parse(
        {"openai": {"base_url": "http://h", "model": "m", "api_key": "hunter2"}}
    )
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("setting", [{"listen": False}, {"stt": None}])
def test_a_mouth_without_an_ear_never_times_out(setting: dict[str, object]) -> None:
    settings = VoiceSettings.parse({**setting, "silence_timeout": 5})
    assert not settings.listen
    assert settings.stt is None
    assert settings.turns.silence_timeout is None


def test_a_voice_of_ones_own_may_be_named_apart_from_the_vendor() -> None:
    settings = VoiceSettings.parse({"tts": "local", "voice": {"voice": "de", "rate": 150}})
    assert settings.tts == VendorChoice("local", {"voice": "de", "rate": 150})


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"brain": 5}, "brain"),
        ({"openai": "gpt"}, "openai"),
        ({"openai": {"model": "m"}}, "openai"),
        ({"stt": 1}, "stt"),
        ({"tts": {"provider": 7}}, "tts"),
        ({"voice": "nice"}, "voice"),
        ({"listen": "yes"}, "listen"),
        ({"endpointing_ms": 5}, "endpointing_ms"),
        ({"endpointing_ms": True}, "endpointing_ms"),
        ({"silence_timeout": 0}, "silence_timeout"),
        ({"silence_timeout": float("nan")}, "silence_timeout"),
        ({"max_duration": "long"}, "max_duration"),
        ({"barge_in": None}, "barge_in"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(settings: dict[str, object], key: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        VoiceSettings.parse(settings)
    assert caught.value.field == key
