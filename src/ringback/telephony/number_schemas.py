"""Phone numbers as they cross the API: ``/api/phone-numbers`` and ``/api/sip/trunk``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from ringback.core.http import ApiModel, api_example, patch_example, rule
from ringback.core.http.models import ONE_LINE
from ringback.telephony import fields, schemas
from ringback.telephony.models import PhoneNumber, Trunk
from ringback.telephony.schemas import ID_LENGTH, TrunkStatusView
from ringback.telephony.status import TrunkStatus

SIP_PORT = 5060

Number = Annotated[
    fields.E164,
    Field(
        description="The telephone number with its country code; stored as E.164.",
        examples=["+33612345678"],
    ),
]
Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=100),
    ONE_LINE,
    Field(description="What the number is called.", examples=["Support line"]),
]
AutoAnswer = Annotated[
    bool,
    Field(
        strict=True,
        description="On: calls are active at once. Off: they ring until they are accepted over "
        "the API, for 60 seconds. Not sent: on if a hosted agent is named, else off.",
        examples=[True],
    ),
]
AgentId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=ID_LENGTH),
    Field(description="The agent that answers.", examples=["agent_01k9zv3n8q4e7m2c5x6t8r9w0y"]),
]
TrunkId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=ID_LENGTH),
    Field(
        description="The trunk that brings its calls. Null: any trunk of the account.",
        examples=["trunk_01k9zv3n8q4e7m2c5x6t8r9w0y"],
    ),
]


def _provider(name: str) -> str:
    if name in ("twilio", "voximplant"):
        raise rule(f"{name} is not supported in this release: connect the number by SIP")
    if name != "sip":
        raise rule("must be sip")
    return name


Provider = Annotated[
    str,
    AfterValidator(_provider),
    StringConstraints(max_length=16),
    Field(
        description="Who carries the number. This release: `sip`.",
        json_schema_extra={"enum": ["sip"]},
    ),
]
Metadata = Annotated[
    fields.Metadata,
    Field(description="Any JSON object of yours.", examples=[{"department": "support"}]),
]
SipIp = Annotated[
    fields.Host, Field(description="Public address of your PBX or SBC.", examples=["203.0.113.10"])
]


class SipFields(ApiModel):
    """The trunk of a number, given with it. A trunk that the account has already is reused."""

    sip_mode: schemas.Mode | None = None
    sip_username: schemas.Username | None = None
    sip_password: schemas.Password | None = None
    sip_proxy: schemas.Host | None = None
    sip_port: schemas.Port | None = None
    sip_outbound_proxy: schemas.OutboundProxy | None = None
    sip_auth_user: schemas.AuthUsername | None = None
    sip_ip: SipIp | None = None
    sip_protocol: schemas.Transport | None = None

    def trunk_fields_set(self) -> set[str]:
        """The SIP fields that were sent."""
        return self.model_fields_set & set(SipFields.model_fields)


class PhoneNumberCreate(SipFields):
    model_config = api_example(
        number="+33612345678", label="Support line", auto_answer=False, metadata={"region": "eu"}
    )

    aliases: ClassVar[Mapping[str, str]] = {"name": "label"}

    number: Number
    label: Label = ""
    provider: Provider = "sip"
    trunk_id: TrunkId | None = None
    agent_id: AgentId | None = None
    auto_answer: AutoAnswer | None = None
    metadata: Metadata = {}


class PhoneNumberUpdate(ApiModel):
    """Only the fields that are sent change. The number itself cannot: delete it, add another."""

    model_config = patch_example(label="Sales", auto_answer=True)
    aliases: ClassVar[Mapping[str, str]] = {"name": "label"}

    label: Label = ""
    trunk_id: TrunkId | None = None
    agent_id: AgentId | None = None
    auto_answer: AutoAnswer = False
    metadata: Metadata = {}


class PhoneNumberView(ApiModel):
    id: str = Field(examples=["num_01k9zv3n8q4e7m2c5x6t8r9w0y"])
    number: str = Field(description="E.164.", examples=["+33612345678"])
    label: str
    provider: str
    trunk_id: str | None
    agent_id: str | None
    auto_answer: bool
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, number: PhoneNumber) -> PhoneNumberView:
        values: dict[str, Any] = {
            name: getattr(number, name) for name in cls.model_fields if name != "metadata"
        }
        return cls(**values, metadata=number.extra)


# ---- /api/sip/trunk ---------------------------------------------------------------------------


class SipTrunkConnect(ApiModel):
    model_config = api_example(
        sip_host="sip.example.com",
        sip_port=5060,
        sip_username="user",
        sip_password="pass",
        sip_realm="sip.example.com",
        sip_caller_id="+33612345678",
    )

    sip_host: schemas.Host
    sip_port: schemas.Port | None = None
    sip_username: schemas.Username
    sip_password: schemas.Password
    sip_realm: schemas.Realm | None = None
    sip_caller_id: schemas.CallerId | None = None


class DidView(ApiModel):
    """A DID of the trunk; ``id`` is also its phone number's."""

    id: str = Field(examples=["num_01k9zv3n8q4e7m2c5x6t8r9w0y"])
    number: str = Field(examples=["+33612345678"])
    label: str
    auto_answer: bool

    @classmethod
    def of(cls, number: PhoneNumber) -> DidView:
        return cls(
            id=number.id,
            number=number.number,
            label=number.label,
            auto_answer=number.auto_answer,
        )


class SipTrunkView(ApiModel):
    """The account's first trunk, without its password."""

    trunk_id: str
    sip_host: str | None
    sip_port: int
    sip_username: str | None
    sip_realm: str | None
    sip_caller_id: str | None
    registration: TrunkStatusView
    dids: list[DidView]

    @classmethod
    def of(cls, trunk: Trunk, status: TrunkStatus, dids: list[PhoneNumber]) -> SipTrunkView:
        return cls(
            trunk_id=trunk.id,
            sip_host=trunk.host,
            sip_port=trunk.port or SIP_PORT,
            sip_username=trunk.username,
            sip_realm=trunk.realm,
            sip_caller_id=trunk.caller_id,
            registration=TrunkStatusView.of(status),
            dids=[DidView.of(did) for did in dids],
        )


class DidCreate(ApiModel):
    model_config = api_example(number="+33612345678", label="Support", auto_answer=True)

    aliases: ClassVar[Mapping[str, str]] = {
        "did": "number",
        "phone_number": "number",
        "name": "label",
    }

    number: Number
    label: Label = ""
    auto_answer: AutoAnswer = False


class DidSettings(ApiModel):
    model_config = api_example(auto_answer=True)

    auto_answer: AutoAnswer
