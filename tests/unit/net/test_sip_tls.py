from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from ringback.core.errors import StartupError
from ringback.net import sip_streams
from ringback.net.sip_streams import StreamLimits
from ringback.net.tls import TlsContexts
from unit.net.sip_peers import LoopFactory, Node, Pki, RawClient, options, run, until


@pytest.mark.requirement("trunk.transports", "trunk.tls-verify")
def test_a_request_goes_over_verified_tls(loop_factory: LoopFactory, pki: Pki) -> None:
    async def test() -> None:
        async with Node(pki=pki) as us, Node(pki=pki) as peer:
            for name in ("sip.test", None):
                us.say(peer.hop("tls", name), options(transport=b"TLS"))
                _, flow = await peer.core.received.get()
                assert flow.hop.transport == "tls"
                response, _ = await us.core.received.get()
                assert bytes(response).startswith(b"SIP/2.0 200 ")

    run(test, loop_factory)


@pytest.mark.requirement("trunk.tls-verify")
def test_a_certificate_for_another_name_is_refused_unless_told_not_to_look(
    loop_factory: LoopFactory, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with Node(pki=pki) as us, Node(pki=pki) as peer:
            sent = us.say(peer.hop("tls", "other.test"), options(1))
            failed = await us.core.failed.get()
            assert failed == sent
            assert failed.failure.startswith("its certificate is not valid (")
            assert us.transport.streams.counters.dial_failures == 1
            us.say(peer.hop("tls", "other.test", verify=False), options(2))
            await us.core.received.get()
            again = us.say(peer.hop("tls", "other.test"), options(3))
            assert await us.core.failed.get() == again

    with caplog.at_level("INFO", logger=sip_streams.__name__):
        run(test, loop_factory)
    assert "certificate is not valid" in caplog.text


@pytest.mark.requirement("trunk.tls-verify")
def test_an_unknown_authority_is_refused(
    loop_factory: LoopFactory, pki: Pki, tmp_path: Path
) -> None:
    stranger = Pki(tmp_path)

    async def test() -> None:
        async with Node(pki=pki) as us, Node(pki=stranger) as peer:
            sent = us.say(peer.hop("tls", "sip.test"), options())
            assert await us.core.failed.get() == sent

    run(test, loop_factory)


def test_a_foreign_tls_client_is_served(pki: Pki) -> None:
    async def test() -> None:
        async with Node(pki=pki) as us:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                us.transport.ports["tls"],
                ssl=pki.client_context(),
                server_hostname="sip.test",
            )
            version = writer.get_extra_info("ssl_object").version()
            assert version in ("TLSv1.2", "TLSv1.3")
            writer.write(options(transport=b"TLS"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200 ")
            writer.close()
            with suppress(ssl.SSLError, OSError):
                await writer.wait_closed()

    run(test)


def test_plain_bytes_on_the_tls_port_are_counted_and_harm_nobody(
    loop_factory: LoopFactory, pki: Pki
) -> None:
    async def test() -> None:
        async with Node(pki=pki) as us:
            client = await RawClient.to(us, "tls")
            client.writer.write(options())
            await client.reader.read()
            await client.close()
            await until(lambda: us.transport.streams.counters.handshake_failures)
            assert us.transport.streams.open_connections == 0
            assert us.core.closed.empty()

    run(test, loop_factory)


def test_a_client_that_never_begins_its_handshake_is_cut_off(
    loop_factory: LoopFactory, pki: Pki
) -> None:
    async def test() -> None:
        async with Node(pki=pki, limits=StreamLimits(handshake_timeout=0.05)) as us:
            client = await RawClient.to(us, "tls")
            assert await client.ended()
            await client.close()

    run(test, loop_factory)


def test_a_renewed_certificate_is_read_again(tmp_path: Path, pki: Pki) -> None:
    own = Pki(tmp_path)

    async def test() -> None:
        async with Node(pki=pki) as us, Node(pki=own) as peer:
            failed = us.say(peer.hop("tls", "sip.test"), options(1))
            assert await us.core.failed.get() == failed
            own.certificate.write_bytes(pki.certificate.read_bytes())
            own.key.write_bytes(pki.key.read_bytes())
            peer.transport.reload_tls()
            us.say(peer.hop("tls", "sip.test"), options(2))
            await us.core.received.get()

    run(test)


def test_authorities_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="authorities"):
        TlsContexts(ca_file=tmp_path / "missing.pem")
