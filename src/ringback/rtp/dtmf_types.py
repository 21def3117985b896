"""Every payload type under which a peer may send telephone events, each with its own clock."""

from __future__ import annotations

from collections.abc import Mapping

from ringback.rtp.dtmf import DtmfEvent, DtmfReceiver
from ringback.rtp.packet import RtpPacket


class DtmfPayloadTypes:
    """``clock_rates`` (Hz, by payload type) as in ``a=rtpmap:… telephone-event/…``: what durations
    count. Payload types of one rate are one keypad."""

    def __init__(self, clock_rates: Mapping[int, int]) -> None:
        self.clock_rates = dict(clock_rates)
        self._receivers: dict[int, DtmfReceiver] = {}
        self.heard = False
        """Whether an event has ever come."""
        self.restart()

    def restart(self) -> None:
        """Another source follows: no key is down."""
        self._receivers = {rate: DtmfReceiver(rate) for rate in self.clock_rates.values()}

    def receive(self, packet: RtpPacket, now: float) -> DtmfEvent | None:
        """Take a packet of a known payload type; a press that it ends is returned. Raises
        ``EventError``."""
        receiver = self._receivers[self.clock_rates[packet.payload_type]]
        event = receiver.receive(packet.payload, packet.timestamp, now)
        self.heard = True
        return event

    def poll(self, now: float) -> DtmfEvent | None:
        """A press that ended without saying so."""
        for receiver in self._receivers.values():
            event = receiver.poll(now)
            if event is not None:
                return event
        return None
