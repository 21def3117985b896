"""Verifying digest credentials."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.sip import digest_server
from ringback.sip.auth import AuthParams
from ringback.sip.digest import DigestClient
from ringback.sip.digest_server import NONCE_LIFETIME, DigestServer, Verdict
from ringback.sip.headers import Challenge, Credentials
from ringback.sip.uri import Uri

KEY = b"k" * 32
URI = Uri.parse("sip:example.com")


def server(key: bytes = KEY) -> DigestServer:
    return DigestServer("example.com", key)


def answer(
    challenge: Challenge, password: str = "secret", client: DigestClient | None = None
) -> Credentials:
    who = client or DigestClient("alice", password)
    return who.authorize(challenge, "REGISTER", str(URI), "cnonce")


def verify(judge: DigestServer, credentials: Credentials, now: float = 0.0) -> Verdict:
    return judge.verify(credentials, "REGISTER", "secret", now, uri=URI)


@pytest.mark.parametrize("index", [0, 1])
def test_the_right_password_is_accepted_with_every_algorithm(index: int) -> None:
    judge = server()
    assert verify(judge, answer(judge.challenges(0.0)[index])) is Verdict.ACCEPTED


def test_challenges_offer_the_strongest_algorithm_first() -> None:
    offered = server().challenges(0.0)
    assert [challenge.algorithm for challenge in offered] == ["SHA-256", "MD5"]
    assert {challenge.qop for challenge in offered} == {("auth", "auth-int")}
    assert not offered[0].stale
    assert server().challenges(0.0, stale=True)[0].stale


def test_an_algorithm_that_is_not_known_is_not_offered() -> None:
    judge = DigestServer("r", KEY, algorithms=("SHA3", "MD5"))
    assert [challenge.algorithm for challenge in judge.challenges(0.0)] == ["MD5"]


def test_a_wrong_password_is_wrong() -> None:
    judge = server()
    assert verify(judge, answer(judge.challenges(0.0)[0], "guess")) is Verdict.WRONG


def test_a_user_that_does_not_exist_is_wrong_even_with_an_empty_password() -> None:
    judge = server()
    credentials = answer(judge.challenges(0.0)[0], "")
    assert judge.verify(credentials, "REGISTER", None, 0.0) is Verdict.WRONG


def test_another_method_or_uri_or_body_is_wrong() -> None:
    judge = server()
    challenge = judge.challenges(0.0)[0]
    assert judge.verify(answer(challenge), "INVITE", "secret", 0.0) is Verdict.WRONG
    other = Uri.parse("sip:other.example")
    assert judge.verify(answer(challenge), "REGISTER", "secret", 0.0, uri=other) is Verdict.WRONG
    whole = replace(challenge, params=challenge.params.set("qop", "auth-int"))
    credentials = DigestClient("alice", "secret").authorize(whole, "INFO", "x", "c", b"body")
    assert judge.verify(credentials, "INFO", "secret", 0.0, body=b"x") is Verdict.WRONG
    assert judge.verify(credentials, "INFO", "secret", 0.0, body=b"body") is Verdict.ACCEPTED


def test_an_equivalent_uri_is_right() -> None:
    judge = server()
    credentials = DigestClient("alice", "secret").authorize(
        judge.challenges(0.0)[0], "REGISTER", "sip:EXAMPLE.com", "c"
    )
    assert verify(judge, credentials) is Verdict.ACCEPTED


def test_a_uri_that_cannot_be_read_is_wrong() -> None:
    judge = server()
    credentials = DigestClient("alice", "secret").authorize(
        judge.challenges(0.0)[0], "REGISTER", "nonsense", "c"
    )
    assert verify(judge, credentials) is Verdict.WRONG


def test_a_nonce_is_good_for_its_lifetime() -> None:
    judge = server()
    client = DigestClient("alice", "secret")
    challenge = judge.challenges(100.0)[0]
    assert verify(judge, answer(challenge, client=client), 100 + NONCE_LIFETIME) is Verdict.ACCEPTED
    assert verify(judge, answer(challenge, client=client), 101 + NONCE_LIFETIME) is Verdict.STALE


def test_a_wrong_password_with_an_old_nonce_is_wrong_and_not_stale() -> None:
    judge = server()
    credentials = answer(judge.challenges(0.0)[0], "guess")
    assert verify(judge, credentials, 10_000.0) is Verdict.WRONG


def test_a_nonce_of_another_key_is_stale() -> None:
    challenge = server(b"other" * 8).challenges(0.0)[0]
    assert verify(server(), answer(challenge)) is Verdict.STALE


@pytest.mark.parametrize("nonce", ["", "x", "!!!", "é", base64.b64encode(b"x" * 32).decode()])
def test_a_nonce_that_nobody_issued_is_stale(nonce: str) -> None:
    judge = server()
    challenge = judge.challenges(0.0)[0]
    forged = replace(challenge, params=challenge.params.set("nonce", nonce))
    assert verify(judge, answer(forged)) is Verdict.STALE


def test_every_nonce_is_issued_once() -> None:
    judge = server()
    assert len({judge.challenges(0.0)[0].nonce for _ in range(10)}) == 10


def test_a_count_is_accepted_once_and_only_upwards() -> None:
    judge = server()
    client = DigestClient("alice", "secret")
    challenge = judge.challenges(0.0)[0]
    first, second, third = (answer(challenge, client=client) for _ in range(3))
    assert verify(judge, first) is Verdict.ACCEPTED
    assert verify(judge, first) is Verdict.STALE
    assert verify(judge, third) is Verdict.ACCEPTED
    assert verify(judge, second) is Verdict.STALE


def test_without_qop_a_nonce_serves_once() -> None:
    judge = server()
    challenge = judge.challenges(0.0)[1]
    old = replace(challenge, params=challenge.params.remove("qop").remove("algorithm"))
    assert verify(judge, answer(old)) is Verdict.ACCEPTED
    assert verify(judge, answer(old)) is Verdict.STALE


def test_the_nonces_that_are_tracked_are_bounded_and_a_forgotten_one_is_stale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(digest_server, "MAX_TRACKED_NONCES", 2)
    judge = server()
    client = DigestClient("alice", "secret")
    offered = [judge.challenges(0.0)[0] for _ in range(4)]
    first = answer(offered[0], client=client)
    assert verify(judge, first) is Verdict.ACCEPTED
    for challenge in offered[1:3]:
        assert verify(judge, answer(challenge, client=client)) is Verdict.ACCEPTED
    assert verify(judge, first) is Verdict.STALE
    assert verify(judge, answer(offered[0], client=client)) is Verdict.STALE
    assert verify(judge, answer(offered[2], client=client)) is Verdict.ACCEPTED
    assert verify(judge, answer(offered[3], client=client)) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("realm", "other"),
        ("algorithm", "SHA3"),
        ("qop", "auth-conf"),
        ("nc", "1"),
        ("nc", "zzzzzzzz"),
        ("response", ""),
        ("username", "bob"),
    ],
)
def test_credentials_that_do_not_answer_the_challenge_are_wrong(name: str, value: str) -> None:
    judge = server()
    credentials = answer(judge.challenges(0.0)[0])
    changed = replace(credentials, params=credentials.params.set(name, value))
    assert verify(judge, changed) is Verdict.WRONG


@pytest.mark.parametrize("name", ["nc", "cnonce", "response", "nonce", "realm", "uri", "username"])
def test_credentials_that_lack_something_are_wrong(name: str) -> None:
    judge = server()
    credentials = answer(judge.challenges(0.0)[0])
    changed = replace(credentials, params=credentials.params.remove(name))
    assert verify(judge, changed) is Verdict.WRONG


def test_another_scheme_is_wrong() -> None:
    credentials = Credentials.parse("Basic YWxpY2U6c2VjcmV0")
    assert verify(server(), credentials) is Verdict.WRONG


def test_a_response_in_capitals_is_read() -> None:
    judge = server()
    credentials = answer(judge.challenges(0.0)[0])
    capitals = credentials.params.set("response", credentials.response.upper())
    assert verify(judge, replace(credentials, params=capitals)) is Verdict.ACCEPTED


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["username", "realm", "nonce", "uri", "response", "nc", "cnonce", "qop"]
                + ["algorithm", "opaque"]
            ),
            st.text(max_size=10).filter(lambda text: not set("\r\n") & set(text)),
        ),
        max_size=10,
    )
)
def test_nothing_made_up_is_ever_accepted(values: list[tuple[str, str]]) -> None:
    params = AuthParams()
    for name, value in values:
        params = params.set(name, value)
    assert verify(server(), Credentials("Digest", params)) is not Verdict.ACCEPTED
