"""Every trunk and number of this node in memory, indexed the way that a call needs them.

An INVITE from a stranger must not cost a query, so routing reads this and never the database.
``Telephony`` keeps it in step with the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ringback.connectors.sip.directory import DtmfMode, MediaEncryption, TrunkAccount
from ringback.sip.remembered import remembered
from ringback.telephony.limit_schemas import TrunkLimits
from ringback.telephony.models import PhoneNumber, Trunk
from ringback.telephony.numbers import DialFormat, region_of, written_forms

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class TrunkEntry:
    """An enabled trunk. ``region`` is the country whose national numbers it takes."""

    account: TrunkAccount
    name: str
    networks: tuple[Network, ...]
    tech_prefix: str
    dial_format: DialFormat
    region: str | None
    agent_id: str | None
    limits: TrunkLimits

    @property
    def id(self) -> str:
        return self.account.id

    @property
    def account_id(self) -> str:
        return self.account.account_id

    @classmethod
    def of(cls, row: Trunk) -> TrunkEntry:
        region = row.country
        if region is None and row.caller_id is not None and row.caller_id.startswith("+"):
            region = region_of(row.caller_id)
        return cls(
            account=_account(row),
            name=row.name,
            networks=tuple(ip_network(text) for text in row.allowed_ips),
            tech_prefix=row.tech_prefix,
            dial_format=DialFormat(row.dial_format),
            region=region,
            agent_id=row.agent_id,
            limits=TrunkLimits.model_validate(row.limits or {}),
        )


def _account(row: Trunk) -> TrunkAccount:
    host = row.host or ""
    is_domain = row.realm is not None and "." in row.realm and " " not in row.realm
    transport = row.transport
    return TrunkAccount(
        id=row.id,
        account_id=row.account_id,
        registers=row.mode == "registration",
        host=host,
        port=row.port,
        transport="tls" if transport == "tls" else "tcp" if transport == "tcp" else "udp",
        domain=row.realm if is_domain and row.realm else host,
        username=row.username or "",
        auth_username=row.auth_username or row.username or "",
        password=row.password or "",
        outbound_proxy=row.outbound_proxy,
        caller_id=row.caller_id,
        tls_verify=row.tls_verify,
        codecs=tuple(row.codecs),
        register_expires=row.register_expires,
        contact_token=row.contact_token,
        media_encryption=MediaEncryption(row.media_encryption),
        dtmf_mode=DtmfMode(row.dtmf_mode),
    )


@dataclass(frozen=True, slots=True)
class NumberEntry:
    id: str
    account_id: str
    number: str
    """E.164."""
    trunk_id: str | None
    agent_id: str | None
    auto_answer: bool

    @classmethod
    def of(cls, row: PhoneNumber) -> NumberEntry:
        return cls(row.id, row.account_id, row.number, row.trunk_id, row.agent_id, row.auto_answer)

    def belongs_to(self, trunk: TrunkEntry) -> bool:
        """Whether ``trunk`` may bring calls to this number."""
        return self.account_id == trunk.account_id and self.trunk_id in (None, trunk.id)


@dataclass(slots=True)
class Directory:
    """Trunks by id and token, numbers by every form in which they may be written."""

    trunks: dict[str, TrunkEntry] = field(default_factory=dict)
    numbers: dict[str, NumberEntry] = field(default_factory=dict)
    addresses: dict[str, frozenset[Address]] = field(default_factory=dict)
    """The addresses behind each trunk's host, as last resolved."""
    _by_token: dict[str, str] = field(default_factory=dict)
    _by_form: dict[str, dict[str, int]] = field(default_factory=dict)
    _by_account: dict[str, dict[str, NumberEntry]] = field(default_factory=dict)

    def load(self, trunks: Iterable[Trunk], numbers: Iterable[PhoneNumber]) -> None:
        """Replace everything; what was resolved stays for the trunks that remain."""
        addresses = self.addresses
        self.trunks, self.numbers = {}, {}
        self.addresses, self._by_token = {}, {}
        self._by_form, self._by_account = {}, {}
        for trunk in trunks:
            self.put_trunk(trunk)
            if trunk.id in self.trunks and trunk.id in addresses:
                self.addresses[trunk.id] = addresses[trunk.id]
        for number in numbers:
            self.put_number(number)

    def put_trunk(self, row: Trunk) -> None:
        """Add or replace; a disabled trunk is left out. The addresses of an unchanged host stay."""
        before, addresses = self.trunks.get(row.id), self.addresses.get(row.id)
        self.remove_trunk(row.id)
        if not row.enabled:
            return
        entry = TrunkEntry.of(row)
        self.trunks[row.id] = entry
        self._by_token[row.contact_token] = row.id
        if before is not None and addresses is not None:
            if _location(before.account) == _location(entry.account):
                self.addresses[row.id] = addresses

    def remove_trunk(self, trunk_id: str) -> None:
        entry = self.trunks.pop(trunk_id, None)
        self.addresses.pop(trunk_id, None)
        if entry is not None:
            self._by_token.pop(entry.account.contact_token, None)

    def put_number(self, row: PhoneNumber) -> None:
        self.remove_number(row.id)
        entry = NumberEntry.of(row)
        self.numbers[row.id] = entry
        self._by_account.setdefault(row.account_id, {})[row.id] = entry
        for rank, form in enumerate(written_forms(row.number)):
            self._by_form.setdefault(form, {})[row.id] = rank

    def remove_number(self, number_id: str) -> None:
        entry = self.numbers.pop(number_id, None)
        if entry is None:
            return
        self._by_account[entry.account_id].pop(number_id, None)
        for form in written_forms(entry.number):
            ids = self._by_form.get(form, {})
            ids.pop(number_id, None)
            if not ids:
                self._by_form.pop(form, None)

    def detach_numbers(self, trunk_id: str) -> None:
        """The trunk is gone: its numbers may come over any other of the account."""
        for entry in list(self.numbers.values()):
            if entry.trunk_id == trunk_id:
                self._replace_number(replace(entry, trunk_id=None))

    def forget_agent(self, agent_id: str) -> None:
        """The agent is gone: what named it names none."""
        for number in list(self.numbers.values()):
            if number.agent_id == agent_id:
                self._replace_number(replace(number, agent_id=None))
        for trunk in list(self.trunks.values()):
            if trunk.agent_id == agent_id:
                self.trunks[trunk.id] = replace(trunk, agent_id=None)

    def _replace_number(self, entry: NumberEntry) -> None:
        self.numbers[entry.id] = entry
        self._by_account[entry.account_id][entry.id] = entry

    def trunk_with_token(self, token: str) -> TrunkEntry | None:
        return self.trunks.get(self._by_token.get(token, "")) if token else None

    def trunks_of(self, account_id: str) -> list[TrunkEntry]:
        """Oldest first."""
        mine = (entry for entry in self.trunks.values() if entry.account_id == account_id)
        return sorted(mine, key=lambda entry: entry.id)

    def numbers_of(self, trunk: TrunkEntry) -> list[NumberEntry]:
        mine = self._by_account.get(trunk.account_id, {})
        return [entry for entry in mine.values() if entry.belongs_to(trunk)]

    def number_written(self, text: str, trunk: TrunkEntry) -> NumberEntry | None:
        """The trunk's number that ``text`` means: the surest way of writing wins, and a way that
        fits two numbers alike means neither."""
        hits = [
            (rank, self.numbers[number_id])
            for number_id, rank in self._by_form.get(text, {}).items()
            if self.numbers[number_id].belongs_to(trunk)
        ]
        if not hits:
            return None
        best = min(rank for rank, _ in hits)
        winners = [entry for rank, entry in hits if rank == best]
        return winners[0] if len(winners) == 1 else None

    def set_addresses(self, trunk_id: str, hosts: Sequence[str]) -> None:
        if trunk_id in self.trunks:
            self.addresses[trunk_id] = frozenset(_addresses(hosts))

    def addresses_of(self, trunk: TrunkEntry) -> frozenset[Address]:
        """Where the trunk's server is: what DNS said, or the host where it is an address."""
        return self.addresses.get(trunk.id) or _address_itself(trunk.account.host)


def _location(account: TrunkAccount) -> tuple[str, int | None, str, str | None]:
    return account.host, account.port, account.transport, account.outbound_proxy


@remembered
def parse_address(text: str) -> Address | None:
    """An IP address; an IPv4 one mapped into IPv6 is IPv4 again."""
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@remembered
def _address_itself(host: str) -> frozenset[Address]:
    return frozenset(_addresses([host]))


def _addresses(hosts: Sequence[str]) -> list[Address]:
    return [address for host in hosts if (address := parse_address(host)) is not None]
