"""The figures of a session: what was counted, and what the E-model makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ringback.media.plane import SessionReport
from ringback.rtp import emodel

UNKNOWN_BUFFER_MS = 40.0
"""What the far end's jitter buffer is taken to hold, beside twice the jitter that it reports."""


@dataclass(frozen=True, slots=True)
class LegFigures:
    """What one phone leg measured. Of the far end's figures, ``None`` where it sent none."""

    codec: str
    ptime_ms: int
    security: str
    packets_received: int
    packets_sent: int
    packets_lost: int
    packets_late: int
    loss_bursts: int
    jitter_ms: float
    buffer_ms: float
    round_trip_ms: float | None
    remote_packets_lost: int | None
    remote_jitter_ms: float | None


def with_figures(report: SessionReport, leg: LegFigures) -> SessionReport:
    """``report`` with the delays, jitter and quality of its present leg."""
    return replace(
        report,
        jitter_ms=leg.jitter_ms,
        round_trip_ms=leg.round_trip_ms,
        codec=leg.codec,
        security=leg.security,
        buffer_ms=leg.buffer_ms,
        remote_packets_lost=leg.remote_packets_lost,
        remote_jitter_ms=leg.remote_jitter_ms,
        mos=heard_here(leg),
        remote_mos=heard_there(leg),
    )


def heard_here(leg: LegFigures) -> float | None:
    """How the person was heard by us, ``None`` where nothing came."""
    if not leg.packets_received:
        return None
    expected = leg.packets_received + leg.packets_lost
    missed = min(leg.packets_lost + leg.packets_late, expected)
    conditions = emodel.Conditions(
        _one_way_ms(leg) + leg.buffer_ms + leg.ptime_ms,
        missed / expected,
        emodel.burst_ratio(missed, leg.loss_bursts, expected),
    )
    return emodel.estimate(emodel.impairment_of(leg.codec), conditions)


def heard_there(leg: LegFigures) -> float | None:
    """How we were heard by the person, as far as reports tell; ``None`` without any."""
    if leg.remote_packets_lost is None or not leg.packets_sent:
        return None
    jitter_ms = leg.remote_jitter_ms or 0.0
    conditions = emodel.Conditions(
        _one_way_ms(leg) + UNKNOWN_BUFFER_MS + 2 * jitter_ms + leg.ptime_ms,
        max(0, leg.remote_packets_lost) / leg.packets_sent,
    )
    return emodel.estimate(emodel.impairment_of(leg.codec), conditions)


def _one_way_ms(leg: LegFigures) -> float:
    return (leg.round_trip_ms or 0.0) / 2
