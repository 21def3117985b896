"""The last word on every trunk's registration."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ringback.telephony.status import RegistrationBoard, RegistrationStatus, TrunkStatus
from unit.core.stores import START, ManualClock

REGISTERED, UNREGISTERED, UNKNOWN = (
    RegistrationStatus.REGISTERED,
    RegistrationStatus.UNREGISTERED,
    RegistrationStatus.UNKNOWN,
)


class Board:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.changes: list[tuple[str, TrunkStatus]] = []
        self.board = RegistrationBoard(self.clock, lambda *change: self.changes.append(change))


@pytest.mark.requirement("trunk.status")
def test_a_trunk_that_nobody_spoke_of_is_unknown() -> None:
    lab = Board()
    assert lab.board.get("t").status is UNKNOWN
    assert lab.board.get("t").since is None
    assert not lab.board.is_down("t")


def test_a_registration_runs_out_by_the_clock() -> None:
    lab = Board()
    lab.board.report("t", REGISTERED, "", 300)
    lab.clock.pass_by(100)
    assert lab.board.get("t") == TrunkStatus(REGISTERED, "", START, 200)
    lab.clock.pass_by(1000)
    assert lab.board.get("t").expires_in == 0


def test_a_refresh_is_no_change_but_counts() -> None:
    lab = Board()
    lab.board.report("t", REGISTERED, "", 300)
    lab.clock.pass_by(200)
    lab.board.report("t", REGISTERED, "", 300)
    assert len(lab.changes) == 1
    assert lab.board.get("t") == TrunkStatus(REGISTERED, "", START, 300)


def test_a_new_status_or_reason_is_a_change() -> None:
    lab = Board()
    lab.board.report("t", REGISTERED, "", 300)
    lab.clock.pass_by(10)
    lab.board.report("t", UNREGISTERED, "Wrong password.")
    lab.clock.pass_by(10)
    lab.board.report("t", UNREGISTERED, "Timeout.")
    assert [status.reason for _, status in lab.changes] == ["", "Wrong password.", "Timeout."]
    assert lab.board.get("t").since == START + timedelta(seconds=10)
    assert lab.board.get("t").expires_in is None
    assert lab.board.is_down("t")


def test_a_forgotten_trunk_starts_anew() -> None:
    lab = Board()
    lab.board.report("t", UNREGISTERED, "Wrong password.")
    lab.board.forget("t")
    lab.board.forget("t")
    assert lab.board.get("t").status is UNKNOWN
    assert not lab.board.is_down("t")
