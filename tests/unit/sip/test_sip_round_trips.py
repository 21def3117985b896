"""Whatever we write, we read back as it was; whatever comes, nothing but ParseError is raised."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback.sip.errors import ParseError
from ringback.sip.headers import (
    AuthenticationInfo,
    Challenge,
    Credentials,
    CSeq,
    MediaType,
    NameAddr,
    Params,
    RAck,
    Reason,
    Replaces,
    RetryAfter,
    SessionExpires,
    UriParams,
    Via,
)
from ringback.sip.message import Request, Response, parse_message
from ringback.sip.stream import StreamBroken, StreamEvent, StreamFramer
from ringback.sip.uri import Uri
from ringback.sip.validation import Acceptance, check_response, validate_request
from unit.sip.sip_strategies import (
    header_params,
    name_addrs,
    requests,
    responses,
    texts,
    tokens,
    uri_params,
    uris,
    vias,
)

CORPUS = sorted((Path(__file__).parents[2] / "conformance" / "rfc4475" / "messages").glob("*.dat"))
PARSERS: list[Callable[[str], object]] = [
    Uri.parse,
    NameAddr.parse,
    Via.parse,
    Via.salvage,
    CSeq.parse,
    RAck.parse,
    Reason.parse,
    Replaces.parse,
    RetryAfter.parse,
    SessionExpires.parse,
    MediaType.parse,
    Challenge.parse_all,
    Credentials.parse,
    AuthenticationInfo.parse,
    Params.parse,
    UriParams.parse,
]
header_like = st.text('abSIP/2.0UDP019 \t;,=<>"\\@:?%&[]()*+-.\x00\r\né\udc80', max_size=60)


@given(uris)
def test_a_uri_reads_back(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri
    assert Uri.parse(str(uri)).equivalent(uri)


@given(uri_params())
def test_uri_parameters_read_back(params: UriParams) -> None:
    assert UriParams.parse(str(params)) == params


@given(header_params())
def test_header_parameters_read_back(params: Params) -> None:
    assert Params.parse(str(params)) == params


@given(tokens, texts)
def test_a_parameter_means_what_was_put_in(name: str, value: str) -> None:
    assert Params().set(name, value).get(name) == value


@given(name_addrs)
def test_a_name_addr_reads_back(address: NameAddr) -> None:
    assert NameAddr.parse(str(address)) == address


@given(vias)
def test_a_via_reads_back(via: Via) -> None:
    assert Via.parse(str(via)) == via


@given(tokens, st.none() | st.integers(0, 65535), texts, header_params())
def test_a_reason_reads_back(protocol: str, cause: int | None, text: str, params: Params) -> None:
    reason = Reason(protocol, cause, text, params.remove("cause").remove("text"))
    assert Reason.parse(str(reason)) == reason


@given(tokens, tokens, tokens, st.booleans())
def test_a_replaces_reads_back(call_id: str, to_tag: str, from_tag: str, early: bool) -> None:
    replaces = Replaces(call_id, to_tag, from_tag, early)
    assert Replaces.parse(str(replaces)) == replaces


@given(st.integers(0, 2**32 - 1), texts, header_params())
def test_a_retry_after_reads_back(seconds: int, comment: str, params: Params) -> None:
    value = RetryAfter(seconds, comment, params)
    assert RetryAfter.parse(str(value)) == value


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, "uac", "uas"]), header_params())
def test_a_session_expires_reads_back(seconds: int, refresher: str | None, params: Params) -> None:
    value = SessionExpires(seconds, refresher, params.remove("refresher"))
    assert SessionExpires.parse(str(value)) == value


@given(tokens, tokens, header_params())
def test_a_media_type_reads_back(main: str, sub: str, params: Params) -> None:
    media_type = MediaType(main.lower(), sub.lower(), params)
    assert MediaType.parse(str(media_type)) == media_type


@given(texts, texts, texts)
def test_challenges_read_back_from_one_field(realm: str, nonce: str, opaque: str) -> None:
    values = (("realm", realm), ("nonce", nonce), ("opaque", opaque), ("qop", "auth,auth-int"))
    challenges = [Challenge.digest((*values, ("algorithm", name))) for name in ("MD5", "SHA-256")]
    read = Challenge.parse_all(", ".join(str(challenge) for challenge in challenges))
    assert read == challenges
    assert [challenge.realm for challenge in read] == [realm, realm]


@given(texts, texts)
def test_credentials_read_back(username: str, realm: str) -> None:
    values = (("username", username), ("realm", realm), ("nc", "0000000a"), ("qop", "auth"))
    credentials = Credentials.digest(values)
    read = Credentials.parse(str(credentials))
    assert read == credentials
    assert (read.username, read.realm, read.nc, read.qop) == (username, realm, 10, "auth")


@given(requests() | responses())
def test_a_message_reads_back(message: Request | Response) -> None:
    assert parse_message(bytes(message)) == message


@settings(max_examples=50)
@given(requests() | responses(), st.binary(max_size=20))
def test_what_follows_a_message_in_its_datagram_is_cut_off(
    message: Request | Response, tail: bytes
) -> None:
    assert parse_message(b"\r\n" + bytes(message) + tail) == message


@settings(max_examples=40)
@given(st.lists(requests() | responses(), max_size=3), st.data())
def test_a_stream_gives_the_same_messages_however_it_is_cut(
    messages: list[Request | Response], data: st.DataObject
) -> None:
    wire = data.draw(st.sampled_from([b"", b"\r\n\r\n", b"\r\n"])).join(map(bytes, messages))
    wire += data.draw(st.binary(max_size=12))
    assert fed_bytewise(wire) == fed_whole(wire)
    cut = data.draw(st.integers(0, len(wire)))
    framer = StreamFramer()
    assert comparable(framer.feed(wire[:cut]) + framer.feed(wire[cut:])) == fed_whole(wire)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_torture_messages_come_out_of_a_stream_the_same_however_it_is_cut(path: Path) -> None:
    wire = path.read_bytes()
    assert fed_bytewise(wire) == fed_whole(wire)


def fed_whole(wire: bytes) -> list[str]:
    return comparable(StreamFramer().feed(wire))


def fed_bytewise(wire: bytes) -> list[str]:
    framer = StreamFramer()
    return comparable([event for byte in wire for event in framer.feed(bytes((byte,)))])


def comparable(events: list[StreamEvent]) -> list[str]:
    return [repr(event) for event in events]


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__qualname__)
def test_no_text_makes_a_parser_raise_anything_else(parse: Callable[[str], object]) -> None:
    @given(header_like | st.text(max_size=40))
    def hold(text: str) -> None:
        error = fault_of(lambda: parse(text))
        assert error is None or str(error)

    hold()


@pytest.mark.requirement("bad.fuzz")
@given(st.binary(max_size=300))
def test_no_bytes_make_a_message_parser_raise_anything_else(data: bytes) -> None:
    exercise(data)


@pytest.mark.requirement("bad.fuzz")
@given(st.sampled_from(CORPUS), st.data())
def test_no_damage_to_a_message_makes_anything_else_raised(path: Path, data: st.DataObject) -> None:
    wire = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(wire) - 1))
        wire[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    exercise(bytes(wire))


def exercise(data: bytes) -> None:
    """Read everything there is to read in ``data``; only ParseError may come of it."""
    events = StreamFramer().feed(data)
    assert all(not isinstance(event, StreamBroken) for event in events[:-1])
    if fault_of(lambda: parse_message(data)) is not None:
        return
    message = parse_message(data)
    assert parse_message(bytes(message)) == message
    if isinstance(message, Request):
        validate_request(message, Acceptance(methods=("INVITE",)))
    else:
        response = message
        error = fault_of(lambda: check_response(response))
        assert error is None or error.header
    for name, member in inspect.getmembers(type(message)):
        if isinstance(member, property):
            error = fault_of(partial(getattr, message, name))
            assert error is None or error.header


def fault_of(work: Callable[[], object]) -> ParseError | None:
    """The ParseError that ``work`` raises, if it does; any other exception goes through."""
    try:
        work()
    except ParseError as error:
        return error
    return None
