"""Builds hosted sessions for the media plane from what an agent's settings name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import httpx2

from ringback.audio.vad import VoiceGate
from ringback.core.errors import NotConfigured
from ringback.media.plane import VoiceSpec
from ringback.media.port import VoiceHost
from ringback.voice.brains.demo import DemoBrain
from ringback.voice.brains.openai import OpenAiChat, new_client
from ringback.voice.contract import ChatModel, SpeechToText, TextToSpeech
from ringback.voice.providers.registry import Connection, find_vendor, vendor_names
from ringback.voice.session import SAMPLE_RATE, HostedSession, Parts
from ringback.voice.settings import OpenAiChoice, VoiceSettings

BRAINS = ("demo", "openai")


@dataclass(frozen=True, slots=True)
class VendorStatus:
    """``missing`` is what must be done first, in words; empty when the vendor is ready."""

    name: str
    stt: bool
    tts: bool
    missing: str
    caution: str


@dataclass(frozen=True, slots=True)
class VoiceStatus:
    """What hosted voice can do on this node (for ``doctor`` and the account)."""

    hosted_stt: bool
    hosted_tts: bool
    vendors: tuple[VendorStatus, ...]


def available() -> VoiceStatus:
    """Looks without starting anything."""
    vendors = []
    for name in vendor_names():
        vendor = find_vendor(name)
        vendors.append(
            VendorStatus(name, vendor.stt, vendor.tts, vendor.missing() or "", vendor.caution)
        )
    return VoiceStatus(
        hosted_stt=any(each.stt and not each.missing for each in vendors),
        hosted_tts=any(each.tts and not each.missing for each in vendors),
        vendors=tuple(vendors),
    )


class HostedVoices:
    """The node's :class:`ringback.media.port.VoiceFactory`; vendors are connected at first use.

    ``local_time`` is what the demo agent tells.
    """

    def __init__(self, local_time: Callable[[], datetime]) -> None:
        self._local_time = local_time
        self._connections: dict[str, Connection] = {}
        self._client: httpx2.AsyncClient | None = None

    def __call__(self, session_id: str, spec: VoiceSpec, host: VoiceHost) -> HostedSession:
        """Raises ``NotConfigured`` (with what to do) and ``InvalidRequest`` (naming the key)."""
        settings = VoiceSettings.parse(spec.settings)
        return HostedSession(session_id, host, settings, self._parts(settings))

    def check(self, spec: VoiceSpec) -> None:
        """Raises as a call; nothing is started."""
        self._parts(VoiceSettings.parse(spec.settings))

    def _parts(self, settings: VoiceSettings) -> Parts:
        tts = self._text_to_speech(settings)
        if not settings.listen:
            return Parts(tts=tts, greeting=settings.greeting or "")
        model, greeting = self._brain(settings)
        return Parts(
            tts=tts,
            stt=self._speech_to_text(settings),
            model=model,
            gate=VoiceGate(SAMPLE_RATE),
            greeting=greeting if settings.greeting is None else settings.greeting,
        )

    async def stop(self) -> None:
        """End workers and connections; call it when no session is left. Twice is once."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            await connection.stop()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _brain(self, settings: VoiceSettings) -> tuple[ChatModel, str]:
        """The model and what it says first."""
        if settings.brain == "demo":
            brain = DemoBrain(self._local_time)
            return brain, brain.greeting
        if settings.brain == "openai":
            return self._openai(settings.openai, settings.prompt), ""
        raise NotConfigured(
            f"there is no brain called {settings.brain[:64]!r}",
            code="unknown_brain",
            hint=f"Set the agent's brain to one of: {', '.join(BRAINS)}.",
        )

    def _openai(self, choice: OpenAiChoice | None, prompt: str) -> OpenAiChat:
        if choice is None:
            raise NotConfigured(
                "the agent's model is not set up",
                code="model_not_configured",
                hint="Give the agent openai.base_url, openai.model and, where due, openai.api_key.",
            )
        if self._client is None:
            self._client = new_client()
        return OpenAiChat(
            self._client,
            base_url=choice.base_url,
            model=choice.model,
            api_key=choice.api_key,
            prompt=prompt,
        )

    def _speech_to_text(self, settings: VoiceSettings) -> SpeechToText | None:
        choice = settings.stt
        if choice is None:
            return None
        vendor = find_vendor(choice.provider)
        if not vendor.stt:
            raise _cannot(choice.provider, "listen")
        connection = self._connection(choice.provider)
        return connection.speech_to_text(choice.settings, settings.language)

    def _text_to_speech(self, settings: VoiceSettings) -> TextToSpeech:
        choice = settings.tts
        vendor = find_vendor(choice.provider)
        if not vendor.tts:
            raise _cannot(choice.provider, "speak")
        connection = self._connection(choice.provider)
        return connection.text_to_speech(choice.settings, settings.language)

    def _connection(self, name: str) -> Connection:
        connection = self._connections.get(name)
        if connection is None:
            connection = self._connections[name] = find_vendor(name).connect()
        return connection


def build_voice_factory(local_time: Callable[[], datetime] | None = None) -> HostedVoices:
    """``local_time`` defaults to the machine's clock and time zone."""
    return HostedVoices(local_time or (lambda: datetime.now().astimezone()))


def _cannot(provider: str, what: str) -> NotConfigured:
    return NotConfigured(
        f"the voice provider {provider!r} cannot {what}",
        code="unknown_voice_provider",
        hint="Choose another provider.",
    )
