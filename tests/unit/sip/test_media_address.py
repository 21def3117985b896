"""Where audio may go, and what a description with any other address gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.sip.media_address import MediaAddress
from ringback.sip.offer_answer import NotAcceptable
from unit.sip.sdp_peers import LOCAL, answered, machine, sdp


@pytest.mark.requirement("rfc3264.5")
@pytest.mark.parametrize(
    "line",
    [
        "c=IN IP6 2001:db8::9",
        "c=IN IP6 ::ffff:198.51.100.7",
        "c=IN IP4 224.2.36.42/127",
        "c=IN IP4 239.1.1.1",
        "c=IN IP4 255.255.255.255",
        "c=IN IP4 240.0.0.1",
        "c=IN IP4 0.1.2.3",
        "c=IN IP6 ff15::101",
        "c=IN IP4 media.example.com",
        "c=IN IP4 localhost",
        "c=IN IP4 300.1.1.1",
    ],
)
def test_an_address_that_audio_cannot_go_to_is_refused_as_such(line: str) -> None:
    offer = sdp("audio 20000 RTP/AVP 8", line)
    with pytest.raises(NotAcceptable) as caught:
        machine().receive_offer(offer)
    assert caught.value.warning_code == 301
    oa = machine()
    oa.offer()
    with pytest.raises(NotAcceptable) as caught:
        oa.receive_answer(offer)
    assert caught.value.warning_code == 301


def test_each_ip_version_reaches_its_own() -> None:
    six = machine(replace(LOCAL, host="2001:db8::1"))
    assert answered(six, sdp(host="2001:db8::9"))[1].remote.host == "2001:db8::9"
    with pytest.raises(NotAcceptable):
        six.receive_offer(sdp(host="198.51.100.7"))


def test_a_phone_on_two_networks_is_sent_audio_where_it_is_heard() -> None:
    heard = machine(replace(LOCAL, heard_from="198.51.100.7"))
    _, negotiated = answered(heard, sdp("audio 20000 RTP/AVP 8", "c=IN IP6 2001:db8::9"))
    assert negotiated.remote == MediaAddress("198.51.100.7", 20000)
    assert negotiated.remote_rtcp == MediaAddress("198.51.100.7", 20001)
    with pytest.raises(NotAcceptable):
        heard.receive_offer(sdp("audio 20000 RTP/AVP 8", "c=IN IP6 ff15::101"))


@pytest.mark.parametrize("host", ["10.0.0.9", "192.168.1.5", "127.0.0.1", "169.254.3.4"])
def test_private_addresses_are_taken_for_the_real_source_is_followed(host: str) -> None:
    assert answered(machine(), sdp(host=host))[1].remote.host == host


@pytest.mark.requirement("rfc3264.8.4")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "anything.invalid"])
def test_an_unspecified_address_is_a_hold_in_either_ip_version(host: str) -> None:
    _, negotiated = answered(machine(), sdp(host=host))
    assert negotiated.held_by_remote
    assert not negotiated.send


def test_of_two_sections_the_one_that_can_be_reached_is_taken() -> None:
    offer = sdp(
        "audio 20000 RTP/AVP 8", "c=IN IP6 2001:db8::9", "m=audio 20002 RTP/AVP 8",
        "c=IN IP4 198.51.100.7",
    )  # fmt: skip
    answer, negotiated = answered(machine(), offer)
    assert [media.port for media in answer.media] == [0, 10_000]
    assert negotiated.remote.port == 20_002


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=rtcp:20005 IN IP4 224.0.0.1", MediaAddress("198.51.100.7", 20_005)),
        ("a=rtcp:20005 IN IP6 2001:db8::9", MediaAddress("198.51.100.7", 20_005)),
        ("a=rtcp:20005 IN IP4 evil.example", MediaAddress("198.51.100.7", 20_005)),
        ("a=rtcp:0", MediaAddress("198.51.100.7", 20_001)),
        ("a=rtcp:99999", MediaAddress("198.51.100.7", 20_001)),
    ],
)
def test_rtcp_does_not_go_where_rtp_could_not(line: str, expected: MediaAddress) -> None:
    assert answered(machine(), sdp("audio 20000 RTP/AVP 8", line))[1].remote_rtcp == expected


def test_the_port_after_the_last_is_no_port() -> None:
    remote = answered(machine(), sdp("audio 65535 RTP/AVP 8"))[1].remote_rtcp
    assert remote.port <= 65_535
