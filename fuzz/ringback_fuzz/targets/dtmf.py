"""Telephone events in any order: keys come out one by one, and nothing piles up.

Packets of eight bytes: four of payload, two of timestamp steps, two of time.
"""

from __future__ import annotations

import struct

from ringback.rtp.dtmf import DIGITS, DtmfEvent, DtmfReceiver
from ringback.rtp.errors import EventError
from ringback_fuzz.targets import require

PACKET = struct.Struct("!4shH")
MAX_PACKETS = 400


def run(data: bytes) -> None:
    receiver = DtmfReceiver()
    timestamp, now, keys, packets = 0, 0.0, 0, 0
    try:
        receiver.receive(data[:3], 0, 0.0)
    except EventError as error:
        str(error)
    for payload, step, wait in PACKET.iter_unpack(
        data[: min(len(data), MAX_PACKETS * PACKET.size) // PACKET.size * PACKET.size]
    ):
        timestamp = (timestamp + step * 8) & 0xFFFFFFFF
        now += (wait % 1000) / 1000
        packets += 1
        keys += _is_key(receiver.poll(now))
        keys += _is_key(receiver.receive(payload, timestamp, now))
    while (left := receiver.poll(now + 1000)) is not None:
        keys += _is_key(left)
    require(keys <= packets + 1, "more keys than packets")


def _is_key(event: DtmfEvent | None) -> bool:
    if event is None:
        return False
    require(event.digit in DIGITS and event.duration_ms >= 0, f"no key: {event}")
    return True
