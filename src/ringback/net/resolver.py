"""From a SIP URI to the places to send to: NAPTR, SRV, A and AAAA (RFC 3263 section 4).

The result is in the order to try. An address record of the domain never hides its SRV records:
it is used only where the domain has none. Names that DNS does not know are looked for where the
system does (``/etc/hosts``, multicast DNS), by ``getaddrinfo``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random as random_module
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ringback.core.clock import Clock
from ringback.core.errors import UpstreamFailed
from ringback.net.dns_client import DnsClient, DnsUnavailable, Naptr, Srv
from ringback.sip.transport import Hop, Transport
from ringback.sip.uri import Uri

RESOLUTION_TIMEOUT = 6.0
"""Seconds for everything that one target needs."""
MAX_SRV_RECORDS = 16
MAX_HOPS = 32

_DEFAULT_PORTS: dict[Transport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}
_SRV_PREFIXES: dict[Transport, str] = {
    "udp": "_sip._udp",
    "tcp": "_sip._tcp",
    "tls": "_sips._tcp",
}
_NAPTR_SERVICES: dict[str, Transport] = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
_BOTH: tuple[Literal["A", "AAAA"], ...] = ("A", "AAAA")
_IPV4_ONLY = _BOTH[:1]
_TRANSPORTS: dict[str, Transport] = {"udp": "udp", "tcp": "tcp", "tls": "tls"}


class ResolutionFailed(UpstreamFailed):
    """There is no place to send to; the message says why."""

    default_code = "resolution_failed"


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be found: the TARGET of RFC 3263.

    ``secure`` (a ``sips`` URI) allows nothing but TLS. ``verify`` is passed on to the hops.
    """

    host: str
    port: int | None = None
    transport: Transport | None = None
    secure: bool = False
    verify: bool = True

    @classmethod
    def of(cls, uri: Uri, *, verify: bool = True) -> Target:
        """Of a ``sip`` or ``sips`` URI, ``maddr`` and ``transport`` respected.

        Raises :class:`ResolutionFailed` for another scheme and for a transport that we lack.
        """
        if not uri.is_sip:
            raise ResolutionFailed(f"{uri.scheme}: URIs do not say where to send to.")
        secure = uri.scheme == "sips"
        name = (uri.params.get("transport") or "").lower()
        if name and name not in _TRANSPORTS:
            raise ResolutionFailed(
                f"Transport {name!r} is not supported.", hint="Use udp, tcp or tls."
            )
        transport = _TRANSPORTS[name] if name else None
        return cls(
            host=uri.params.get("maddr") or uri.host,
            port=uri.port,
            transport=None if secure else transport,
            secure=secure,
            verify=verify,
        )

    @property
    def transports(self) -> tuple[Transport, ...]:
        """What may be used, best first where DNS has no opinion."""
        if self.secure:
            return ("tls",)
        return (self.transport,) if self.transport else ("udp", "tcp", "tls")

    def hop(self, transport: Transport, host: str, port: int | None) -> Hop:
        """``server_name`` is the name of the target, not of the SRV record's host: who answers
        must prove that it may speak for the domain (RFC 5922 4)."""
        named = transport == "tls" and not _is_ip(self.host)
        return Hop(
            transport,
            host,
            port or _DEFAULT_PORTS[transport],
            self.host if named else None,
            self.verify,
        )


@dataclass(frozen=True, slots=True)
class _Service:
    """A host name and port with the transport to use there."""

    transport: Transport
    host: str
    port: int | None


