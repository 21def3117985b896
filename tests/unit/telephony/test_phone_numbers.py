"""Phone numbers and ``/api/sip/trunk`` over a real database and the real routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringback.connectors.contract import DialRequest
from ringback.connectors.sip.directory import InboundQuery, Refusal, Route
from ringback.core.errors import NotConfigured
from ringback.telephony import phone_numbers as number_module
from ringback.telephony.sip_directory import TrunkDirectory
from unit.core.api_lab import ApiLab, with_api

NUMBERS = "/api/phone-numbers"
PARIS = "+33612345678"
DOCUMENTED_TRUNK = {
    "sip_host": "203.0.113.5",
    "sip_port": 5060,
    "sip_username": "user",
    "sip_password": "pass",
    "sip_realm": "sip.example.com",
    "sip_caller_id": "+33612345678",
}
DOCUMENTED_REGISTRATION = {
    "name": "Enterprise Trunk",
    "number": "+15551234567",
    "provider": "sip",
    "sipMode": "registration",
    "agentId": "agent_demo",
    "sipUsername": "your-username",
    "sipPassword": "your-password",
    "sipProxy": "sip.your-provider.com",
    "sipPort": 5060,
    "sipOutboundProxy": "outbound.your-provider.com",
    "sipAuthUser": "auth-username",
    "metadata": {"department": "support", "region": "us-east"},
}
DOCUMENTED_ALLOWLIST = {
    "name": "Enterprise Trunk",
    "number": "+15551234567",
    "provider": "sip",
    "sipMode": "ip_allowlist",
    "agentId": "agent_demo",
    "sipIp": "203.0.113.10",
    "sipPort": 5060,
    "sipProtocol": "udp",
}


async def call_in(lab: ApiLab, user: str, source: str = "203.0.113.5") -> Route | Refusal:
    directory = TrunkDirectory(lab.telephony)
    return await directory.route_inbound(InboundQuery(source, user, "", "", "+155500", ""))


# ---- numbers ------------------------------------------------------------------------------------


def test_a_number_is_stored_as_e164_and_answers_at_once(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK)
        assert isinstance(await call_in(lab, PARIS), Refusal)
        sent = {"number": "+33 6 12 34 56 78", "label": "Support", "metadata": {"a": 1}}
        made = await lab.owner.ok("POST", NUMBERS + "/", sent)
        assert made["number"] == PARIS
        assert (made["label"], made["auto_answer"], made["provider"]) == ("Support", False, "sip")
        assert made["metadata"] == {"a": 1}
        assert await lab.owner.ok("GET", f"{NUMBERS}/{made['id']}/") == made
        route = await call_in(lab, "0033612345678")
        assert isinstance(route, Route)
        assert (route.phone_number_id, route.callee) == (made["id"], PARIS)
        await lab.owner.ok("DELETE", f"{NUMBERS}/{made['id']}")
        assert isinstance(await call_in(lab, PARIS), Refusal)
        assert (await lab.owner.refused("GET", f"{NUMBERS}/{made['id']}"))[0] == 404

    with_api(tmp_path, scenario)


def test_a_hosted_agent_answers_by_itself_unless_told_otherwise(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        stream = (await lab.owner.ok("POST", "/api/agents", {"name": "Bot"}))["id"]
        cases: tuple[tuple[dict[str, Any], bool], ...] = (
            ({"agent_id": "agent_demo"}, True),
            ({"agent_id": "agent_demo", "auto_answer": False}, False),
            ({"agent_id": stream}, False),
            ({"auto_answer": True}, True),
            ({}, False),
        )
        for digit, (sent, answers) in enumerate(cases):
            body = {"number": f"+3361234567{digit}", **sent}
            made = await lab.owner.ok("POST", NUMBERS, body)
            assert made["auto_answer"] is answers, sent
        path = f"{NUMBERS}/{made['id']}"
        assert (await lab.owner.ok("PATCH", path, {"agent_id": stream}))["auto_answer"] is False
        hosted = await lab.owner.ok("PATCH", path, {"agentId": "agent_demo"})
        assert hosted["auto_answer"] is True
        quiet = {"agent_id": "agent_demo", "auto_answer": False}
        assert (await lab.owner.ok("PATCH", path, quiet))["auto_answer"] is False

    with_api(tmp_path, scenario)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "`number` is required"),
        ({"number": "0612345678"}, 422, "`number` must start with + and the country code"),
        ({"number": "+33 6"}, 422, "`number` is too short"),
        ({"number": PARIS, "agent_id": "agent_none"}, 400, "`agent_id` is not an agent"),
        ({"number": PARIS, "trunk_id": "trunk_none"}, 400, "`trunk_id` is not a trunk"),
        ({"number": PARIS, "provider": "twilio"}, 422, "twilio is not supported in this release"),
        ({"number": PARIS, "metadata": [1]}, 422, "`metadata` must be a JSON object"),
        ({"number": PARIS, "label": "a\nb"}, 422, "`label` must be one line"),
        ({"number": PARIS, "sipMode": "registration"}, 400, "`sip_proxy` is required"),
        ({"number": PARIS, "sipProxy": "h", "sipUsername": "u"}, 400, "`sip_password` is required"),
        ({"number": PARIS, "sipMode": "ip_allowlist"}, 400, "`sip_ip` is required"),
        ({"number": PARIS, "sipUsername": "u" * 61}, 422, "`sip_username`"),
        ({"number": PARIS, "twilioAccountSid": "AC"}, 422, "`twilioAccountSid` is not a field"),
    ],
)
def test_a_number_that_cannot_work_is_refused_with_the_field(
    tmp_path: Path, body: dict[str, Any], status: int, message: str
) -> None:
    async def scenario(lab: ApiLab) -> None:
        refused = await lab.owner.refused("POST", NUMBERS, body)
        assert refused[0] == status, refused
        assert message in refused[2]
        assert (await lab.owner.ok("GET", NUMBERS))["items"] == []
        assert (await lab.owner.ok("GET", "/api/trunks"))["items"] == []

    with_api(tmp_path, scenario)


def test_a_number_is_in_an_account_once(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        await lab.owner.ok("POST", NUMBERS, {"number": PARIS})
        for body in ({"number": PARIS}, {**DOCUMENTED_REGISTRATION, "number": "+33 612345678"}):
            refused = await lab.owner.refused("POST", NUMBERS, body)
            assert refused[:2] == (409, "number_exists")
        assert (await lab.owner.ok("GET", "/api/trunks"))["items"] == []
        await lab.stranger.ok("POST", NUMBERS, {"number": PARIS})

    with_api(tmp_path, scenario)


@pytest.mark.parametrize("field", ["label", "auto_answer", "metadata"])
def test_what_a_number_must_have_cannot_be_taken_away(tmp_path: Path, field: str) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", NUMBERS, {"number": PARIS})
        refused = await lab.owner.refused("PATCH", f"{NUMBERS}/{made['id']}", {field: None})
        assert refused[0] == 422
        assert f"`{field}`" in refused[2]
        number = await lab.owner.refused("PATCH", f"{NUMBERS}/{made['id']}", {"number": PARIS})
        assert "`number` is not a field" in number[2]

    with_api(tmp_path, scenario)


def test_a_deleted_agent_or_trunk_leaves_the_number_without_it(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        agent = (await lab.owner.ok("POST", "/api/agents", {"name": "Bot"}))["id"]
        trunk = (await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK))["trunk_id"]
        body = {"number": PARIS, "agent_id": agent, "trunk_id": trunk}
        made = await lab.owner.ok("POST", NUMBERS, body)
        await lab.owner.ok("DELETE", f"/api/agents/{agent}")
        route = await call_in(lab, PARIS)
        assert isinstance(route, Route)
        assert route.agent_id is None
        await lab.owner.ok("DELETE", f"/api/trunks/{trunk}")
        kept = await lab.owner.ok("GET", f"{NUMBERS}/{made['id']}")
        assert (kept["agent_id"], kept["trunk_id"]) == (None, None)
        await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK)
        assert isinstance(await call_in(lab, PARIS), Route)

    with_api(tmp_path, scenario)


def test_accounts_never_see_each_others_numbers(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        trunk = (await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK))["trunk_id"]
        made = await lab.owner.ok("POST", NUMBERS, {"number": PARIS})
        assert (await lab.stranger.ok("GET", NUMBERS))["items"] == []
        path = f"{NUMBERS}/{made['id']}"
        for method, body in (("GET", None), ("PATCH", {"label": "x"}), ("DELETE", None)):
            assert (await lab.stranger.refused(method, path, body))[0] == 404
        settings = f"/api/sip/trunk/dids/{made['id']}/settings"
        assert (await lab.stranger.refused("POST", settings, {"auto_answer": True}))[0] == 404
        theft = {"number": "+33612345679", "trunk_id": trunk}
        assert (await lab.stranger.refused("POST", NUMBERS, theft))[1] == "trunk_not_found"
        assert await lab.owner.ok("GET", path) == made

    with_api(tmp_path, scenario)


def test_numbers_are_bounded_per_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_module, "MAX_NUMBERS_PER_ACCOUNT", 1)

    async def scenario(lab: ApiLab) -> None:
        await lab.owner.ok("POST", NUMBERS, {"number": PARIS})
        refused = await lab.owner.refused("POST", NUMBERS, {"number": "+33612345679"})
        assert refused[:2] == (429, "too_many_numbers")

    with_api(tmp_path, scenario)


def test_text_that_is_no_unicode_is_refused_and_not_a_fault_of_ours(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        for broken in (
            b'"label": "\\ud800"',
            b'"metadata": {"a": "\\ud800"}',
            b'"metadata": {"a": NaN}',
        ):
            response = await lab.http.post(
                NUMBERS,
                content=b'{"number": "+33612345678", ' + broken + b"}",
                headers={"X-API-Key": lab.owner.key, "Content-Type": "application/json"},
            )
            assert response.status_code == 422, broken
            assert response.json()["error"]["code"] == "invalid_request"

    with_api(tmp_path, scenario)


# ---- a number that brings its trunk -------------------------------------------------------------


def test_a_number_may_bring_a_registering_trunk(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/v1/phone-numbers", DOCUMENTED_REGISTRATION)
        assert (made["label"], made["agent_id"]) == ("Enterprise Trunk", "agent_demo")
        trunk = await lab.owner.ok("GET", f"/api/trunks/{made['trunk_id']}")
        assert (trunk["mode"], trunk["host"]) == ("registration", "sip.your-provider.com")
        assert (trunk["username"], trunk["port"]) == ("your-username", 5060)
        assert trunk["outbound_proxy"] == "outbound.your-provider.com"
        (account,) = lab.telephony.enabled_trunks()
        assert (account.password, account.auth_username) == ("your-password", "auth-username")

    with_api(tmp_path, scenario)


def test_a_number_may_bring_an_allowlist_trunk(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/v1/phone-numbers/", DOCUMENTED_ALLOWLIST)
        trunk = await lab.owner.ok("GET", f"/api/trunks/{made['trunk_id']}")
        assert (trunk["mode"], trunk["host"]) == ("ip_allowlist", "203.0.113.10")
        route = await call_in(lab, "+15551234567", source="203.0.113.10")
        assert isinstance(route, Route)
        assert (route.agent_id, route.auto_answer) == ("agent_demo", True)

    with_api(tmp_path, scenario)


def test_numbers_of_one_sip_account_share_its_trunk_which_goes_with_the_last(
    tmp_path: Path,
) -> None:
    async def scenario(lab: ApiLab) -> None:
        first = await lab.owner.ok("POST", NUMBERS, DOCUMENTED_REGISTRATION)
        second = await lab.owner.ok(
            "POST",
            NUMBERS,
            {**DOCUMENTED_REGISTRATION, "number": "+15551234568", "sipPassword": "new"},
        )
        assert first["trunk_id"] == second["trunk_id"]
        assert [t.password for t in lab.telephony.enabled_trunks()] == ["new"]
        await lab.owner.ok("DELETE", f"{NUMBERS}/{first['id']}")
        assert len(lab.telephony.enabled_trunks()) == 1
        await lab.owner.ok("DELETE", f"{NUMBERS}/{second['id']}")
        assert lab.telephony.enabled_trunks() == []

    with_api(tmp_path, scenario)


def test_a_trunk_of_its_own_stays_when_its_numbers_go(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        trunk = (await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK))["trunk_id"]
        made = await lab.owner.ok("POST", NUMBERS, {"number": PARIS, "trunk_id": trunk})
        await lab.owner.ok("DELETE", f"{NUMBERS}/{made['id']}")
        assert await lab.owner.ok("GET", f"/api/trunks/{trunk}")

    with_api(tmp_path, scenario)


def test_a_number_brings_a_trunk_or_names_one(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        trunk = (await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK))["trunk_id"]
        body = {**DOCUMENTED_REGISTRATION, "trunk_id": trunk}
        refused = await lab.owner.refused("POST", NUMBERS, body)
        assert "exclude each other" in refused[2]

    with_api(tmp_path, scenario)


# ---- /api/sip/trunk -----------------------------------------------------------------------------


def test_the_documented_trunk_is_connected_shown_and_disconnected(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        path = "/api/sip/trunk"
        assert (await lab.owner.refused("GET", path))[:2] == (404, "no_sip_trunk")
        shown = await lab.owner.ok("POST", path, DOCUMENTED_TRUNK)
        for name in ("sip_host", "sip_port", "sip_username", "sip_realm", "sip_caller_id"):
            assert shown[name] == DOCUMENTED_TRUNK[name]
        assert "pass" not in shown.values()
        assert shown["registration"]["status"] == "unknown"
        assert await lab.owner.ok("GET", path) == shown
        did = await lab.owner.ok("POST", f"{path}/dids", {"number": PARIS, "label": "Main"})
        assert did == {"id": did["id"], "number": PARIS, "label": "Main", "auto_answer": False}
        assert (await lab.owner.ok("GET", path))["dids"] == [did]
        await lab.owner.ok("DELETE", path)
        assert (await lab.owner.refused("DELETE", path))[0] == 404
        assert (await lab.owner.ok("GET", NUMBERS))["items"] == []
        assert isinstance(await call_in(lab, PARIS), Refusal)

    with_api(tmp_path, scenario)


def test_connecting_again_changes_the_trunk_and_keeps_its_dids(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        first = await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK)
        await lab.owner.ok("POST", "/api/sip/trunk/dids", {"number": PARIS})
        bare = {"sip_host": "sip.example.org", "sip_username": "u", "sip_password": "p"}
        second = await lab.owner.ok("POST", "/api/sip/trunk", bare)
        assert second["trunk_id"] == first["trunk_id"]
        assert (second["sip_host"], second["sip_port"]) == ("sip.example.org", 5060)
        assert (second["sip_realm"], second["sip_caller_id"]) == (None, None)
        assert [did["number"] for did in second["dids"]] == [PARIS]

    with_api(tmp_path, scenario)


def test_a_dids_auto_answer_is_switched_and_the_did_removed(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        path = "/api/sip/trunk/dids"
        assert (await lab.owner.refused("POST", path, {"number": PARIS}))[1] == "no_sip_trunk"
        await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK)
        did = await lab.owner.ok("POST", path, {"did": "+33 6 12 34 56 78"})
        one = f"{path}/{did['id']}"
        assert (await lab.owner.ok("POST", f"{one}/settings", {"auto_answer": True}))["auto_answer"]
        route = await call_in(lab, PARIS)
        assert isinstance(route, Route)
        assert route.auto_answer
        await lab.owner.ok("DELETE", one)
        assert (await lab.owner.refused("DELETE", one))[:2] == (404, "number_not_found")

    with_api(tmp_path, scenario)


@pytest.mark.parametrize("missing", ["sip_host", "sip_username", "sip_password"])
def test_the_documented_required_fields_are_required(tmp_path: Path, missing: str) -> None:
    async def scenario(lab: ApiLab) -> None:
        body = {k: v for k, v in DOCUMENTED_TRUNK.items() if k != missing}
        refused = await lab.owner.refused("POST", "/api/sip/trunk", body)
        assert refused[0] == 422
        assert f"`{missing}` is required" in refused[2]

    with_api(tmp_path, scenario)


def test_an_outbound_call_goes_over_the_documented_trunk(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        directory = TrunkDirectory(lab.telephony)
        request = DialRequest("call_1", "acct_owner", "sip:+33698765432@sip.example.com")
        with pytest.raises(NotConfigured):
            await directory.route_outbound(request)
        shown = await lab.owner.ok("POST", "/api/sip/trunk", DOCUMENTED_TRUNK)
        directory.trunk_resolved(shown["trunk_id"], ["203.0.113.5"])
        route = await directory.route_outbound(request)
        assert route.trunk.id == shown["trunk_id"]
        assert (route.user, route.caller_id) == ("+33698765432", "+33612345678")

    with_api(tmp_path, scenario)


# ---- description --------------------------------------------------------------------------------


def test_every_operation_is_described_with_its_errors(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        description = lab.app.openapi()
        assert "/v1/phone-numbers" not in description["paths"]
        assert "HTTPValidationError" not in description["components"]["schemas"]
        for path, operations in description["paths"].items():
            for method, operation in operations.items():
                where = f"{method} {path}"
                assert operation["summary"], where
                assert operation["description"], where
                assert {"401", "429"} <= set(operation["responses"]), where
                assert ("404" in operation["responses"]) >= ("{" in path), where
                for status, answer in operation["responses"].items():
                    content = answer.get("content", {}).get("application/json", {})
                    assert status < "400" or content.get("example"), where

    with_api(tmp_path, scenario)
