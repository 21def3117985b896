"""Whose an INVITE is: by token or source, then by the number that was called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.connectors.sip.directory import InboundQuery, Refusal, Route
from ringback.telephony.directory import Directory
from ringback.telephony.routing import DemoLine, route_inbound
from unit.telephony.rows import directory, number, trunk

PARIS = "+33612345678"
LYON = "+33472000000"
BOSTON = "+16175551234"
DEMO = DemoLine("acct_owner", "agent_demo")


def query(
    user: str = PARIS,
    *,
    source: str = "203.0.113.1",
    to: str = "",
    called: str = "",
    token: str = "",
) -> InboundQuery:
    return InboundQuery(
        source_host=source,
        request_user=user,
        to_user=to,
        called_party=called,
        from_user="+15559876543",
        contact_token=token,
    )


def routed(known: Directory, asked: InboundQuery, demo: DemoLine | None = None) -> Route:
    result = route_inbound(asked, known, demo)
    assert isinstance(result, Route), result
    return result


def refused(known: Directory, asked: InboundQuery, demo: DemoLine | None = None) -> int:
    result = route_inbound(asked, known, demo)
    assert isinstance(result, Refusal), result
    return result.status


# ---- the trunk ----------------------------------------------------------------------------------


def test_a_call_from_the_trunks_server_reaches_the_number() -> None:
    known = directory(trunk("t"), number("n", PARIS, agent_id="agent", auto_answer=True))
    assert routed(known, query()) == Route(
        account_id="a",
        agent_id="agent",
        callee=PARIS,
        auto_answer=True,
        trunk_id="t",
        phone_number_id="n",
        codecs=("PCMA", "PCMU"),
        trusted=True,
    )


@pytest.mark.requirement("trunk.stranger", "guard.no-enumeration")
def test_a_stranger_is_forbidden_whatever_he_asks_for() -> None:
    known = directory(trunk("t"), number("n", PARIS))
    for user in (PARIS, "user", "100", ""):
        assert refused(known, query(user, source="198.51.100.9")) == 403
    assert refused(known, query(source="not-an-address")) == 403
    assert refused(directory(), query()) == 403


def test_a_call_on_our_registered_contact_is_known_by_its_token() -> None:
    known = directory(trunk("t", host="sip.example.com"), number("n", PARIS))
    far = "198.51.100.9"
    assert refused(known, query(source=far)) == 403
    assert refused(known, query(source=far, token="guess")) == 403
    assert routed(known, query(source=far, token="token-t")).trunk_id == "t"


@pytest.mark.requirement("trunk.registered-allowed-ips")
def test_allowed_ips_of_a_registering_trunk_shut_out_all_others() -> None:
    known = directory(trunk("t", allowed_ips=["198.51.100.0/24"]), number("n", PARIS))
    assert routed(known, query(source="198.51.100.9", token="token-t")).trunk_id == "t"
    assert routed(known, query(source="198.51.100.9")).trunk_id == "t"
    assert refused(known, query(source="203.0.113.1")) == 403
    result = route_inbound(query(source="203.0.113.1", token="token-t"), known, None)
    assert isinstance(result, Refusal)
    assert (result.status, result.detail) == (
        403,
        "203.0.113.1 is not in allowed_ips of trunk t",
    )


@pytest.mark.requirement("trunk.ip-allowlist")
def test_an_allowlist_trunk_takes_calls_from_its_host_and_its_networks() -> None:
    known = directory(
        trunk(
            "t",
            mode="ip_allowlist",
            allowed_ips=["198.51.100.0/24", "2001:db8::/32"],
            username=None,
            password=None,
        ),
        number("n", PARIS),
    )
    for source in ("203.0.113.1", "198.51.100.77", "2001:db8::5", "::ffff:198.51.100.77"):
        assert routed(known, query(source=source)).trunk_id == "t", source
    assert refused(known, query(source="198.51.101.1")) == 403


def test_a_host_name_is_known_by_the_addresses_it_was_resolved_to() -> None:
    known = directory(trunk("t", host="sip.example.com"), number("n", PARIS))
    known.set_addresses("t", ["192.0.2.1", "192.0.2.2"])
    assert routed(known, query(source="192.0.2.2")).trunk_id == "t"
    known.set_addresses("t", ["192.0.2.3"])
    assert refused(known, query(source="192.0.2.2")) == 403


def test_a_disabled_trunk_takes_no_calls() -> None:
    known = directory(trunk("t", enabled=False), number("n", PARIS))
    assert refused(known, query()) == 403
    assert refused(known, query(token="token-t")) == 403


def test_two_accounts_at_one_provider_each_get_their_own_numbers() -> None:
    known = directory(
        trunk("t1", account_id="a"),
        trunk("t2", account_id="b"),
        number("n1", PARIS, account_id="a"),
        number("n2", LYON, account_id="b"),
    )
    assert routed(known, query(PARIS)).account_id == "a"
    assert routed(known, query(LYON)).account_id == "b"
    assert routed(known, query(LYON, token="token-t2")).account_id == "b"
    assert refused(known, query(LYON, token="token-t1")) == 404


def test_a_number_that_two_accounts_claim_goes_to_the_older_trunk() -> None:
    known = directory(
        trunk("t2", account_id="b"),
        trunk("t1", account_id="a"),
        number("n2", PARIS, account_id="b"),
        number("n1", PARIS, account_id="a"),
    )
    assert routed(known, query()).account_id == "a"
    assert routed(known, query(token="token-t2")).account_id == "b"


@pytest.mark.requirement("trunk.ip-allowlist")
def test_a_tech_prefix_tells_trunks_at_one_address_apart_and_is_taken_off() -> None:
    shared = {"mode": "ip_allowlist", "username": None, "password": None}
    known = directory(
        trunk("t1", account_id="a", tech_prefix="11#", **shared),
        trunk("t2", account_id="b", tech_prefix="22#", **shared),
        number("n1", PARIS, account_id="a"),
        number("n2", PARIS, account_id="b"),
    )
    assert refused(known, query("33#" + PARIS[1:])) == 404
    plain = trunk("t3", account_id="c", tech_prefix="99", **shared)
    known.put_trunk(plain)
    known.put_number(number("n3", LYON, account_id="c"))
    assert routed(known, query("99" + LYON[1:])).phone_number_id == "n3"
    assert routed(known, query(LYON)).phone_number_id == "n3"


@pytest.mark.requirement("trunk.ip-allowlist")
def test_the_trunk_whose_tech_prefix_was_dialled_is_asked_before_one_without() -> None:
    shared = {"mode": "ip_allowlist", "username": None, "password": None}
    known = directory(
        trunk("t1", account_id="a", **shared),
        trunk("t2", account_id="b", tech_prefix="33", **shared),
        number("n1", PARIS, account_id="a"),
        number("n2", PARIS, account_id="b"),
    )
    assert routed(known, query(PARIS[1:])).phone_number_id == "n2"
    assert routed(known, query(PARIS)).phone_number_id == "n1"


# ---- the number ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "+33612345678",
        "33612345678",
        "0033612345678",
        "01133612345678",
        "0612345678",
        "612345678",
        "+33-6-12-34-56-78",
        "+33612345678;phone-context=+33",
    ],
)
def test_the_called_number_is_known_however_it_is_written(written: str) -> None:
    known = directory(trunk("t"), number("n", PARIS))
    assert routed(known, query(written)).callee == PARIS


def test_the_surest_way_of_writing_wins_and_an_ambiguous_one_means_nobody() -> None:
    known = directory(trunk("t"), number("n1", "+33612345678"), number("n2", "+41612345678"))
    assert routed(known, query("41612345678")).phone_number_id == "n2"
    assert routed(known, query("0033612345678")).phone_number_id == "n1"
    assert refused(known, query("0612345678")) == 404
    known.put_number(number("n3", "+612345678"))
    assert routed(known, query("612345678")).phone_number_id == "n3"


def test_a_number_is_found_in_the_request_uri_the_called_party_or_to() -> None:
    known = directory(trunk("t"), number("n1", PARIS), number("n2", LYON))
    assert routed(known, query("user", to=PARIS)).callee == PARIS
    assert routed(known, query("user", called=LYON, to=PARIS)).callee == LYON
    assert routed(known, query(PARIS, called=LYON, to=LYON)).callee == PARIS


@pytest.mark.requirement("call.refusals")
def test_an_unknown_number_is_not_found() -> None:
    known = directory(trunk("t"), number("n", PARIS))
    assert refused(known, query(LYON)) == 404
    assert refused(known, query("")) == 404


def test_a_number_of_another_trunk_or_account_is_not_found() -> None:
    known = directory(
        trunk("t1"),
        trunk("t2", host="203.0.113.2"),
        number("n1", PARIS, trunk_id="t2"),
        number("n2", LYON, account_id="b"),
    )
    assert refused(known, query(PARIS)) == 404
    assert refused(known, query(LYON)) == 404
    assert routed(known, query(PARIS, source="203.0.113.2")).phone_number_id == "n1"


def test_a_number_without_an_agent_gets_the_trunks() -> None:
    known = directory(
        trunk("t", agent_id="house"), number("n1", PARIS), number("n2", LYON, agent_id="own")
    )
    assert routed(known, query(PARIS)).agent_id == "house"
    assert routed(known, query(LYON)).agent_id == "own"


# ---- the SIP account itself ---------------------------------------------------------------------


def test_the_trunks_own_user_means_its_only_number() -> None:
    known = directory(trunk("t"), number("n", PARIS))
    assert routed(known, query("user")).callee == PARIS
    assert routed(known, query("user", to="user")).callee == PARIS
    assert routed(known, query("s", token="token-t")).callee == PARIS
    known.put_number(number("n2", LYON))
    assert refused(known, query("user")) == 404


def test_an_unknown_did_is_refused_even_on_our_own_contact() -> None:
    known = directory(trunk("t"), number("n", PARIS))
    assert refused(known, query("user", to=LYON)) == 404
    assert refused(known, query("user", to=LYON, token="token-t")) == 404


def test_an_extension_reaches_the_trunks_agent_at_once() -> None:
    known = directory(trunk("t", username="2001", agent_id="house"))
    route = routed(known, query("2001"))
    assert (route.agent_id, route.callee, route.auto_answer) == ("house", "2001", True)
    assert route.phone_number_id is None
    assert refused(known, query("2002")) == 404
    assert refused(directory(trunk("t", username="2001")), query("2001")) == 404


# ---- the demo agent -----------------------------------------------------------------------------


def test_everybody_may_call_the_demo_agent() -> None:
    known = directory(trunk("t"), number("n", PARIS))
    for source in ("198.51.100.9", "203.0.113.1", "127.0.0.1"):
        route = routed(known, query("Demo", source=source), DEMO)
        assert (route.account_id, route.agent_id) == ("acct_owner", "agent_demo")
        assert route.auto_answer
        assert not route.trusted
    assert refused(known, query("demo", source="198.51.100.9"), None) == 403
    assert refused(known, query("demo2", source="198.51.100.9"), DEMO) == 403


# ---- keeping up ---------------------------------------------------------------------------------


def test_changes_are_seen_at_once() -> None:
    known = directory(trunk("t"), number("n", PARIS, trunk_id="t", agent_id="agent"))
    known.forget_agent("agent")
    assert routed(known, query()).agent_id is None
    known.put_trunk(trunk("t", host="203.0.113.7", contact_token="new"))
    assert refused(known, query(token="token-t")) == 403
    assert routed(known, query(source="203.0.113.7")).trunk_id == "t"
    known.remove_trunk("t")
    known.detach_numbers("t")
    known.put_trunk(trunk("t2"))
    assert routed(known, query()).trunk_id == "t2"
    known.remove_number("n")
    assert refused(known, query()) == 404


def test_an_edit_keeps_the_resolved_addresses_unless_the_host_changed() -> None:
    known = directory(trunk("t", host="sip.example.com"), number("n", PARIS))
    known.set_addresses("t", ["192.0.2.1"])
    known.put_trunk(trunk("t", host="sip.example.com", name="new name"))
    assert routed(known, query(source="192.0.2.1")).trunk_id == "t"
    known.put_trunk(trunk("t", host="sip.example.org"))
    assert refused(known, query(source="192.0.2.1")) == 403


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_nothing_that_a_peer_sends_crashes_routing(
    user: str, to: str, called: str, source: str
) -> None:
    known = directory(trunk("t", tech_prefix="9"), number("n", PARIS))
    for origin in (source, "203.0.113.1"):
        asked = query(user, to=to, called=called, source=origin, token=to)
        assert isinstance(route_inbound(asked, known, DEMO), Route | Refusal)
