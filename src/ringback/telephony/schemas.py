"""Trunks as they cross the API (``/api/trunks``, ``/api/trunk-presets``)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from ringback.connectors.sip.directory import DEFAULT_CODECS
from ringback.core.http import ApiModel, api_example, patch_example, rule
from ringback.core.http.models import NO_CONTROLS, Name
from ringback.core.secrets import MASK, mask
from ringback.telephony import fields
from ringback.telephony.limit_schemas import TrunkLimits
from ringback.telephony.models import Trunk
from ringback.telephony.numbers import DialFormat
from ringback.telephony.presets import PRESET_IDS, TrunkMode, TrunkPreset
from ringback.telephony.presets import Transport as TransportName
from ringback.telephony.status import TrunkStatus

ID_LENGTH = 64


def _provider(name: str) -> str:
    if name not in PRESET_IDS:
        raise rule(f"must be one of {', '.join(PRESET_IDS)}")
    return name


TrunkName = Annotated[Name, Field(description="Shown in lists.", examples=["Main line"])]
Description = Annotated[
    str,
    StringConstraints(max_length=500),
    NO_CONTROLS,
    Field(description="For your own reference."),
]
Provider = Annotated[
    str,
    AfterValidator(_provider),
    StringConstraints(max_length=32),
    Field(
        description="A preset of `GET /api/trunk-presets`: it fills in what is not sent.",
        examples=["ovh"],
        json_schema_extra={"enum": list(PRESET_IDS)},
    ),
]
Mode = Annotated[
    TrunkMode,
    Field(
        description="`registration`: Ringback registers at the server with user name and "
        "password. `ip_allowlist`: the server is known by its addresses.",
        examples=["registration"],
    ),
]
Host = Annotated[
    fields.Host,
    Field(
        description="The SIP server or domain: a host name or an IP address.",
        examples=["sip.example.com"],
    ),
]
Port = Annotated[
    fields.Port,
    Field(
        description="The server's port. Null: DNS (SRV) decides, else 5060 (TLS: 5061).",
        examples=[5060],
    ),
]
Transport = Annotated[
    TransportName, Field(description="How SIP travels to the server.", examples=["udp"])
]
Username = Annotated[
    fields.SipUser,
    Field(description="The SIP user name. Required for registration.", examples=["user"]),
]
Password = Annotated[
    fields.Secret, Field(description="The SIP password; write-only. Required for registration.")
]
AuthUsername = Annotated[
    fields.Secret,
    Field(description="The digest user name, where it differs from `username`; write-only."),
]
Realm = Annotated[
    fields.Realm,
    Field(
        description="The authentication realm (often also the SIP domain), where the provider "
        "expects one. Null: as the server says.",
        examples=["sip-domain.io"],
    ),
]
CallerId = Annotated[
    fields.CallerId,
    Field(description="The number shown on outbound calls.", examples=["+33612345678"]),
]
OutboundProxy = Annotated[
    fields.HostPort,
    Field(
        description="Where SIP is sent instead of the host: host or host:port.",
        examples=["outbound.example.com:5060"],
    ),
]
AllowedIps = Annotated[
    fields.AllowedIps,
    Field(
        description="Addresses and networks that may send calls. Empty: for registration any "
        "that uses the registered contact or is the server; for ip_allowlist the host alone.",
        examples=[["203.0.113.10", "203.0.113.0/24"]],
    ),
]
MediaEncryption = Annotated[
    Literal["none", "optional", "required", "sdes", "dtls"],
    Field(
        description="SRTP. `none`: plain RTP. `optional`: SRTP with whoever can. `required`: SRTP "
        "or no call. `sdes` and `dtls`: required, with keys from the SDP or from DTLS alone."
    ),
]
DtmfMode = Annotated[
    Literal["auto", "rtp", "inband", "info"],
    Field(
        description="How keys are sent: `rtp` (RFC 4733), `inband` (tones), `info` (SIP INFO), or "
        "`auto`: by RTP where the far end takes it, else as tones. Received they are every way."
    ),
]
TlsVerify = Annotated[
    bool,
    Field(strict=True, description="Whether the server's certificate is checked (transport tls)."),
]
Codecs = Annotated[
    fields.Codecs,
    Field(
        description="Audio codecs in order of preference: `opus`, `G722`, `PCMA`, `PCMU`.",
        examples=[list(DEFAULT_CODECS)],
    ),
]
TechPrefix = Annotated[
    fields.TechPrefix,
    Field(description="Digits put before every dialled number, as some carriers want."),
]
DialFormatField = Annotated[
    DialFormat,
    Field(description="How dialled numbers are written: +33…, 33…, 0033…, or national."),
]
Country = Annotated[
    fields.Country,
    Field(
        description="The trunk's country, for national numbers. Null: taken from `caller_id`.",
        examples=["FR"],
    ),
]
RegisterExpires = Annotated[
    int,
    Field(strict=True, ge=60, le=7200, description="Seconds that a registration is asked to last."),
]
AgentIdField = Annotated[
    str,
    StringConstraints(min_length=1, max_length=ID_LENGTH),
    Field(
        description="Who answers calls to the trunk's own user name, and to numbers that name "
        "no agent.",
        examples=["agent_01k9zv3n8q4e7m2c5x6t8r9w0y"],
    ),
]
Limits = Annotated[
    TrunkLimits,
    Field(description="What may be dialled, and how much. A change touches only what is sent."),
]
Enabled = Annotated[bool, Field(strict=True, description="Off: no registration and no calls.")]


class TrunkCreate(ApiModel):
    model_config = api_example(
        name="Main line",
        provider="ovh",
        host="sip.ovh.net",
        username="0033972101010",
        password="secret",
        realm="sip-domain.io",
        caller_id="+33972101010",
    )

    name: TrunkName
    description: Description = ""
    provider: Provider = "generic"
    mode: Mode = "registration"
    host: Host | None = None
    port: Port | None = None
    transport: Transport = "udp"
    username: Username | None = None
    password: Password | None = None
    auth_username: AuthUsername | None = None
    realm: Realm | None = None
    caller_id: CallerId | None = None
    outbound_proxy: OutboundProxy | None = None
    allowed_ips: AllowedIps = []
    media_encryption: MediaEncryption = "none"
    tls_verify: TlsVerify = True
    dtmf_mode: DtmfMode = "auto"
    codecs: Codecs = list(DEFAULT_CODECS)
    tech_prefix: TechPrefix = ""
    dial_format: DialFormatField = DialFormat.E164
    country: Country | None = None
    register_expires: RegisterExpires = 300
    agent_id: AgentIdField | None = None
    enabled: Enabled = True
    limits: Limits = TrunkLimits()


class TrunkUpdate(TrunkCreate):
    """Only the fields that are sent change. A secret that is sent masked stays as it is."""

    model_config = patch_example(password="new secret", enabled=True)

    name: TrunkName = ""


class TrunkStatusView(ApiModel):
    """How the trunk fares."""

    status: Literal["registered", "unregistered", "unknown"]
    reason: str = Field(
        description="In words: why it is not registered, or what is being done.",
        examples=["The server refuses the user name or the password."],
    )
    since: datetime | None = Field(description="When this status began.")
    expires_in: float | None = Field(description="Seconds until the registration runs out.")

    @classmethod
    def of(cls, status: TrunkStatus) -> TrunkStatusView:
        return cls(
            status=status.status.value,
            reason=status.reason,
            since=status.since,
            expires_in=status.expires_in,
        )


class TrunkView(ApiModel):
    """A trunk. Secrets are masked; a masked value sent back leaves the secret unchanged."""

    id: str = Field(examples=["trunk_01k9zv3n8q4e7m2c5x6t8r9w0y"])
    name: str
    description: str
    provider: str
    mode: Mode
    host: str | None
    port: int | None
    transport: Transport
    username: str | None
    password: str | None = Field(description="Masked; null where none is set.", examples=[MASK])
    auth_username: str | None = Field(description="Masked; null where none is set.")
    realm: str | None
    caller_id: str | None
    outbound_proxy: str | None
    allowed_ips: list[str]
    media_encryption: MediaEncryption
    tls_verify: bool
    dtmf_mode: DtmfMode
    codecs: list[str]
    tech_prefix: str
    dial_format: DialFormat
    country: str | None
    register_expires: int
    agent_id: str | None
    enabled: bool
    limits: TrunkLimits
    registration: TrunkStatusView
    warnings: list[str] = Field(
        description="What works but should be looked at, in words.", examples=[[]]
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, trunk: Trunk, status: TrunkStatus) -> TrunkView:
        hidden = ("password", "auth_username", "registration", "warnings")
        values: dict[str, Any] = {
            name: getattr(trunk, name) for name in cls.model_fields if name not in hidden
        }
        return cls(
            **values,
            password=mask(trunk.password),
            auth_username=mask(trunk.auth_username),
            registration=TrunkStatusView.of(status),
            warnings=warnings_of(trunk),
        )


def warnings_of(trunk: Trunk) -> list[str]:
    """What is allowed but hardly meant."""
    if trunk.media_encryption in ("optional", "required", "sdes") and trunk.transport != "tls":
        return [
            "SRTP keys in the SDP travel in clear over "
            f"{trunk.transport}: use transport tls, or media_encryption dtls."
        ]
    return []


class TrunkPresetView(ApiModel):
    """What is known about a provider or PBX."""

    id: str = Field(examples=["ovh"])
    name: str = Field(examples=["OVH"])
    mode: Mode
    host: str = Field(description="Empty where it depends on your account.")
    port: int | None
    transports: list[Transport]
    realm: str | None
    other_hosts: list[str]
    dial_format: DialFormat
    codecs: list[str]
    notes: str

    @classmethod
    def of(cls, preset: TrunkPreset) -> TrunkPresetView:
        return cls(
            id=preset.id,
            name=preset.name,
            mode=preset.mode,
            host=preset.host,
            port=preset.port,
            transports=list(preset.transports),
            realm=preset.realm,
            other_hosts=list(preset.other_hosts),
            dial_format=preset.dial_format,
            codecs=list(preset.codecs),
            notes=preset.notes,
        )


class TrunkPresetList(ApiModel):
    items: list[TrunkPresetView]
