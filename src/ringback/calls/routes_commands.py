"""What an agent says and presses on a live call: speech, keys, gathering keys, chat."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request

from ringback.calls.gathering import GatherResult
from ringback.calls.requests import ChatRequest, DtmfRequest, GatherRequest, SayRequest
from ringback.calls.schemas import CommandDone, GatherDone
from ringback.calls.service import CallService
from ringback.connectors.contract import Capability
from ringback.core.http import CurrentAccount, errors

CallId = Annotated[str, Path(description="The call's `call_id`.", max_length=64)]


def add_commands(router: APIRouter, calls: CallService) -> None:
    _add_speech(router, calls)
    _add_keys(router, calls)
    _add_chat(router, calls)


def _add_speech(router: APIRouter, calls: CallService) -> None:
    @router.post(
        "/call/{call_id}/say",
        summary="Speak",
        responses=errors(400, 401, 404, 408, 409, 413, 422, 429),
    )
    async def say(call_id: CallId, body: SayRequest, caller: CurrentAccount) -> CommandDone:
        """Speaks text with the voice of the call's hosted agent. 400 `tts_not_configured` where
        the call has none: send your own audio to the call WebSocket then."""
        calls.say(caller.account_id, call_id, body.text)
        return CommandDone(call_id=call_id)

    @router.post(
        "/call/{call_id}/stop-speaking",
        summary="Stop speaking",
        responses=errors(400, 401, 404, 409, 422, 429),
    )
    async def stop_speaking(call_id: CallId, caller: CurrentAccount) -> CommandDone:
        """Interrupts what the hosted voice is saying and drops what it was about to say."""
        calls.stop_speaking(caller.account_id, call_id)
        return CommandDone(call_id=call_id)


def _add_keys(router: APIRouter, calls: CallService) -> None:
    @router.post(
        "/call/{call_id}/dtmf",
        summary="Press keys",
        responses=errors(400, 401, 404, 408, 409, 413, 422, 429, 502),
    )
    async def send_dtmf(call_id: CallId, body: DtmfRequest, caller: CurrentAccount) -> CommandDone:
        """Sends DTMF to the far end, as to a voice menu. 502 `dtmf_refused` where it does not take
        them by SIP INFO."""
        await calls.send_dtmf(caller.account_id, call_id, body.digits.upper(), body.method)
        return CommandDone(call_id=call_id)

    @router.post(
        "/call/{call_id}/gather",
        summary="Gather keys",
        responses=errors(400, 401, 404, 408, 409, 413, 422, 429),
    )
    async def gather(
        call_id: CallId, body: GatherRequest, request: Request, caller: CurrentAccount
    ) -> GatherDone:
        """Says a prompt, if there is one, and answers when the person has pressed the keys, or a
        timeout has passed (in all at most 5 minutes). Closing the connection cancels it. The keys
        are `dtmf` events all the same."""
        waiting = asyncio.ensure_future(
            calls.gathers.gather(caller.account_id, call_id, body.wanted())
        )
        result = await _unless_gone(request, waiting)
        return GatherDone(call_id=call_id, digits=result.digits, reason=result.reason)

    @router.delete(
        "/call/{call_id}/gather",
        summary="Stop gathering keys",
        responses=errors(401, 404, 409, 422, 429),
    )
    async def cancel_gather(call_id: CallId, caller: CurrentAccount) -> CommandDone:
        """Ends the gathering under way; its request is answered with `cancelled` and the keys that
        were there."""
        calls.gathers.cancel(caller.account_id, call_id)
        return CommandDone(call_id=call_id)


async def _unless_gone(request: Request, waiting: asyncio.Future[GatherResult]) -> GatherResult:
    """The result; a client that goes away meanwhile cancels ``waiting``."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        waiting.cancel()

    watching = asyncio.ensure_future(gone())
    try:
        return await waiting
    finally:
        waiting.cancel()
        watching.cancel()


def _add_chat(router: APIRouter, calls: CallService) -> None:
    @router.post(
        "/call/{call_id}/chat",
        summary="Send a chat message",
        responses=errors(400, 401, 404, 408, 413, 422, 429),
    )
    async def send_chat(call_id: CallId, body: ChatRequest, caller: CurrentAccount) -> CommandDone:
        """For platforms with the capability `write`. A phone call has none: 400
        `capability_missing`."""
        calls.unsupported(caller.account_id, call_id, Capability.WRITE)

    @router.post(
        "/call/{call_id}/typing",
        summary="Show that the agent types",
        responses=errors(400, 401, 404, 422, 429),
    )
    async def show_typing(call_id: CallId, caller: CurrentAccount) -> CommandDone:
        """For platforms with the capability `typing`. A phone call has none: 400
        `capability_missing`."""
        calls.unsupported(caller.account_id, call_id, Capability.TYPING)
