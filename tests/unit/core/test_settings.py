"""Settings: where they come from, what is refused and in which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.core.errors import StartupError
from ringback.core.settings import (
    HostPort,
    PortRange,
    Settings,
    load_settings,
    settings_table,
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("RINGBACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal(overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(StartupError) as caught:
        load_settings(overrides)
    return caught.value.message


def test_the_defaults_need_no_configuration() -> None:
    settings = load_settings()
    assert settings.http_port == 8080
    assert settings.sip_port == 5060
    assert settings.sip_tls_port is None
    assert settings.rtp_ports == PortRange(10000, 20000)
    assert settings.demo_agent
    assert settings.resolved_database_url == f"sqlite:///{Path.cwd() / 'data' / 'ringback.db'}"


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text(
        "RINGBACK_HTTP_PORT=1111\nRINGBACK_SIP_PORT=1112\nRINGBACK_MAX_CALLS=7\nOTHER=x\n"
    )
    monkeypatch.setenv("RINGBACK_HTTP_PORT", "2222")
    monkeypatch.setenv("RINGBACK_SIP_PORT", "2223")
    settings = load_settings({"http_port": "3333", "sip_host": None})
    assert (settings.http_port, settings.sip_port, settings.max_calls) == (3333, 2223, 7)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGBACK_EXTERNAL_IP", "")
    monkeypatch.setenv("RINGBACK_SIP_PORT", "")
    Path(".env").write_text("RINGBACK_EXTERNAL_IP=203.0.113.9\nRINGBACK_HTTP_PORT=\n")
    settings = load_settings()
    assert settings.external_ip == "203.0.113.9"
    assert (settings.http_port, settings.sip_port) == (8080, 5060)


def test_an_unknown_variable_is_named_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RINGBACK_HTP_PORT", "80")
    message = refusal()
    assert message == "There is no setting RINGBACK_HTP_PORT: did you mean RINGBACK_HTTP_PORT?"


def test_an_unknown_name_in_the_file_or_among_the_flags_is_refused_too() -> None:
    Path(".env").write_text("RINGBACK_XYZZY=1\n")
    message = refusal({"sip_prot": "5060"})
    assert "no setting RINGBACK_XYZZY: see docs/settings.md" in message
    assert "no setting --sip-prot: did you mean --sip-port?" in message


def test_every_bad_value_is_named_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGBACK_HTTP_PORT", "http")
    monkeypatch.setenv("RINGBACK_LOG_JSON", "perhaps")
    message = refusal({"max_calls": "0"})
    assert "RINGBACK_HTTP_PORT must be a whole number." in message
    assert "RINGBACK_LOG_JSON must be true or false." in message
    assert "--max-calls must be at least 1." in message


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("rtp_ports", "10000", "must look like 10000-20000"),
        ("rtp_ports", "20000-10000", "must start with its lower port"),
        ("rtp_ports", "10001-20000", "must start with an even port"),
        ("rtp_ports", "80-90", "must lie between 1024 and 65535"),
        ("rtp_ports", "10000-70000", "must lie between 1024 and 65535"),
        ("external_ip", "example.com", "must be an IP address"),
        ("stun_server", "stun.example.com:x", "must end in a port"),
        ("stun_server", "stun:stun.example.com:3478", "must look like"),
        ("api_key", "short", "at least 16 characters"),
        ("api_key", "sixteen chars and spaces", "without spaces"),
        ("log_level", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("http_port", "70000", "must be at most 65535"),
        ("ring_timeout", "soon", "must be a number"),
        ("sip_tls_cert", "/nowhere/cert.pem", "names /nowhere/cert.pem, which is no readable"),
        ("sip_tls_port", "5061", "needs RINGBACK_SIP_TLS_CERT"),
    ],
)
def test_a_bad_value_is_explained(field: str, value: str, complaint: str) -> None:
    assert complaint in refusal({field: value})


def test_a_secret_is_never_repeated_in_a_complaint_or_a_repr() -> None:
    assert "hunter2" not in refusal({"api_key": "hunter2"})
    settings = load_settings({"api_key": "correct-horse-battery", "secret_keys": "k1,k2"})
    assert "correct-horse" not in repr(settings)
    assert "k1" not in repr(settings)


def test_secret_keys_are_a_list() -> None:
    settings = load_settings({"secret_keys": " one , two ,"})
    assert [key.get_secret_value() for key in settings.secret_keys] == ["one", "two"]


def test_the_tls_listener_is_complete_with_its_files(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("pem")
    settings = load_settings(
        {
            "sip_tls_port": "5061",
            "sip_tls_cert": str(tmp_path / "cert.pem"),
            "sip_tls_key": str(tmp_path / "key.pem"),
        }
    )
    assert settings.sip_tls_cert == tmp_path / "cert.pem"


def test_an_unreadable_env_file_is_one_sentence() -> None:
    Path(".env").write_bytes(b"RINGBACK_HTTP_PORT=\xff\xfe")
    assert refusal().startswith("The file .env cannot be read")


def test_a_range_offers_its_even_ports_that_have_an_odd_neighbour() -> None:
    assert list(PortRange(1024, 1029).rtp_ports) == [1024, 1026, 1028]
    assert list(PortRange(1024, 1028).rtp_ports) == [1024, 1026]


@given(st.integers(512, 32766).map(lambda n: n * 2), st.integers(1, 1000))
def test_a_range_reads_back_as_it_was_written(first: int, more: int) -> None:
    wanted = PortRange(first, min(65535, first + more))
    assert PortRange.parse(str(wanted)) == wanted


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("stun.example.com", "stun.example.com", 3478),
        ("stun.example.com:19302", "stun.example.com", 19302),
        ("[2001:db8::1]:5000", "2001:db8::1", 5000),
        ("[2001:db8::1]", "2001:db8::1", 3478),
        ("2001:db8::1", "2001:db8::1", 3478),
    ],
)
def test_a_server_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    server = HostPort.parse(text, 3478)
    assert server == HostPort(host, port)
    assert HostPort.parse(str(server), 1) == server


def test_every_setting_has_a_line_in_the_table() -> None:
    rows = {row.name: row for row in settings_table()}
    assert len(rows) == len(Settings.model_fields)
    assert rows["RINGBACK_HTTP_PORT"].default == "8080"
    assert rows["RINGBACK_LOG_JSON"].default == "false"
    assert rows["RINGBACK_RING_TIMEOUT"].default == "60"
    assert rows["RINGBACK_RTP_PORTS"].default == "10000-20000"
    assert rows["RINGBACK_STUN_SERVER"].flag == "--stun-server"
    assert all(row.meaning.endswith(".") for row in rows.values())
