"""``/api/call/{call_id}/sip``: what went over the wire, to read and to open in Wireshark."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Header
from fastapi.responses import PlainTextResponse, Response
from pydantic import Field

from ringback.calls import ladder, pcap
from ringback.calls.routes_commands import CallId
from ringback.calls.service import CallService
from ringback.connectors.contract import TracedMessage
from ringback.core.http import ApiModel, CurrentAccount, errors


class SignallingMessage(ApiModel):
    """One message. Its secrets are masked, each by as many characters as it had."""

    at: datetime
    direction: str = Field(description="`sent` or `received`, by Ringback.", examples=["sent"])
    transport: str = Field(description="`udp`, `tcp` or `tls`.", examples=["udp"])
    source: str = Field(serialization_alias="from", description="`host:port`.")
    target: str = Field(serialization_alias="to", description="`host:port`.")
    summary: str = Field(description="The start line.", examples=["INVITE sip:a@b SIP/2.0"])
    text: str = Field(description="The whole message.")

    @classmethod
    def of(cls, message: TracedMessage) -> Self:
        ends = (message.local, message.remote)
        source, target = ends if message.outgoing else reversed(ends)
        return cls(
            at=message.at,
            direction="sent" if message.outgoing else "received",
            transport=message.transport,
            source=source,
            target=target,
            summary=ladder.first_line(message.data),
            text=message.data.decode("utf-8", "backslashreplace"),
        )


class SignallingView(ApiModel):
    call_id: str
    messages: list[SignallingMessage] = Field(description="Oldest first, retransmissions too.")


def add_signalling(router: APIRouter, calls: CallService) -> None:
    @router.get(
        "/call/{call_id}/sip",
        summary="Get the SIP messages",
        response_model=SignallingView,
        responses={
            200: {
                "description": "The messages; with `Accept: text/plain` a drawing of them.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            **errors(401, 404, 422, 429),
        },
    )
    async def get_signalling(
        call_id: CallId,
        caller: CurrentAccount,
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> object:
        """What went over the wire for a call, live or over, without its secrets: to see why it
        failed, or to send to a provider's support. Empty where the node keeps none
        (`RINGBACK_SIP_TRACE`)."""
        await calls.get(caller.account_id, call_id)
        messages = await calls.signalling.of(call_id)
        if _wants_text(accept):
            return PlainTextResponse(ladder.ladder(messages))
        return SignallingView(
            call_id=call_id, messages=[SignallingMessage.of(message) for message in messages]
        )

    @router.get(
        "/call/{call_id}/sip.pcap",
        summary="Download the SIP messages",
        response_class=Response,
        responses={
            200: {
                "description": "A capture file for Wireshark; every message is a UDP datagram in "
                "it, whatever it came over.",
                "content": {pcap.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
            },
            **errors(401, 404, 422, 429),
        },
    )
    async def get_capture(call_id: CallId, caller: CurrentAccount) -> Response:
        """The same messages as a capture file."""
        await calls.get(caller.account_id, call_id)
        content = pcap.pcap(await calls.signalling.of(call_id))
        shown = {"Content-Disposition": f'attachment; filename="{call_id}.pcap"'}
        return Response(content, media_type=pcap.MEDIA_TYPE, headers=shown)


def _wants_text(accept: str) -> bool:
    """``text/plain`` is asked for, and before JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    ranked = [kind for kind in kinds if kind in ("text/plain", "application/json")]
    return ranked[:1] == ["text/plain"]
