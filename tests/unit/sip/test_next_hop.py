"""Where a request goes when no name has to be resolved."""

from __future__ import annotations

import pytest

from ringback.sip.next_hop import behind_nat, literal_flow
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri

UDP = Flow(Hop("udp", "192.0.2.2", 5060))
TCP = Flow(Hop("tcp", "192.0.2.2", 40001), 7)
TLS = Flow(Hop("tls", "192.0.2.2", 40001, "sip.example", verify=False), 8)


@pytest.mark.parametrize(
    ("uri", "flow", "wanted"),
    [
        ("sip:192.0.2.9", UDP, Flow(Hop("udp", "192.0.2.9", 5060))),
        ("sip:192.0.2.9:5070", UDP, Flow(Hop("udp", "192.0.2.9", 5070))),
        ("sip:192.0.2.9;transport=tcp", UDP, Flow(Hop("tcp", "192.0.2.9", 5060))),
        ("sip:192.0.2.9;transport=TLS", UDP, Flow(Hop("tls", "192.0.2.9", 5061))),
        ("sips:192.0.2.9", UDP, Flow(Hop("tls", "192.0.2.9", 5061))),
        ("sip:[2001:db8::1]", UDP, Flow(Hop("udp", "2001:db8::1", 5060))),
        ("sip:192.0.2.2", TCP, Flow(Hop("tcp", "192.0.2.2", 5060), 7)),
        ("sip:192.0.2.9", TCP, Flow(Hop("tcp", "192.0.2.9", 5060))),
        ("sip:192.0.2.2;transport=udp", TCP, Flow(Hop("udp", "192.0.2.2", 5060))),
        ("sip:192.0.2.2;transport=ws", TCP, Flow(Hop("tcp", "192.0.2.2", 5060), 7)),
        (
            "sip:192.0.2.2",
            TLS,
            Flow(Hop("tls", "192.0.2.2", 5061, "sip.example", verify=False), 8),
        ),
    ],
)
def test_an_address_says_where_and_how(uri: str, flow: Flow, wanted: Flow) -> None:
    assert literal_flow(Uri.parse(uri), flow) == wanted


@pytest.mark.parametrize("uri", ["sip:example.com", "sip:bob@a.b:5070", "tel:+49301"])
def test_a_name_has_to_be_resolved(uri: str) -> None:
    assert literal_flow(Uri.parse(uri), UDP) is None


@pytest.mark.parametrize(
    ("contact", "source", "sent_by", "hidden"),
    [
        ("10.0.0.5", "203.0.113.5", None, True),
        ("10.0.0.5", "8.8.8.8", None, True),
        ("10.0.0.5", "10.0.0.5", "10.0.0.5", False),
        ("10.0.0.5", "192.168.7.7", "10.0.0.5", True),
        ("10.0.0.5", "192.168.7.7", "192.168.7.7", False),
        ("8.8.4.4", "8.8.8.8", None, False),
        ("100.64.0.1", "8.8.8.8", None, True),
        ("pbx.example", "8.8.8.8", None, False),
        ("fe80::1", "2001:4860:4860::8888", None, True),
    ],
)
def test_a_contact_that_cannot_be_reached_is_recognised(
    contact: str, source: str, sent_by: str | None, hidden: bool
) -> None:
    source_flow = Flow(Hop("udp", "8.8.8.8" if source == "203.0.113.5" else source, 5060))
    assert behind_nat(Uri("sip", host=contact), source_flow, sent_by) is hidden
