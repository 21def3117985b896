"""Who is a stranger to the SIP connector, and how the operator lifts a ban."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from ringback.connectors.sip.directory import InboundQuery
from ringback.connectors.sip.guard import SipGuard
from ringback.core.errors import Conflict, InvalidRequest, NotFound
from ringback.net.source_guard import GuardRules, SourceGuard
from ringback.sip.events import Dropped, DropReason
from ringback.sip.message import Request
from ringback.sip.transport import Flow, Hop
from unit.net.manual_clock import ManualClock
from unit.sip.sipkit import Node, request_from

FAR = "203.0.113.7"
TRUNK = "198.51.100.5"


class Door:
    """One trunk, by its address and its token, and the demo line."""

    def __init__(self) -> None:
        self.trunks = {TRUNK}

    def is_trunk(self, host: str) -> bool:
        return host in self.trunks

    def knows_token(self, token: str) -> bool:
        return token == "secret"

    def has_number(self, query: InboundQuery) -> bool:
        return query.request_user != "404"

    def is_open_to_all(self, user: str) -> bool:
        return user.lower() == "demo"


class Lab:
    def __init__(self, rules: GuardRules | None = None) -> None:
        self.clock, self.door = ManualClock(), Door()
        self.source_guard = SourceGuard(rules or GuardRules())
        self.guard = SipGuard(self.source_guard, self.door, self.clock, calls_per_source=2)
        self.calls = 0
        self.node = Node()
        self.guard.attach(self.node.endpoint, lambda source: self.calls)

    def welcomes(self, host: str, uri: str, method: str = "INVITE") -> bool:
        return self.refusal(host, uri, method) == 0

    def refusal(self, host: str, uri: str, method: str = "INVITE") -> int:
        return self.guard.refusal(self.request(uri, method), flow(host), self.clock.time)

    def request(self, uri: str, method: str = "INVITE") -> Request:
        return request_from(method, uri=uri)

    def drop(self, why: DropReason, times: int = 1, host: str = FAR) -> None:
        for _ in range(times):
            self.guard.dropped(Dropped(why, flow(host)))


def flow(host: str) -> Flow:
    return Flow(Hop("udp", host, 5060))


@pytest.mark.requirement("guard.no-enumeration")
def test_a_stranger_may_call_the_open_line_and_nothing_else() -> None:
    lab = Lab()
    assert lab.welcomes(FAR, "sip:demo@192.0.2.1")
    assert lab.welcomes(FAR, "sip:DEMO@192.0.2.1")
    for uri in ("sip:100@192.0.2.1", "sip:+33612345678@192.0.2.1", "sip:192.0.2.1"):
        assert not lab.welcomes(FAR, uri)
    assert not lab.welcomes(FAR, "sip:demo@192.0.2.1", "REGISTER")
    assert not lab.welcomes(FAR, "sip:demo@192.0.2.1", "MESSAGE")


def test_a_trunk_is_known_by_its_address_or_by_the_token_of_our_contact() -> None:
    lab = Lab()
    assert lab.welcomes(TRUNK, "sip:100@192.0.2.1")
    assert lab.welcomes(FAR, "sip:100@192.0.2.1;line=secret")
    assert not lab.welcomes(FAR, "sip:100@192.0.2.1;line=wrong")


def test_a_trunk_that_asks_for_a_number_of_nobodys_is_told_so_and_costs_little() -> None:
    lab = Lab()
    assert lab.refusal(TRUNK, "sip:404@192.0.2.1") == 404
    assert lab.refusal(FAR, "sip:404@192.0.2.1") == 403
    with capture_logs() as lines:
        for _ in range(1000):
            lab.refusal(TRUNK, "sip:404@192.0.2.1")
    assert len(lines) == 49
    assert lab.guard.refused_numbers == 1001
    assert lab.node.clean


@pytest.mark.requirement("guard.source-rate", "guard.no-enumeration")
def test_one_stranger_does_not_take_the_whole_open_line() -> None:
    lab = Lab()
    lab.calls = 2
    assert not lab.welcomes(FAR, "sip:demo@192.0.2.1")
    assert lab.welcomes("192.168.1.4", "sip:demo@192.0.2.1")  # a developer at home
    lab.calls = 0
    welcomed = [lab.welcomes("203.0.113.9", "sip:demo@192.0.2.1") for _ in range(30)]
    assert sum(welcomed) == 10
    assert lab.guard.refused_open_line == 21
    refusals = {lab.refusal("203.0.113.9", f"sip:{user}@192.0.2.1") for user in ("demo", "nobody")}
    assert refusals == {403}


@pytest.mark.requirement("guard.scanner-ban")
@pytest.mark.parametrize("why", [DropReason.STRANGER, DropReason.UNPARSABLE, DropReason.INVALID])
def test_what_the_core_refuses_counts_against_the_sender(why: DropReason) -> None:
    lab = Lab()
    lab.drop(why, 19)
    assert lab.guard.bans() == []
    lab.drop(why)
    assert [ban.source for ban in lab.guard.bans()] == [FAR]


@pytest.mark.requirement("guard.scanner-ban")
def test_wrong_credentials_count_too() -> None:
    lab = Lab()
    for _ in range(20):
        lab.guard.wrong_credentials(FAR)
    assert [ban.reason for ban in lab.guard.bans()] == ["credentials"]


def test_strays_and_trunks_do_not_count() -> None:
    lab = Lab()
    for why in (DropReason.STRAY_ACK, DropReason.STRAY_RESPONSE, DropReason.OVERLOAD):
        lab.drop(why, 500)
    lab.drop(DropReason.STRANGER, 500, TRUNK)
    assert lab.guard.bans() == []


def test_a_trunk_that_is_added_is_heard_at_once_although_banned() -> None:
    lab = Lab()
    lab.drop(DropReason.STRANGER, 20)
    lab.door.trunks.add(FAR)
    lab.guard.trunks_changed()
    assert lab.welcomes(FAR, "sip:100@192.0.2.1")
    assert lab.source_guard.is_exempt(FAR, lab.clock.time)


def test_a_ban_is_one_line_and_a_louder_one_at_home() -> None:
    lab = Lab()
    with capture_logs() as lines:
        lab.drop(DropReason.STRANGER, 500)
        lab.drop(DropReason.STRANGER, 500, "192.168.1.4")
    assert [(line["log_level"], line["source"]) for line in lines] == [
        ("info", FAR),
        ("warning", "192.168.1.4"),
    ]
    assert "ringback guard lift 192.168.1.4" in lines[1]["hint"]


@pytest.mark.requirement("guard.lift")
def test_bans_are_made_listed_and_lifted_by_hand() -> None:
    lab = Lab()
    made = lab.guard.ban(" 203.0.113.7 ", 60)
    assert (made.until - made.since).total_seconds() == 60
    assert lab.guard.bans() == [made]
    lab.guard.lift(FAR)
    assert lab.guard.bans() == []
    with pytest.raises(NotFound) as missing:
        lab.guard.lift(FAR)
    assert missing.value.code == "ban_not_found"
    lab.guard.ban("2001:db8::5")
    lab.guard.lift("2001:db8::/64")


def test_what_is_no_address_or_is_exempt_cannot_be_banned() -> None:
    lab = Lab()
    for source in ("", "example.com", "10.0.0.0/8", "300.1.1.1", "2001:db8::/32"):
        with pytest.raises(InvalidRequest):
            lab.guard.ban(source)
    with pytest.raises(Conflict) as exempt:
        lab.guard.ban(TRUNK)
    assert exempt.value.code == "source_exempt"


def test_switched_off_it_does_not_stand_before_the_core() -> None:
    node = Node()
    guard = SipGuard(SourceGuard(GuardRules(enabled=False)), Door(), ManualClock())
    assert guard.attach(node.endpoint, lambda source: 0) is None
    assert node.endpoint.gatekeeper is None
