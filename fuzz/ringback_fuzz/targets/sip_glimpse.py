"""What looks at SIP messages without parsing them: the guard's peek and the trace's masks."""

from __future__ import annotations

from datetime import UTC, datetime

from ringback.connectors.sip.masking import masked
from ringback.connectors.sip.trace import MAX_MESSAGE_BYTES, TraceBook
from ringback.net import sip_peek
from ringback.sip.transport import Flow, Hop
from ringback_fuzz.targets import require

PEER = Flow(Hop("udp", "192.0.2.2", 5060))
AT = datetime(2026, 1, 1, tzinfo=UTC)


class _Addresses:
    def advertised(self, hop: Hop) -> tuple[str, int]:
        return "192.0.2.1", 5060


def run(data: bytes) -> None:
    kept = masked(data)
    require(len(kept) == len(data), "a mask changes the length")
    require(masked(kept) == kept, "masking twice is not masking once")
    sip_peek.is_response(data)
    call_id = sip_peek.call_id(data)
    sip_peek.branch(data)
    sip_peek.contact_token(data)
    book = TraceBook(_Addresses(), lambda: AT)
    book.tap(False, data, PEER)
    book.adopt(call_id, "call")
    book.tap(True, data, PEER)
    require(all(len(m.data) <= MAX_MESSAGE_BYTES for m in book.of_call("call")), "not cut")
