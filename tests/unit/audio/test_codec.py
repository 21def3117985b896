from __future__ import annotations

import pytest

from ringback.audio import codec, level, opus_library, tones

ALL = ("opus", "G722", "PCMA", "PCMU")


def carry(instance: codec.Codec, pcm: bytes, ms: int = 20) -> bytes:
    """``pcm`` encoded and decoded in packets of ``ms``."""
    size = instance.sample_rate * ms // 1000 * 2
    packets = [instance.encode(pcm[n : n + size]) for n in range(0, len(pcm), size)]
    return b"".join(instance.decode(packet) for packet in packets)


@pytest.mark.requirement("media.codecs")
@pytest.mark.parametrize("name", ALL)
def test_every_codec_carries_a_tone(name: str) -> None:
    instance = codec.create(name)
    tone = tones.sine(1000, 1000, instance.sample_rate)
    heard = carry(instance, tone)
    assert len(heard) == len(tone)
    settled = heard[len(heard) // 2 :]
    assert tones.goertzel(settled, 1000, instance.sample_rate) == pytest.approx(-20, abs=1)


@pytest.mark.requirement("media.codecs")
@pytest.mark.parametrize("name", ALL)
def test_a_codec_is_the_one_of_its_name(name: str) -> None:
    assert codec.create(name).name == name


@pytest.mark.requirement("media.codecs", "rfc3551.6")
def test_the_two_laws_are_not_each_other() -> None:
    assert codec.create("PCMU").encode(bytes(2)) == codec.create("PCMU").silence(1) == b"\xff"
    assert codec.create("PCMA").encode(bytes(2)) == codec.create("PCMA").silence(1) == b"\xd5"
    assert codec.create("PCMU").decode(b"\x00") == (-32124).to_bytes(2, "little", signed=True)
    assert codec.create("PCMA").decode(b"\x2a") == (-32256).to_bytes(2, "little", signed=True)


@pytest.mark.parametrize("name", ALL)
def test_every_codec_says_how_long_a_payload_is(name: str) -> None:
    instance = codec.create(name)
    for wanted_ms in (10, 20, 30, 40, 60):
        ms = instance.packet_ms(wanted_ms)
        payload = instance.encode(bytes(instance.sample_rate * ms // 1000 * 2))
        assert instance.duration(payload) == instance.clock_rate * ms // 1000
        assert ms <= wanted_ms


@pytest.mark.parametrize("name", ALL)
def test_silence_is_silent(name: str) -> None:
    instance = codec.create(name)
    samples = instance.sample_rate // 50
    heard = b"".join(instance.decode(instance.silence(samples)) for _ in range(10))
    assert len(heard) == 20 * samples
    assert level.dbfs(heard) < -70


@pytest.mark.requirement("rfc3551.6", "media.wideband")
@pytest.mark.parametrize(
    ("name", "clock_rate", "sample_rate"),
    [
        ("PCMU", 8000, 8000),
        ("PCMA", 8000, 8000),
        ("G722", 8000, 16_000),
        ("opus", 48_000, 48_000),
    ],
)
def test_rates_are_those_of_rfc3551_and_rfc7587(
    name: str, clock_rate: int, sample_rate: int
) -> None:
    instance = codec.create(name)
    assert (instance.name, instance.clock_rate) == (name, clock_rate)
    assert instance.sample_rate == codec.sample_rate_of(name) == sample_rate
    assert codec.clock_rate_of(name) == clock_rate


@pytest.mark.requirement("media.codecs")
def test_the_best_codec_comes_first() -> None:
    assert codec.names() == ALL
    assert codec.missing() == {}


def test_without_libopus_there_is_no_opus_and_everything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opus_library, "load", lambda: None)
    assert codec.names() == ALL[1:]
    assert "libopus" in codec.missing()["opus"]
    with pytest.raises(codec.UnknownCodec, match="libopus"):
        codec.create("opus")


@pytest.mark.requirement("media.codecs")
def test_names_are_found_in_any_case() -> None:
    assert codec.create("pcmu").name == "PCMU"


@pytest.mark.requirement("media.codecs")
def test_each_leg_has_its_own() -> None:
    assert codec.create("PCMU") is not codec.create("PCMU")


def test_an_unknown_codec_is_named_with_those_there_are() -> None:
    with pytest.raises(codec.UnknownCodec, match="'G728'.*G722, PCMA, PCMU"):
        codec.create("G728")
