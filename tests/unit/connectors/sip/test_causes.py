"""What the far end's verdict means in words, and how we word a refusal of our own."""

from __future__ import annotations

import pytest

from ringback.connectors.sip.causes import cause_of_status, refusal, refusal_of_error
from ringback.core.end_reason import EndReason
from ringback.core.errors import ErrorKind


@pytest.mark.requirement("call.end-causes")
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (486, EndReason.BUSY),
        (600, EndReason.BUSY),
        (603, EndReason.DECLINED),
        (607, EndReason.DECLINED),
        (699, EndReason.DECLINED),
        (404, EndReason.INVALID_NUMBER),
        (484, EndReason.INVALID_NUMBER),
        (408, EndReason.NO_ANSWER),
        (480, EndReason.UNAVAILABLE),
        (403, EndReason.NOT_ALLOWED),
        (488, EndReason.CODEC_MISMATCH),
        (503, EndReason.UNAVAILABLE),
        (418, EndReason.UNAVAILABLE),
    ],
)
def test_a_final_response_has_a_plain_word(status: int, reason: EndReason) -> None:
    cause = cause_of_status(status, "as they say")
    assert (cause.reason, cause.sip_code, cause.text) == (reason, status, "as they say")


@pytest.mark.requirement("call.end-causes", "rfc3326.2")
@pytest.mark.parametrize(
    ("q850", "reason"),
    [
        (17, EndReason.BUSY),
        (1, EndReason.INVALID_NUMBER),
        (19, EndReason.NO_ANSWER),
        (21, EndReason.DECLINED),
        (38, EndReason.NETWORK_ERROR),
        (99, EndReason.UNAVAILABLE),
    ],
)
def test_the_networks_own_cause_counts_where_the_status_is_vague(
    q850: int, reason: EndReason
) -> None:
    assert cause_of_status(503, q850=q850).reason is reason


def test_a_clear_status_is_not_overruled_by_the_networks_cause() -> None:
    assert cause_of_status(486, q850=1).reason is EndReason.BUSY


@pytest.mark.requirement("call.refusals")
def test_a_refusal_tells_the_truth() -> None:
    assert refusal(EndReason.UNANSWERED)[0] == 480
    assert refusal(EndReason.REFUSED)[0] == 603
    assert refusal(EndReason.BUSY)[0] == 486
    assert refusal(EndReason.MAX_DURATION)[0] == 480


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_of_error_is_a_final_response(kind: ErrorKind) -> None:
    assert 400 <= refusal_of_error(kind)[0] <= 699


@pytest.mark.requirement("call.refusals")
def test_overload_is_a_503_and_a_limit_is_busy() -> None:
    assert refusal_of_error(ErrorKind.UNAVAILABLE)[0] == 503
    assert refusal_of_error(ErrorKind.LIMIT)[0] == 486
    assert refusal_of_error(ErrorKind.NOT_FOUND)[0] == 404
    assert refusal_of_error(ErrorKind.FORBIDDEN)[0] == 403
    assert refusal_of_error(ErrorKind.NOT_CONFIGURED)[0] == 480
