"""RFC 4475 sections 3.2 to 3.4: well-formed messages that mean trouble for the layers above."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ringback.sip.digest import choose_challenge
from ringback.sip.errors import FramingError, HeaderError
from ringback.sip.headers import BRANCH_COOKIE, Challenge, Credentials
from ringback.sip.message import Request, Response, parse_message
from ringback.sip.stream import StreamBroken, StreamFramer
from ringback.sip.validation import (
    Acceptance,
    check_response,
    response_to_error,
    validate_request,
)

pytestmark = pytest.mark.requirement("bad.torture")

RequestOf = Callable[[str], Request]
ResponseOf = Callable[[str], Response]
Wire = Callable[[str], bytes]

REGISTRAR = Acceptance(methods=("INVITE", "OPTIONS", "REGISTER"))
ENDPOINT = Acceptance(methods=("INVITE", "OPTIONS"))


def refusal(request: Request, accepts: Acceptance = ENDPOINT) -> Response:
    rejection = validate_request(request, accepts)
    assert rejection is not None
    response = rejection.response_to(request, to_tag="t")
    assert response is not None
    assert parse_message(bytes(response)) == response
    return response


def test_rfc4475_3_2_1_badbranch_is_accepted_for_the_old_way_of_matching(
    request_of: RequestOf,
) -> None:
    """The RFC allows 400 or matching as before RFC 3261; the cookie alone is visible as such."""
    request = request_of("badbranch")
    assert request.top_via.branch == BRANCH_COOKIE
    assert validate_request(request, ENDPOINT) is None


def test_rfc4475_3_3_1_insuf_is_owed_400_with_what_there_is(request_of: RequestOf) -> None:
    response = refusal(request_of("insuf"))
    assert response.status == 400
    assert response.reason == "From: the header is missing"
    assert response.headers.names() == ["Via", "CSeq"]


@pytest.mark.parametrize("name", ["unkscm", "novelsc"])
def test_rfc4475_3_3_2_and_3_an_unknown_uri_scheme_is_owed_416(
    name: str, request_of: RequestOf
) -> None:
    assert refusal(request_of(name)).status == 416


def test_rfc4475_3_3_2_unkscm_keeps_the_opaque_part(request_of: RequestOf) -> None:
    uri = request_of("unkscm").uri
    assert uri.scheme == "nobodyknowsthisscheme"
    assert uri.opaque == "totallyopaquecontent"
    assert not uri.is_sip


def test_rfc4475_3_3_3_novelsc_keeps_the_opaque_part(request_of: RequestOf) -> None:
    assert str(request_of("novelsc").uri) == "soap.beep://192.0.2.103:3002"


def test_rfc4475_3_3_4_unksm2_is_readable_and_no_business_of_an_endpoint(
    request_of: RequestOf,
) -> None:
    request = request_of("unksm2")
    assert str(request.to.uri) == "isbn:2983792873"
    assert str(request.from_.uri) == "http://www.example.com"
    contact = request.contact
    assert contact is not None
    assert str(contact.uri) == "name:John_Smith"
    response = refusal(request)
    assert response.status == 405
    assert response.headers.get("Allow") == "INVITE, OPTIONS"


def test_rfc4475_3_3_5_bext01_is_owed_420_with_the_tags_of_require(request_of: RequestOf) -> None:
    response = refusal(request_of("bext01"))
    assert (response.status, response.reason) == (420, "Bad Extension")
    assert response.headers.values("Unsupported") == [
        "nothingSupportsThis",
        "nothingSupportsThisEither",
    ]


def test_rfc4475_3_3_6_invut_is_owed_415_with_the_types_that_are_known(
    request_of: RequestOf,
) -> None:
    response = refusal(request_of("invut"))
    assert response.status == 415
    assert "application/sdp" in response.headers.values("Accept")


def test_rfc4475_3_3_7_regaut01_has_credentials_of_no_use(request_of: RequestOf) -> None:
    """A registrar treats them as absent; an endpoint has no business with REGISTER."""
    request = request_of("regaut01")
    credentials = Credentials.parse(request.headers.get("Authorization") or "")
    assert credentials.scheme == "NoOneKnowsThisScheme"
    assert credentials.get("opaque-data") == "here"
    assert not credentials.is_digest
    assert choose_challenge([Challenge(credentials.scheme, credentials.params)]) is None
    assert validate_request(request, REGISTRAR) is None
    assert refusal(request, ENDPOINT).status == 405


def test_rfc4475_3_3_8_multi01_is_owed_400(request_of: RequestOf) -> None:
    response = refusal(request_of("multi01"))
    assert response.status == 400
    assert response.reason == "From: the header must not be repeated"
    assert [len(response.headers.get_all(name)) for name in ("From", "To", "Call-ID", "CSeq")] == [
        *(1, 1, 1, 1)
    ]


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards"])
def test_rfc4475_3_3_8_multi01_each_repetition_alone_is_enough(
    name: str, request_of: RequestOf
) -> None:
    request = request_of("multi01")
    for other in ("From", "To", "Call-ID", "CSeq", "Max-Forwards"):
        if other != name:
            request.headers.set(other, request.headers.get(other) or "")
    assert refusal(request).reason == f"{name}: the header must not be repeated"


def test_rfc4475_3_3_9_mcl01_is_owed_400_in_a_datagram(wire: Wire) -> None:
    with pytest.raises(FramingError, match="twice") as caught:
        parse_message(wire("mcl01"))
    response = response_to_error(caught.value)
    assert response is not None
    assert response.status == 400
    assert response.headers.get("Call-ID") == "mcl01.fhn2323orihawfdoa3o4r52o3irsdf"


def test_rfc4475_3_3_9_mcl01_ends_a_connection(wire: Wire) -> None:
    framer = StreamFramer()
    [event] = framer.feed(wire("mcl01"))
    assert isinstance(event, StreamBroken)
    assert framer.feed(wire("zeromf")) == []


def test_rfc4475_3_3_10_bcast_is_dropped(response_of: ResponseOf) -> None:
    with pytest.raises(HeaderError, match="Via"):
        check_response(response_of("bcast"))


def test_rfc4475_3_3_11_zeromf_is_processed_by_the_one_it_is_for(request_of: RequestOf) -> None:
    request = request_of("zeromf")
    assert request.max_forwards == 0
    assert validate_request(request, ENDPOINT) is None


def test_rfc4475_3_3_12_cparam01_has_a_parameter_of_the_header(request_of: RequestOf) -> None:
    contact = request_of("cparam01").contact
    assert contact is not None
    assert "unknownparam" in contact.params
    assert "unknownparam" not in contact.uri.params
    assert contact.uri.number == "+19725552222"


def test_rfc4475_3_3_13_cparam02_has_a_parameter_of_the_uri(request_of: RequestOf) -> None:
    contact = request_of("cparam02").contact
    assert contact is not None
    assert "unknownparam" not in contact.params
    assert "unknownparam" in contact.uri.params


def test_rfc4475_3_3_14_regescrt_keeps_the_header_in_the_uri(request_of: RequestOf) -> None:
    request = request_of("regescrt")
    assert validate_request(request, REGISTRAR) is None
    contact = request.contact
    assert contact is not None
    assert contact.uri.header("route") == "<sip:sip.example.com>"
    assert str(contact) == "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>"


def test_rfc4475_3_3_15_sdp01_cannot_be_answered_in_a_type_that_the_caller_reads(
    request_of: RequestOf,
) -> None:
    assert refusal(request_of("sdp01")).status == 406


def test_rfc4475_3_4_1_inv2543_is_accepted_without_branch_tag_and_max_forwards(
    request_of: RequestOf,
) -> None:
    request = request_of("inv2543")
    assert validate_request(request, ENDPOINT) is None
    assert request.top_via.branch is None
    assert request.from_.tag is None
    assert request.max_forwards is None
    assert request.contact is None
    assert request.from_.uri.number == "+13035551111"
    assert request.from_.uri.params.get("user") == "phone"
    # Without brackets the parameter is the header's, so it is not part of the address.
    assert request.to.params.get("user") == "phone"
    [route] = request.record_routes
    assert route.uri.params.get("maddr") == "ss1.example.com"
    assert len(request.body) == 105


def test_every_message_of_the_rfc_has_its_own_test(pytestconfig: pytest.Config) -> None:
    here = pytestconfig.rootpath / "tests" / "conformance" / "rfc4475"
    tests = "".join(path.read_text(encoding="utf-8") for path in here.glob("test_*.py"))
    names = {path.stem for path in (here / "messages").glob("*.dat")}
    assert len(names) == 49
    assert {name for name in names if f'"{name}"' not in tests} == set()
