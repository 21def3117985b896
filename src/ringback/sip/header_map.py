"""The header fields of one message, in order (RFC 3261 7.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ringback.sip.errors import HeaderError, ParseError, UnsafeValue
from ringback.sip.grammar import encode, is_token, refuse_unsafe, split_list
from ringback.sip.remembered import remembered

COMPACT_FORMS = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
"""The compact forms registered with IANA, and what they stand for."""

_KNOWN = """
    Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events
    Authentication-Info Authorization Call-ID Call-Info Contact Content-Disposition
    Content-Encoding Content-Language Content-Length Content-Type CSeq Date Diversion Error-Info
    Event Expires From History-Info Identity Identity-Info In-Reply-To Info-Package Join
    Max-Forwards MIME-Version Min-Expires Min-SE Organization P-Asserted-Identity
    P-Preferred-Identity Path Priority Privacy Proxy-Authenticate Proxy-Authorization
    Proxy-Require RAck Reason Record-Route Recv-Info Refer-To Referred-By Reject-Contact
    Remote-Party-ID Replaces Reply-To Request-Disposition Require Retry-After Route RSeq Server
    Service-Route Session-Expires SIP-ETag SIP-If-Match Subject Subscription-State Supported
    Target-Dialog Timestamp To Unsupported User-Agent Via Warning WWW-Authenticate
