"""The seeds: small files under ``fuzz/corpus/<target>/``, and the torture messages of RFC 4475."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "corpus"
FOUND = ROOT / "found"
"""Where new findings go; not in the repository."""
TORTURE = ROOT.parent / "tests" / "conformance" / "rfc4475" / "messages"
"""Messages that other tests own; the targets that read whole messages take them as seeds."""

_READS_MESSAGES = ("sip_message", "sip_stream", "sip_glimpse")


def seeds(target: str) -> list[bytes]:
    """Every seed of the target, in the order of their names."""
    found = [path.read_bytes() for path in files(target)]
    if target in _READS_MESSAGES:
        found += [path.read_bytes() for path in sorted(TORTURE.glob("*.dat"))]
    return found


def files(target: str) -> list[Path]:
    return sorted(path for path in (CORPUS / target).glob("*") if path.is_file())
