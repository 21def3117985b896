"""A telephone: the gateway's own SIP stack and media plane with one line and one person."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ringback import __version__
from ringback.cli.softphone.line import Account, CallProgress, OneLine
from ringback.connectors.contract import Cause, DialRequest, LegControl
from ringback.connectors.sip.connector import SipConnector
from ringback.connectors.sip.stack import SipStack
from ringback.core.clock import SystemClock
from ringback.core.end_reason import EndReason
from ringback.media.local_plane import LocalMediaPlane
from ringback.media.pacer import PacerLoop
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaEvent,
    MediaTimedOut,
    SessionReport,
    VoiceSpec,
)
from ringback.media.port import VoiceFactory
from ringback.media.recorder import RecorderThread
from ringback.net.public_address import PublicAddress
from ringback.net.resolver import Resolver
from ringback.net.rtp_ports import RtpPorts
from ringback.net.sip_transport import Listen, SipTransportConfig
from ringback.sip.endpoint import SipEndpoint
from ringback.sip.endpoint_config import EndpointConfig
from ringback.sip.uri import Uri

CALL_ID = "call"
REGISTER_SECONDS = 15.0
RTP_FIRST, RTP_LAST = 16384, 16583
ANY_HOST = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class CallResult:
    """``answered`` tells a conversation from an attempt."""

    answered: bool
    cause: Cause
    report: SessionReport


class Phone:
    """Places one call after another on one line. Use :func:`off_hook` to make one."""

    def __init__(
        self,
        connector: SipConnector,
        plane: LocalMediaPlane,
        line: OneLine,
        on_news: Callable[[str], None],
    ) -> None:
        self._connector = connector
        self._plane = plane
        self._on_news = on_news
        self._progress = CallProgress(on_news)
        self._leg: LegControl | None = None
        self._line = line
        self._tasks: set[asyncio.Task[None]] = set()
        plane.subscribe(self._on_media)

    async def start(self) -> None:
        """Register, if there is a registrar. Raises ``NotConfigured`` with its refusal."""
        await self._connector.start(self._progress)
        if self._line.trunk.registers:
            await self._line.wait_registered(REGISTER_SECONDS)

    async def call(self, ring_seconds: float, recording: Path | None, longest: float) -> CallResult:
        """Dial and talk until either side hangs up or ``longest`` seconds have passed."""
        target = str(self._line.trunk.host)
        self._leg = await self._connector.dial(
            DialRequest(CALL_ID, "softphone", target, ring_timeout=ring_seconds)
        )
        await self._progress.answered.wait()
        answered = not self._progress.over.is_set()
        if answered:
            self._plane.activate(CALL_ID, str(recording) if recording else None)
            self._plane.start_voice(CALL_ID, VoiceSpec("person"))
            await self._until_over(longest)
        report = await self._plane.close(CALL_ID)
        return CallResult(answered, self._progress.cause or Cause(EndReason.AGENT_HANGUP), report)

    async def _until_over(self, longest: float) -> None:
        try:
            await asyncio.wait_for(self._progress.over.wait(), longest)
        except TimeoutError:
            await self.hang_up()
            await self._progress.over.wait()

    async def hang_up(self) -> None:
        if self._leg is not None:
            await self._leg.hang_up(EndReason.AGENT_HANGUP)

    def _on_media(self, event: MediaEvent) -> None:
        if isinstance(event, DtmfReceived):
            self._on_news(f"key {event.digit}")
        elif isinstance(event, HangUpRequested | MediaTimedOut):
            task = asyncio.get_running_loop().create_task(self.hang_up())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def off_hook(
    account: Account,
    target: Uri,
    person: VoiceFactory,
    on_news: Callable[[str], None] = lambda news: None,
) -> AsyncIterator[Phone]:
    """A telephone that is ready to call ``target``; put down again at the end of the block."""
    clock = SystemClock()
    addresses = PublicAddress(clock=clock)
    endpoint = SipEndpoint(
        EndpointConfig(user_agent=f"Ringback softphone {__version__}", session_expires=0),
        addresses,
        lambda: secrets.token_hex(8),
        random.random,
    )
    listen = (Listen("udp", ANY_HOST, 0), Listen("tcp", ANY_HOST, 0))
    stack = SipStack(endpoint, SipTransportConfig(listen), addresses, clock)
    recorder = RecorderThread()
    plane = LocalMediaPlane(
        RtpPorts(RTP_FIRST, RTP_LAST, clock=clock),
        ticker=PacerLoop(clock),
        clock=clock,
        recorder=recorder,
        voices=person,
    )
    line = OneLine(account, target)
    connector = SipConnector(stack, Resolver(clock=clock), line, plane, ANY_HOST)
    phone = Phone(connector, plane, line, on_news)
    try:
        await phone.start()
        yield phone
    finally:
        await connector.stop()
        await plane.stop()
        await recorder.stop()
