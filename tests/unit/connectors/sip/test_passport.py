"""The claims of a caller's Identity header (RFC 8224, RFC 8225), shown and not verified."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.connectors.sip.passed_headers import MAX_IDENTITY_LENGTH, received_headers
from ringback.connectors.sip.passport import claims_of
from ringback.sip.message import Request
from unit.connectors.sip.leg_lab import Lab
from unit.sip.sipkit import request_from

HEADER = {"alg": "ES256", "typ": "passport", "ppt": "shaken", "x5u": "https://cert.example/p.pem"}
CLAIMS = {
    "attest": "A",
    "dest": {"tn": ["33612345678"]},
    "iat": 1471375418,
    "orig": {"tn": "4930123456"},
    "origid": "123e4567-e89b-12d3-a456-426655440000",
}


def part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(header: object = HEADER, claims: object = CLAIMS) -> str:
    return f"{part(header)}.{part(claims)}.c2lnbmF0dXJl"


def invite(identity: str) -> Request:
    return request_from("INVITE", headers=[("Identity", identity)])


@pytest.mark.requirement("call.stir-shaken")
def test_the_claims_of_a_passport_are_read() -> None:
    claims = claims_of(invite(f"{token()};info=<https://cert.example/p.pem>;alg=ES256;ppt=shaken"))
    assert claims is not None
    assert claims["attest"] == "A"
    assert claims["orig"] == {"tn": "4930123456"}
    assert (claims["ppt"], claims["verified"]) == ("shaken", False)


@pytest.mark.requirement("call.stir-shaken")
def test_the_header_and_the_claims_reach_the_call() -> None:
    async def test(lab: Lab) -> None:
        identity = f"{token()};info=<https://cert.example/p.pem>"
        lab.invite.headers.add("y", identity)  # the compact form
        await lab.hear(lab.invite)
        assert lab.sink.offer is not None
        assert lab.sink.offer.headers["Identity"] == identity
        assert lab.sink.offer.identity is not None
        assert lab.sink.offer.identity["attest"] == "A"

    Lab.run(test)


@pytest.mark.parametrize(
    "identity",
    [
        "",
        "nonsense",
        "..c2lnbmF0dXJl;info=<https://x>",
        f"{part(HEADER)}.!!!.sig",
        token(claims=[1, 2]),
        token(claims="text"),
        token(header=3),
        f"{part(HEADER)}.{urlsafe_b64encode(b'[' * 3000).decode()}.s",
        token(claims={"x": "y" * 5000}),
    ],
)
def test_what_cannot_be_read_claims_nothing(identity: str) -> None:
    assert claims_of(invite(identity)) is None


def test_claims_that_are_nested_beyond_sense_are_none() -> None:
    deep: object = 1
    for _ in range(50):
        deep = {"a": deep}
    assert claims_of(invite(token(claims=deep))) is None


def test_a_claim_of_being_verified_does_not_count() -> None:
    claims = claims_of(invite(token(claims={"verified": True})))
    assert claims is not None
    assert claims["verified"] is False


@given(st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), max_size=200))
def test_no_header_is_an_error(text: str) -> None:
    claims_of(invite(text))


@pytest.mark.requirement("call.stir-shaken", "call.diversion")
def test_identity_history_and_diversion_are_kept_and_an_endless_one_is_not() -> None:
    headers = [
        ("Diversion", "<sip:+4930123@pbx>;reason=no-answer"),
        ("History-Info", "<sip:+4930123@pbx>;index=1"),
        ("Identity", "x" * MAX_IDENTITY_LENGTH),
        ("P-Charging-Vector", "secret"),
    ]
    found = received_headers(request_from("INVITE", headers=headers))
    assert list(found) == ["Diversion", "History-Info", "Identity"]
    too_long = [("Identity", "x" * (MAX_IDENTITY_LENGTH + 1))]
    assert received_headers(request_from("INVITE", headers=too_long)) == {}
