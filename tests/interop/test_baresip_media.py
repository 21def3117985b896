"""Opus, G.722 and SRTP with baresip, in both directions, under each policy of a trunk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.peers import sound
from interop.peers.baresip import Baresip
from interop.peers.gateway import EventStream, Gateway
from interop.peers.stream import CallStream

DID = "+33612345678"
CALLERS_TONE, AGENTS_TONE = 440.0, 1000.0
WIDE_TONE = 5000.0
"""Beyond what a narrowband codec carries."""
CLEAR = 1000.0
SDES_SUITE = "AES_CM_128_HMAC_SHA1_80"


class Lab:
    """A gateway with one trunk to this machine, whose fields the tests change while it runs."""

    def __init__(self, folder: Path) -> None:
        self.gateway = Gateway(folder)
        trunk = self.gateway.post(
            "/api/trunks", {"name": "Neighbours", "mode": "ip_allowlist", "host": "127.0.0.1"}
        )
        agent = self.gateway.post("/api/agents", {"name": "Outside", "mode": "stream"})
        self.gateway.post(
            "/api/phone-numbers",
            {"number": DID, "trunk_id": trunk["id"], "agent_id": agent["id"], "auto_answer": True},
        )
        self._trunk = f"/api/trunks/{trunk['id']}"

    def trunk(self, **fields: Any) -> None:
        response = self.gateway.api.patch(self._trunk, json=fields)
        assert response.status_code == 200, response.text


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("gateway"))
    with made.gateway:
        yield made


@contextmanager
def in_call(
    lab: Lab,
    folder: Path,
    direction: str,
    *,
    modules: tuple[str, ...] = (),
    account: str = "",
    rate: int = 8000,
    tone: float = CALLERS_TONE,
) -> Iterator[tuple[Baresip, str, EventStream]]:
    """A call that is answered, the person humming; its id, and the account's events."""
    folder.mkdir(parents=True, exist_ok=True)
    hums = sound.write_wav(folder / "hum.wav", sound.sine(tone, 60, rate), rate)
    with ExitStack() as stack:
        alice = stack.enter_context(
            Baresip(
                folder,
                speaks=hums,
                account=f"regint=0{account}",
                auto_answer=direction == "outbound",
                modules=modules,
                rate=rate,
            )
        )
        events = stack.enter_context(lab.gateway.events())
        if direction == "inbound":
            alice.dial(f"sip:{DID}@127.0.0.1:{lab.gateway.sip_port}")
        else:
            lab.trunk(port=alice.sip_port)
            target = {"platform": "sip", "meeting_url": "sip:alice@127.0.0.1"}
            lab.gateway.post("/api/call", target)
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        alice.wait_event("CALL_ESTABLISHED")
        yield alice, call_id, events


def talk(
    lab: Lab, alice: Baresip, call_id: str, rate: int = 8000, tone: float = CALLERS_TONE
) -> None:
    """Both sides hear each other; then the person hangs up."""
    with CallStream(lab.gateway, call_id, rate) as agent:
        agent.listen(1)
        assert sound.level(agent.listen(1), tone, rate) > CLEAR
        agent.send_raw(sound.sine(AGENTS_TONE, 1.5, rate))
        agent.send("mark", name="spoken")
        agent.wait("mark_played")
        agent.listen(0.3)
        alice.hang_up()
        agent.wait_closed()
    (received,) = alice.heard()
    assert sound.tone_seconds(sound.mono(received.read_bytes()), AGENTS_TONE) > 1


def quality(lab: Lab, call_id: str) -> dict[str, Any]:
    """The figures in the call's record, which is written behind the event of its end."""
    for _ in range(50):
        found: dict[str, Any] | None = lab.gateway.call(call_id)["quality"]
        if found is not None:
            return found
        threading.Event().wait(0.1)
    raise AssertionError("the record of the call has no figures")


@pytest.mark.requirement("media.srtp-sdes", "media.srtp-profiles", "media.srtp-policy")
@pytest.mark.parametrize(
    ("mediaenc", "policy", "direction"),
    [
        ("srtp", "optional", "inbound"),  # RTP/AVP with a=crypto
        ("srtp", "optional", "outbound"),
        ("srtp-mand", "optional", "inbound"),  # RTP/SAVP, and no other
        ("srtp-mand", "sdes", "inbound"),
        ("srtp-mand", "required", "outbound"),
        ("srtp-mandf", "required", "inbound"),  # RTP/SAVPF, and no other
    ],
)
def test_a_call_is_protected_with_keys_of_the_sdp(
    lab: Lab, tmp_path: Path, mediaenc: str, policy: str, direction: str
) -> None:
    lab.trunk(media_encryption=policy, codecs=["PCMA"])
    with in_call(
        lab, tmp_path / "alice", direction, modules=("srtp",), account=f";mediaenc={mediaenc}"
    ) as (alice, call_id, events):
        talk(lab, alice, call_id)
        events.wait_state(call_id, "ended")
    assert quality(lab, call_id)["security"] in (SDES_SUITE, "AEAD_AES_256_GCM")


