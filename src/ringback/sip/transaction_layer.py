"""Which transaction a message belongs to (RFC 3261 17.1.3, 17.2.3, 8.2.2.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ringback.sip.headers import BRANCH_COOKIE, CSeq, NameAddr, Via
from ringback.sip.message import Request
from ringback.sip.response_routing import default_port, reply_flow, stamp_source
from ringback.sip.timers import TimerQueue, Timers
from ringback.sip.transaction import (
    ClientTransaction,
    ClientUser,
    ServerTransaction,
    Transaction,
    TransactionContext,
)
from ringback.sip.transport import Flow, Transmission

_Key = TypeVar("_Key")

MergeKey = tuple[str, str | None, int, str]


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request with what every layer reads of it, read once. Its Via has the source in it."""

    request: Request
    flow: Flow
    reply_to: Flow
    via: Via
    from_: NameAddr
    to: NameAddr
    call_id: str
    cseq: CSeq

    @classmethod
    def read(cls, request: Request, flow: Flow) -> ReceivedRequest:
        """Raises :class:`ringback.sip.errors.ParseError`. Writes into ``request``'s top Via."""
        via = request.top_via
        destination = reply_flow(via, flow)
        stamped = stamp_source(request, via, flow)
        return cls(
            request,
            flow,
            destination,
            stamped,
            request.from_,
            request.to,
            request.call_id,
            request.cseq,
        )

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def merge_key(self) -> MergeKey:
        return self.call_id, self.from_.tag, self.cseq.number, self.method

    def key(self, method: str) -> str:
        """The name of the server transaction for ``method`` that this request's Via points to."""
        branch = self.via.branch or ""
        if branch.startswith(BRANCH_COOKIE):
            port = self.via.port or default_port(self.via.transport)
            return f"s|{branch}|{self.via.host.lower()}|{port}|{method}"
        return (
            f"s|{self.request.uri}|{self.from_.tag}|{self.call_id}|{self.cseq.number}"
            f"|{self.via.sent_by.lower()}|{branch}|{method}"
        )


class TransactionLayer:
    """Every transaction of one endpoint, by key."""

    def __init__(
        self, timers: Timers, queue: TimerQueue, send: Callable[[Transmission], None]
    ) -> None:
        self._context = TransactionContext(timers, queue, send, self._forget)
        self._clients: dict[str, ClientTransaction] = {}
        self._servers: dict[str, ServerTransaction] = {}
        self._merges: dict[MergeKey, str] = {}
        self._branches: Counter[str | None] = Counter()
        self._call_ids: Counter[str] = Counter()

    def expects(self, branch: str) -> bool:
        """Whether a response with this branch in its top Via may be one to a request of ours."""
        return branch in self._branches

    def serves(self, call_id: str) -> bool:
        """Whether a request with this Call-ID is remembered."""
        return call_id in self._call_ids

    @property
    def client_count(self) -> int:
        return len(self._clients)

    @property
    def server_count(self) -> int:
        return len(self._servers)

    # ---- client -------------------------------------------------------------------------------

    def start_client(
        self, request: Request, via: Via, destination: Flow, user: ClientUser, now: float
    ) -> ClientTransaction:
        """Send ``request``, whose top Via is ``via`` with a branch that was never used before."""
        key = _client_key(via, request.method)
        transaction = ClientTransaction(key, request, via, destination, user, self._context)
        self._clients[key] = transaction
        self._branches[via.branch] += 1
        transaction.start(now)
        return transaction

    def find_client(self, via: Via, method: str) -> ClientTransaction | None:
        """By the top Via and the CSeq method of a response (17.1.3)."""
        return self._clients.get(_client_key(via, method))

    # ---- server -------------------------------------------------------------------------------

    def find_server(self, received: ReceivedRequest, method: str) -> ServerTransaction | None:
        return self._servers.get(received.key(method))

    def is_merged(self, received: ReceivedRequest, transaction: ServerTransaction) -> bool:
        """Whether the same request came before ``transaction`` on another path (8.2.2.2)."""
        first = self._merges.get(received.merge_key)
        return received.to.tag is None and first not in (None, transaction.key)

    def open_server(self, received: ReceivedRequest, now: float) -> ServerTransaction:
        key = received.key(received.method)
        transaction = ServerTransaction(
            key, received.request, received.flow, received.reply_to, self._context
        )
        transaction.call_id = received.call_id
        self._servers[key] = transaction
        self._call_ids[received.call_id] += 1
        if received.to.tag is None and self._merges.setdefault(received.merge_key, key) == key:
            transaction.merge_key = received.merge_key
        transaction.start(now)
        return transaction

    # ---- both ---------------------------------------------------------------------------------

    def transport_failed(self, key: str, now: float, why: str = "") -> bool:
        """``False`` if no transaction has that key any more."""
        transaction: Transaction | None = self._clients.get(key) or self._servers.get(key)
        if transaction is None:
            return False
        transaction.transport_failed(now, why)
        return True

    def _forget(self, transaction: Transaction) -> None:
        if isinstance(transaction, ServerTransaction):
            if self._servers.pop(transaction.key, None) is not None:
                uncount(self._call_ids, transaction.call_id)
            if transaction.merge_key is not None:
                self._merges.pop(transaction.merge_key, None)
        elif (client := self._clients.pop(transaction.key, None)) is not None:
            uncount(self._branches, client.via.branch)


def uncount(counter: Counter[_Key], key: _Key) -> None:
    """One less; what is not counted any more takes no room."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def _client_key(via: Via, method: str) -> str:
    return f"c|{via.branch}|{method}"
