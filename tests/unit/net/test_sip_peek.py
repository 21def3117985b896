"""What is read of a message before it is parsed."""

from __future__ import annotations

import pytest

from ringback.net import sip_peek


def message(*fields: str, body: str = "") -> bytes:
    return "\r\n".join(("NOTIFY sip:a@b SIP/2.0", *fields, "", body)).encode("latin-1")


@pytest.mark.parametrize(
    ("data", "call_id"),
    [
        (message("Via: x", "Call-ID: abc@192.0.2.1", "CSeq: 1 NOTIFY"), "abc@192.0.2.1"),
        (message("call-id:abc"), "abc"),
        (message("i : abc"), "abc"),
        (message("Call-ID: abc def"), "abc"),
        (message("Call-ID: abc;x=1"), "abc"),
        (message("Call-ID:   abc  "), "abc"),
        (message("Call-ID: "), ""),
        (message("Via: x"), ""),
        (message("Call-ID: caf\u00e9"), "caf\u00e9"),
        (message("i: ours", body="SIP/2.0 200 OK\r\nCall-ID: another\r\n"), "ours"),
        (b"OPTIONS sip:a SIP/2.0\nCall-ID: abc\n\n", "abc"),
        (b"OPTIONS sip:a SIP/2.0\r\nCall-ID: abc", "abc"),
    ],
)
def test_the_call_id_is_found_however_it_is_written(data: bytes, call_id: str) -> None:
    assert sip_peek.call_id(data) == call_id
    assert sip_peek.usual_call_id(data) in (None, call_id.encode("latin-1"))
