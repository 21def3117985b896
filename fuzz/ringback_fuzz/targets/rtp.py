"""An RTP packet: told apart, read, and written as it was."""

from __future__ import annotations

from ringback.rtp.errors import PacketError
from ringback.rtp.packet import RtpPacket, classify
from ringback.rtp.statistics import ReceiverStatistics
from ringback_fuzz.targets import require


def run(data: bytes) -> None:
    classify(data)
    try:
        packet = RtpPacket.parse(data)
    except PacketError as error:
        str(error)
        return
    again = RtpPacket.parse(bytes(packet))
    require(again == packet, "a packet changes when it is written")
    statistics = ReceiverStatistics(8000)
    for now in (0.0, 0.02, 0.02, 5000.0):
        statistics.receive(packet, now)
    require(statistics.jitter >= 0, "negative jitter")
    require(0 <= statistics.take_fraction_lost() <= 255, "a fraction beyond a byte")