"""
_LONG_KEYS = {short: long.lower() for short, long in COMPACT_FORMS.items()}
_SPELLING = {name.lower(): name for name in (*_KNOWN.split(), *COMPACT_FORMS.values())}


@remembered
def _named(name: str) -> tuple[str, str]:
    """What a header name is compared by, and its long, usual spelling."""
    lowered = name.lower()
    key = _LONG_KEYS.get(lowered, lowered)
    return key, _SPELLING.get(key, name)


@remembered
def _sendable(name: str) -> tuple[str, str]:
    """As ``_named``. Raises :class:`UnsafeValue` for what cannot be the name of a header."""
    if not is_token(name):
        raise UnsafeValue(f"{name!r} cannot be the name of a header")
    return _named(name)


_USUAL = {
    name: (name.lower(), name) for name in _SPELLING.values()
} | {short: (long.lower(), long) for short, long in COMPACT_FORMS.items()}  # fmt: skip
"""The names that nearly every field has, as they are nearly always written."""


def canonical_name(name: str) -> str:
    """The long, usual spelling of a header name; an unknown name stays as it is.

    >>> canonical_name("i"), canonical_name("CSEQ"), canonical_name("X-Account-ID")
    ('Call-ID', 'CSeq', 'X-Account-ID')
    """
    return _named(name)[1]


class HeaderValue:
    """Base of the typed header values: ``str()`` gives what stands after the colon."""

    __slots__ = ()


_Field = tuple[str, str, str]
"""What the name is compared by, the value, and the name as it is written. A plain tuple: a call
makes dozens of them."""


class Headers:
    """An ordered, case-insensitive multi-map of header fields.

    Compact names are the same as the long ones. Values are text with continuation lines joined.
    A name or value that would break the message apart is refused with :class:`UnsafeValue`.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str | int | HeaderValue]] = ()) -> None:
        self._fields: list[_Field] = [_field(name, value) for name, value in fields]

    def get(self, name: str) -> str | None:
        """The value of the first field ``name``, as it stands (not split at commas)."""
        key = (_USUAL.get(name) or _named(name))[0]
        for item in self._fields:
            if item[0] == key:
                return item[1]
        return None

    def get_all(self, name: str) -> list[str]:
        """The value of every field ``name``, as they stand."""
        key = (_USUAL.get(name) or _named(name))[0]
        return [item[1] for item in self._fields if item[0] == key]

    def values(self, name: str) -> list[str]:
        """The elements of every field ``name``, split at commas, empty ones left out.

        For headers whose grammar is a comma separated list, and only for them. Raises
        :class:`HeaderError` for a quote or bracket that is not closed.
        """
        return [element for element in self.elements(name) if element]

    def elements(self, name: str) -> list[str]:
        """Like :meth:`values`, but an empty element is kept, for headers that allow none."""
        found: list[str] = []
        for value in self.get_all(name):
            try:
                found.extend(split_list(value))
            except ParseError as error:
                where = canonical_name(name)
                raise HeaderError(where, error.message, position=error.position) from error
        return found

    def set(self, name: str, value: str | int | HeaderValue) -> None:
        """Put one value in the place of the first field ``name``; drop the others."""
        item = _field(name, value)
        place = self._find(name)
        if place is None:
            self._fields.append(item)
        else:
            later = [other for other in self._fields[place + 1 :] if other[0] != item[0]]
            self._fields[place:] = [item, *later]

    def add(self, name: str, value: str | int | HeaderValue) -> None:
        """Add a field at the end."""
        self._fields.append(_field(name, value))

    def prepend(self, name: str, value: str | int | HeaderValue) -> None:
        """Add a field before every other of its name (a new Via), else before everything."""
        self._fields.insert(self._find(name) or 0, _field(name, value))

    def remove(self, name: str) -> None:
        """Drop every field ``name``; none is fine."""
        key = _named(name)[0]
        self._fields = [item for item in self._fields if item[0] != key]

    def set_first(self, name: str, value: str | HeaderValue) -> None:
        """Replace the topmost *value* of ``name`` (one Via of a line that may hold several)."""
        item = _field(name, value)
        place = self._find(name)
        if place is None:
            self._fields.insert(0, item)
        else:
            rest = split_list(self._fields[place][1])[1:]
            self._fields[place] = _field(name, ", ".join((item[1], *rest)))

    def remove_first(self, name: str) -> None:
        """Drop the topmost *value* of ``name``; none is fine."""
        place = self._find(name)
        if place is not None:
            rest = split_list(self._fields[place][1])[1:]
            self._fields[place : place + 1] = [_field(name, ", ".join(rest))] if rest else []

    def names(self) -> list[str]:
        """The different names in order of first appearance."""
        first: dict[str, str] = {}
        for key, _, name in self._fields:
            first.setdefault(key, name)
        return list(first.values())

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for _, value, name in self._fields]

    def copy(self) -> Headers:
        twin = Headers()
        twin._fields = list(self._fields)
        return twin

    def without(self, name: str) -> Headers:
        """A copy that lacks every field ``name``."""
        twin = self.copy()
        twin.remove(name)
        return twin

    def _find(self, name: str) -> int | None:
        key = (_USUAL.get(name) or _named(name))[0]
        for place, item in enumerate(self._fields):
            if item[0] == key:
                return place
        return None

    def repeated(self, names: Iterable[str]) -> str | None:
        """The first of ``names`` that has more than one field."""
        keys = [item[0] for item in self._fields]
        if len(set(keys)) == len(keys):
            return None
        return next((name for name in names if keys.count(_named(name)[0]) > 1), None)

    def _compared(self) -> list[tuple[str, str]]:
        return [item[:2] for item in self._fields]

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._compared() == other._compared()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"

    def __bytes__(self) -> bytes:
        """Every field in its own line, the empty line at the end not included."""
        return encode(self.written())

    def written(self, leave_out: str = "") -> str:
        """As ``bytes()``, without the fields ``leave_out``."""
        key = (_USUAL.get(leave_out) or _named(leave_out))[0]
        return "".join([f"{name}: {value}\r\n" for k, value, name in self._fields if k != key])


def _field(name: str, value: str | int | HeaderValue) -> _Field:
    key, spelled = _USUAL.get(name) or _sendable(name)
    text = value if type(value) is str else str(value)
    text = text.strip(" \t")
    if not text.isprintable():
        refuse_unsafe(f"the value of {spelled}", text)
    return key, text, spelled