@pytest.mark.requirement("media.srtp-dtls", "rfc5763.5", "media.srtp-policy")
@pytest.mark.parametrize(
    ("policy", "direction"),
    [
        ("dtls", "inbound"),
        ("dtls", "outbound"),
        ("required", "inbound"),
        ("optional", "inbound"),
    ],
)
def test_a_call_is_protected_with_keys_of_dtls(
    lab: Lab, tmp_path: Path, policy: str, direction: str
) -> None:
    lab.trunk(media_encryption=policy, codecs=["PCMA"])
    with in_call(
        lab,
        tmp_path / "alice",
        direction,
        modules=("dtls_srtp",),
        account=";mediaenc=dtls_srtp;rtcp_mux=yes",
    ) as (alice, call_id, events):
        talk(lab, alice, call_id)
        events.wait_state(call_id, "ended")
    assert quality(lab, call_id)["security"] != "none"


@pytest.mark.requirement("media.srtp-policy")
@pytest.mark.parametrize("policy", ["required", "sdes", "dtls"])
def test_a_call_in_clear_is_refused_by_a_trunk_that_protects(
    lab: Lab, tmp_path: Path, policy: str
) -> None:
    lab.trunk(media_encryption=policy, codecs=["PCMA"])
    with Baresip(tmp_path / "alice") as alice:
        alice.dial(f"sip:{DID}@127.0.0.1:{lab.gateway.sip_port}")
        closed = alice.wait_event("CALL_CLOSED")
        assert closed["param"].startswith("488")


@pytest.mark.requirement("media.srtp-policy")
def test_an_optional_trunk_talks_in_clear_with_whoever_cannot_otherwise(
    lab: Lab, tmp_path: Path
) -> None:
    lab.trunk(media_encryption="optional", codecs=["PCMA"])
    for direction in ("inbound", "outbound"):
        with in_call(lab, tmp_path / direction, direction) as (alice, call_id, events):
            talk(lab, alice, call_id)
            events.wait_state(call_id, "ended")
        assert quality(lab, call_id)["security"] == "none"


@pytest.mark.requirement("media.srtp-policy", "call.remote-hold")
def test_a_protected_call_is_held_and_resumed(lab: Lab, tmp_path: Path) -> None:
    lab.trunk(media_encryption="required", codecs=["PCMA"])
    with in_call(
        lab, tmp_path / "alice", "inbound", modules=("srtp",), account=";mediaenc=srtp-mand"
    ) as (alice, call_id, events):
        alice.command("hold")
        held = events.wait_state(call_id, "on_hold")
        alice.command("resume")
        events.wait("call_state", lambda e: e["state"] == "active", after=held)
        with CallStream(lab.gateway, call_id) as agent:
            agent.listen(1)
            assert sound.level(agent.listen(1), CALLERS_TONE, 8000) > CLEAR
            alice.hang_up()
            agent.wait_closed()
        events.wait_state(call_id, "ended")
    assert quality(lab, call_id)["security"] != "none"


@pytest.mark.requirement("media.codecs", "media.wideband", "media.opus")
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
@pytest.mark.parametrize(
    ("module", "codec", "account"),
    [("opus", "opus", "opus/48000/2"), ("g722", "G722", "G722/16000")],
)
def test_wideband_goes_both_ways(
    lab: Lab, tmp_path: Path, module: str, codec: str, account: str, direction: str
) -> None:
    lab.trunk(media_encryption="none", codecs=["opus", "G722", "PCMA", "PCMU"])
    with in_call(
        lab,
        tmp_path / "alice",
        direction,
        modules=(module,),
        account=f";audio_codecs={account}",
        rate=16_000,
        tone=WIDE_TONE,
    ) as (alice, call_id, events):
        talk(lab, alice, call_id, 16_000, WIDE_TONE)
        events.wait_state(call_id, "ended")
    assert quality(lab, call_id)["codec"] == codec


@pytest.mark.requirement("media.codecs")
def test_the_order_of_the_trunk_chooses_among_the_phones_codecs(lab: Lab, tmp_path: Path) -> None:
    lab.trunk(media_encryption="none", codecs=["PCMU", "opus"])
    with in_call(lab, tmp_path / "alice", "inbound", modules=("opus",)) as (alice, call_id, events):
        talk(lab, alice, call_id)
        events.wait_state(call_id, "ended")
    assert quality(lab, call_id)["codec"] == "PCMU"


@pytest.mark.requirement("media.opus", "media.srtp-dtls", "media.telephone-event-rate")
def test_opus_under_dtls_and_a_key_on_it(lab: Lab, tmp_path: Path) -> None:
    lab.trunk(media_encryption="dtls", codecs=["opus"])
    with in_call(
        lab,
        tmp_path / "alice",
        "inbound",
        modules=("opus", "dtls_srtp"),
        account=";mediaenc=dtls_srtp;rtcp_mux=yes;audio_codecs=opus/48000/2",
        rate=16_000,
    ) as (alice, call_id, events):
        alice.press("7")
        assert events.wait("dtmf")["digit"] == "7"
        talk(lab, alice, call_id, 16_000)
