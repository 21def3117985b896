"""The digest computation and the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringback.sip.digest import (
    ALGORITHMS,
    MAX_REMEMBERED_NONCES,
    DigestClient,
    DigestInput,
    UnsupportedChallenge,
    choose_challenge,
    digest_response,
    find_algorithm,
    is_answerable,
    may_retry,
    with_next_nonce,
)
from ringback.sip.headers import AuthenticationInfo, Challenge, Credentials

# The body of the examples in draft-smith-sipping-auth-examples.
SDP = (
    b"v=0\r\no=bob 2890844526 2890844526 IN IP4 media.biloxi.com\r\ns=-\r\n"
    b"c=IN IP4 media.biloxi.com\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n"
    b"a=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n"
    b"m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n"
)
NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
BOB = 'Digest realm="biloxi.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'


def challenge(extra: str = "", nonce: str = "n1") -> Challenge:
    return Challenge.parse(f'Digest realm="r", nonce="{nonce}", {extra}')


def tokens() -> Iterator[str]:
    return (f"c{number}" for number in range(1000))


@pytest.mark.requirement("trunk.digest-algorithms", "rfc7616.3.4")
@pytest.mark.parametrize(
    ("algorithm", "qop", "response"),
    [
        (None, None, "bf57e4e0d0bffc0fbaedce64d59add5e"),
        ("MD5", None, "bf57e4e0d0bffc0fbaedce64d59add5e"),
        ("MD5", "auth", "89eb0059246c02b2f6ee02c7961d5ea3"),
        ("MD5-sess", "auth", "e4e4ea61d186d07a92c9e1f6919902e9"),
        ("MD5", "auth-int", "bdbeebb2da6adb6bca02599c2239e192"),
        ("MD5-sess", "auth-int", "91984da2d8663716e91554859c22ca70"),
    ],
)
def test_the_examples_of_sip_digest(algorithm: str | None, qop: str | None, response: str) -> None:
    text = (
        BOB + (f", algorithm={algorithm}" if algorithm else "") + (f', qop="{qop}"' if qop else "")
    )
    credentials = DigestClient("bob", "zanzibar").authorize(
        Challenge.parse(text), "INVITE", "sip:bob@biloxi.com", "0a4f113b", SDP
    )
    assert credentials.response == response


def test_the_example_of_rfc_2617_section_3_5() -> None:
    credentials = DigestClient("Mufasa", "Circle Of Life").authorize(
        Challenge.parse(
            f'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="{NONCE}",'
            ' opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        ),
        "GET",
        "/dir/index.html",
        "0a4f113b",
    )
    assert str(credentials) == (
        'Digest username="Mufasa", realm="testrealm@host.com", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", '
        'response="6629fae49393a05397450978507c4ef1", cnonce="0a4f113b", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41", qop=auth, nc=00000001'
    )


@pytest.mark.requirement("rfc7616.3.4", "trunk.digest-algorithms")
@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    credentials = DigestClient("Mufasa", "Circle of Life").authorize(
        Challenge.parse(
            'Digest realm="http-auth@example.org", qop="auth, auth-int", '
            f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
        ),
        "GET",
        "/dir/index.html",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert credentials.response == response
    assert credentials.algorithm == algorithm


@pytest.mark.requirement("rfc7616.3.4")
def test_the_example_of_rfc_7616_section_3_9_2_as_corrected_by_erratum_4897() -> None:
    credentials = DigestClient("Jäsøn Doe", "Secret, or not?").authorize(
        Challenge.parse(
            'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
            'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", charset=UTF-8, userhash=true'
        ),
        "GET",
        "/doe.json",
        "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert credentials.username == (
        "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    )
    assert credentials.response == (
        "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    )
    assert credentials.get("userhash") == "true"


@pytest.mark.requirement("trunk.digest-algorithms")
def test_every_algorithm_is_there_in_both_forms() -> None:
    assert sorted(ALGORITHMS) == [
        *("md5", "md5-sess", "sha-256", "sha-256-sess", "sha-512-256", "sha-512-256-sess")
    ]
    assert find_algorithm("sha-256-SESS") is ALGORITHMS["sha-256-sess"]
    assert find_algorithm("SHA3") is None


@pytest.mark.requirement("rfc7616.3.4")
def test_each_use_of_a_nonce_is_counted() -> None:
    client = DigestClient("u", "p")
    offered = challenge('qop="auth"')
    used = [client.authorize(offered, "INVITE", "sip:a", token) for token in ("c1", "c2", "c3")]
    assert [credentials.get("nc") for credentials in used] == ["00000001", "00000002", "00000003"]
    assert [credentials.cnonce for credentials in used] == ["c1", "c2", "c3"]
    assert client.authorize(challenge('qop="auth"', "n2"), "INVITE", "sip:a", "c").nc == 1


@pytest.mark.requirement("rfc7616.3.4", "trunk.digest-algorithms")
def test_a_session_keeps_its_first_client_nonce() -> None:
    client = DigestClient("u", "p")
    offered = challenge('qop="auth", algorithm=MD5-sess')
    first = client.authorize(offered, "INVITE", "sip:a", "c1")
    second = client.authorize(offered, "INVITE", "sip:a", "c2")
    assert (first.cnonce, second.cnonce) == ("c1", "c1")
    assert second.nc == 2


def test_a_session_without_qop_tells_its_client_nonce() -> None:
    credentials = DigestClient("u", "p").authorize(
        challenge("algorithm=MD5-sess"), "INVITE", "sip:a", "c1"
    )
    assert (credentials.cnonce, credentials.qop, credentials.nc) == ("c1", None, None)


def test_the_nonces_that_are_remembered_are_bounded_by_least_recent_use() -> None:
    client = DigestClient("u", "p")
    fresh = tokens()
    for number in range(MAX_REMEMBERED_NONCES):
        client.authorize(challenge('qop="auth"', f"n{number}"), "INVITE", "sip:a", next(fresh))
    client.authorize(challenge('qop="auth"', "n0"), "INVITE", "sip:a", next(fresh))
    client.authorize(challenge('qop="auth"', "new"), "INVITE", "sip:a", next(fresh))

    def count(nonce: str) -> int | None:
        return client.authorize(challenge('qop="auth"', nonce), "INVITE", "sip:a", "c").nc

    assert count("n0") == 3
    assert count("n1") == 1


def test_opaque_and_algorithm_are_echoed_as_they_were_offered() -> None:
    client = DigestClient("u", "p")
    plain = client.authorize(challenge(), "INVITE", "sip:a", "c")
    assert plain.get("algorithm") is None
    assert plain.opaque is None
    echoed = client.authorize(challenge('algorithm="md5", opaque=""'), "INVITE", "sip:a", "c")
    assert echoed.get("algorithm") == "md5"
    assert 'opaque=""' in str(echoed)


def test_a_realm_of_ones_own_replaces_that_of_the_challenge() -> None:
    own = DigestClient("u", "p", "own").authorize(challenge(), "INVITE", "sip:a", "c")
    taken = DigestClient("u", "p").authorize(challenge(), "INVITE", "sip:a", "c")
    assert (own.realm, taken.realm) == ("own", "r")
    assert own.response != taken.response


def test_the_password_is_not_shown() -> None:
    assert repr(DigestClient("bob", "zanzibar")) == "DigestClient(username='bob')"


@pytest.mark.parametrize(
    ("offered", "chosen"), [("auth-int,auth", "auth"), ("auth-int", "auth-int")]
)
def test_auth_is_preferred_to_auth_int(offered: str, chosen: str) -> None:
    credentials = DigestClient("u", "p").authorize(
        challenge(f'qop="{offered}"'), "INVITE", "sip:a", "c"
    )
    assert credentials.qop == chosen


@pytest.mark.requirement("trunk.digest-algorithms")
def test_the_body_counts_for_auth_int_only() -> None:
    def response(qop: str, body: bytes) -> str:
        offered = challenge(f'qop="{qop}"')
        return DigestClient("u", "p").authorize(offered, "INVITE", "sip:a", "c", body).response

    assert response("auth", b"x") == response("auth", b"y")
    assert response("auth-int", b"x") != response("auth-int", b"y")
    assert response("auth-int", b"") == response("auth-int", b"")


@pytest.mark.parametrize(
    "text",
    [
        'Basic realm="r"',
        'Digest realm="r", nonce="n", algorithm=SHA3',
        'Digest realm="r", nonce="n", qop="auth-conf"',
    ],
)
def test_a_challenge_that_is_not_understood_is_not_answered(text: str) -> None:
    offered = Challenge.parse(text)
    assert not is_answerable(offered)
    with pytest.raises(UnsupportedChallenge):
        DigestClient("u", "p").authorize(offered, "INVITE", "sip:a", "c")


@pytest.mark.parametrize(
    "text", ['Digest nonce="n"', 'Digest realm="r"', 'Digest realm="r", nonce=""']
)
def test_a_challenge_without_realm_or_nonce_is_not_answerable(text: str) -> None:
    assert not is_answerable(Challenge.parse(text))


@pytest.mark.requirement("trunk.several-challenges", "rfc8760.2", "rfc7616.3.3")
def test_the_strongest_challenge_is_chosen_and_the_first_of_equals() -> None:
    offered = [
        challenge("algorithm=MD5", "md5"),
        challenge("algorithm=SHA-256", "sha"),
        challenge("algorithm=SHA-256-sess", "sha-sess"),
        challenge("algorithm=SHA3-512", "unknown"),
        Challenge.parse("Negotiate"),
    ]
    chosen = choose_challenge(offered)
    assert chosen is not None
    assert chosen.nonce == "sha"
    stronger = choose_challenge([*offered, challenge("algorithm=SHA-512-256", "512")])
    assert stronger is not None
    assert stronger.nonce == "512"
    assert choose_challenge(offered[3:]) is None
    assert choose_challenge([]) is None


@pytest.mark.requirement("trunk.realm")
def test_a_realm_leaves_only_the_challenges_of_that_realm() -> None:
    offered = [challenge(), Challenge.parse('Digest realm="other", nonce="n2"')]
    chosen = choose_challenge(offered, "other")
    assert chosen is not None
    assert chosen.nonce == "n2"
    assert choose_challenge(offered, "third") is None


def sent(nonce: str, nc: str = "00000001") -> Credentials:
    return Credentials.digest((("nonce", nonce), ("nc", nc), ("qop", "auth")))


@pytest.mark.requirement("rfc7616.3.3")
@pytest.mark.parametrize(
    ("second", "rejected", "retries", "allowed"),
    [
        (challenge("stale=true", "n2"), sent("n1"), 0, True),
        (challenge("stale=true", "n2"), sent("n1"), 1, False),
        (challenge("stale=true", "n1"), sent("n1"), 0, False),
        (challenge("", "n2"), sent("n1"), 0, False),
        (challenge("", "n2"), sent("n1", "00000002"), 0, True),
        (challenge("", "n1"), sent("n1", "00000002"), 0, False),
        (challenge("", "n2"), Credentials.digest((("nonce", "n1"),)), 0, False),
    ],
)
def test_a_request_is_tried_again_once_and_only_for_a_nonce_that_wore_out(
    second: Challenge, rejected: Credentials, retries: int, allowed: bool
) -> None:
    assert may_retry(second, rejected, retries) is allowed


def test_the_next_nonce_takes_the_place_of_the_last() -> None:
    offered = challenge("stale=true, qop=auth")
    following = with_next_nonce(offered, AuthenticationInfo.parse('nextnonce="n2", qop=auth'))
    assert following.nonce == "n2"
    assert not following.stale
    assert following.qop == ("auth",)
    assert with_next_nonce(offered, AuthenticationInfo.parse('rspauth="x"')) is offered


def test_text_of_any_kind_can_be_digested() -> None:
    given = DigestInput(ALGORITHMS["md5"], "\udce9", "é", "\ud800", "M", "u", "n")
    assert len(digest_response(given)) == 32
