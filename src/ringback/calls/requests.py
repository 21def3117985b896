"""What a client asks of a live call: the bodies of REST requests and the messages of call streams
alike."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from ringback.calls.conferences import Invitation
from ringback.calls.gather import ALL_KEYS, MAX_DIGITS, GatherWanted
from ringback.calls.texts import MAX_TARGET
from ringback.calls.transfer import TransferMode
from ringback.calls.transfers import TransferWanted
from ringback.core.http import ApiModel, api_example
from ringback.core.http.models import Line, Matching, Prose, rule

MAX_TEXT = 10_000
MAX_PROMPT = 2_000
MAX_ATTACHMENTS = 10
MIN_SECONDS = 1.0
MAX_SECONDS = 300.0

CALL_ID = "call_01k9zv3n8q4e7m2c5x6t8r9w0y"

Identifier = Annotated[Line, StringConstraints(min_length=1, max_length=64)]
Target = Annotated[Line, StringConstraints(min_length=1, max_length=MAX_TARGET)]
CallerId = Annotated[Line, StringConstraints(min_length=1, max_length=64)]
RingSeconds = Annotated[
    float,
    Field(
        ge=MIN_SECONDS,
        le=MAX_SECONDS,
        description="Seconds until they must have answered; null: 60, or what the node has.",
    ),
]


class SayRequest(ApiModel):
    model_config = api_example(text="Hello, I am your AI assistant.")

    text: Annotated[
        Prose,
        StringConstraints(min_length=1, max_length=MAX_TEXT),
        Matching(r"\S", "must say something"),
    ] = Field(description="What to speak.")


class ChatRequest(ApiModel):
    model_config = api_example(text="Here is the link: https://example.com")

    text: Annotated[Prose, StringConstraints(max_length=MAX_TEXT)] | None = None
    sender_name: Annotated[Line, StringConstraints(max_length=100)] = ""
    attachments: list[dict[str, Any]] | None = Field(default=None, max_length=MAX_ATTACHMENTS)


class DtmfRequest(ApiModel):
    model_config = api_example(digits="1,23#")

    digits: Annotated[
        str,
        Matching(
            r"^[0-9A-Da-d*#,]{1,64}$", "must be 1 to 64 of the keys 0-9, A-D, * and #, and commas"
        ),
    ] = Field(
        description="The keys, one after another: 0-9, A-D, * and #; `,` waits half a second.",
    )
    method: Literal["auto", "rtp", "inband", "info"] = Field(
        default="auto",
        description="`rtp`: RFC 4733 events. `inband`: tones. `info`: SIP INFO. `auto`: as the "
        "trunk has it, else events where the far end takes them and tones where not.",
    )


class HoldRequest(ApiModel):
    model_config = api_example(music=True)

    music: bool = Field(default=True, description="`false`: the person waits in silence.")


class TransferRequest(ApiModel):
    model_config = api_example(target="+493012345678", mode="auto", timeout=30)

    target: Target | None = Field(
        default=None,
        description="Whom to hand the person to: a number in E.164 or a SIP URI.",
        examples=["+493012345678"],
    )
    to_call_id: Identifier | None = Field(
        default=None,
        description="Another live call of the account instead: the two people are connected with "
        "each other (attended transfer).",
    )
    mode: TransferMode = Field(
        default=TransferMode.AUTO,
        description="`refer`: the far end places the new call, and this one ends. `bridge`: "
        "Ringback places it and stays in the middle. `auto`: the first, else the second.",
    )
    timeout: RingSeconds | None = None
    caller_id: CallerId | None = Field(
        default=None,
        description="The number to show where Ringback places the call; null: the trunk's.",
    )
    trunk_id: Identifier | None = Field(
        default=None, description="The trunk for it; null: that of the call, else one that fits."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.target is None) == (self.to_call_id is None):
            raise rule("or `to_call_id` is required, and not both", field="target")
        return self

    def wanted(self) -> TransferWanted:
        return TransferWanted(**self.model_dump())


class ParticipantAdd(ApiModel):
    model_config = api_example(target="+493012345678")

    target: Target | None = Field(
        default=None,
        description="Somebody to call: a number in E.164 or a SIP URI.",
        examples=["+493012345678"],
    )
    call_id: Identifier | None = Field(
        default=None, description="Another live call of the account to bring in instead."
    )
    caller_id: CallerId | None = Field(
        default=None, description="The number to show; null: the trunk's."
    )
    trunk_id: Identifier | None = Field(
        default=None, description="The trunk to dial over; null: the one that fits."
    )
    timeout: RingSeconds | None = None

    @model_validator(mode="after")
    def _one_person(self) -> Self:
        if (self.target is None) == (self.call_id is None):
            raise rule("or `call_id` is required, and not both", field="target")
        return self

    def invitation(self) -> Invitation:
        return Invitation(self.target or "", self.caller_id, self.trunk_id, self.timeout)


class ParticipantRemove(ApiModel):
    """The message of a stream; REST has it in the path and the query."""

    call_id: Identifier
    keep: bool = False


class GatherRequest(ApiModel):
    model_config = api_example(max_digits=4, terminator="#", prompt="Please enter your PIN.")

    max_digits: int = Field(
        default=MAX_DIGITS, ge=1, le=MAX_DIGITS, description="Done when this many keys are there."
    )
    min_digits: int = Field(
        default=0,
        ge=0,
        le=MAX_DIGITS,
        description="The terminator is passed over before this many keys are there.",
    )
    terminator: (
        Annotated[
            str, Matching(r"^[0-9A-D*#]$", "must be one key of 0-9, A-D, * and #, or null for none")
        ]
        | None
    ) = Field(default="#", description="The key that ends the input, not part of it; null: none.")
    first_timeout: float = Field(
        default=5.0, ge=0.1, le=120, description="Seconds until the first key, after the prompt."
    )
    inter_digit_timeout: float = Field(
        default=5.0, ge=0.1, le=60, description="Seconds from each key until the next one."
    )
    allowed: Annotated[
        str, Matching(r"^[0-9A-D*#]{1,16}$", "must be 1 to 16 of the keys 0-9, A-D, * and #")
    ] = Field(default=ALL_KEYS, description="The keys that count; others are passed over.")
    prompt: Annotated[Prose, StringConstraints(max_length=MAX_PROMPT)] = Field(
        default="",
        description="What to say first, with the call's hosted voice; the first key stops it.",
    )

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.min_digits > self.max_digits:
            raise rule("must not be more than `max_digits`", field="min_digits")
        return self

    def wanted(self) -> GatherWanted:
        return GatherWanted(**self.model_dump())
