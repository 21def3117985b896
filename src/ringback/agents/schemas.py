"""Agents as they cross the API."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from ringback.agents.models import Agent
from ringback.core.http import ApiModel, api_example, patch_example, rule
from ringback.core.http.models import NO_CONTROLS, ONE_LINE, Name
from ringback.core.secrets import MASK, mask

MAX_PROMPT = 100_000
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def _language(tag: str) -> str:
    if _LANGUAGE.fullmatch(tag) is None:
        raise rule("must be a language tag, such as en, es or en-GB")
    return tag


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise rule("must be an http:// or https:// URL, such as https://api.openai.com/v1")
    if parts.query or parts.fragment:
        raise rule("must not have a query or a fragment")
    return url.rstrip("/")


AgentName = Annotated[Name, Field(description="What the agent is called.", examples=["Reception"])]
Mode = Annotated[
    Literal["stream", "hosted"],
    Field(
        description="`stream`: your program speaks on the call's WebSocket. `hosted`: Ringback "
        "listens (STT), thinks (brain) and speaks (TTS).",
        examples=["hosted"],
    ),
]
Brain = Annotated[
    Literal["demo", "openai"],
    Field(
        description="Who thinks for a hosted agent: the built-in script, or any chat endpoint "
        "that is compatible with OpenAI's.",
        examples=["openai"],
    ),
]
Greeting = Annotated[
    str,
    StringConstraints(max_length=2000),
    NO_CONTROLS,
    Field(
        description="Spoken as soon as the call is active; empty: the caller speaks first.",
        examples=["Hello, this is the reception. How can I help?"],
    ),
]
Prompt = Annotated[
    str,
    StringConstraints(max_length=MAX_PROMPT),
    NO_CONTROLS,
    Field(description="Instructions for the model.", examples=["You answer for a dentist."]),
]
Language = Annotated[
    str,
    AfterValidator(_language),
    StringConstraints(max_length=16),
    Field(
        description="What is spoken, as a language tag.",
        examples=["en"],
        json_schema_extra={"pattern": f"^{_LANGUAGE.pattern}$"},
    ),
]
SilenceTimeout = Annotated[
    float | None,
    Field(
        strict=True,
        ge=5,
        le=3600,
        description="Seconds of silence from the caller, after the agent has spoken, until the "
        "call is ended; null: never.",
        examples=[60],
    ),
]
MaxDuration = Annotated[
    float | None,
    Field(
        strict=True,
        ge=10,
        le=86_400,
        description="Seconds a call may last; null: no limit.",
        examples=[1800],
    ),
]
Inbound = Annotated[
    bool,
    Field(strict=True, description="Whether the agent answers inbound calls.", examples=[True]),
]
ModelName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    ONE_LINE,
    Field(description="The model's name at the endpoint.", examples=["gpt-4o-mini"]),
]
ModelKey = Annotated[
    SecretStr | None,
    Field(max_length=1000, description="Key for the endpoint; write-only. Null where none is due."),
]


class OpenAiSettings(ApiModel):
    """A chat endpoint that is compatible with OpenAI's (`POST {base_url}/chat/completions`)."""

    base_url: Annotated[str, StringConstraints(max_length=500), AfterValidator(_http_url)] = Field(
        default="https://api.openai.com/v1", examples=["https://api.openai.com/v1"]
    )
    model: ModelName
    api_key: ModelKey = None


class SttSettings(ApiModel):
    """What turns the caller's speech into text."""

    provider: Literal["local"] = Field(
        default="local",
        description="`local`: pocketsphinx on this machine (English, modest quality).",
    )


class TtsSettings(ApiModel):
    """What turns the agent's text into speech."""

    provider: Literal["local"] = Field(
        default="local", description="`local`: espeak-ng on this machine."
    )
    voice: Annotated[str, StringConstraints(max_length=64), ONE_LINE] | None = Field(
        default=None,
        description="Name of the voice; null: the one of the language.",
        examples=["en-us"],
    )
    rate: int | None = Field(
        default=None,
        strict=True,
        ge=80,
        le=450,
        description="Words per minute; null: the voice's own.",
        examples=[170],
    )
    pitch: int | None = Field(
        default=None, strict=True, ge=0, le=99, description="Null: the voice's own.", examples=[50]
    )


class AgentCreate(ApiModel):
    model_config = api_example(
        name="Reception",
        mode="hosted",
        brain="openai",
        greeting="Hello, this is the reception. How can I help?",
        prompt="You answer the phone of a dentist. Be brief.",
        openai={
            "base_url": "https://api.openai.com/v1",
            "model": "gpt-4o-mini",
            "api_key": "sk-…",
        },
    )

    name: AgentName
    mode: Mode = "stream"
    brain: Brain = "demo"
    greeting: Greeting = ""
    prompt: Prompt = ""
    language: Language = "en"
    openai: OpenAiSettings | None = None
    stt: SttSettings = SttSettings()
    tts: TtsSettings = TtsSettings()
    silence_timeout: SilenceTimeout = 60.0
    max_duration: MaxDuration = None
    inbound: Inbound = True


class OpenAiUpdate(OpenAiSettings):
    model_config = patch_example(model="gpt-4o")

    model: ModelName = ""


class AgentUpdate(AgentCreate):
    """Only the fields that are sent change; of ``openai``, only those within."""

    model_config = patch_example(greeting="Good morning!", silence_timeout=30)

    name: AgentName = ""
    openai: OpenAiUpdate | None = None


class OpenAiView(ApiModel):
    base_url: str
    model: str
    api_key: str | None = Field(description="Masked; null where none is set.", examples=[MASK])


class AgentView(ApiModel):
    id: str = Field(examples=["agent_01k9zv3n8q4e7m2c5x6t8r9w0y"])
    name: str
    mode: Mode
    brain: Brain
    greeting: str
    prompt: str
    language: str
    openai: OpenAiView | None
    stt: SttSettings
    tts: TtsSettings
    silence_timeout: float | None
    max_duration: float | None
    inbound: bool
    built_in: bool = Field(description="The demo agent, which cannot be changed or deleted.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, agent: Agent) -> AgentView:
        values: dict[str, Any] = {
            name: getattr(agent, name) for name in cls.model_fields if name != "openai"
        }
        return cls(**values, openai=_openai_view(agent))


def _openai_view(agent: Agent) -> OpenAiView | None:
    if agent.llm_base_url is None or agent.llm_model is None:
        return None
    return OpenAiView(
        base_url=agent.llm_base_url, model=agent.llm_model, api_key=mask(agent.llm_api_key)
    )
