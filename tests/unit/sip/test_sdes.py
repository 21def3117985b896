"""SRTP keys in the SDP (RFC 4568): what is read, what is honoured, what is skipped."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.sip import sdes
from ringback.sip.sdes import InlineKey, first_usable, key_of
from ringback.sip.sdp_values import Crypto, SdpError

KEY = bytes(range(30))
KEY64 = base64.b64encode(KEY).decode()
SUITE = "AES_CM_128_HMAC_SHA1_80"


def crypto(text: str) -> Crypto:
    return Crypto.parse(text)


@pytest.mark.requirement("rfc4568.6.1")
@pytest.mark.parametrize(
    ("text", "lifetime", "mki"),
    [
        (f"inline:{KEY64}", None, None),
        (f"inline:{KEY64}|2^20", 2**20, None),
        (f"inline:{KEY64}|1048577", 1_048_577, None),
        (f"inline:{KEY64}|1:4", None, (1, 4)),
        (f"INLINE:{KEY64}|2^48|66051:4", 2**48, (66051, 4)),
    ],
)
def test_a_key_with_its_lifetime_and_mki_is_read(
    text: str, lifetime: int | None, mki: tuple[int, int] | None
) -> None:
    key = InlineKey.parse(text)
    assert key == InlineKey(KEY, lifetime, mki)
    assert InlineKey.parse(str(key)) == key


@pytest.mark.requirement("rfc4568.6.1")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "inline",
        f"uri:{KEY64}",
        "inline:!!!!",
        "inline:abcde",
        "inline:\u00e9\u00e9\u00e9\u00e9",
        f"inline:{KEY64}|2^49",
        f"inline:{KEY64}|2^99",
        f"inline:{KEY64}|0",
        f"inline:{KEY64}|-1",
        f"inline:{KEY64}|2^20|2^20",
        f"inline:{KEY64}|2^20|1:4|x",
        f"inline:{KEY64}|1:0",
        f"inline:{KEY64}|1:129",
        f"inline:{KEY64}|x:4",
        f"inline:{KEY64}|" + "9" * 30,
    ],
)
def test_what_is_no_key_is_an_sdp_error(text: str) -> None:
    with pytest.raises(SdpError):
        InlineKey.parse(text)


@pytest.mark.requirement("rfc4568.6.1")
def test_padding_that_was_left_out_is_no_fault() -> None:
    key = bytes(range(28))
    text = base64.b64encode(key).decode().rstrip("=")
    assert InlineKey.parse(f"inline:{text}").material == key


def test_a_key_is_never_shown() -> None:
    assert KEY64 not in repr(InlineKey(KEY))
    assert repr(KEY)[2:20] not in repr(InlineKey(KEY))


@pytest.mark.requirement("rfc4568.6.1")
@given(
    st.binary(min_size=1, max_size=64),
    st.one_of(st.none(), st.integers(1, sdes.MAX_LIFETIME)),
    st.one_of(st.none(), st.tuples(st.integers(0, 10**19), st.integers(1, 128))),
)
def test_every_key_survives_writing_and_reading(
    material: bytes, lifetime: int | None, mki: tuple[int, int] | None
) -> None:
    key = InlineKey(material, lifetime, mki)
    assert InlineKey.parse(str(key)) == key


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_an_sdp_error(text: str) -> None:
    try:
        InlineKey.parse("inline:" + text)
    except SdpError:
        return


@pytest.mark.requirement("rfc4568.6.1")
@pytest.mark.parametrize("suite", sdes.SUITES)
def test_each_suite_has_keys_of_its_own_length(suite: str) -> None:
    length = sdes.SUITES[suite]
    key = bytes(length)
    assert key_of(sdes.line(1, suite, key)) == key
    assert key_of(sdes.line(1, suite.lower(), key)) == key
    assert key_of(sdes.line(1, suite, bytes(length - 1))) is None
    assert key_of(sdes.line(1, suite, bytes(length + 1))) is None


@pytest.mark.requirement("rfc4568.6.1")
@pytest.mark.parametrize(
    "line",
    [
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY64}",
        f"1 {SUITE} inline:{KEY64}|2^31|1:1",
        f"1 {SUITE} inline:{KEY64}|1:4;inline:{KEY64}|2:4",
        f"1 {SUITE} inline:{KEY64};inline:{KEY64}",
        f"1 {SUITE} inline:{KEY64} UNENCRYPTED_SRTP",
        f"1 {SUITE} inline:{KEY64} UNENCRYPTED_SRTCP",
        f"1 {SUITE} inline:{KEY64} UNAUTHENTICATED_SRTP",
        f"1 {SUITE} inline:{KEY64} KDR=4",
        f"1 {SUITE} inline:{KEY64} FEC_ORDER=FEC_SRTP",
        f"1 {SUITE} inline:{KEY64} SOMETHING_NEW",
        f"1 {SUITE} inline:{KEY64[:-4]}",
    ],
)
def test_a_line_that_asks_for_what_we_cannot_do_is_skipped(line: str) -> None:
    assert key_of(crypto(line)) is None
    good = crypto(f"7 {SUITE} inline:{KEY64}")
    assert first_usable([crypto(line), good]) == (good, KEY)


@pytest.mark.requirement("rfc4568.6.1")
@pytest.mark.parametrize(
    "line",
    [
        f"1 {SUITE} inline:{KEY64}|2^31",
        f"1 {SUITE} inline:{KEY64} WSH=128",
        f"1 {SUITE} inline:{KEY64} KDR=0",
        f"1 {SUITE} inline:{KEY64} -SOMETHING_NEW",
    ],
)
def test_a_line_that_asks_for_nothing_special_is_taken(line: str) -> None:
    assert key_of(crypto(line)) == KEY


@pytest.mark.requirement("rfc4568.5.1", "bad.sdp-size")
def test_the_peers_order_decides_and_the_search_is_bounded() -> None:
    first = sdes.line(4, "AES_CM_128_HMAC_SHA1_32", KEY)
    second = sdes.line(5, SUITE, KEY)
    assert first_usable([first, second]) == (first, KEY)
    many = [crypto(f"{n} NO_SUCH_SUITE inline:x") for n in range(sdes.MAX_LINES)]
    assert first_usable([*many, second]) is None
