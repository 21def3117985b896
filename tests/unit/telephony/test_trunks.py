"""Trunks over a real database and the real routes, and what the SIP connector is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringback.connectors.sip.directory import DtmfMode, MediaEncryption, SipDirectory
from ringback.core.secrets import MASK
from ringback.telephony import trunks as trunk_module
from ringback.telephony.presets import PRESETS
from ringback.telephony.sip_directory import TrunkDirectory
from ringback.telephony.status import RegistrationStatus
from unit.core.api_lab import ApiLab, with_api

REGISTERING: dict[str, Any] = {
    "name": "Main",
    "host": "sip.example.com",
    "username": "user",
    "password": "hush-hush",
}
ALLOWLISTED: dict[str, Any] = {"name": "PBX", "mode": "ip_allowlist", "host": "203.0.113.10"}
EVERYTHING: dict[str, Any] = {
    "name": "All",
    "description": "With every field there is.",
    "provider": "3cx",
    "mode": "registration",
    "host": "sip.example.com",
    "port": 5080,
    "transport": "tls",
    "username": "user",
    "password": "hush-hush",
    "auth_username": "auth-hush",
    "realm": "example.com",
    "caller_id": "+33612345678",
    "outbound_proxy": "proxy.example.com:5061",
    "allowed_ips": ["203.0.113.0/24"],
    "media_encryption": "sdes",
    "dtmf_mode": "info",
    "tls_verify": False,
    "codecs": ["PCMU"],
    "tech_prefix": "77",
    "dial_format": "national",
    "country": "FR",
    "register_expires": 600,
    "agent_id": "agent_demo",
    "enabled": True,
}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def test_every_field_is_kept_and_secrets_are_masked(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", EVERYTHING)
        shown = {**EVERYTHING, "password": MASK, "auth_username": MASK}
        assert {name: made[name] for name in EVERYTHING} == shown
        assert await lab.owner.ok("GET", f"/api/trunks/{made['id']}/") == made
        assert "hush" not in str(await lab.owner.ok("GET", "/api/trunks"))
        spelled = {camel(name): value for name, value in EVERYTHING.items()}
        again = await lab.owner.ok("POST", "/api/trunks", spelled)
        assert {name: again[name] for name in EVERYTHING} == shown

    with_api(tmp_path, scenario)


@pytest.mark.requirement("trunk.auth-username")
def test_the_connector_gets_what_it_needs_in_clear(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        directory: SipDirectory = TrunkDirectory(lab.telephony)
        made = await lab.owner.ok("POST", "/api/trunks", EVERYTHING)
        (account,) = await directory.trunks()
        assert account.id == made["id"]
        assert (account.host, account.port, account.transport) == ("sip.example.com", 5080, "tls")
        assert (account.domain, account.username) == ("example.com", "user")
        assert (account.auth_username, account.password) == ("auth-hush", "hush-hush")
        assert (account.registers, account.tls_verify) == (True, False)
        assert account.outbound_proxy == "proxy.example.com:5061"
        assert account.register_expires == 600
        assert account.media_encryption is MediaEncryption.SDES
        assert account.dtmf_mode is DtmfMode.INFO
        assert len(account.contact_token) == 24
        assert "hush-hush" not in repr(account)
        assert account.contact_token not in repr(account)
        await lab.telephony.load()
        assert list(await directory.trunks()) == [account]

    with_api(tmp_path, scenario)


@pytest.mark.requirement("media.codecs")
def test_a_new_trunk_prefers_the_best_sound_and_plain_rtp(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", REGISTERING)
        assert made["codecs"] == ["opus", "G722", "PCMA", "PCMU"]
        assert (made["media_encryption"], made["dtmf_mode"]) == ("none", "auto")
        assert made["warnings"] == []

    with_api(tmp_path, scenario)


@pytest.mark.requirement("media.srtp-policy")
def test_an_edit_of_the_media_policy_reaches_the_connector_at_once(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", REGISTERING)
        for policy in MediaEncryption:
            sent = {"media_encryption": policy.value, "codecs": ["ulaw", "opus"]}
            shown = await lab.owner.ok("PATCH", f"/api/trunks/{made['id']}", sent)
            assert shown["media_encryption"] == policy.value
            (account,) = lab.telephony.enabled_trunks()
            assert account.media_encryption is policy
            assert account.codecs == ("PCMU", "opus")

    with_api(tmp_path, scenario)


@pytest.mark.parametrize(
    ("encryption", "transport", "warned"),
    [
        ("optional", "udp", True),
        ("required", "tcp", True),
        ("sdes", "udp", True),
        ("sdes", "tls", False),
        ("dtls", "udp", False),
        ("none", "udp", False),
    ],
)
def test_keys_that_travel_in_clear_are_warned_about(
    tmp_path: Path, encryption: str, transport: str, warned: bool
) -> None:
    async def scenario(lab: ApiLab) -> None:
        sent = {**REGISTERING, "media_encryption": encryption, "transport": transport}
        made = await lab.owner.ok("POST", "/api/trunks", sent)
        assert any("in clear" in warning for warning in made["warnings"]) == warned

    with_api(tmp_path, scenario)


@pytest.mark.requirement("trunk.presets")
def test_a_preset_fills_in_what_is_not_sent(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        sent = {"name": "OVH", "provider": "ovh", "username": "0033972101010", "password": "x"}
        made = await lab.owner.ok("POST", "/api/trunks", sent)
        assert (made["host"], made["port"], made["realm"]) == ("sip.ovh.net", 5060, "sip-domain.io")
        assert made["dial_format"] == "international"
        own = await lab.owner.ok("POST", "/api/trunks", {**sent, "host": "siptrunk.ovh.net"})
        assert own["host"] == "siptrunk.ovh.net"

    with_api(tmp_path, scenario)


@pytest.mark.requirement("trunk.presets")
def test_presets_are_listed_and_each_makes_a_trunk(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        listed = (await lab.owner.ok("GET", "/api/trunk-presets/"))["items"]
        assert [item["id"] for item in listed] == [preset.id for preset in PRESETS]
        assert {"asterisk", "freeswitch", "3cx", "generic"} < {item["id"] for item in listed}
        for item in listed:
            sent = {
                "name": item["name"],
                "provider": item["id"],
                "host": item["host"] or "pbx.example.com",
                "username": "u",
                "password": "p",
            }
            made = await lab.owner.ok("POST", "/api/trunks", sent)
            assert made["mode"] == item["mode"]
            assert made["codecs"] == item["codecs"]

    with_api(tmp_path, scenario)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"name": "x"}, 400, "`host` is required in registration mode"),
        ({"name": "x", "host": "h"}, 400, "`username` is required in registration mode"),
        ({"name": "x", "host": "h", "username": "u"}, 400, "`password` is required in"),
        ({"name": "x", "mode": "ip_allowlist"}, 400, "`host` is required in ip_allowlist"),
        ({**REGISTERING, "media_encryption": "zrtp"}, 422, "`media_encryption`"),
        ({**REGISTERING, "dtmf_mode": "morse"}, 422, "`dtmf_mode`"),
        ({**REGISTERING, "agent_id": "agent_none"}, 400, "`agent_id` is not an agent"),
        ({**REGISTERING, "host": "sip:h"}, 422, "`host` must be a host name"),
        ({**REGISTERING, "host": "h:5060"}, 422, "must not carry a port"),
        ({**REGISTERING, "port": 0}, 422, "`port`"),
        ({**REGISTERING, "port": "5060"}, 422, "`port` must be a whole number"),
        ({**REGISTERING, "enabled": 0}, 422, "`enabled` must be true or false"),
        ({**REGISTERING, "transport": "ws"}, 422, "`transport`"),
        ({**REGISTERING, "allowed_ips": ["1.2.3.4/24"]}, 422, "`allowed_ips.0` holds 1.2.3.4/24"),
        ({**REGISTERING, "codecs": ["G729"]}, 422, "`codecs` holds 'G729'"),
        ({**REGISTERING, "provider": "acme"}, 422, "`provider` must be one of netelip"),
        ({**REGISTERING, "username": "x" * 61}, 422, "`username`"),
        ({**REGISTERING, "hots": "h"}, 422, "`hots` is not a field"),
        ({**REGISTERING, "register_expires": 5}, 422, "`register_expires`"),
    ],
)
def test_a_trunk_that_cannot_work_is_refused_with_field_and_remedy(
    tmp_path: Path, body: dict[str, Any], status: int, message: str
) -> None:
    async def scenario(lab: ApiLab) -> None:
        refused = await lab.owner.refused("POST", "/api/trunks", body)
        assert refused[0] == status
        assert message in refused[2]
        assert (await lab.owner.ok("GET", "/api/trunks"))["items"] == []
        assert lab.telephony.enabled_trunks() == []

    with_api(tmp_path, scenario)


def test_an_allowlist_trunk_may_take_calls_only(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        sent = {"name": "x", "mode": "ip_allowlist", "allowedIPs": ["203.0.113.0/24"]}
        made = await lab.owner.ok("POST", "/api/trunks", sent)
        assert (made["host"], made["registration"]["status"]) == (None, "unknown")
        assert "does not register" in made["registration"]["reason"]

    with_api(tmp_path, scenario)


# ---- changes ------------------------------------------------------------------------------------


def test_a_change_leaves_what_it_does_not_name_and_masked_secrets_as_they_are(
    tmp_path: Path,
) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", EVERYTHING)
        path = f"/api/trunks/{made['id']}"
        masked = {"password": MASK, "auth_username": MASK, "port": None, "tlsVerify": True}
        changed = await lab.owner.ok("PATCH", path, masked)
        assert {k for k in made if made[k] != changed[k]} <= {"port", "tls_verify", "registration"}
        (account,) = lab.telephony.enabled_trunks()
        assert (account.password, account.auth_username) == ("hush-hush", "auth-hush")
        await lab.owner.ok("PATCH", path, {"password": "new", "auth_username": None})
        (account,) = lab.telephony.enabled_trunks()
        assert (account.password, account.auth_username, account.port) == ("new", "user", None)

    with_api(tmp_path, scenario)


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({"host": None}, 400),
        ({"password": None}, 400),
        ({"name": None}, 422),
        ({"media_encryption": "zrtp"}, 422),
    ],
)
def test_a_change_to_what_cannot_work_changes_nothing(
    tmp_path: Path, patch: dict[str, Any], status: int
) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", REGISTERING)
        refused = await lab.owner.refused("PATCH", f"/api/trunks/{made['id']}", patch)
        assert refused[0] == status
        assert await lab.owner.ok("GET", f"/api/trunks/{made['id']}") == made

    with_api(tmp_path, scenario)


@pytest.mark.requirement("trunk.edit-live")
def test_every_change_is_told_at_once_and_no_restart_is_needed(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        seen: list[list[tuple[str, str]]] = []
        directory = TrunkDirectory(lab.telephony)

        def listen() -> None:
            seen.append([(t.host, t.password) for t in lab.telephony.enabled_trunks()])

        directory.on_trunk_change(listen)
        made = await lab.owner.ok("POST", "/api/trunks", REGISTERING)
        path = f"/api/trunks/{made['id']}"
        await lab.owner.ok("PATCH", path, {"password": "other"})
        await lab.owner.ok("PATCH", path, {"enabled": False})
        await lab.owner.ok("PATCH", path, {"enabled": True})
        await lab.owner.ok("DELETE", path)
        host = "sip.example.com"
        assert seen == [[(host, "hush-hush")], [(host, "other")], [], [(host, "other")], []]

    with_api(tmp_path, scenario)


def test_trunks_are_bounded_per_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_module, "MAX_TRUNKS_PER_ACCOUNT", 1)

    async def scenario(lab: ApiLab) -> None:
        await lab.owner.ok("POST", "/api/trunks", REGISTERING)
        refused = await lab.owner.refused("POST", "/api/trunks", REGISTERING)
        assert refused[:2] == (429, "too_many_trunks")

    with_api(tmp_path, scenario)


def test_accounts_never_see_each_others_trunks(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", REGISTERING)
        path = f"/api/trunks/{made['id']}"
        assert (await lab.stranger.ok("GET", "/api/trunks"))["items"] == []
        requests: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
            ("GET", path, None),
            ("GET", f"{path}/status", None),
            ("PATCH", path, {"name": "x"}),
            ("DELETE", path, None),
        )
        for method, target, body in requests:
            assert (await lab.stranger.refused(method, target, body))[0] == 404
        refused = await lab.stranger.refused(
            "POST", "/api/trunks", {**REGISTERING, "agent_id": "agent_demo"}
        )
        assert refused[:2] == (400, "agent_not_found")
        assert await lab.owner.ok("GET", path) == made

    with_api(tmp_path, scenario)


# ---- status -------------------------------------------------------------------------------------


@pytest.mark.requirement("trunk.status")
def test_the_status_is_what_the_connector_last_said_and_a_change_is_an_event(
    tmp_path: Path,
) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", REGISTERING)
        path = f"/api/trunks/{made['id']}"
        directory = TrunkDirectory(lab.telephony)
        assert made["registration"]["status"] == "unknown"
        lab.clock.pass_by(2)
        directory.registration_changed(made["id"], "unregistered", "Wrong password.", None)
        lab.clock.pass_by(2)
        status = (await lab.owner.ok("GET", path))["registration"]
        assert status == {
            "status": "unregistered",
            "reason": "Wrong password.",
            "since": "2026-03-13T10:00:02Z",
            "expires_in": None,
        }
        directory.registration_changed(made["id"], "registered", "", 300)
        lab.clock.pass_by(10)
        assert (await lab.owner.ok("GET", f"{path}/status"))["expires_in"] == 290
        events = [await lab.events.get() for _ in range(3)]
        assert [event["status"] for event in events] == ["unknown", "unregistered", "registered"]
        assert events[1] == {
            "type": "registration",
            "trunk_id": made["id"],
            "name": "Main",
            "status": "unregistered",
            "reason": "Wrong password.",
            "since": "2026-03-13T10:00:02.000Z",
            "expires_in": None,
        }

    with_api(tmp_path, scenario)


def test_an_edit_that_matters_starts_the_status_anew_and_another_does_not(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", REGISTERING)
        path = f"/api/trunks/{made['id']}"
        lab.telephony.set_registration_status(made["id"], RegistrationStatus.REGISTERED, "", 300)
        renamed = await lab.owner.ok("PATCH", path, {"name": "New name"})
        assert renamed["registration"]["status"] == "registered"
        changed = await lab.owner.ok("PATCH", path, {"password": "other"})
        assert changed["registration"]["status"] == "unknown"
        off = await lab.owner.ok("PATCH", path, {"enabled": False})
        assert off["registration"]["reason"] == "The trunk is switched off."
        lab.telephony.set_registration_status(
            made["id"], RegistrationStatus.REGISTERED, "late word"
        )
        assert (await lab.owner.ok("GET", path))["registration"]["status"] == "unknown"

    with_api(tmp_path, scenario)


def test_limits_are_changed_one_by_one_and_take_effect_at_once(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/trunks", ALLOWLISTED)
        assert made["limits"]["max_calls"] is None
        assert "premium" in made["limits"]["denied_classes"]
        where = f"/api/trunks/{made['id']}"
        await lab.owner.ok(
            "PATCH", where, {"limits": {"max_calls": 5, "denied_prefixes": ["+225"]}}
        )
        changed = await lab.owner.ok("PATCH", where, {"limits": {"callsPerDay": 7}})
        limits = changed["limits"]
        assert (limits["max_calls"], limits["calls_per_day"]) == (5, 7)
        assert limits["denied_prefixes"] == ["+225"]
        assert await lab.owner.ok("PATCH", where, {"limits": limits}) | {"updated_at": 0} == (
            changed | {"updated_at": 0}
        )
        route = lab.telephony.pick_outbound("acct_owner", "+33612345678")
        assert route.trunk.id == made["id"]

    with_api(tmp_path, scenario)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_calls": -1},
        {"denied_prefixes": ["fr"]},
        {"night_rule": {"begins": "25:00"}},
        {"night_rule": {"time_zone": "Mars/Olympus"}},
        {"denied_classes": ["everything"]},
        {"rates": {"+33": -1}},
        {"max_call": 3},
    ],
)
def test_a_limit_that_is_none_is_named(tmp_path: Path, limits: dict[str, Any]) -> None:
    async def scenario(lab: ApiLab) -> None:
        status, _, message = await lab.owner.refused(
            "POST", "/api/trunks", {**ALLOWLISTED, "limits": limits}
        )
        assert status == 422
        assert "limits" in message

    with_api(tmp_path, scenario)
