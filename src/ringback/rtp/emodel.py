"""How a call sounds, estimated from what the network did to it: the E-model.

ITU-T G.107 for telephone bandwidth and G.107.1 for wideband, with everything that RTP does not tell
at its default: R = R0 - Idd - Ie,eff. The mean opinion score of a wideband call is that of R / 1.29
(G.107.1): both are 1.0 to 4.5, but each is what people expect of its own band, and the score of a
wideband call does not compare with that of a telephone one. Loss is what is left for concealment to
hide: packets that never came and those that came too late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NARROWBAND_R0 = 93.2
"""R of a call without impairments, all parameters at their defaults (G.107 table 2)."""
WIDEBAND_R0 = 129.0
"""The same of G.107.1."""
WIDEBAND_SCALE = 1.29

_LEAST_PERCEIVED_DELAY_MS = 100.0
_MAX_R = 100.0


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a codec costs. ``ie``: by itself (Ie, or Ie,wb of a ``wideband`` one); ``bpl``: how
    well it and its concealment bear random loss (Bpl); ``delay_ms``: its frame and look-ahead
    beyond the packet itself."""

    ie: float
    bpl: float
    wideband: bool = False
    delay_ms: float = 0.0


G711 = Impairment(0.0, 25.1)
"""With packet loss concealment (G.113 table I.4)."""
G711_WITHOUT_CONCEALMENT = Impairment(0.0, 4.3)
G722 = Impairment(13.0, 10.0, wideband=True, delay_ms=1.5)
"""Ie,wb at 64 kbit/s of G.113 table IV.1. Its Bpl has not been published; ours is between that of
G.711 with and without concealment, because a lost packet costs the predictor's memory, too."""
OPUS = Impairment(3.0, 20.0, wideband=True, delay_ms=6.5)
"""G.113 has no wideband figures for Opus. Ie,wb is that of the best codec of table IV.1 that is
not better than Opus in listening tests; Bpl is an estimate for its own concealment."""

_CODECS = {"PCMU": G711, "PCMA": G711, "G722": G722, "OPUS": OPUS}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one direction of a stream went through.

    ``delay_ms`` is one way, mouth to ear; ``loss`` is the fraction (0 to 1) that had to be
    concealed; ``burst_ratio`` (BurstR) is 1 for random loss and more when losses come together.
    """

    delay_ms: float = 0.0
    loss: float = 0.0
    burst_ratio: float = 1.0


def impairment_of(codec: str) -> Impairment:
    """By encoding name, in any case; what is not known is taken for G.711."""
    return _CODECS.get(codec.upper(), G711)


def delay_impairment(delay_ms: float) -> float:
    """Idd of G.107 7.4 for the default sensitivity: nothing up to 100 ms."""
    if delay_ms <= _LEAST_PERCEIVED_DELAY_MS:
        return 0.0
    x = math.log2(delay_ms / _LEAST_PERCEIVED_DELAY_MS)
    return 25.0 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)


def loss_impairment(codec: Impairment, loss: float, burst_ratio: float = 1.0) -> float:
    """Ie,eff of G.107 7.5."""
    percent = 100.0 * min(max(loss, 0.0), 1.0)
    return codec.ie + (95.0 - codec.ie) * percent / (percent / max(burst_ratio, 1.0) + codec.bpl)


def rating(codec: Impairment, conditions: Conditions) -> float:
    """R: up to 93.2, or 129 of a wideband codec, and below 0 when nothing is understood."""
    best = WIDEBAND_R0 if codec.wideband else NARROWBAND_R0
    lost = loss_impairment(codec, conditions.loss, conditions.burst_ratio)
    return best - delay_impairment(conditions.delay_ms + codec.delay_ms) - lost


def mean_opinion_score(r: float) -> float:
    """MOS-CQE of G.107 annex B, 1.0 to 4.5."""
    r = min(max(r, 0.0), _MAX_R)
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def estimate(codec: Impairment, conditions: Conditions) -> float:
    """The mean opinion score of one direction, 1.0 to 4.5."""
    r = rating(codec, conditions)
    return mean_opinion_score(r / WIDEBAND_SCALE if codec.wideband else r)


def burst_ratio(lost: int, bursts: int, expected: int) -> float:
    """BurstR (G.107 7.5): the mean length of a run of lost packets over what it would be if losses
    were independent. ``lost`` packets of ``expected``, in ``bursts`` runs; 1 without any."""
    if lost <= 0 or bursts <= 0 or lost >= expected:
        return 1.0
    return max(1.0, lost / bursts * (1 - lost / expected))
