"""What keeps a gateway from starting: one sentence that names the setting, exit code 2."""

from __future__ import annotations

import socket
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from interop.peers.gateway import RINGBACK, environment, free_rtp_range
from interop.peers.namespace import read_only, small_disk
from interop.peers.process import Process, free_port

START_SECONDS = 40


def settings(data: Path, **changes: object) -> dict[str, object]:
    return {
        "data_dir": data,
        "http_host": "127.0.0.1",
        "http_port": free_port(),
        "sip_host": "127.0.0.1",
        "sip_port": free_port(),
        "rtp_ports": free_rtp_range(),
    } | changes


def refusal(
    chosen: dict[str, object],
    cwd: Path,
    *,
    before: Sequence[str | Path] = (),
    arguments: Sequence[str] = (),
) -> str:
    """What a gateway that cannot start says, after checking how it says it."""
    done = subprocess.run(
        [str(part) for part in (*before, *RINGBACK, "serve", *arguments)],
        cwd=cwd,
        env=environment(chosen),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    said = done.stderr
    assert done.returncode == 2, done.stdout + said
    assert "Traceback" not in done.stdout + said
    sentence, *hint = said.strip().splitlines()
    assert sentence.startswith("ringback: ")
    assert sentence.endswith((".", "?"))
    assert len(hint) <= 1, said
    return said


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("http_port", socket.SOCK_STREAM),
        ("sip_port", socket.SOCK_DGRAM),
        ("sip_port", socket.SOCK_STREAM),
    ],
)
def test_a_port_in_use(tmp_path: Path, setting: str, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        said = refusal(settings(tmp_path, **{setting: port}), tmp_path)
    assert f"RINGBACK_{setting.upper()}" in said
    assert str(port) in said


def test_settings_that_cannot_be_are_named_one_by_one(tmp_path: Path) -> None:
    said = refusal(
        settings(
            tmp_path,
            htp_port=8080,
            http_port="eighty",
            sip_port=70000,
            rtp_ports="20000-10000",
            external_ip="example.com",
            api_key="short",
            sip_tls_cert="/nowhere.pem",
        ),
        tmp_path,
        arguments=["--max-calls", "many"],
    )
    assert "There is no setting RINGBACK_HTP_PORT: did you mean RINGBACK_HTTP_PORT?" in said
    assert "RINGBACK_HTTP_PORT must be a whole number." in said
    assert "RINGBACK_SIP_PORT must be at most 65535." in said
    assert "RINGBACK_RTP_PORTS must start with its lower port." in said
    assert "RINGBACK_EXTERNAL_IP must be an IP address" in said
    assert "RINGBACK_API_KEY must have at least 16 characters." in said
    assert "RINGBACK_SIP_TLS_CERT names /nowhere.pem, which is no readable file." in said
    assert "--max-calls must be a whole number." in said


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("secret_keys", "no-fernet-key"),
        ("database_url", "mysql://host/name"),
        ("sip_host", "203.0.113.1"),
    ],
)
def test_a_setting_that_nothing_can_be_done_with(
    tmp_path: Path, setting: str, value: object
) -> None:
    said = refusal(settings(tmp_path, **{setting: value}), tmp_path)
    assert f"RINGBACK_{setting.upper()}" in said


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    pem = tmp_path / "cert.pem"
    pem.write_text("no certificate")
    chosen = settings(tmp_path, sip_tls_port=free_port(), sip_tls_cert=pem, sip_tls_key=pem)
    assert "RINGBACK_SIP_TLS_CERT" in refusal(chosen, tmp_path)


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ringback.db").write_bytes(b"this was never a database\n" * 400)
    said = refusal(settings(tmp_path), tmp_path)
    assert "ringback.db" in said
    assert "RINGBACK_DATABASE_URL" in said


def test_a_database_server_that_is_not_there(tmp_path: Path) -> None:
    url = f"postgresql://ringback:secret-word@127.0.0.1:{free_port()}/ringback"
    said = refusal(settings(tmp_path, database_url=url), tmp_path)
    assert "RINGBACK_DATABASE_URL" in said
    assert "secret-word" not in said


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "RINGBACK_DATA_DIR" in refusal(settings(tmp_path / "data"), tmp_path)


def test_a_data_folder_that_may_not_be_written(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    assert "RINGBACK_DATA_DIR" in refusal(settings(data), tmp_path, before=read_only(data))


def test_a_database_that_may_not_be_written(tmp_path: Path) -> None:
    start_and_stop(tmp_path)
    database = tmp_path / "ringback.db"
    said = refusal(settings(tmp_path), tmp_path, before=read_only(database))
    assert str(database) in said


def test_a_disk_without_room(tmp_path: Path) -> None:
    data = tmp_path / "data"
    said = refusal(settings(data), tmp_path, before=small_disk(data, 2))
    assert "RINGBACK_DATA_DIR" in said
    assert "full" in said


def test_a_second_gateway_on_the_same_folder(tmp_path: Path) -> None:
    key = "a-key-that-the-operator-chose"
    with serving(tmp_path, api_key=key) as first:
        said = refusal(settings(tmp_path), tmp_path)
    assert "RINGBACK_DATA_DIR" in said
    assert "API key" not in first.output
    assert key not in first.output


def test_the_api_key_is_shown_at_the_first_start_only(tmp_path: Path) -> None:
    shown = start_and_stop(tmp_path)
    assert shown.count("API key:") == 1
    assert "rb_live_" in shown
    assert "rb_live_" not in start_and_stop(tmp_path)
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600


def serving(data: Path, **changes: object) -> Process:
    process = Process(
        [*RINGBACK, "serve"], cwd=data.parent, env=environment(settings(data, **changes))
    )
    process.wait_for("Ctrl-C stops it", START_SECONDS)
    return process


def start_and_stop(data: Path) -> str:
    """What a gateway prints from its start to its end."""
    with serving(data) as gateway:
        pass
    return gateway.output
