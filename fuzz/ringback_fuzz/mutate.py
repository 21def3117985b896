"""A seeded mutator that knows a little about what it mutates.

Half of its changes are to bytes, as any fuzzer's, half to the lines, fields and parts that text
protocols consist of. The same seed gives the same inputs, everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

MAX_BYTES = 8192
"""Of one input."""

TOKENS: tuple[bytes, ...] = (
    *(
        b"",
        b" ",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\t",
        b"\r\n ",
        b"\r\n\r\n",
        b",",
        b";",
        b":",
        b"=",
    ),
    *(b'"', b"\\", b"<", b">", b"@", b"%", b"%00", b"%41", b"*", b"?", b"&", b"[", b"]", b"[::1]"),
    *(b"0", b"-1", b"1", b"255", b"65535", b"65536", b"4294967295", b"4294967296", b"9" * 40),
    *(b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\x80", b"\xef\xbb\xbf"),
    *(b"INVITE", b"ACK", b"BYE", b"CANCEL", b"REFER", b"UPDATE", b"PRACK", b"INFO", b"OPTIONS"),
    *(b"SIP/2.0", b"SIP/2.0/UDP", b"SIP/3.0", b"z9hG4bK", b";tag=", b";branch=", b";lr", b";rport"),
    *(b"sip:", b"sips:", b"tel:", b"Via: ", b"v:", b"Require: 100rel\r\n", b"Supported: timer\r\n"),
    *(b"Content-Length: ", b"Session-Expires: 90;refresher=uas\r\n", b"Replaces: ", b"RSeq: 1\r\n"),
    *(b"m=audio ", b"a=sendonly\r\n", b"a=inactive\r\n", b"c=IN IP4 0.0.0.0\r\n", b"RTP/SAVP"),
    *(
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:",
        b"a=rtpmap:",
        b"a=fmtp:",
        b"UDP/TLS/RTP/SAVPF",
    ),
    *(b"Digest ", b'qop="auth,auth-int"', b"algorithm=", b"nonce=", b"stale=true"),
    *(b'{"type":"', b"null", b"true", b"1e999", b"\\ud800", b"[[[[[[[["),
    *(b"{tag}", b"{branch}", b"{call}", b"{cseq}", b"\x00\xff\x00"),
)


class Mutator:
    """``corpus`` is what inputs are made from; it may be empty."""

    def __init__(self, corpus: Sequence[bytes], random: Random) -> None:
        self._corpus = list(corpus) or [b""]
        self._random = random
        self._steps: tuple[Callable[[bytes], bytes], ...] = (
            self._flip,
            self._overwrite,
            self._insert,
            self._delete,
            self._double,
            self._splice,
            self._number,
            self._lines,
            self._lines,
            self._fields,
            self._fields,
            self._parts,
            self._bomb,
        )

    def next(self) -> bytes:
        """Another input: one of the corpus after one to a dozen changes."""
        data = self._random.choice(self._corpus)
        for _ in range(min(12, 1 + int(self._random.expovariate(0.5)))):
            data = self.change(data, MAX_BYTES)
        return data

    def change(self, data: bytes, most: int) -> bytes:
        """``data`` after one change, at most ``most`` bytes."""
        return self._random.choice(self._steps)(data)[:most]

    # ---- bytes --------------------------------------------------------------------------------

    def _place(self, data: bytes) -> int:
        return self._random.randrange(len(data) + 1)

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return b"\0"
        found = bytearray(data)
        found[self._random.randrange(len(found))] ^= 1 << self._random.randrange(8)
        return bytes(found)

    def _overwrite(self, data: bytes) -> bytes:
        at, token = self._place(data), self._random.choice(TOKENS)
        return data[:at] + token + data[at + len(token) :]

    def _insert(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + self._random.choice(TOKENS) + data[at:]

    def _delete(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + data[at + self._random.choice((1, 1, 2, 4, 8, 32, 200)) :]

    def _double(self, data: bytes) -> bytes:
        at = self._place(data)
        piece = data[at : at + self._random.choice((1, 4, 16, 64))]
        return data[:at] + piece * self._random.choice((2, 3, 8)) + data[at:]

    def _splice(self, data: bytes) -> bytes:
        other = self._random.choice(self._corpus)
        return data[: self._place(data)] + other[self._place(other) :]

    def _number(self, data: bytes) -> bytes:
        """Replace a run of digits, the favourite place of off-by-one."""
        starts = [i for i, byte in enumerate(data[:2000]) if 48 <= byte <= 57]
        if not starts:
            return self._flip(data)
        start = end = self._random.choice(starts)
        while end < len(data) and 48 <= data[end] <= 57:
            end += 1
        number = self._random.choice((0, 1, 7, 99, 255, 256, 65535, 65536, 2**31, 2**32, 2**64))
        return data[:start] + str(number).encode() + data[end:]

    # ---- text ---------------------------------------------------------------------------------

    def _lines(self, data: bytes) -> bytes:
        """Drop, double, move or swap whole lines."""
        lines = data.split(b"\r\n")
        at, other = (self._random.randrange(len(lines)) for _ in range(2))
        match self._random.randrange(5):
            case 0:
                del lines[at]
            case 1:
                lines.insert(other, lines[at])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = lines[at] + b"\r\n " + lines[other]
            case _:
                donor = self._random.choice(self._corpus).split(b"\r\n")
                lines.insert(at, self._random.choice(donor))
        return b"\r\n".join(lines)

    def _fields(self, data: bytes) -> bytes:
        """Change one line: its name, its value, or a piece between separators."""
        lines = data.split(b"\r\n")
        at = self._random.randrange(len(lines))
        separator = self._random.choice((b":", b";", b",", b"=", b" ", b"@", b'"'))
        pieces = lines[at].split(separator)
        piece = self._random.randrange(len(pieces))
        match self._random.randrange(4):
            case 0:
                pieces[piece] = self._random.choice(TOKENS)
            case 1:
                del pieces[piece]
            case 2:
                pieces.insert(piece, pieces[piece])
            case _:
                pieces[piece] = pieces[piece].swapcase()
        lines[at] = separator.join(pieces)
        return b"\r\n".join(lines)

    def _parts(self, data: bytes) -> bytes:
        """Move, double or drop the datagrams or descriptions of an input that has several."""
        separator = b"\x00\xff\x00" if b"\x00\xff\x00" in data else b"\0"
        parts = data.split(separator)
        at, other = (self._random.randrange(len(parts)) for _ in range(2))
        match self._random.randrange(3):
            case 0:
                parts.insert(other, parts[at])
            case 1:
                parts[at], parts[other] = parts[other], parts[at]
            case _:
                parts.insert(at, self._random.choice(self._corpus).split(separator)[-1])
        return separator.join(parts)

    def _bomb(self, data: bytes) -> bytes:
        """Very many of something small, now and then."""
        if self._random.random() > 0.1:
            return self._flip(data)
        lines = data.split(b"\r\n")
        at = self._random.randrange(len(lines))
        piece = lines[at] if self._random.random() < 0.5 else self._random.choice(TOKENS)
        joined = self._random.choice((b",", b"\r\n", b";", b"\r\n ", b""))
        lines[at] = joined.join([piece] * self._random.choice((50, 300)))
        return b"\r\n".join(lines)
