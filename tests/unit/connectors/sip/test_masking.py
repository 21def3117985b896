"""What of a signalling message is not kept."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.connectors.sip.masking import masked


def message(*fields: str, body: str = "") -> bytes:
    head = "\r\n".join(("INVITE sip:bob@example.com SIP/2.0", "Call-ID: abc", *fields))
    return f"{head}\r\n\r\n{body}".encode()


SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.requirement("ops.ladder")
@pytest.mark.parametrize(
    "data",
    [
        message(f'Authorization: Digest username="u", response="{SECRET}", nonce="n"'),
        message(f'proxy-authorization :Digest username="u",response = "{SECRET}"'),
        message(f"Authorization: Digest username=u,\r\n response={SECRET}"),
        message(f'Authorization: Digest x="y",\r\n\t response="{SECRET}"', "To: <sip:a@b>"),
        message(f"Authorization: Basic {SECRET}"),
        message(f'Authentication-Info: rspauth="{SECRET}", nc=00000001'),
        message(f"Contact: <sip:trunk@10.0.0.1:5060;line={SECRET};ob>"),
        message(f"Route: <sip:user:{SECRET}@example.com;lr>"),
        message(f"To:sip:user:{SECRET}@example.com"),
        message(f"To: sip:sip:sip:{SECRET}@example.com"),
        message(body=f"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{SECRET}|2^20|1:4\r\n"),
        message(body=f"v=0\r\na=ice-pwd:{SECRET}\r\n"),
        f'REGISTER sip:a SIP/2.0\nAuthorization: Digest response="{SECRET}'.encode(),
    ],
)
def test_a_secret_is_gone_and_the_length_is_the_same(data: bytes) -> None:
    kept = masked(data)
    assert SECRET.encode() not in kept
    assert SECRET[:6].encode() not in kept
    assert len(kept) == len(data)


def test_what_is_no_secret_stays() -> None:
    data = message(
        f'Authorization: Digest username="u", realm="r", nonce="nn", response="{SECRET}", qop=auth',
        "Contact: <sip:u@h;line=abc>",
        body="v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4\r\na=sendrecv\r\n",
    )
    kept = masked(data).decode()
    assert 'username="u", realm="r", nonce="nn", response="********' in kept
    assert "qop=auth" in kept
    assert "<sip:u@h;line=***>" in kept
    assert "inline:***|2^20|1:4" in kept
    assert "a=sendrecv" in kept


def test_pressed_keys_are_not_kept() -> None:
    relay = message("Content-Type: application/dtmf-relay", body="Signal=5\r\nDuration=160\r\n")
    plain = message("c: application/dtmf", body="5")
    other = message("Content-Type: text/plain", body="room 5")
    assert masked(relay).endswith(b"Signal=?\r\nDuration=160\r\n")
    assert masked(plain).endswith(b"\r\n\r\n?")
    assert masked(other) == other


@given(st.binary(max_size=400))
def test_any_bytes_are_taken_and_keep_their_length(data: bytes) -> None:
    assert len(masked(data)) == len(data)
    assert masked(masked(data)) == masked(data)


def test_a_message_that_repeats_a_scheme_is_masked_without_holding_up_calls() -> None:
    data = message(f"X-Long: {'sip:' * 2000}")
    began = time.perf_counter()
    masked(data)
    assert time.perf_counter() - began < 0.05
