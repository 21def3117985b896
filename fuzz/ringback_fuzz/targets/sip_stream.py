"""A TCP stream: what comes out does not depend on the cuts, and nothing is held without bound.

The first byte seeds the cuts, the rest is the stream.
"""

from __future__ import annotations

from random import Random

from ringback.sip.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES
from ringback.sip.stream import Malformed, MessageReceived, StreamBroken, StreamEvent, StreamFramer
from ringback_fuzz.targets import require

MOST = MAX_HEADER_BYTES + MAX_BODY_BYTES + 4


def run(data: bytes) -> None:
    if not data:
        return
    whole = StreamFramer()
    expected = [_word(event) for event in whole.feed(data[1:])]
    random, pieces = Random(data[0]), StreamFramer()
    found: list[object] = []
    position = 1
    while position < len(data):
        step = random.choice((1, 1, 2, 3, 5, 17, 400))
        found += [_word(event) for event in pieces.feed(data[position : position + step])]
        require(pieces.buffered <= MOST + step, "more is buffered than a message may have")
        position += step
    require(found == expected, "the cuts of a stream change its messages")
    require(pieces.is_broken == whole.is_broken, "the cuts of a stream change its end")
    require(pieces.feed(b"") == [], "nothing brings something about")


def _word(event: StreamEvent) -> object:
    match event:
        case MessageReceived(message):
            return bytes(message)
        case Malformed(error) | StreamBroken(error):
            return type(event), type(error), str(error)
        case _:
            return type(event)
