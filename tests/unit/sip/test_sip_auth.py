"""Challenges and credentials as header values."""

from __future__ import annotations

import pytest

from ringback.sip.errors import HeaderError
from ringback.sip.headers import AuthenticationInfo, Challenge, Credentials


def test_a_challenge_is_read() -> None:
    challenge = Challenge.parse(
        'Digest realm="atlanta.com",\tdomain="sip:boxesbybob.com", qop="auth,auth-int",'
        ' nonce="f84f1cec41e6cbe5aea9c8e88d359", opaque="", stale=FALSE, algorithm=MD5'
    )
    assert challenge.is_digest
    assert challenge.realm == "atlanta.com"
    assert challenge.nonce == "f84f1cec41e6cbe5aea9c8e88d359"
    assert challenge.qop == ("auth", "auth-int")
    assert challenge.opaque == ""
    assert not challenge.stale
    assert challenge.algorithm == "MD5"
    assert challenge.get("domain") == "sip:boxesbybob.com"


def test_what_a_challenge_lacks() -> None:
    challenge = Challenge.parse("digest nonce=x")
    assert (challenge.realm, challenge.opaque, challenge.qop) == ("", None, ())
    assert challenge.algorithm == "MD5"


@pytest.mark.parametrize(
    "text",
    [
        'Digest realm="a\\"b, c", nonce=n==/+;x, qop=auth, stale="true", algorithm="SHA-256"',
        'DIGEST  realm = "a\\"b, c" ,, nonce = n==/+;x ,qop="Auth" , stale=TRUE,algorithm=SHA-256,',
    ],
)
def test_quotes_too_many_or_too_few_and_stray_commas_do_not_matter(text: str) -> None:
    challenge = Challenge.parse(text)
    assert challenge.realm == 'a"b, c'
    assert challenge.nonce == "n==/+;x"
    assert challenge.qop == ("auth",)
    assert challenge.stale
    assert challenge.algorithm == "SHA-256"


def test_several_challenges_are_read_from_one_field() -> None:
    text = (
        'Digest realm="a", nonce="1", algorithm=SHA-256, Basic realm="b", Negotiate, '
        'NTLM TlRMTVNTUAAB==, Bearer scope="x", Digest nonce="2"'
    )
    challenges = Challenge.parse_all(text)
    assert [challenge.scheme for challenge in challenges] == [
        *("Digest", "Basic", "Negotiate", "NTLM", "Bearer", "Digest")
    ]
    assert [challenge.nonce for challenge in challenges] == ["1", "", "", "", "", "2"]
    assert challenges[3].token68 == "TlRMTVNTUAAB=="
    assert str(challenges[3]) == "NTLM TlRMTVNTUAAB=="
    assert str(challenges[2]) == "Negotiate"
    assert str(challenges[1]) == 'Basic realm="b"'


def test_an_empty_value_is_read_as_an_empty_string() -> None:
    challenge = Challenge.parse('Digest opaque=, realm="x"')
    assert (challenge.opaque, challenge.realm) == ("", "x")


def test_a_challenge_is_written_with_the_quotes_that_are_due() -> None:
    challenge = Challenge.digest(
        (
            ("realm", 'a"b'),
            ("nonce", "n"),
            ("algorithm", "MD5"),
            ("qop", "auth"),
            ("stale", "true"),
            ("opaque", None),
        )
    )
    assert str(challenge) == (
        'Digest realm="a\\"b", nonce="n", algorithm=MD5, qop="auth", stale=true'
    )


def test_credentials_are_read_and_written() -> None:
    text = (
        'Digest username="bob", realm="biloxi.com", nonce="dcd98", uri="sip:bob@biloxi.com",'
        ' qop=auth, nc=0000000A, cnonce="0a4f113b", response="6629f", opaque="5ccc"'
    )
    credentials = Credentials.parse(text)
    assert str(credentials) == text
    assert credentials.username == "bob"
    assert credentials.uri == "sip:bob@biloxi.com"
    assert (credentials.qop, credentials.nc, credentials.cnonce) == ("auth", 10, "0a4f113b")
    assert credentials.response == "6629f"
    assert credentials.opaque == "5ccc"


def test_what_credentials_lack() -> None:
    credentials = Credentials.parse("Digest nc=1")
    assert (credentials.username, credentials.uri, credentials.response) == ("", "", "")
    assert (credentials.qop, credentials.nc, credentials.cnonce) == (None, None, None)


@pytest.mark.parametrize("text", ["", ",", 'Digest realm="x', 'Digest a=1 "b"', "= x"])
def test_malformed_values_are_refused_with_the_name_of_their_header(text: str) -> None:
    with pytest.raises(HeaderError, match="^Proxy-Authenticate: "):
        Challenge.parse_all(text, "Proxy-Authenticate")
    with pytest.raises(HeaderError, match="^Proxy-Authorization: "):
        Credentials.parse(text, "Proxy-Authorization")


def test_two_values_where_one_is_due_are_refused() -> None:
    with pytest.raises(HeaderError, match="one value"):
        Credentials.parse("Digest a=1, Basic b=2")
    with pytest.raises(HeaderError, match="one value"):
        Challenge.parse("Digest a=1, Basic b=2")


def test_authentication_info_is_read_and_written() -> None:
    text = 'nextnonce="47364c23", qop=auth, rspauth="6629"'
    info = AuthenticationInfo.parse(text)
    assert (info.next_nonce, info.response_auth) == ("47364c23", "6629")
    assert str(info) == text
    assert AuthenticationInfo.parse("").next_nonce is None


@pytest.mark.parametrize("text", ["nextnonce", 'nextnonce="x', "=1"])
def test_malformed_authentication_info_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="^Authentication-Info: "):
        AuthenticationInfo.parse(text)
