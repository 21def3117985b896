"""Hold, resume and transfer."""

from __future__ import annotations

from fastapi import APIRouter, Request

from ringback.calls.requests import HoldRequest, TransferRequest
from ringback.calls.routes_commands import CallId
from ringback.calls.schemas import CallView, TransferView
from ringback.calls.service import CallService
from ringback.core.http import CurrentAccount, errors

WITH_MUSIC = HoldRequest()


def add_control(router: APIRouter, calls: CallService) -> None:
    _add_holding(router, calls)
    _add_transfers(router, calls)


def _add_holding(router: APIRouter, calls: CallService) -> None:
    @router.post(
        "/call/{call_id}/hold",
        summary="Hold",
        responses=errors(400, 401, 404, 408, 409, 413, 422, 429),
    )
    async def hold(
        call_id: CallId,
        request: Request,
        caller: CurrentAccount,
        body: HoldRequest = WITH_MUSIC,
    ) -> CallView:
        """Lets the person wait: they hear music (or nothing) and nobody hears them. The call is
        `on_hold`, `held_by` the `agent`. Holding a held call changes at most the music."""
        entry = await calls.holding.hold(caller.account_id, call_id, body.music)
        return CallView.of(entry.call, str(request.base_url))

    @router.post(
        "/call/{call_id}/resume",
        summary="Resume",
        responses=errors(400, 401, 404, 409, 422, 429, 502),
    )
    async def resume(call_id: CallId, request: Request, caller: CurrentAccount) -> CallView:
        """Ends a hold of ours. 409 `held_by_remote` where it is the person who holds; 502 where
        the far end refuses to go on: the person waits still, try again."""
        entry = await calls.holding.resume(caller.account_id, call_id)
        return CallView.of(entry.call, str(request.base_url))


def _add_transfers(router: APIRouter, calls: CallService) -> None:
    @router.post(
        "/call/{call_id}/transfer",
        summary="Transfer",
        status_code=202,
        responses=errors(400, 401, 403, 404, 408, 409, 413, 422, 429, 502),
    )
    async def transfer(
        call_id: CallId, body: TransferRequest, caller: CurrentAccount
    ) -> TransferView:
        """Hands the person over, to a number or to another live call. Answered at once:
        `call_transfer` events, and `transfers` of the call, tell how it goes on. Where the far end
        made the transfer, the call ends as `transferred`; where Ringback did, it goes on without
        the agent until either person hangs up. When it fails, the person is back with the agent."""
        begun = await calls.transfers.start(caller.account_id, call_id, body.wanted())
        return TransferView.of(begun)

    @router.delete(
        "/call/{call_id}/transfer",
        summary="Cancel a transfer",
        responses=errors(401, 404, 409, 422, 429),
    )
    async def cancel_transfer(call_id: CallId, caller: CurrentAccount) -> TransferView:
        """Gives up a call that Ringback placed for a transfer and that is not answered yet: the
        person is back with the agent."""
        return TransferView.of(calls.transfers.cancel(caller.account_id, call_id))
