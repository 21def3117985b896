"""``GET /api/account``: what an agent asks first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from ringback.accounts.service import AccountService
from ringback.calls.ports import Platform
from ringback.calls.service import CallService
from ringback.core.http import ApiModel, CurrentAccount, errors
from ringback.core.paging import MAX_LIMIT, PageRequest
from ringback.telephony.models import PhoneNumber, Trunk
from ringback.telephony.service import Telephony
from ringback.telephony.status import RegistrationStatus

PLAN = "self-hosted"
FEATURES_NOTE = (
    "Phone calls carry audio in both directions over the call WebSocket. An agent in mode "
    "`hosted` is heard, thought for and spoken for by Ringback itself; an agent in mode `stream` "
    "is your own program. Chat, typing and files belong to platforms that this version does not "
    "connect."
)

FeatureStatus = Literal["ready", "not_configured", "not_available"]


@dataclass(frozen=True, slots=True)
class Speech:
    """Whether this node can listen and speak by itself."""

    stt: bool
    tts: bool


class Features(ApiModel):
    transport: FeatureStatus
    audio_in: FeatureStatus
    audio_out: FeatureStatus
    hosted_stt: FeatureStatus
    hosted_tts: FeatureStatus
    text_chat: FeatureStatus
    typing_indicators: FeatureStatus
    files: FeatureStatus


class PlatformView(ApiModel):
    status: Literal["ok", "not_configured", "error"]
    detail: str = Field(description="The status in a sentence.")
    capabilities: list[str] = Field(examples=[["audio_in", "audio_out", "dtmf"]])
    files: bool = Field(description="Whether files can be sent and received.")


class ConcurrentCalls(ApiModel):
    active: int
    limit: int


class Identity(ApiModel):
    agent: list[str] = Field(
        description="Numbers that are your agent's.", examples=[["+33123456789"]]
    )
    operator: list[str] = Field(description="Handles that are a person's.")


class AccountView(ApiModel):
    account_id: str
    name: str
    plan: str = Field(examples=[PLAN])
    features: Features
    features_note: str
    platforms: dict[str, PlatformView]
    concurrent_calls: ConcurrentCalls
    identities: dict[str, Identity]
    last_message_cursor: str | None = Field(
        description="Where to begin reading messages; null: there is no inbox."
    )


def overview_routes(
    accounts: AccountService,
    calls: CallService,
    telephony: Telephony,
    speech: Callable[[], Speech],
) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["Account"])

    @router.get("/account", summary="Get the account", responses=errors(401, 429))
    async def get_account(caller: CurrentAccount) -> AccountView:
        """The plan, what works, how each platform fares, and how many calls are live."""
        account_id = caller.account_id
        account = await accounts.get_account(account_id)
        everything = PageRequest(MAX_LIMIT)
        trunks = (await telephony.trunks.page(account_id, everything)).items
        numbers = (await telephony.numbers.page(account_id, everything)).items
        status, detail = _phone_status(telephony, list(trunks))
        platforms = {
            name: _platform_view(platform, status, detail)
            for name, platform in calls.platforms.items()
        }
        return AccountView(
            account_id=account_id,
            name=account.name,
            plan=PLAN,
            features=_features(speech()),
            features_note=FEATURES_NOTE,
            platforms=platforms,
            concurrent_calls=ConcurrentCalls(
                active=calls.live_count(account_id), limit=calls.max_calls
            ),
            identities={name: _identity(list(trunks), list(numbers)) for name in platforms},
            last_message_cursor=None,
        )

    return router


def _features(speech: Speech) -> Features:
    return Features(
        transport="ready",
        audio_in="ready",
        audio_out="ready",
        hosted_stt="ready" if speech.stt else "not_configured",
        hosted_tts="ready" if speech.tts else "not_configured",
        text_chat="not_available",
        typing_indicators="not_available",
        files="not_available",
    )


def _phone_status(
    telephony: Telephony, trunks: list[Trunk]
) -> tuple[Literal["ok", "not_configured", "error"], str]:
    """How the account's trunks fare together: one that works is enough."""
    enabled = [trunk for trunk in trunks if trunk.enabled]
    if not enabled:
        return "not_configured", "No SIP trunk is connected: POST /api/sip/trunk."
    reasons = []
    for trunk in enabled:
        status = telephony.status_of(trunk)
        works = status.status is RegistrationStatus.REGISTERED
        if works or trunk.mode != "registration":
            return "ok", f"{trunk.name}: {status.reason or status.status.value}"
        reasons.append(f"{trunk.name}: {status.reason or status.status.value}")
    return "error", " ".join(reasons)


def _platform_view(
    platform: Platform, status: Literal["ok", "not_configured", "error"], detail: str
) -> PlatformView:
    capabilities = platform.connector.capabilities
    return PlatformView(
        status=status,
        detail=detail,
        capabilities=sorted(capabilities),
        files="files" in capabilities,
    )


def _identity(trunks: list[Trunk], numbers: list[PhoneNumber]) -> Identity:
    own = [number.number for number in numbers]
    shown = [trunk.caller_id for trunk in trunks if trunk.caller_id]
    return Identity(agent=list(dict.fromkeys([*own, *shown])), operator=[])
