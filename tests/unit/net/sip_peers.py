"""What the tests of the SIP transport share: a core of a few lines, certificates, a peer."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringback.net.sip_streams import StreamLimits
from ringback.net.sip_transport import Listen, SipTransport, SipTransportConfig
from ringback.sip.errors import ParseError
from ringback.sip.events import Event
from ringback.sip.message import Request, Response, parse_message
from ringback.sip.transport import Flow, Hop, Transmission
from unit.net.manual_clock import ManualClock

BOUND = 10.0
"""Seconds after which a test that waits has failed."""

OPTIONS = (
    b"OPTIONS sip:ringback@127.0.0.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/%b 127.0.0.1:5099;branch=z9hG4bK%d;rport\r\n"
    b"From: <sip:test@127.0.0.1>;tag=1\r\n"
    b"To: <sip:ringback@127.0.0.1>\r\n"
    b"Call-ID: call-%d\r\n"
    b"CSeq: 1 OPTIONS\r\n"
    b"Max-Forwards: 70\r\n"
    b"%bContent-Length: 0\r\n\r\n"
)


def options(number: int = 1, transport: bytes = b"TCP", extra: bytes = b"") -> bytes:
    return OPTIONS % (transport, number, number, extra)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until ``condition`` holds; the caller bounds the wait."""
    turn = asyncio.Event()
    loop = asyncio.get_running_loop()
    while not condition():
        turn.clear()
        loop.call_soon(turn.set)
        await turn.wait()


LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(test: Callable[[], Awaitable[None]], loop_factory: LoopFactory | None = None) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND):
            await test()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(bounded())


class Core:
    """Answers every OPTIONS with 200 where it came from and keeps a record of the rest."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[Request | Response, Flow]] = asyncio.Queue()
        self.failed: asyncio.Queue[Transmission] = asyncio.Queue()
        self.closed: asyncio.Queue[int] = asyncio.Queue()
        self.timeouts: asyncio.Queue[float] = asyncio.Queue()
        self.answers: asyncio.Queue[tuple[str, Sequence[Hop], str]] = asyncio.Queue()
        self.garbage: list[bytes] = []
        self.outgoing: list[Transmission] = []
        self.happened: list[Event] = []
        self.due: float | None = None

    def receive_datagram(self, data: bytes, flow: Flow, now: float) -> None:
        try:
            message = parse_message(data)
        except ParseError:
            self.garbage.append(data)
            return
        self.receive(message, flow, now)

    def receive(self, message: Request | Response, flow: Flow, now: float) -> None:
        self.received.put_nowait((message, flow))
        if isinstance(message, Request) and message.method == "OPTIONS":
            response = Response.to_request(message, 200, to_tag="us")
            self.outgoing.append(Transmission(flow, bytes(response), "server"))

    def transport_failed(self, transmission: Transmission, now: float) -> None:
        self.failed.put_nowait(transmission)

    def connection_closed(self, connection: int, now: float) -> None:
        self.closed.put_nowait(connection)

    def resolved(self, key: str, hops: Sequence[Hop], now: float, *, failure: str = "") -> None:
        self.answers.put_nowait((key, hops, failure))

    def handle_timeout(self, now: float) -> None:
        self.due = None
        self.timeouts.put_nowait(now)

    def next_timer(self) -> float | None:
        return self.due

    def transmissions(self) -> list[Transmission]:
        drained, self.outgoing = self.outgoing, []
        return drained

    def events(self) -> list[Event]:
        drained, self.happened = self.happened, []
        return drained

    def say(self, destination: Flow | Hop, data: bytes, key: str = "client") -> Transmission:
        flow = destination if isinstance(destination, Flow) else Flow(destination)
        transmission = Transmission(flow, data, key)
        self.outgoing.append(transmission)
        return transmission


class Node:
    """A core with its transport, listening on every transport on free ports of ``host``."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        pki: Pki | None = None,
        limits: StreamLimits | None = None,
        on_event: Callable[[Event], None] | None = None,
        resolve: Callable[..., Awaitable[Sequence[Hop]]] | None = None,
        large_requests_over_tcp: bool = False,
    ) -> None:
        self.host = host
        self.clock = ManualClock()
        self.core = Core()
        self.events: list[Event] = []
        listen = [Listen("udp", host, 0), Listen("tcp", host, 0)]
        if pki is not None:
            listen.append(Listen("tls", host, 0))
        self.transport = SipTransport(
            self.core,
            SipTransportConfig(
                listen=tuple(listen),
                tls_certificate=pki.certificate if pki else None,
                tls_key=pki.key if pki else None,
                tls_ca_file=pki.authority if pki else None,
                limits=limits or StreamLimits(),
                large_requests_over_tcp=large_requests_over_tcp,
            ),
            clock=self.clock,
            on_event=on_event or self.events.append,
            resolve=resolve,
        )

    def hop(self, transport: str, server_name: str | None = None, *, verify: bool = True) -> Hop:
        if transport == "udp":
            return Hop("udp", self.host, self.transport.ports["udp"])
        if transport == "tcp":
            return Hop("tcp", self.host, self.transport.ports["tcp"])
        return Hop("tls", self.host, self.transport.ports["tls"], server_name, verify)

    def say(self, destination: Flow | Hop, data: bytes, key: str = "client") -> Transmission:
        return self.transport.run(lambda now: self.core.say(destination, data, key))

    async def __aenter__(self) -> Node:
        await self.transport.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.transport.close()


class RawClient:
    """Bytes to and from a node, as any program might send them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, node: Node, transport: str = "tcp") -> RawClient:
        hop = node.hop(transport)
        return cls(*await asyncio.open_connection(hop.host, hop.port))

    async def message(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def ended(self) -> bool:
        with suppress(ConnectionResetError):
            return await self.reader.read() == b""
        return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


class Pki:
    """A certificate authority and a certificate of its for ``sip.test`` and 127.0.0.1."""

    def __init__(self, folder: Path, *, names: Sequence[str] = ("sip.test",)) -> None:
        self.authority = folder / "ca.pem"
        self.certificate = folder / "cert.pem"
        self.key = folder / "key.pem"
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        ca = (
            _builder(ca_name, ca_name, ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False
            )
            .sign(ca_key, hashes.SHA256())
        )
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        certificate = (
            _builder(subject, ca_name, key.public_key())
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
                critical=False,
            )
            .sign(ca_key, hashes.SHA256())
        )
        self.authority.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
