"""Which codec, which payload numbers, which packet time: the format half of offer and answer.

Sources: RFC 3264 6.1 and 8.3.2, RFC 3551 6, RFC 4733 2.1, RFC 3389 4, RFC 7587 6 and 7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from ringback.sip.errors import SipError
from ringback.sip.remembered import REMEMBERED_OFFERS
from ringback.sip.sdp import MediaDescription
from ringback.sip.sdp_values import (
    COMFORT_NOISE,
    OPUS,
    STATIC_PAYLOAD_TYPES,
    TELEPHONE_EVENT,
    Codec,
    PayloadFormat,
)

MIN_PTIME_MS = 10
MAX_PTIME_MS = 60
DTMF_EVENTS = "0-16"
COMMON_EVENT_RATE = 8000
"""Hz of the events that many peers offer beside Opus, whatever its own clock."""

_DTMF_PAYLOAD_TYPE = 101
_DYNAMIC_PAYLOAD_TYPES = range(96, 128)
_OPUS_PTIMES_MS = (10, 20, 40, 60)
_MIN_PTIME = re.compile(r"(?i)(?:^|;)\s*minptime\s*=\s*([0-9]{1,3})\s*(?:;|$)")


Formats = tuple[PayloadFormat, ...]


class NoPayloadType(SipError):
    """Every dynamic payload type is in use."""


def telephone_event(clock_rate: int) -> Codec:
    return Codec(TELEPHONE_EVENT, clock_rate, fmtp=DTMF_EVENTS)


def comfort_noise(clock_rate: int) -> Codec:
    return Codec(COMFORT_NOISE, clock_rate)


def first_common(
    wanted: Sequence[PayloadFormat], known: Sequence[PayloadFormat]
) -> PayloadFormat | None:
    """The first audio format of ``wanted`` that ``known`` has too."""
    keys = {item.codec.key for item in known if item.codec.is_audio}
    return next((item for item in wanted if item.codec.key in keys), None)


@lru_cache(REMEMBERED_OFFERS)
def choose(
    offered: Formats, codecs: tuple[Codec, ...], prefer_local: bool
) -> tuple[PayloadFormat, Codec] | None:
    """The peer's format to answer with, and our codec that it is; ``None``: nothing in common.

    The first of ``codecs`` that is offered, or the first offered that is in ``codecs``.
    """
    ours = {codec.key: codec for codec in reversed(codecs)}
    usable = [item for item in offered if item.codec.is_audio and item.codec.key in ours]
    if not usable:
        return None
    chosen = usable[0]
    if prefer_local:
        rank = {codec.key: index for index, codec in reversed(list(enumerate(codecs)))}
        chosen = min(usable, key=lambda item: rank[item.codec.key])
    return chosen, ours[chosen.codec.key]


@lru_cache(REMEMBERED_OFFERS)
def events_for(formats: Formats, codec: Codec) -> PayloadFormat | None:
    """The DTMF events to go with ``codec``: at its clock rate (RFC 4733 2.1), or at 8 kHz from a
    peer that knows no other."""
    for rate in (codec.clock_rate, COMMON_EVENT_RATE):
        wanted = telephone_event(rate)
        found = next((item for item in formats if item.codec.same_as(wanted)), None)
        if found is not None:
            return found
    return None


@lru_cache(REMEMBERED_OFFERS)
def comfort_noise_for(formats: Formats, codec: Codec) -> PayloadFormat | None:
    wanted = comfort_noise(codec.clock_rate)
    return next((item for item in formats if item.codec.same_as(wanted)), None)


def packet_time(theirs: MediaDescription, codec: Codec, fmtp: str, default: int) -> int:
    """Milliseconds per packet to send: what the peer asks for, in whole frames of 10 ms; for Opus
    in frames that it has."""
    wanted = theirs.ptime or default
    minimum = _MIN_PTIME.search(fmtp)
    if minimum is not None:
        wanted = max(wanted, int(minimum[1]))
    if theirs.maxptime is not None:
        wanted = min(wanted, theirs.maxptime)
    wanted = max(MIN_PTIME_MS, min(wanted, MAX_PTIME_MS)) // 10 * 10
    if codec.same_as(OPUS):
        return max(time for time in _OPUS_PTIMES_MS if time <= wanted)
    return wanted


@lru_cache(REMEMBERED_OFFERS)
def receivable(ours: Formats, theirs: Formats) -> Formats:
    """What may arrive: our formats under our numbers, and for peers that use their own numbers
    instead the same formats under those, where they mean nothing else here."""
    found = {item.payload_type: item for item in ours}
    known = {item.codec.key: item.codec for item in ours}
    events = any(_is_event(item) for item in ours)
    for item in theirs:
        codec = known.get(item.codec.key) or (item.codec if events and _is_event(item) else None)
        if codec is not None:
            found.setdefault(item.payload_type, PayloadFormat(item.payload_type, codec))
    return tuple(found.values())


def _is_event(item: PayloadFormat) -> bool:
    return item.codec.name.lower() == TELEPHONE_EVENT


class PayloadNumbers:
    """The payload types of a session: a number that was used keeps its meaning (RFC 3264 8.3.2)."""

    def __init__(self) -> None:
        self._by_codec: dict[tuple[str, int, int], int] = {}

    def for_offer(self, codecs: Sequence[Codec], *, dtmf: bool) -> tuple[PayloadFormat, ...]:
        """The codecs and their DTMF events numbered: as before, else static, else dynamic.

        Comfort noise is repeated where it was agreed on, and never asked for: a peer that sends
        silence as noise is one that cuts words off.
        """
        wanted = list(codecs)
        rates = tuple(dict.fromkeys(codec.clock_rate for codec in codecs))
        if dtmf:
            wanted += [telephone_event(rate) for rate in rates]
        agreed = (comfort_noise(rate) for rate in rates)
        wanted += [codec for codec in agreed if codec.key in self._by_codec]
        for codec in wanted:
            if codec.key not in self._by_codec:
                self._by_codec[codec.key] = self._free(codec)
        return tuple(PayloadFormat(self._by_codec[codec.key], codec) for codec in wanted)

    def for_answer(
        self,
        offered: Formats,
        chosen: PayloadFormat,
        codec: Codec,
        *,
        dtmf: bool,
        noise: bool,
    ) -> tuple[PayloadFormat, ...]:
        """The formats of our answer, under the peer's numbers (RFC 3264 6.1)."""
        formats = [PayloadFormat(chosen.payload_type, codec)]
        events = events_for(offered, codec) if dtmf else None
        if events is not None:
            rate = events.codec.clock_rate
            formats.append(PayloadFormat(events.payload_type, telephone_event(rate)))
        silence = comfort_noise_for(offered, codec) if noise else None
        if silence is not None:
            formats.append(PayloadFormat(silence.payload_type, comfort_noise(codec.clock_rate)))
        numbers = {item.payload_type for item in formats}
        kept = {key: n for key, n in self._by_codec.items() if n not in numbers}
        self._by_codec = kept | {item.codec.key: item.payload_type for item in formats}
        return tuple(formats)

    def _free(self, codec: Codec) -> int:
        taken = set(self._by_codec.values())
        for number, known in STATIC_PAYLOAD_TYPES.items():
            if known.same_as(codec) and number not in taken:
                return number
        if codec.name == TELEPHONE_EVENT and _DTMF_PAYLOAD_TYPE not in taken:
            return _DTMF_PAYLOAD_TYPE
        for number in _DYNAMIC_PAYLOAD_TYPES:
            if number not in taken and number != _DTMF_PAYLOAD_TYPE:
                return number
        raise NoPayloadType("no payload type is left for another codec")
