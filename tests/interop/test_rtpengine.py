"""rtpengine between a plain phone and our protected leg, and the other way round."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import Iterator

import pytest

from interop.peers.media_leg import LOCALHOST, WAIT_SECONDS, MediaLeg
from interop.peers.rtpengine import Rtpengine, Value, bdecode, bencode
from ringback.media.plane import DtlsSecurity, MediaSecurity, SdesSecurity
from ringback.media.srtp import SUITES

SDP = """\
v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio {port} {profile} 0
a=rtpmap:0 PCMU/8000
a=sendrecv
{lines}"""


@pytest.fixture(scope="module")
def rtpengine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rtpengine]:
    with Rtpengine(tmp_path_factory.mktemp("rtpengine")) as running:
        yield running


def sdp(port: int, profile: str = "RTP/AVP", *lines: str) -> str:
    return SDP.format(port=port, profile=profile, lines="".join(f"a={x}\n" for x in lines)).replace(
        "\n", "\r\n"
    )


def port_of(text: str) -> int:
    found = re.search(r"^m=audio (\d+)", text, re.M)
    assert found is not None, text
    return int(found[1])


def crypto_of(text: str, suite: str) -> tuple[str, bytes]:
    """Tag and key of the line with ``suite``."""
    found = re.search(rf"^a=crypto:(\d+) {suite} inline:([A-Za-z0-9+/=]+)", text, re.M)
    assert found is not None, text
    key = found[2]
    return found[1], base64.b64decode(key + "=" * (-len(key) % 4))


def fingerprint_of(text: str) -> tuple[str, str]:
    found = re.search(r"^a=fingerprint:(\S+) (\S+)", text, re.M)
    assert found is not None, text
    return found[1], found[2]


def inline(key: bytes) -> str:
    return "inline:" + base64.b64encode(key).decode().rstrip("=")


async def talk(phone: MediaLeg, ours: MediaLeg) -> None:
    """Both speak until each has heard half a second of the other, packet for packet."""
    phone.talk()
    ours.talk()
    await phone.hears(ours.ssrc)
    await ours.hears(phone.ssrc)


def test_the_ng_protocol_is_spoken(rtpengine: Rtpengine) -> None:
    value: Value = {"a": ["x", 1, {"b": ""}], "n": -5}
    assert bdecode(bencode(value)) == value
    assert rtpengine.command("ping") == {"result": "pong"}


@pytest.mark.requirement("media.srtp-sdes")
@pytest.mark.parametrize("suite", sorted(SUITES))
def test_a_plain_phone_is_bridged_to_keys_of_the_sdp(rtpengine: Rtpengine, suite: str) -> None:
    async def main() -> None:
        async with MediaLeg(0xAAAA) as phone, MediaLeg(0xBBBB) as ours:
            call = secrets.token_hex(6)
            offered = rtpengine.offer(
                call, sdp(phone.port), transport_protocol="RTP/SAVP", ICE="remove"
            )
            tag, remote = crypto_of(offered, suite)
            local = secrets.token_bytes(SUITES[suite].master_bytes)
            line = f"crypto:{tag} {suite} {inline(local)}"
            answered = rtpengine.answer(call, sdp(ours.port, "RTP/SAVP", line), ICE="remove")
            ours.negotiate(SdesSecurity(suite, local, remote), LOCALHOST, port_of(offered))
            phone.negotiate(None, LOCALHOST, port_of(answered))
            await talk(phone, ours)
            ours.send_report()
            phone.send_report()
            async with asyncio.timeout(WAIT_SECONDS):
                assert (await phone.reports.get())[4:8] == (0xBBBB).to_bytes(4, "big")
                assert (await ours.reports.get())[4:8] == (0xAAAA).to_bytes(4, "big")
            assert ours.counters.srtp_unauthentic == ours.counters.dropped_malformed == 0
            rtpengine.command("delete", call_id=call, from_tag="caller")

    asyncio.run(main())


@pytest.mark.requirement("media.srtp-sdes")
def test_our_keys_in_an_offer_are_bridged_to_a_plain_phone(rtpengine: Rtpengine) -> None:
    suite = "AES_CM_128_HMAC_SHA1_80"

    async def main() -> None:
        async with MediaLeg(0xAAAA) as phone, MediaLeg(0xBBBB) as ours:
            call = secrets.token_hex(6)
            local = secrets.token_bytes(SUITES[suite].master_bytes)
            offer = sdp(ours.port, "RTP/SAVP", f"crypto:1 {suite} {inline(local)}")
            offered = rtpengine.offer(call, offer, transport_protocol="RTP/AVP", ICE="remove")
            answered = rtpengine.answer(call, sdp(phone.port), ICE="remove")
            _, remote = crypto_of(answered, suite)
            ours.negotiate(SdesSecurity(suite, local, remote), LOCALHOST, port_of(answered))
            phone.negotiate(None, LOCALHOST, port_of(offered))
            await talk(phone, ours)
            rtpengine.command("delete", call_id=call, from_tag="caller")

    asyncio.run(main())


@pytest.mark.requirement("media.srtp-dtls", "rfc5763.5")
@pytest.mark.parametrize("mux", [True, False])
@pytest.mark.parametrize("active", [True, False])
def test_a_plain_phone_is_bridged_to_dtls_srtp(
    rtpengine: Rtpengine, active: bool, mux: bool
) -> None:
    async def main() -> None:
        async with MediaLeg(0xAAAA) as phone, MediaLeg(0xBBBB) as ours:
            call = secrets.token_hex(6)
            offered = rtpengine.offer(
                call,
                sdp(phone.port),
                transport_protocol="UDP/TLS/RTP/SAVP",
                ICE="remove",
                rtcp_mux=["offer"] if mux else ["demux"],
            )
            assert "a=setup:actpass" in offered
            lines = [
                "setup:active" if active else "setup:passive",
                "fingerprint:" + " ".join(ours.identity.fingerprint),
                *(["rtcp-mux"] if mux else []),
            ]
            answer = sdp(ours.port, "UDP/TLS/RTP/SAVP", *lines)
            answered = rtpengine.answer(call, answer, ICE="remove")
            security: MediaSecurity = DtlsSecurity(active, (fingerprint_of(offered),))
            ours.negotiate(security, LOCALHOST, port_of(offered), mux=mux)
            phone.negotiate(None, LOCALHOST, port_of(answered))
            await talk(phone, ours)
            async with asyncio.timeout(WAIT_SECONDS):
                while not (ours.reports.qsize() and phone.reports.qsize()):
                    ours.send_report(mux=mux)
                    phone.send_report()
                    await phone.hears(ours.ssrc, count=10)
            assert ours.failures == []
            assert ours.endpoint.suite in SUITES
            rtpengine.command("delete", call_id=call, from_tag="caller")

    asyncio.run(main())


@pytest.mark.requirement("media.srtp-dtls")
@pytest.mark.parametrize("active", [True, False])
def test_a_fingerprint_that_is_not_rtpengine_s_ends_in_silence(
    rtpengine: Rtpengine, active: bool
) -> None:
    async def main() -> None:
        async with MediaLeg(0xAAAA) as phone, MediaLeg(0xBBBB) as ours:
            call = secrets.token_hex(6)
            offered = rtpengine.offer(
                call, sdp(phone.port), transport_protocol="UDP/TLS/RTP/SAVP", ICE="remove"
            )
            setup = "setup:active" if active else "setup:passive"
            ours_is = "fingerprint:" + " ".join(ours.identity.fingerprint)
            answer = sdp(ours.port, "UDP/TLS/RTP/SAVP", setup, ours_is)
            answered = rtpengine.answer(call, answer, ICE="remove")
            wrong = DtlsSecurity(active, (phone.identity.fingerprint,))
            ours.negotiate(wrong, LOCALHOST, port_of(offered))
            phone.negotiate(None, LOCALHOST, port_of(answered))
            phone.talk()
            ours.talk()
            async with asyncio.timeout(WAIT_SECONDS):
                await ours.failed.wait()
            assert "fingerprint" in ours.failures[0]
            assert ours._heard.empty()
            assert phone._heard.empty()
            rtpengine.command("delete", call_id=call, from_tag="caller")

    asyncio.run(main())