class Resolver:
    """``random`` gives a float in [0, 1), for the choice among SRV records by weight."""

    def __init__(
        self,
        *,
        clock: Clock,
        nameservers: Sequence[tuple[str, int]] | None = None,
        random: Callable[[], float] = random_module.random,
        within: float = RESOLUTION_TIMEOUT,
        ipv6: bool = True,
    ) -> None:
        self.dns = DnsClient(clock=clock, nameservers=nameservers)
        self._random = random
        self._within = within
        self._ipv6 = ipv6

    async def resolve(self, target: Target | Uri) -> list[Hop]:
        """Where to send to, the first choice first; never empty.

        Raises :class:`ResolutionFailed`, after the given time at the latest.
        """
        if isinstance(target, Uri):
            target = Target.of(target)
        if _is_ip(target.host):
            return [target.hop(target.transports[0], target.host, target.port)]
        try:
            async with asyncio.timeout(self._within):
                hops = await self._hops(target)
        except TimeoutError:
            raise _no_answer(target.host) from None
        except ValueError as error:
            raise ResolutionFailed(f"{error}.", hint="Check the domain.") from error
        return list(dict.fromkeys(hops))[:MAX_HOPS]

    async def _hops(self, target: Target) -> list[Hop]:
        plain = _Service(target.transports[0], target.host, target.port)
        if target.port is not None or _is_local(target.host):
            return await self._addressed(target, [plain])
        services, failed = await self._services(target)
        if services:
            if all(service.host in ("", ".") for service in services):
                raise ResolutionFailed(
                    f"{target.host} says in DNS that it offers no SIP service.",
                    hint="Check the domain and the transport.",
                )
            return await self._addressed(target, [s for s in services if s.host not in ("", ".")])
        try:
            return await self._addressed(target, [plain])
        except ResolutionFailed:
            if failed:
                raise _no_answer(target.host) from None
            raise

    async def _services(self, target: Target) -> tuple[list[_Service], bool]:
        """What NAPTR and SRV name, in order, and whether a question went unanswered."""
        names: list[tuple[Transport, str]] = []
        failed = False
        if target.transport is None:
            try:
                names = _from_naptr(await self.dns.naptr(target.host), target.transports)
            except DnsUnavailable:
                failed = True
        if not names:
            names = [(t, f"{_SRV_PREFIXES[t]}.{target.host}") for t in target.transports]
        answers = await asyncio.gather(
            *(self.dns.srv(name) for _, name in names), return_exceptions=True
        )
        services: list[_Service] = []
        for (transport, _), answer in zip(names, answers, strict=True):
            if isinstance(answer, DnsUnavailable):
                failed = True
            elif isinstance(answer, BaseException):
                raise answer
            else:
                ordered = in_srv_order(answer, self._random)
                services += [_Service(transport, s.target, s.port) for s in ordered]
        return services[:MAX_SRV_RECORDS], failed

    async def _addressed(self, target: Target, services: Sequence[_Service]) -> list[Hop]:
        """Every address of every service; hosts that cannot be found are passed over."""
        hosts = list(dict.fromkeys(service.host for service in services))
        answers = await asyncio.gather(
            *(self._addresses(host) for host in hosts), return_exceptions=True
        )
        found = dict(zip(hosts, answers, strict=True))
        hops: list[Hop] = []
        failures: list[ResolutionFailed] = []
        for service in services:
            answer = found[service.host]
            if isinstance(answer, ResolutionFailed):
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                hops += [target.hop(service.transport, host, service.port) for host in answer]
        if not hops:
            raise failures[0]
        return hops

    async def _addresses(self, host: str) -> list[str]:
        """IPv4 before IPv6: carriers have it, and more often than not only it."""
        if _is_ip(host):
            return [host]
        unanswered = False
        found: list[str] = []
        if not _is_local(host):
            kinds = _BOTH if self._ipv6 else _IPV4_ONLY
            answers = await asyncio.gather(
                *(self.dns.addresses(host, kind) for kind in kinds), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, DnsUnavailable):
                    unanswered = True
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    found += answer
        found = found or await self._from_system(host)
        if found:
            return found
        if unanswered:
            raise _no_answer(host)
        raise ResolutionFailed(
            f"{host} cannot be found: DNS has neither a SIP service nor an address for it.",
            hint="Check the spelling of the domain.",
        )

    async def _from_system(self, host: str) -> list[str]:
        family = socket.AF_UNSPEC if self._ipv6 else socket.AF_INET
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, None, family=family, type=socket.SOCK_DGRAM
            )
        except (OSError, UnicodeError):
            return []
        return list(dict.fromkeys(str(item[4][0]).partition("%")[0] for item in found))


def in_srv_order(records: Sequence[Srv], random: Callable[[], float]) -> list[Srv]:
    """By priority, and by weighted chance within one (RFC 2782, "Usage rules")."""
    ordered: list[Srv] = []
    for priority in sorted({record.priority for record in records}):
        waiting = sorted((r for r in records if r.priority == priority), key=lambda r: r.weight)
        while waiting:
            point = random() * (sum(record.weight for record in waiting) + 1)
            for record in waiting:
                point -= record.weight
                if point < 1:
                    break
            waiting.remove(record)
            ordered.append(record)
    return ordered


def _from_naptr(
    records: Sequence[Naptr], transports: Sequence[Transport]
) -> list[tuple[Transport, str]]:
    """The SRV names of the services that may be used, best first, of the lowest order that has
    one (RFC 3403 4.1)."""
    usable = sorted(
        (r for r in records if r.flags == "s" and _NAPTR_SERVICES.get(r.service) in transports),
        key=lambda r: (r.order, r.preference),
    )
    return [
        (_NAPTR_SERVICES[r.service], r.replacement)
        for r in usable
        if r.order == usable[0].order and r.replacement != "."
    ]


def _no_answer(host: str) -> ResolutionFailed:
    return ResolutionFailed(
        f"No DNS server answered for {host}.", hint="Check this machine's network and DNS."
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    """Names that the system knows and public DNS should not be asked for (RFC 6761 6.3)."""
    name = host.lower().rstrip(".")
    return "." not in name or name.endswith((".localhost", ".local"))
