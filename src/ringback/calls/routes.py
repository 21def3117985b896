"""``/api/call`` and ``/api/calls``."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import FileResponse, JSONResponse

from ringback.calls.idempotency import Answer, IdempotencyStore
from ringback.calls.routes_commands import CallId, add_commands
from ringback.calls.routes_conference import add_conference
from ringback.calls.routes_control import add_control
from ringback.calls.routes_signalling import add_signalling
from ringback.calls.schemas import CallCreate, CallDetail, CallView
from ringback.calls.service import CallService
from ringback.calls.transcript import MAX_LINES
from ringback.core.http import CurrentAccount, PageOf, Paging, errors

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="Any text of yours, new for each call: the same request sent again with the "
        "same key within 24 hours gets the first one's answer and places no second call.",
    ),
]
Since = Annotated[
    int,
    Query(ge=0, le=MAX_LINES, description="Leave out the transcript lines before this one."),
]


def call_routes(calls: CallService, idempotency: IdempotencyStore) -> APIRouter:
    """The routes over ``calls``."""
    router = APIRouter(prefix="/api", tags=["Calls"])
    _add_lifecycle(router, calls, idempotency)
    _add_reading(router, calls)
    add_commands(router, calls)
    add_control(router, calls)
    add_conference(router, calls)
    add_signalling(router, calls)
    return router


def _add_lifecycle(router: APIRouter, calls: CallService, idempotency: IdempotencyStore) -> None:
    @router.post(
        "/call",
        summary="Place a call",
        response_model=CallView,
        responses=errors(400, 401, 403, 408, 409, 413, 422, 429, 502, 503),
    )
    async def create_call(
        body: CallCreate,
        request: Request,
        caller: CurrentAccount,
        idempotency_key: IdempotencyKey = None,
    ) -> object:
        """Dials and answers at once; follow `call_state` on the call WebSocket or on
        `/api/events`, or poll the call. Open the WebSocket in `text_ws_url` to be its voice."""

        async def place() -> Answer:
            snapshot = await calls.place(caller.account_id, body.wanted())
            view = CallView.of(snapshot.call, str(request.base_url))
            return 200, view.model_dump(mode="json")

        asked = {"path": "/api/call", "body": body.model_dump(mode="json")}
        status, answer = await idempotency.once(caller.account_id, idempotency_key, asked, place)
        return JSONResponse(answer, status)

    @router.post(
        "/call/{call_id}/accept",
        summary="Accept an inbound call",
        responses=errors(401, 404, 409, 422, 429),
    )
    async def accept_call(call_id: CallId, request: Request, caller: CurrentAccount) -> CallView:
        """Answers a call that rings. It is `active` when the caller's phone has the answer."""
        snapshot = await calls.accept(caller.account_id, call_id)
        return CallView.of(snapshot.call, str(request.base_url))

    @router.post(
        "/call/{call_id}/refuse",
        summary="Refuse an inbound call",
        responses=errors(401, 404, 409, 422, 429),
    )
    async def refuse_call(call_id: CallId, request: Request, caller: CurrentAccount) -> CallView:
        """Turns down a call that rings; the caller hears that it was declined."""
        snapshot = calls.refuse(caller.account_id, call_id)
        return CallView.of(snapshot.call, str(request.base_url))

    @router.delete("/call/{call_id}", summary="Hang up", responses=errors(401, 404, 422, 429))
    async def hang_up_call(call_id: CallId, request: Request, caller: CurrentAccount) -> CallView:
        """Ends a live call, answered or not."""
        snapshot = calls.hang_up(caller.account_id, call_id)
        return CallView.of(snapshot.call, str(request.base_url))


def _add_reading(router: APIRouter, calls: CallService) -> None:
    @router.get(
        "/calls",
        summary="List calls",
        responses=errors(400, 401, 422, 429),
    )
    async def list_calls(
        request: Request,
        caller: CurrentAccount,
        paging: Paging,
        state: Annotated[
            Literal["live", "ended"],
            Query(description="`live`: all that are not over. `ended`: the rest, newest first."),
        ] = "live",
    ) -> PageOf[CallView]:
        """The live calls, all of them, oldest first; or, in pages, those that are over."""
        base = str(request.base_url)
        if state == "live":
            live = [CallView.of(found.call, base) for found in calls.live(caller.account_id)]
            return PageOf(items=live, next_cursor=None)
        page = await calls.ended(caller.account_id, paging)
        items = [CallView.of(call, base) for call in page.items]
        return PageOf(items=items, next_cursor=page.next_cursor)

    @router.get("/call/{call_id}", summary="Get a call", responses=errors(401, 404, 422, 429))
    async def get_call(
        call_id: CallId, request: Request, caller: CurrentAccount, since: Since = 0
    ) -> CallDetail:
        """A call, live or over, with its transcript. To poll, pass `since` = the
        `transcript_length` of the answer before: only new lines come."""
        snapshot = await calls.get(caller.account_id, call_id, since)
        return CallDetail.from_snapshot(snapshot, str(request.base_url))

    @router.get(
        "/call/{call_id}/recording",
        summary="Download a recording",
        response_class=FileResponse,
        responses={
            200: {
                "description": "A stereo WAV: left is the caller, right the agent.",
                "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
            },
            **errors(401, 404, 409, 422, 429),
        },
    )
    async def get_recording(call_id: CallId, caller: CurrentAccount) -> FileResponse:
        """The recording of a call that is over."""
        path = await calls.recording(caller.account_id, call_id)
        return FileResponse(path, media_type="audio/wav", filename=f"{call_id}.wav")
