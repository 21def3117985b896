"""A name server for one zone, on a free UDP port of 127.0.0.1."""

from __future__ import annotations

import socket
import threading
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

MAX_QUERY = 4096


class DnsZone:
    """Answers from ``records``: ``(name, type, value)`` as in a zone file. The questions that came
    are in ``asked``. A name without a record of the type asked for is an empty answer; one that
    is in no record does not exist."""

    def __init__(self, *records: tuple[str, str, str], ttl: int = 1) -> None:
        self._records = records
        self._ttl = ttl
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                data, source = self._socket.recvfrom(MAX_QUERY)
            except OSError:
                return
            try:
                query = dns.message.from_wire(data)
            except dns.exception.DNSException:
                if not data:
                    return
                continue
            self._socket.sendto(self._answer(query).to_wire(), source)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        known = [(k, value) for owner, k, value in self._records if owner == name]
        values = [value for k, value in known if k == kind]
        if values:
            response.answer.append(
                dns.rrset.from_text(question.name, self._ttl, "IN", kind, *values)
            )
        elif not known:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # closing a socket does not wake a thread that waits on it
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()
