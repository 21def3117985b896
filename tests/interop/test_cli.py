"""The `ringback` command as people type it, against a gateway that runs."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.peers import sound
from interop.peers.baresip import Baresip
from interop.peers.gateway import API_KEY, RINGBACK, Gateway, environment, free_rtp_range
from interop.peers.process import free_port

DEMO_SECONDS = 60
CALLEES_TONE = 440
ID = r"\b{}_[0-9a-z]{{26}}\b"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def ringback(
    folder: Path, *arguments: str | Path, expect: int = 0,
    **settings: str | int | Path,
) -> str:  # fmt: skip
    """What the command prints; its errors too, which are never tracebacks."""
    done = subprocess.run(
        [str(part) for part in (*RINGBACK, *arguments)],
        cwd=folder,
        env=environment(settings) | {"COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEMO_SECONDS,
    )
    assert "Traceback" not in done.stdout
    assert done.returncode == expect, done.stdout
    return done.stdout


def manage(gateway: Gateway, *arguments: str, expect: int = 0) -> str:
    return ringback(
        gateway.data, *arguments, expect=expect, http_port=gateway.http_port, api_key=API_KEY
    )


def made(kind: str, said: str) -> str:
    match = re.search(ID.format(kind), said)
    assert match is not None, said
    return match.group()


# ---- resources ------------------------------------------------------------------------------


def test_trunks_numbers_and_agents_are_added_listed_and_removed(gateway: Gateway) -> None:
    trunk = made("trunk", manage(gateway, "trunk", "add", "203.0.113.7", "--name", "Main line"))
    agent = made("agent", manage(gateway, "agent", "add", "Reception"))
    number = made(
        "num",
        manage(
            gateway, "number", "add", "+33612345678", "--trunk", trunk, "--agent", agent,
            "--auto-answer",
        ),
    )  # fmt: skip

    status = manage(gateway, "trunk", "status")
    assert all(word in status for word in (trunk, "Main line", "ip_allowlist", "203.0.113.7"))
    (row,) = [r for r in manage(gateway, "number", "list").splitlines() if number in r]
    assert all(word in row for word in ("+33612345678", agent, trunk, "True"))
    assert "Reception" in manage(gateway, "agent", "list")

    for kind, made_id in (("number", number), ("agent", agent), ("trunk", trunk)):
        assert made_id in manage(gateway, kind, "rm", made_id, "--yes")
        assert made_id not in manage(gateway, kind, "list")


def test_a_key_that_was_made_works_until_it_is_revoked(gateway: Gateway) -> None:
    key = manage(gateway, "key", "add", "for a test").strip()
    assert key.startswith("rb_live_")
    assert "for a test" in manage(gateway, "key", "list", "--key", key)
    listed = gateway.get("/api/api-keys")["items"]
    key_id = next(each["id"] for each in listed if each["name"] == "for a test")
    manage(gateway, "key", "rm", key_id, "--yes")
    assert "key" in manage(gateway, "key", "list", "--key", key, expect=1).lower()


def test_a_lost_key_is_replaced_on_the_machine_itself(gateway: Gateway) -> None:
    key = ringback(gateway.data, "key", "add", "--here", data_dir=gateway.data).strip()
    answer = gateway.api.get("/api/account", headers={"X-API-Key": key})
    assert answer.status_code == 200


def test_a_mistake_is_one_sentence(gateway: Gateway, tmp_path: Path) -> None:
    said = manage(gateway, "number", "add", "12", expect=1)
    assert said.startswith("ringback: ")
    assert "number" in said
    nobody = f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    said = manage(gateway, "trunk", "list", "--url", nobody, expect=1)
    assert nobody in said
    assert "API key" in ringback(tmp_path, "trunk", "list", expect=1)


# ---- a call ---------------------------------------------------------------------------------


def test_a_call_speaks_listens_and_tells_how_it_was(tmp_path: Path) -> None:
    hum = sound.sine(CALLEES_TONE, 2, 8000)
    hums = sound.write_wav(tmp_path / "hum.wav", hum + bytes(16000 * 60), 8000)
    with Baresip(tmp_path / "bob", user="bob", speaks=hums, auto_answer=True) as bob:
        said = ringback(
            tmp_path, "call", bob.uri, "--say", "Hello Bob, this is a test.", "--no-transcript",
            "--record", "heard.wav", "--longest", "20",
        )  # fmt: skip
        bob.wait_event("CALL_CLOSED")
    assert f"Calling {bob.uri}" in said
    assert "answered" in said
    assert "you:  Hello Bob, this is a test." in said
    quality = re.search(r"Quality: (\d+) packets in, (\d+) out, ([\d.]+) % lost", said)
    assert quality is not None, said
    assert all(int(packets) > 50 for packets in quality.groups()[:2])
    them, us = sound.stereo((tmp_path / "heard.wav").read_bytes())
    assert sound.tone_seconds(them, CALLEES_TONE) > 1
    assert sound.loud_seconds(us) > 0.5
    (received,) = bob.heard()
    assert sound.loud_seconds(sound.mono(received.read_bytes())) > 0.5


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("sip:nobody@127.0.0.1:{nobody}", "network error"),
        ("sip:unknown@127.0.0.1:{gateway}", "Not answered"),
        ("+33612345678", "--registrar"),
        ("sip:127.0.0.1", "nobody to call"),
        ("sip:a b@127.0.0.1", "not a SIP address"),
    ],
)
def test_a_call_that_cannot_be_says_why(
    gateway: Gateway, tmp_path: Path, target: str, words: str
) -> None:
    uri = target.format(nobody=free_port(), gateway=gateway.sip_port)
    assert words in ringback(tmp_path, "call", uri, "--no-transcript", "--ring", "5", expect=1)


# ---- looking, and the demonstration ---------------------------------------------------------


def examine(folder: Path, sip_port: int, expect: int) -> str:
    return ringback(
        folder, "doctor", expect=expect, data_dir=folder, http_host="127.0.0.1",
        sip_host="127.0.0.1", http_port=free_port(), sip_port=sip_port,
        rtp_ports=free_rtp_range(),
    )  # fmt: skip


def test_the_doctor_finds_nothing_in_the_way_or_says_what_is(tmp_path: Path) -> None:
    assert "Nothing stands in the way." in examine(tmp_path, free_port(), expect=0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        said = examine(tmp_path, port, expect=1)
    assert re.search(rf"BAD\s+SIP over UDP: 127.0.0.1 port {port} cannot be used", said)
    assert "RINGBACK_SIP_PORT" in said
    assert "1 to mend." in said


def test_the_doctor_knows_the_gateway_that_runs(gateway: Gateway, tmp_path: Path) -> None:
    said = ringback(
        tmp_path, "doctor", http_host="127.0.0.1", sip_host="127.0.0.1",
        http_port=gateway.http_port, sip_port=gateway.sip_port, api_key=API_KEY,
        rtp_ports=free_rtp_range(),
    )  # fmt: skip
    assert "held by the running gateway" in said
    assert "BAD" not in said


def test_the_demonstration_leaves_a_conversation(tmp_path: Path) -> None:
    said = ringback(tmp_path, "demo")
    assert "The agent did not hear the caller." not in said
    left = tmp_path / "data" / "demo"
    caller, agent = sound.stereo((left / "recording.wav").read_bytes())
    assert sound.loud_seconds(caller) > 0.5
    assert sound.loud_seconds(agent) > 2
    transcript = (left / "transcript.txt").read_text()
    assert "[caller] " in transcript
    assert "[agent] " in transcript
