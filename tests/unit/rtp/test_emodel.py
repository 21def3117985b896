from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.rtp import emodel
from ringback.rtp.emodel import (
    G711,
    G711_WITHOUT_CONCEALMENT,
    G722,
    NARROWBAND_R0,
    OPUS,
    Conditions,
    burst_ratio,
    delay_impairment,
    estimate,
    impairment_of,
    loss_impairment,
    mean_opinion_score,
    rating,
)

CODECS = st.sampled_from([G711, G711_WITHOUT_CONCEALMENT, G722, OPUS])
LOSSES = st.floats(0, 1)
DELAYS = st.floats(0, 2000)


@pytest.mark.requirement("media.mos")
@pytest.mark.parametrize(
    ("r", "mos"), [(93.2, 4.41), (90, 4.34), (80, 4.02), (70, 3.60), (60, 3.10), (50, 2.58)]
)
def test_g107_annex_b_the_opinion_score_of_a_rating(r: float, mos: float) -> None:
    assert mean_opinion_score(r) == pytest.approx(mos, abs=0.006)


def test_g107_annex_b_outside_of_the_scale_it_is_its_ends() -> None:
    assert (mean_opinion_score(-5), mean_opinion_score(0)) == (1.0, 1.0)
    assert mean_opinion_score(130) == 4.5


@pytest.mark.requirement("media.mos")
def test_g107_table_2_a_call_without_impairments_is_93_2() -> None:
    assert rating(G711, Conditions()) == NARROWBAND_R0
    assert estimate(G711, Conditions()) == pytest.approx(4.41, abs=0.005)


@pytest.mark.requirement("media.mos")
@pytest.mark.parametrize(
    ("delay_ms", "idd"),
    [(0, 0.0), (100, 0.0), (150, 0.16), (200, 3.04), (300, 14.76), (400, 24.07)],
)
def test_g107_7_4_delay_is_not_noticed_up_to_100_ms(delay_ms: float, idd: float) -> None:
    assert delay_impairment(delay_ms) == pytest.approx(idd, abs=0.01)


@pytest.mark.requirement("media.mos")
@pytest.mark.parametrize(
    ("codec", "loss", "ie_eff"),
    [
        (G711, 0.01, 95 / 26.1),
        (G711, 0.05, 95 * 5 / 30.1),
        (G711_WITHOUT_CONCEALMENT, 0.01, 95 / 5.3),
        (G722, 0.0, 13.0),
    ],
)
def test_g113_loss_costs_what_the_codec_s_robustness_says(
    codec: emodel.Impairment, loss: float, ie_eff: float
) -> None:
    assert loss_impairment(codec, loss) == pytest.approx(ie_eff)


@pytest.mark.requirement("media.mos")
def test_g107_7_5_loss_in_bursts_is_worse_than_the_same_loss_at_random() -> None:
    random = estimate(G711, Conditions(50, 0.05))
    bursts = estimate(G711, Conditions(50, 0.05, burst_ratio=2.0))
    assert bursts < random
    assert loss_impairment(G711, 0.05, 2.0) == pytest.approx(95 * 5 / 27.6)


@pytest.mark.requirement("media.mos")
def test_g107_1_a_wideband_rating_goes_to_129_and_its_score_to_4_5() -> None:
    best = emodel.Impairment(0.0, 10.0, wideband=True)
    assert rating(best, Conditions()) == 129.0
    assert estimate(best, Conditions()) == 4.5
    assert estimate(G722, Conditions()) == pytest.approx(mean_opinion_score(116 / 1.29))


def test_a_codec_is_known_by_its_name_in_any_case() -> None:
    assert impairment_of("opus") is impairment_of("OPUS") is OPUS
    assert impairment_of("g722") is G722
    assert impairment_of("PCMA") is impairment_of("something else") is G711


@pytest.mark.parametrize(
    ("lost", "bursts", "expected", "ratio"),
    [(0, 0, 100, 1.0), (10, 10, 1000, 1.0), (10, 2, 1000, 4.95), (5, 0, 10, 1.0), (9, 1, 9, 1.0)],
)
def test_the_burst_ratio_is_that_of_the_mean_runs(
    lost: int, bursts: int, expected: int, ratio: float
) -> None:
    assert burst_ratio(lost, bursts, expected) == pytest.approx(ratio)


@given(CODECS, DELAYS, LOSSES, st.floats(1, 8))
def test_the_score_stays_on_its_scale(
    codec: emodel.Impairment, delay: float, loss: float, bursts: float
) -> None:
    assert 1.0 <= estimate(codec, Conditions(delay, loss, bursts)) <= 4.5


@given(CODECS, DELAYS, DELAYS, LOSSES, LOSSES)
def test_more_delay_or_more_loss_never_sounds_better(
    codec: emodel.Impairment, delay: float, more_delay: float, loss: float, more_loss: float
) -> None:
    better = Conditions(min(delay, more_delay), min(loss, more_loss))
    worse = Conditions(max(delay, more_delay), max(loss, more_loss))
    assert rating(codec, worse) <= rating(codec, better) + 1e-9
