"""What a ``VoiceSpec`` may say, read and checked once per call.

The mapping is plain data (``agents.service`` makes it). A key that is absent has its default;
a vendor is its name or a mapping with ``provider`` and the vendor's own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringback.core.errors import InvalidRequest
from ringback.voice.turns import TurnConfig

LOCAL = "local"
DEFAULT_SILENCE_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class VendorChoice:
    provider: str
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenAiChoice:
    """A chat endpoint; ``api_key`` is never shown."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a stage may keep the caller waiting before it is given up."""

    transcript: float = 10.0
    """From the end of the turn to its transcript."""
    token: float = 15.0
    """To the first token, and from each to the next."""
    audio: float = 10.0
    """To a sentence's first sound, and from each chunk to the next."""


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    brain: str = "demo"
    openai: OpenAiChoice | None = None
    prompt: str = ""
    greeting: str | None = None
    """``None``: the brain's own; empty: the caller speaks first."""
    language: str = "en"
    stt: VendorChoice | None = field(default_factory=lambda: VendorChoice(LOCAL))
    tts: VendorChoice = field(default_factory=lambda: VendorChoice(LOCAL))
    listen: bool = True
    """``False``: only a mouth for somebody else's agent: no turns, no silence timeout."""
    turns: TurnConfig = field(default_factory=TurnConfig)
    deadlines: Deadlines = field(default_factory=Deadlines)

    @classmethod
    def parse(cls, settings: Mapping[str, object]) -> VoiceSettings:
        """Raises ``InvalidRequest`` that names the key."""
        stt = _vendor(settings, "stt")
        listen = _boolean(settings, "listen", True) and stt is not None
        return cls(
            brain=_text(settings, "brain") or "demo",
            openai=_openai(settings),
            prompt=_text(settings, "prompt") or "",
            greeting=_text(settings, "greeting"),
            language=_text(settings, "language") or "en",
            stt=stt if listen else None,
            tts=_vendor(settings, "tts") or VendorChoice(LOCAL),
            listen=listen,
            turns=_turns(settings, listen),
        )


def _turns(settings: Mapping[str, object], listen: bool) -> TurnConfig:
    silence = _seconds(settings, "silence_timeout", DEFAULT_SILENCE_TIMEOUT)
    barge_in = _boolean(settings, "barge_in", True)
    defaults = TurnConfig()
    return TurnConfig(
        endpointing=_milliseconds(settings, "endpointing_ms", defaults.endpointing),
        barge_in=defaults.barge_in if barge_in else None,
        silence_timeout=silence if listen else None,
        max_duration=_seconds(settings, "max_duration", None),
    )


def _openai(settings: Mapping[str, object]) -> OpenAiChoice | None:
    value = settings.get("openai")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _wrong("openai", "must be an object with base_url, model and api_key")
    base_url, model = _text(value, "base_url"), _text(value, "model")
    if not base_url or not model:
        raise _wrong("openai", "needs base_url and model")
    return OpenAiChoice(base_url.rstrip("/"), model, _text(value, "api_key"))


def _vendor(settings: Mapping[str, object], key: str) -> VendorChoice | None:
    value = settings.get(key, LOCAL)
    if value is None:
        return None
    if isinstance(value, str):
        own: Mapping[str, object] = {}
        name: object = value
    elif isinstance(value, Mapping):
        own = {str(k): v for k, v in value.items() if k != "provider" and v is not None}
        name = value.get("provider", LOCAL)
    else:
        raise _wrong(key, "must be the name of a vendor, or an object with provider")
    if key == "tts":
        extra = settings.get("voice") or {}
        if not isinstance(extra, Mapping):
            raise _wrong("voice", "must be an object of the vendor's own settings")
        own = {**own, **extra}
    if not isinstance(name, str):
        raise _wrong(key, "must name a vendor")
    return VendorChoice(name, own)


def _text(settings: Mapping[str, object], key: str) -> str | None:
    value = settings.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(key, "must be text")
    return value


def _boolean(settings: Mapping[str, object], key: str, default: bool) -> bool:
    value = settings.get(key, default)
    if not isinstance(value, bool):
        raise _wrong(key, "must be true or false")
    return value


def _seconds(settings: Mapping[str, object], key: str, default: float | None) -> int | None:
    """In milliseconds; an explicit ``None`` means never."""
    value = settings.get(key, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise _wrong(key, "must be a number of seconds above 0, or null")
    return round(value * 1000)


def _milliseconds(settings: Mapping[str, object], key: str, default: int) -> int:
    value = settings.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 100 <= value <= 10_000:
        raise _wrong(key, "must be 100 to 10000 milliseconds")
    return round(value)


def _wrong(key: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"voice setting {key} {what}", code="invalid_voice", field=key)
