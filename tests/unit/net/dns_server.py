"""A DNS server for tests: it serves one zone text on a free UDP port of 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.zone

SOA = "@ 60 IN SOA ns. admin. 1 60 60 60 60\n@ 60 IN NS ns.\n"


class DnsServer(asyncio.DatagramProtocol):
    """Answers from ``zone``; a question in ``silent`` or ``failing`` (``(name, type)``) gets no
    answer, or SERVFAIL."""

    def __init__(self, zone: str) -> None:
        self.zone = dns.zone.from_text(SOA + zone, origin=".", relativize=False)
        self.questions: list[tuple[str, str]] = []
        self.silent: set[tuple[str, str]] = set()
        self.failing: set[tuple[str, str]] = set()
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        asked = (
            question.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.questions.append(asked)
        if asked in self.silent or ("*", "*") in self.silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if asked in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._answer(question.name, question.rdtype, response)
        if self._transport is not None:
            self._transport.sendto(response.to_wire(), addr)

    def _answer(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType, response: dns.message.Message
    ) -> None:
        found = self.zone.get_rrset(name, kind)
        alias = self.zone.get_rrset(name, dns.rdatatype.CNAME)
        if found is not None:
            response.answer.append(found)
        elif alias is not None:
            response.answer.append(alias)
            self._answer(alias[0].target, kind, response)
        elif self.zone.get_node(name) is None:
            response.set_rcode(dns.rcode.NXDOMAIN)


@asynccontextmanager
async def dns_server(zone: str) -> AsyncIterator[DnsServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: DnsServer(zone), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
