"""Certificates' fingerprints and who opens DTLS (RFC 8122, 4145, 5763)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.sip.dtls_setup import (
    HASH_BYTES,
    MAX_FINGERPRINTS,
    Fingerprint,
    active_as_offerer,
    active_in_answer,
    fingerprints,
)
from ringback.sip.sdp_values import SdpError

SHA256 = ":".join(["AB"] * 32)
SHA1 = ":".join(["0f"] * 20)


@pytest.mark.requirement("rfc5763.5")
@given(st.sampled_from(sorted(HASH_BYTES)), st.data())
def test_every_fingerprint_survives_writing_and_reading(
    algorithm: str, data: st.DataObject
) -> None:
    size = HASH_BYTES[algorithm]
    digest = data.draw(st.binary(min_size=size, max_size=size))
    fingerprint = Fingerprint(algorithm, digest.hex(":").upper())
    assert Fingerprint.parse(str(fingerprint)) == fingerprint
    assert Fingerprint.parse(f"{algorithm.upper()}  {digest.hex(':')}") == fingerprint


@pytest.mark.requirement("rfc5763.5")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha-256",
        f"md5 {':'.join(['AA'] * 16)}",
        f"sha-256 {SHA1}",
        f"sha-256 {SHA256}:",
        f"sha-256 {SHA256[:-1]}",
        f"sha-256 {SHA256.replace(':', '')}",
        f"sha-256 {SHA256} more",
        "sha-256 " + ":".join(["GG"] * 32),
    ],
)
def test_what_is_no_fingerprint_is_an_sdp_error(text: str) -> None:
    with pytest.raises(SdpError):
        Fingerprint.parse(text)


@pytest.mark.requirement("bad.sdp-size")
@pytest.mark.requirement("rfc5763.5")
def test_of_several_fingerprints_those_that_can_be_read_are_kept_once_and_bounded() -> None:
    kept = fingerprints([f"md2 {SHA1}", f"sha-1 {SHA1}", f"SHA-256 {SHA256}", f"sha-1 {SHA1}"])
    assert kept == (Fingerprint("sha-1", SHA1.upper()), Fingerprint("sha-256", SHA256))
    many = [f"sha-1 {':'.join([f'{n:02X}'] * 20)}" for n in range(100)]
    assert len(fingerprints(many)) == MAX_FINGERPRINTS


@pytest.mark.requirement("rfc5763.5")
@pytest.mark.parametrize(
    ("offered", "current", "active"),
    [
        ("actpass", None, True),
        ("ACTPASS ", None, True),
        ("actpass", False, False),
        ("actpass", True, True),
        ("active", None, False),
        ("active", True, False),
        ("passive", None, True),
        ("passive", False, True),
        (None, None, False),
        ("holdconn", None, None),
        ("whatever", None, None),
        ("", None, None),
    ],
)
def test_the_role_of_the_answerer_follows_the_offer(
    offered: str | None, current: bool | None, active: bool | None
) -> None:
    assert active_in_answer(offered, current) is active


@pytest.mark.requirement("rfc5763.5")
@pytest.mark.parametrize(
    ("answered", "active"),
    [
        ("active", False),
        ("passive", True),
        (None, True),
        ("actpass", None),
        ("holdconn", None),
        ("x", None),
    ],
)
def test_the_role_of_the_offerer_follows_the_answer(
    answered: str | None, active: bool | None
) -> None:
    assert active_as_offerer(answered) is active
