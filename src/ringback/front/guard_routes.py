"""``/api/guards``: who is banned, and how to lift it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, status
from pydantic import Field, StringConstraints

from ringback.connectors.sip.guard import BanView, SipGuard
from ringback.core.http import ApiModel, CurrentAccount, api_example, errors

MAX_BAN_SECONDS = 31_536_000

Source = Annotated[
    str,
    Path(
        description="An IPv4 address, or any address of the IPv6 /64 network.",
        max_length=64,
        examples=["203.0.113.7"],
    ),
]


class BanItem(ApiModel):
    source: str = Field(
        description="An IPv4 address or an IPv6 /64 network.", examples=["203.0.113.7"]
    )
    reason: str = Field(
        description="`scanner`, `refused`, `malformed`, `credentials`, `flood` or `by_hand`.",
        examples=["scanner"],
    )
    since: datetime
    until: datetime
    strikes: int = Field(description="Bans of this source in a row; each is twice as long.")
    dropped: int = Field(description="Requests that this ban has swallowed.")

    @classmethod
    def of(cls, ban: BanView) -> BanItem:
        return cls(
            source=ban.source,
            reason=ban.reason,
            since=ban.since,
            until=ban.until,
            strikes=ban.strikes,
            dropped=ban.dropped,
        )


class BanList(ApiModel):
    items: list[BanItem]


class BanCreate(ApiModel):
    model_config = api_example(source="203.0.113.7", seconds=3600)

    source: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="An IPv4 or IPv6 address; of IPv6, its /64 network is banned.",
        examples=["203.0.113.7"],
    )
    seconds: Annotated[float, Field(gt=0, le=MAX_BAN_SECONDS)] | None = Field(
        None, description="How long; null: as long as its record calls for."
    )


class GuardView(ApiModel):
    enabled: bool = Field(description="Whether strangers are limited and banned at all.")
    banned: int = Field(description="Bans in force.")
    counters: dict[str, int] = Field(description="What the guard has done since the start.")
    offences: dict[str, int] = Field(description="What strangers did since the start.")


def guard_routes(guard: SipGuard) -> APIRouter:
    router = APIRouter(prefix="/api/guards", tags=["Guards"])

    @router.get("", summary="Show the guards", responses=errors(401, 429))
    async def show_guards(caller: CurrentAccount) -> GuardView:
        """What was dropped and why. The same figures are in `/metrics`."""
        return GuardView(
            enabled=guard.enabled,
            banned=guard.banned_now,
            counters=guard.counters(),
            offences=guard.offences(),
        )

    @router.get("/bans", summary="List bans", responses=errors(401, 429))
    async def list_bans(caller: CurrentAccount) -> BanList:
        """The sources that are banned on this node, newest first."""
        return BanList(items=[BanItem.of(ban) for ban in guard.bans()])

    @router.post(
        "/bans",
        summary="Ban a source",
        status_code=status.HTTP_201_CREATED,
        responses=errors(400, 401, 408, 409, 413, 422, 429),
    )
    async def ban_source(body: BanCreate, caller: CurrentAccount) -> BanItem:
        """Nothing that it sends is read any more, except in calls that it has. A trunk's address
        cannot be banned."""
        return BanItem.of(guard.ban(body.source, body.seconds))

    @router.delete(
        "/bans/{source:path}",
        summary="Lift a ban",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=errors(400, 401, 404, 422, 429),
    )
    async def lift_ban(source: Source, caller: CurrentAccount) -> None:
        """Its offences are forgotten, too."""
        guard.lift(source)

    return router
