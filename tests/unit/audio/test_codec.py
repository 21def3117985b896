from __future__ import annotations

import pytest

from ringback.audio import codec, level, tones


@pytest.mark.parametrize("name", codec.names())
def test_every_codec_carries_a_tone(name: str) -> None:
    instance = codec.create(name)
    tone = tones.sine(1000, 100, instance.sample_rate)
    heard = instance.decode(instance.encode(tone))
    assert len(heard) == len(tone)
    assert tones.goertzel(heard, 1000, instance.sample_rate) == pytest.approx(-20, abs=0.2)


@pytest.mark.parametrize("name", codec.names())
def test_every_codec_has_a_payload_of_silence(name: str) -> None:
    instance = codec.create(name)
    payload = instance.silence(160)
    assert payload == instance.encode(bytes(320))
    assert level.dbfs(instance.decode(payload)) < -70


@pytest.mark.parametrize(("name", "clock_rate"), [("PCMU", 8000), ("PCMA", 8000)])
def test_names_and_rates_are_those_of_rfc3551(name: str, clock_rate: int) -> None:
    instance = codec.create(name)
    assert (instance.name, instance.clock_rate) == (name, clock_rate)


def test_names_are_found_in_any_case() -> None:
    assert codec.create("pcmu").name == "PCMU"


def test_each_leg_has_its_own() -> None:
    assert codec.create("PCMU") is not codec.create("PCMU")


def test_an_unknown_codec_is_named_with_those_there_are() -> None:
    with pytest.raises(codec.UnknownCodec, match="'G728'.*PCMU, PCMA"):
        codec.create("G728")
