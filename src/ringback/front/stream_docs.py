"""The WebSockets in the API's description, and the answer to those who forget the upgrade.

The upgrade itself never gets here: call streams are handed to media by the listener, and
``/api/events`` has a WebSocket route of its own.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from ringback.core.http import ErrorBody, error_content, errors

UPGRADE_REQUIRED = 426

ApiKeyQuery = Annotated[
    str | None, Query(description="Your API key, for clients that cannot set headers.")
]

_RESPONSES: dict[int | str, dict[str, Any]] = {
    101: {"description": "The WebSocket is open."},
    UPGRADE_REQUIRED: {
        "description": "This path is a WebSocket: the request has no upgrade.",
        "model": ErrorBody,
    },
}


def stream_routes() -> APIRouter:
    router = APIRouter(prefix="/api", tags=["Streams"])

    @router.get(
        "/call/{call_id}/stream",
        summary="Open a call stream (WebSocket)",
        status_code=UPGRADE_REQUIRED,
        responses={**_RESPONSES, **errors(401, 404, 409, 422, 429, 503)},
    )
    async def call_stream(
        call_id: Annotated[str, Path(max_length=64)], api_key: ApiKeyQuery = None
    ) -> JSONResponse:
        """Binary frames are PCM s16le mono in both directions; text frames are JSON.

        You send: `audio_config` (`sample_rate`, `receive`, `timestamps`,
        `frame_duration_ms`), `audio` (base64),
        `say`, `clear`, `mark`, `dtmf` (`digits`), `hold`, `resume`, `transfer`,
        `cancel_transfer`, `add_participant`, `remove_participant`, `gather`, `cancel_gather`,
        `hangup`. You get: `audio_config`, `call_state`, `call_transcript`, `call_transfer`,
        `participant_joined`, `participant_left`, `participant_failed`, `gather_result`, `dtmf`,
        `cleared`, `mark_played`, `call_error`. Audio comes after
        `{"type": "audio_config", "receive": true}`; you do not hear yourself."""
        return _upgrade_required()

    @router.get(
        "/events",
        summary="Open the event stream (WebSocket)",
        status_code=UPGRADE_REQUIRED,
        responses={**_RESPONSES, **errors(401, 422, 429, 503)},
    )
    async def event_stream(api_key: ApiKeyQuery = None) -> JSONResponse:
        """JSON messages: first `ready`, then `call_invite`, `call_state`, `call_transcript`,
        `call_transfer`, `participant_joined`, `participant_left`, `participant_failed`, `dtmf`
        and `registration` as they happen, and `lost_events` (`count`) where a reader was
        too slow. `{"type": "ping"}` is answered with `pong`."""
        return _upgrade_required()

    return router


def _upgrade_required() -> JSONResponse:
    return JSONResponse(
        error_content(
            "upgrade_required",
            "This path is a WebSocket.",
            "Connect with a WebSocket client (ws:// or wss://).",
        ),
        UPGRADE_REQUIRED,
        {"Upgrade": "websocket", "Connection": "Upgrade"},
    )
