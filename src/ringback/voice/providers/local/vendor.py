"""The vendor ``local``: needs no key and no network, only the extra ``local-voice``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from importlib.util import find_spec

from ringback.core.errors import InvalidRequest, NotConfigured
from ringback.voice.contract import SpeechToText, TextToSpeech
from ringback.voice.providers.local.process import PROVIDER, WorkerProcess
from ringback.voice.providers.local.speech import (
    EspeakVoice,
    LocalSpeechToText,
    LocalTextToSpeech,
    PhraseCache,
    check_language,
)
from ringback.voice.providers.local.worker import STT, TTS
from ringback.voice.providers.registry import Vendor

INSTALL = 'pip install "ringback[local-voice]"'
"""The command that brings espeak-ng (GPL-3.0) and pocketsphinx (BSD)."""

QUALITY_WARNING = (
    "Local speech recognition (pocketsphinx) is there to try things out: over a telephone it gets "
    "expected phrases mostly right and of free speech at most one word in five. Use another "
    "stt provider for real callers."
)

_MODULES = {"espeakng_loader": "espeak-ng", "pocketsphinx": "pocketsphinx"}
_VOICE = re.compile(r"[A-Za-z0-9+_-]{1,64}")
_AMERICAN = frozenset({"en", "en-us"})


def missing() -> str | None:
    """What must be installed first."""
    absent = [name for module, name in _MODULES.items() if find_spec(module) is None]
    return f"{' and '.join(absent)} not installed: {INSTALL}" if absent else None


class LocalConnection:
    """The node's two workers: one that speaks (30 MB) and one that listens (150 MB)."""

    def __init__(self) -> None:
        self.speaking = WorkerProcess(TTS)
        self.listening = WorkerProcess(STT)
        self._cache = PhraseCache()

    def speech_to_text(self, settings: Mapping[str, object], language: str) -> SpeechToText:
        check_language(language)
        return LocalSpeechToText(self.listening)

    def text_to_speech(self, settings: Mapping[str, object], language: str) -> TextToSpeech:
        """``settings``: ``voice`` (a name of espeak-ng's), ``rate``, ``pitch``."""
        default = EspeakVoice("en-us" if language.lower() in _AMERICAN else language)
        name = settings.get("voice") or settings.get("name") or default.name
        if not isinstance(name, str) or _VOICE.fullmatch(name) is None:
            raise InvalidRequest(
                "voice must be the name of an espeak-ng voice, such as en-us or de+f3",
                code="invalid_voice",
                field="voice",
            )
        voice = EspeakVoice(
            name,
            _number(settings, "rate", 80, 450, default.rate),
            _number(settings, "pitch", 0, 99, default.pitch),
        )
        return LocalTextToSpeech(self.speaking, self._cache, voice)

    async def stop(self) -> None:
        await asyncio.gather(self.speaking.stop(), self.listening.stop())


def connect() -> LocalConnection:
    """Raises ``NotConfigured`` with the command to run."""
    absent = missing()
    if absent is not None:
        raise NotConfigured(
            "the local voice is not installed", code="local_voice_missing", hint=f"Run: {INSTALL}"
        )
    return LocalConnection()


def _number(settings: Mapping[str, object], key: str, low: int, high: int, default: int) -> int:
    value = settings.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(f"{key} must be {low} to {high}", code="invalid_voice", field=key)
    return value


VENDOR = Vendor(
    name=PROVIDER, stt=True, tts=True, connect=connect, missing=missing, caution=QUALITY_WARNING
)
