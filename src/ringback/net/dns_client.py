"""DNS look-ups with a bound on time and a cache that keeps to the records' TTL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from ringback.core.clock import Clock

RecordType = Literal["A", "AAAA", "SRV", "NAPTR"]

QUERY_TIMEOUT = 2.0
"""Seconds for one look-up, other nameservers and repetitions included."""
MAX_CACHED = 2048
"""Answers remembered; the oldest is forgotten first."""
MAX_TTL = 3600.0
NEGATIVE_TTL = 30.0
"""Seconds for which "there is no such record" is believed (RFC 2308 allows more)."""
CONFIGURATION_LIFETIME = 60.0
"""Seconds until ``/etc/resolv.conf`` is read again: networks come and go."""


class DnsUnavailable(Exception):
    """No nameserver gave an answer, which is not the same as "no such record"."""


@dataclass(frozen=True, slots=True)
class Naptr:
    """RFC 3403 4.1; the fields that SIP uses."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """RFC 2782. ``target`` is ``.`` for "this service is not offered here"."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(slots=True)
class DnsCounters:
    queries: int = 0
    cache_hits: int = 0
    failures: int = 0


class DnsClient:
    """``nameservers`` are pairs of IP literal and port; ``None``: those of the system."""

    def __init__(
        self, *, clock: Clock, nameservers: Sequence[tuple[str, int]] | None = None
    ) -> None:
        self.counters = DnsCounters()
        self._clock = clock
        self._nameservers = nameservers
        self._system: tuple[float, dns.asyncresolver.Resolver] | None = None
        self._cache: dict[tuple[str, RecordType], tuple[float, tuple[dns.rdata.Rdata, ...]]] = {}

    async def addresses(self, name: str, kind: Literal["A", "AAAA"]) -> list[str]:
        records = await self._look_up(name, kind)
        return [record.address for record in records if isinstance(record, A | AAAA)]

    async def srv(self, name: str) -> list[Srv]:
        return [
            Srv(record.priority, record.weight, record.port, _text(record.target))
            for record in await self._look_up(name, "SRV")
            if isinstance(record, SRV)
        ]

    async def naptr(self, name: str) -> list[Naptr]:
        return [
            Naptr(
                record.order,
                record.preference,
                record.flags.decode("ascii", "replace").lower(),
                record.service.decode("ascii", "replace").upper(),
                _text(record.replacement),
            )
            for record in await self._look_up(name, "NAPTR")
            if isinstance(record, NAPTR)
        ]

    async def _look_up(self, name: str, kind: RecordType) -> tuple[dns.rdata.Rdata, ...]:
        """The records, none when there is no such name or record. Raises
        :class:`DnsUnavailable` without an answer, ``ValueError`` for what is no host name."""
        key = (name.lower().rstrip("."), kind)
        now = self._clock.monotonic()
        known = self._cache.get(key)
        if known is not None and now < known[0]:
            self.counters.cache_hits += 1
            return known[1]
        records, ttl = await self._query(*key)
        self._cache.pop(key, None)
        if len(self._cache) >= MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[key] = (self._clock.monotonic() + min(ttl, MAX_TTL), records)
        return records

    async def _query(
        self, name: str, kind: RecordType
    ) -> tuple[tuple[dns.rdata.Rdata, ...], float]:
        try:
            absolute = dns.name.from_text(f"{name}.")
        except (dns.exception.DNSException, UnicodeError) as error:
            raise ValueError(f"{name!r} is not a host name") from error
        self.counters.queries += 1
        try:
            answer = await self._resolver().resolve(
                absolute,
                kind,
                lifetime=QUERY_TIMEOUT,
                raise_on_no_answer=False,
                search=False,
                backend=dns.asyncbackend.get_backend("asyncio"),
            )
        except dns.resolver.NXDOMAIN:
            return (), NEGATIVE_TTL
        except (dns.exception.DNSException, OSError, EOFError) as error:
            self.counters.failures += 1
            raise DnsUnavailable(str(error)) from error
        if answer.rrset is None:
            return (), NEGATIVE_TTL
        return tuple(answer.rrset), float(answer.rrset.ttl)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        now = self._clock.monotonic()
        if self._system is None or now >= self._system[0]:
            self._system = (now + CONFIGURATION_LIFETIME, self._configured())
        return self._system[1]

    def _configured(self) -> dns.asyncresolver.Resolver:
        if self._nameservers is None:
            return dns.asyncresolver.Resolver()
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = list(_servers(self._nameservers))
        return resolver


def _servers(pairs: Iterable[tuple[str, int]]) -> Iterable[dns.nameserver.Nameserver]:
    return (dns.nameserver.Do53Nameserver(host, port) for host, port in pairs)


def _text(name: dns.name.Name) -> str:
    """Without the final dot, but ``.`` for the root."""
    return name.to_text(omit_final_dot=True)
