"""Offers that phones and PBXs make, sent by sipp with the answers checked on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.peers.gateway import Gateway
from interop.peers.sdp_scenario import Round, write
from interop.peers.sipp import Sipp

DID = "+33612345678"
EVENTS = ("a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16")
G711 = ("m=audio [media_port] RTP/AVP 8 0 101", *EVENTS)
KEY80 = "c2FtcGxlIGtleSBmb3IgdGhlIHRlc3RzIG9ubHkh"
OTHER_KEY80 = "c2Vjb25kIGtleSBmb3IgdGhlIHRlc3RzIG9ubHkh"
CRYPTO = f"a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}"
SAVP = ("m=audio [media_port] RTP/SAVP 8 101", *EVENTS, CRYPTO)
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
DTLS = ("m=audio [media_port] UDP/TLS/RTP/SAVPF 8 101", *EVENTS, FINGERPRINT, "a=setup:actpass")


class Lab:
    def __init__(self, folder: Path) -> None:
        self.gateway = Gateway(folder)
        fields = {"name": "PBX", "mode": "ip_allowlist", "host": "127.0.0.1"}
        trunk = self.gateway.post("/api/trunks", fields)
        agent = self.gateway.post("/api/agents", {"name": "Outside", "mode": "stream"})
        self.gateway.post(
            "/api/phone-numbers",
            {"number": DID, "trunk_id": trunk["id"], "agent_id": agent["id"], "auto_answer": True},
        )
        self._trunk = f"/api/trunks/{trunk['id']}"

    def play(
        self, folder: Path, *rounds: Round, encryption: str = "none", transport: str = "u1"
    ) -> None:
        """Make the offers over one call under this policy; sipp checks what comes."""
        patched = self.gateway.api.patch(self._trunk, json={"media_encryption": encryption})
        assert patched.status_code == 200
        scenario = write(folder / "scenario.xml", rounds)
        with Sipp(
            folder, "-sf", str(scenario), "-m", "1", "-key", "user", DID, "-timeout", "30s",
            "-t", transport, remote=f"127.0.0.1:{self.gateway.sip_port}",
        ) as sipp:  # fmt: skip
            assert sipp.process.wait(40) == 0, sipp.error_text() + sipp.process.output[-2000:]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("gateway"))
    with made.gateway:
        yield made


@pytest.mark.requirement("call.codec-change")
def test_a_pcma_only_reoffer_is_followed_and_the_version_grows(lab: Lab, tmp_path: Path) -> None:
    both = (
        "m=audio [media_port] RTP/AVP 9 8 0 101",
        *EVENTS,
    )
    lab.play(
        tmp_path,
        Round(both, has=["m=audio [0-9]+ RTP/AVP 9 101", "o=- [0-9]+ 0 IN"]),
        Round(
            ["m=audio [media_port] RTP/AVP 8 101", *EVENTS],
            has=["m=audio [0-9]+ RTP/AVP 8 101", "o=- [0-9]+ 1 IN"],
        ),
        Round(
            ["m=audio [media_port] RTP/AVP 8 101", *EVENTS],
            has=["m=audio [0-9]+ RTP/AVP 8 101", "o=- [0-9]+ 1 IN"],
        ),
    )


@pytest.mark.requirement("call.remote-hold", "rfc3264.8.4")
def test_every_way_to_hold_is_answered_with_its_direction(lab: Lab, tmp_path: Path) -> None:
    lab.play(
        tmp_path,
        Round(G711, has=["a=sendrecv"]),
        Round([*G711, "a=sendonly"], has=["a=recvonly"]),
        Round(G711, has=["a=sendrecv"]),
        Round([*G711, "a=inactive"], has=["a=inactive"]),
        Round(G711, has=["a=sendrecv"], address="IN IP4 127.0.0.1"),
        Round(G711, has=["a=recvonly"], address="IN IP4 0.0.0.0"),
    )


@pytest.mark.requirement("rfc3264.6")
def test_other_sections_are_rejected_in_their_place(lab: Lab, tmp_path: Path) -> None:
    offer = (
        "m=video 40000 RTP/AVP 96",
        "a=rtpmap:96 VP8/90000",
        *G711,
        "m=image 40002 udptl t38",
        "m=audio 40004 RTP/AVP 0",
    )
    lab.play(
        tmp_path,
        Round(
            offer,
            has=[
                "m=video 0 RTP/AVP 96.*m=audio [1-9][0-9]* RTP/AVP 8 101.*"
                "m=image 0 udptl t38.*m=audio 0 RTP/AVP 0"
            ],
        ),
    )


@pytest.mark.requirement("media.srtp-profiles", "media.srtp-sdes", "rfc4568.5.1")
@pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP"])
@pytest.mark.parametrize("encryption", ["optional", "required", "sdes"])
def test_an_offer_with_keys_is_answered_under_its_tag_and_profile(
    lab: Lab, tmp_path: Path, profile: str, encryption: str
) -> None:
    offer = [line.replace("RTP/SAVP", profile) for line in SAVP]
    lab.play(
        tmp_path,
        Round(
            offer,
            has=[
                f"m=audio [1-9][0-9]* {profile} 8 101",
                "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:[A-Za-z0-9+/]{40}",
            ],
            lacks=[KEY80, "a=fingerprint"],
        ),
        encryption=encryption,
    )


@pytest.mark.requirement("media.srtp-policy")
def test_a_protected_call_cannot_be_made_plain(lab: Lab, tmp_path: Path) -> None:
    renewed = [line.replace(KEY80, OTHER_KEY80) for line in SAVP]
    lab.play(
        tmp_path,
        Round(SAVP, has=["RTP/SAVP"]),
        Round(G711, 488, has=["Warning: 302 "]),
        Round(renewed, has=["a=crypto:7 AES_CM_128_HMAC_SHA1_80"]),
        encryption="optional",
    )


@pytest.mark.requirement("media.srtp-profiles")
@pytest.mark.parametrize(
    ("encryption", "answer"),
    [
        ("none", "m=audio 0 RTP/SAVP 8.*m=audio [1-9][0-9]* RTP/AVP 8"),
        ("optional", "m=audio [1-9][0-9]* RTP/SAVP 8 101.*m=audio 0 RTP/AVP"),
        ("required", "m=audio [1-9][0-9]* RTP/SAVP 8 101.*m=audio 0 RTP/AVP"),
    ],
)
def test_of_two_sections_the_policy_takes_one(
    lab: Lab, tmp_path: Path, encryption: str, answer: str
) -> None:
    lab.play(tmp_path, Round([*SAVP, *G711], has=[answer]), encryption=encryption)


@pytest.mark.requirement("media.srtp-dtls", "rfc5763.5")
def test_a_dtls_offer_is_answered_as_the_client(lab: Lab, tmp_path: Path) -> None:
    lab.play(
        tmp_path,
        Round(
            [*DTLS, "a=rtcp-mux"],
            has=[
                "m=audio [1-9][0-9]* UDP/TLS/RTP/SAVPF 8 101",
                "a=setup:active",
                "a=fingerprint:sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}",
                "a=rtcp-mux",
            ],
            lacks=["a=crypto"],
        ),
        encryption="dtls",
    )


@pytest.mark.requirement("call.refusals", "media.srtp-policy", "rfc3261.20.43")
@pytest.mark.parametrize(
    ("offer", "address", "encryption", "warning"),
    [
        (G711, "IN IP4 239.1.2.3/16", "none", 301),
        (G711, "IN IP4 240.0.0.1", "none", 301),
        (G711, "IN IP4 media.example.com", "none", 301),
        (SAVP, "IN IP4 [media_ip]", "none", 302),
        (DTLS, "IN IP4 [media_ip]", "sdes", 302),
        (G711, "IN IP4 [media_ip]", "required", 302),
        (("m=audio [media_port] TCP/MSRP *",), "IN IP4 [media_ip]", "none", 302),
        (("m=video [media_port] RTP/AVP 96",), "IN IP4 [media_ip]", "none", 304),
        (("m=audio [media_port] RTP/AVP 18 3",), "IN IP4 [media_ip]", "none", 305),
    ],
)
def test_what_cannot_be_agreed_on_is_refused_with_its_warning(
    lab: Lab, tmp_path: Path, offer: tuple[str, ...], address: str, encryption: str, warning: int
) -> None:
    lab.play(
        tmp_path,
        Round(offer, 488, has=[f"Warning: {warning} ringback "], address=address),
        encryption=encryption,
    )


@pytest.mark.requirement("call.refusals", "bad.sdp-size")
def test_too_large_a_description_is_refused_as_such_and_counted(lab: Lab, tmp_path: Path) -> None:
    many = [*G711, *(f"a=x-attribute-{n}" for n in range(600))]
    lab.play(tmp_path / "first", Round(many, 413), transport="t1")
    candidates = [f"a=candidate:{n} 1 UDP 1 198.51.100.1 {1024 + n} typ host" for n in range(600)]
    lab.play(
        tmp_path / "second",
        Round([*G711, *candidates], has=["m=audio [1-9][0-9]* RTP/AVP 8 101"], lacks=["candidate"]),
        transport="t1",
    )
    metrics = lab.gateway.api.get("/metrics").text
    assert 'ringback_sip_calls_refused_total{status="413"} 1.0' in metrics
