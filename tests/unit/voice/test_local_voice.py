"""espeak-ng and pocketsphinx themselves: what one says on the telephone, the other hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import numpy as np
import pytest

from ringback.audio.g711 import decode_ulaw, encode_ulaw
from ringback.audio.resample import Resampler
from ringback.core.errors import InvalidRequest, NotConfigured
from ringback.voice.brains.demo import HINTS, answer
from ringback.voice.contract import Final, ProviderError
from ringback.voice.providers.local import vendor
from ringback.voice.providers.local.speech import MAX_UTTERANCES
from ringback.voice.providers.local.vendor import INSTALL, LocalConnection, connect

needs_extra = pytest.mark.skipif(
    vendor.missing() is not None, reason=f"the local voice is not installed: {INSTALL}"
)
NOW = datetime(2026, 11, 21, 15, 4)


@asynccontextmanager
async def local() -> AsyncIterator[LocalConnection]:
    connection = connect()
    try:
        async with asyncio.timeout(100):
            yield connection
    finally:
        await connection.stop()


def run(scenario: Callable[[LocalConnection], Awaitable[None]]) -> None:
    async def scene() -> None:
        async with local() as connection:
            await scenario(connection)

    asyncio.run(scene())


async def spoken(connection: LocalConnection, text: str, **settings: object) -> bytes:
    tts = connection.text_to_speech(settings, "en")
    return b"".join([chunk async for chunk in tts.synthesize(text)])


async def over_the_telephone(connection: LocalConnection, text: str) -> bytes:
    """8 kHz, through G.711, with the pauses that a turn has around it."""
    resampler = Resampler(22_050, 8000)
    narrow = resampler.process(await spoken(connection, text)) + resampler.flush()
    return bytes(4800) + decode_ulaw(encode_ulaw(narrow)) + bytes(9600)


def loudness(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, np.int16).astype(np.float64) ** 2)))


@needs_extra
def test_what_time_is_it_is_heard_over_the_telephone_and_answered() -> None:
    async def scenario(connection: LocalConnection) -> None:
        stream = connection.speech_to_text({}, "en").open(8000, "en", HINTS)
        results = stream.results()
        for said, replied in (
            ("What time is it?", "It is 3:04 PM."),
            ("How are you?", "I am fine, thank you. How are you?"),
            ("Goodbye.", "Goodbye."),
        ):
            stream.push(await over_the_telephone(connection, said))
            stream.end_of_speech()
            heard = await anext(results)
            assert answer(heard.text, NOW).text == replied
        await results.aclose()
        await stream.close()

    run(scenario)


@needs_extra
def test_free_speech_is_not_bent_into_a_phrase_the_agent_expects() -> None:
    async def scenario(connection: LocalConnection) -> None:
        stream = connection.speech_to_text({}, "en-GB").open(8000, "en-GB", HINTS)
        results = stream.results()
        stream.push(
            await over_the_telephone(connection, "My order number is four seven nine five two.")
        )
        stream.end_of_speech()
        heard = await anext(results)
        assert heard.text
        assert heard.text not in HINTS
        await results.aclose()

    run(scenario)


@needs_extra
def test_silence_is_no_speech_and_each_turn_has_its_own_time() -> None:
    async def scenario(connection: LocalConnection) -> None:
        stream = connection.speech_to_text({}, "en").open(8000, "en", HINTS)
        results = stream.results()
        stream.push(bytes(1600))
        stream.end_of_speech()
        stream.end_of_speech()
        stream.push(bytes(3200))
        stream.end_of_speech()
        finals = [await anext(results) for _ in range(3)]
        assert finals == [Final("", 0, 100), Final("", 100, 100), Final("", 100, 300)]
        await results.aclose()

    run(scenario)


@needs_extra
def test_espeak_speaks_and_a_slower_voice_takes_longer() -> None:
    async def scenario(connection: LocalConnection) -> None:
        usual = await spoken(connection, "This is a test of the voice.")
        slow = await spoken(connection, "This is a test of the voice.", rate=90)
        british = await spoken(connection, "This is a test of the voice.", voice="en-gb+f3")
        assert 1.0 < len(usual) / 2 / 22_050 < 3.0
        assert len(slow) > 1.4 * len(usual)
        assert loudness(usual) > 500
        assert loudness(british) > 500
        assert british != usual

    run(scenario)


@needs_extra
def test_a_sentence_said_before_is_not_made_again() -> None:
    async def scenario(connection: LocalConnection) -> None:
        first = await spoken(connection, "Hello again.")
        await connection.speaking.stop()
        assert await spoken(connection, "Hello again.") == first

    run(scenario)


@needs_extra
@pytest.mark.parametrize(
    "text", ["", "   ", "\0", "<speak>&<", "[[h@l'oU]]", "żółć 你好 🎉", "a" * 5000]
)
def test_any_text_can_be_given_to_the_voice(text: str) -> None:
    async def scenario(connection: LocalConnection) -> None:
        pcm = await spoken(connection, text)
        assert len(pcm) % 2 == 0

    run(scenario)


@needs_extra
def test_a_voice_that_does_not_exist_is_named() -> None:
    async def scenario(connection: LocalConnection) -> None:
        with pytest.raises(ProviderError, match="xx-nowhere") as caught:
            await spoken(connection, "Hello.", voice="xx-nowhere")
        assert not caught.value.retryable

    run(scenario)


@needs_extra
def test_hints_that_make_no_sense_are_ignored() -> None:
    async def scenario(connection: LocalConnection) -> None:
        hints = ["", "42", "grammar; public <x> = <x>;", "qwrtz plmk", "what time is it"]
        stream = connection.speech_to_text({}, "en").open(8000, "en", hints)
        results = stream.results()
        stream.push(await over_the_telephone(connection, "What time is it?"))
        stream.end_of_speech()
        assert (await anext(results)).text == "what time is it"
        await results.aclose()

    run(scenario)


@needs_extra
def test_a_caller_faster_than_the_recogniser_loses_turns_and_not_the_call() -> None:
    async def scenario(connection: LocalConnection) -> None:
        stream = connection.speech_to_text({}, "en").open(8000, "en", ())
        results = stream.results()
        turns = MAX_UTTERANCES + 4
        for _ in range(turns):
            stream.push(bytes(320))
            stream.end_of_speech()
        assert [await anext(results) for _ in range(turns)]
        await results.aclose()

    run(scenario)


@needs_extra
def test_after_a_minute_of_silence_the_words_are_still_heard() -> None:
    async def scenario(connection: LocalConnection) -> None:
        stream = connection.speech_to_text({}, "en").open(8000, "en", HINTS)
        results = stream.results()
        for _ in range(60):
            stream.push(bytes(16_000))
        stream.push(await over_the_telephone(connection, "What time is it?"))
        stream.end_of_speech()
        assert (await anext(results)).text == "what time is it"
        await results.aclose()

    run(scenario)


@needs_extra
def test_it_listens_to_english_only() -> None:
    with pytest.raises(NotConfigured, match="English only"):
        connect().speech_to_text({}, "de")


@needs_extra
@pytest.mark.parametrize(
    "settings", [{"voice": "../../etc"}, {"voice": 5}, {"rate": 5}, {"rate": True}, {"pitch": 100}]
)
def test_a_setting_that_cannot_be_right_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        connect().text_to_speech(settings, "en")


def test_without_the_extra_the_command_to_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "find_spec", lambda name: None)
    assert vendor.missing() == f"espeak-ng and pocketsphinx not installed: {INSTALL}"
    with pytest.raises(NotConfigured) as caught:
        connect()
    assert INSTALL in caught.value.hint
