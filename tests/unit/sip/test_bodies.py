"""The session description in a body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.sip.bodies import session_description
from ringback.sip.headers import Headers
from ringback.sip.message import Response

SDP = b"v=0\r\ns=-\r\n"


def message(body: bytes, content_type: str | None) -> Response:
    headers = Headers([("Content-Type", content_type)] if content_type is not None else [])
    return Response(200, "OK", headers, body)


def multipart(*parts: bytes, boundary: bytes = b"b") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + (
        b"--" + boundary + b"--\r\n"
    )


@pytest.mark.parametrize("content_type", ["application/sdp", "Application/SDP;charset=x", None])
def test_a_body_of_sdp_is_the_description(content_type: str | None) -> None:
    assert session_description(message(SDP, content_type)) == SDP


@pytest.mark.parametrize("content_type", ["text/plain", "nonsense", "multipart/mixed", ""])
def test_another_body_is_none(content_type: str) -> None:
    assert session_description(message(b"x", content_type)) is None


def test_no_body_is_none() -> None:
    assert session_description(message(b"", "application/sdp")) is None


@pytest.mark.parametrize(
    "content_type", ["multipart/mixed;boundary=b", 'multipart/related; boundary="b"']
)
def test_the_sdp_part_of_a_multipart_body_is_found(content_type: str) -> None:
    body = multipart(
        b"Content-Type: application/pidf+xml\r\n\r\n<x/>",
        b"Content-Disposition: session\r\nc: application/sdp\r\n\r\n" + SDP,
        b"Content-Type: application/sdp\r\n\r\nanother",
    )
    assert session_description(message(body, content_type)) == SDP


def test_a_preamble_is_skipped_and_parts_without_type_are_not_sdp() -> None:
    body = b"read me\r\n" + multipart(b"\r\nplain", b"Content-Type: text/plain\r\n\r\nx")
    assert session_description(message(body, "multipart/mixed;boundary=b")) is None


def test_a_part_whose_type_cannot_be_read_is_not_sdp() -> None:
    body = multipart(b"Content-Type: ???\r\n\r\nx")
    assert session_description(message(body, "multipart/mixed;boundary=b")) is None


def test_only_so_many_parts_are_looked_at() -> None:
    parts = [b"Content-Type: text/plain\r\n\r\nx"] * 20
    body = multipart(*parts, b"Content-Type: application/sdp\r\n\r\n" + SDP)
    assert session_description(message(body, "multipart/mixed;boundary=b")) is None


@given(st.binary(max_size=200))
def test_any_multipart_body_is_survived(body: bytes) -> None:
    session_description(message(b"--b\r\n" + body, "multipart/mixed;boundary=b"))
