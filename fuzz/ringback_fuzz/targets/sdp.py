"""A session description: read, written, read again as the same."""

from __future__ import annotations

from ringback.sip.errors import ParseError
from ringback.sip.sdp import SessionDescription
from ringback_fuzz.targets import require


def run(data: bytes) -> None:
    try:
        description = SessionDescription.parse(data)
    except ParseError as error:
        str(error)
        return
    for media in description.media:
        str(
            (
                media.direction,
                media.payload_formats,
                media.ptime,
                media.maxptime,
                media.rtcp,
                media.rtcp_mux,
                media.crypto,
                description.direction_of(media),
                description.connection_of(media),
            )
        )
    written = bytes(description)
    again = SessionDescription.parse(written)
    require(bytes(again) == written, "writing a description is not stable")
