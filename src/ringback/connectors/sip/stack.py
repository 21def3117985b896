"""The SIP core with its sockets: what the connector, its legs and its registrations drive."""

from __future__ import annotations

from collections.abc import Callable

from ringback.core.clock import Clock
from ringback.core.errors import Unavailable
from ringback.net.public_address import PublicAddress
from ringback.net.sip_gate import SipGate
from ringback.net.sip_transport import SipTransport, SipTransportConfig, Tap
from ringback.sip.endpoint import SipEndpoint
from ringback.sip.events import Event


class SipStack:
    """Implements ``SipDriver``. ``addresses`` learns the ports once they are bound."""

    def __init__(
        self,
        endpoint: SipEndpoint,
        config: SipTransportConfig,
        addresses: PublicAddress,
        clock: Clock,
    ) -> None:
        self.endpoint = endpoint
        self.addresses = addresses
        self._config = config
        self._clock = clock
        self._transport: SipTransport | None = None

    async def start(
        self,
        on_event: Callable[[Event], None],
        on_message: Tap | None = None,
        gate: SipGate | None = None,
    ) -> None:
        """Open the sockets. Raises ``StartupError`` when a port is taken."""
        transport = SipTransport(
            self.endpoint,
            self._config,
            clock=self._clock,
            on_event=on_event,
            on_message=on_message,
            gate=gate,
        )
        await transport.start()
        self.addresses.ports.update(transport.ports)
        self._transport = transport

    @property
    def transport(self) -> SipTransport:
        if self._transport is None:
            raise Unavailable("The SIP sockets are not open.", code="sip_not_running")
        return self._transport

    def now(self) -> float:
        return self._clock.monotonic()

    def pump(self) -> None:
        if self._transport is not None:
            self._transport.pump()

    async def stop(self) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None
