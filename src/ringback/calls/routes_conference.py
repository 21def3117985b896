"""``/api/call/{id}/participants``: several people in one call."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from ringback.calls.requests import ParticipantAdd
from ringback.calls.routes_commands import CallId
from ringback.calls.schemas import CallView, ParticipantList, ParticipantView
from ringback.calls.service import CallService
from ringback.core.http import CurrentAccount, errors


def add_conference(router: APIRouter, calls: CallService) -> None:
    @router.post(
        "/call/{call_id}/participants",
        summary="Bring somebody in",
        status_code=201,
        responses=errors(400, 401, 403, 404, 408, 409, 413, 422, 429, 502, 503),
    )
    async def add_participant(
        call_id: CallId, body: ParticipantAdd, caller: CurrentAccount
    ) -> ParticipantView:
        """Calls somebody into the call, or joins another live call with it. Everybody hears
        everybody else. Somebody who is called is in it when they answer: `participant_joined`;
        else `participant_failed` says why."""
        conferences, account_id = calls.conferences, caller.account_id
        if body.call_id is not None:
            return ParticipantView.of(conferences.join(account_id, call_id, body.call_id))
        invited = await conferences.invite(account_id, call_id, body.invitation())
        return ParticipantView.of(invited)

    @router.get(
        "/call/{call_id}/participants",
        summary="List who is in a call",
        responses=errors(401, 404, 422, 429),
    )
    async def list_participants(call_id: CallId, caller: CurrentAccount) -> ParticipantList:
        """The call's own person first, then those who were brought in."""
        people = calls.conferences.list(caller.account_id, call_id)
        return ParticipantList(items=[ParticipantView.of(person) for person in people])

    @router.delete(
        "/call/{call_id}/participants/{participant_call_id}",
        summary="Take somebody out",
        responses=errors(401, 404, 422, 429),
    )
    async def remove_participant(
        call_id: CallId,
        participant_call_id: Annotated[
            str, Path(description="The participant's own `call_id`.", max_length=64)
        ],
        request: Request,
        caller: CurrentAccount,
        keep: Annotated[
            bool, Query(description="`true`: their call goes on by itself. `false`: hang up.")
        ] = False,
    ) -> CallView:
        """Hangs up on a participant, or lets their call go on apart from this one."""
        entry = calls.conferences.remove(caller.account_id, call_id, participant_call_id, keep)
        return CallView.of(entry.call, str(request.base_url))
