"""Who has joined whom: a forest that stays one."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ringback.core.errors import LimitReached
from ringback.media.bridge import MAX_PARTICIPANTS
from ringback.media.conference_map import ConferenceMap


def joined(*pairs: tuple[str, str]) -> ConferenceMap:
    made = ConferenceMap()
    for session_id, conference in pairs:
        assert made.may_join(session_id, conference)
        made.join(session_id, conference)
    return made


@pytest.mark.parametrize(
    ("pairs", "session_id", "host", "members"),
    [
        ([], "a", "a", set()),
        ([("b", "a")], "a", "a", {"b"}),
        ([("b", "a")], "b", "a", set()),
        ([("b", "a"), ("c", "a")], "a", "a", {"b", "c"}),
        ([("b", "a"), ("c", "b")], "c", "a", set()),
        ([("b", "a"), ("c", "b")], "b", "a", {"c"}),
        ([("b", "a"), ("a", "x")], "b", "x", set()),
        ([("b", "a"), ("b", "x")], "b", "x", set()),
        ([("b", "a"), ("b", "x")], "a", "a", set()),
    ],
)
def test_everybody_has_a_host_and_their_own_members(
    pairs: list[tuple[str, str]], session_id: str, host: str, members: set[str]
) -> None:
    made = joined(*pairs)
    assert made.host_of(session_id) == host
    assert made.members_of(session_id) == members


@pytest.mark.parametrize(
    ("session_id", "conference"),
    [("a", "a"), ("b", "a"), ("a", "b"), ("c", "a"), ("a", "c"), ("b", "d"), ("d", "c")],
)
def test_who_is_together_has_nothing_to_join(session_id: str, conference: str) -> None:
    made = joined(("b", "a"), ("c", "b"), ("d", "a"))
    assert not made.may_join(session_id, conference)


def test_who_parts_takes_their_own_members_along() -> None:
    made = joined(("b", "a"), ("c", "b"))
    assert made.part("b")
    assert made.host_of("c") == made.host_of("b") == "b"
    assert made.members_of("a") == set()
    assert not made.part("b")
    assert not made.part("a")
    assert not made.part("nobody")


def test_a_conference_is_full_at_its_limit_and_no_sooner() -> None:
    made = joined(*((f"m{each}", "host") for each in range(MAX_PARTICIPANTS - 2)))
    assert made.may_join("last", "m0")
    made.join("guest", "lonely")
    with pytest.raises(LimitReached) as caught:
        made.may_join("lonely", "host")
    assert caught.value.code == "conference_full"
    with pytest.raises(LimitReached):
        made.may_join("host", "guest")
    made.part("guest")
    assert made.may_join("lonely", "host")
    made.join("lonely", "host")
    with pytest.raises(LimitReached):
        made.may_join("guest", "host")
    assert not made.may_join("m0", "host")


NAMES = st.sampled_from([f"s{number}" for number in range(8)])
LIMIT = 5


class MapMachine(RuleBasedStateMachine):
    """Against a plain dictionary of who joined whom."""

    def __init__(self) -> None:
        super().__init__()
        self.map = ConferenceMap()
        self.parents: dict[str, str] = {}
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("ringback.media.conference_map.MAX_PARTICIPANTS", LIMIT)

    def teardown(self) -> None:
        self.patch.undo()

    def host(self, name: str) -> str:
        for _ in range(10):
            if name not in self.parents:
                return name
            name = self.parents[name]
        raise AssertionError("they go round in circles")

    def tree(self, host: str) -> set[str]:
        return {host} | {name for name in self.parents if self.host(name) == host}

    @rule(session_id=NAMES, conference=NAMES)
    def join(self, session_id: str, conference: str) -> None:
        host, own = self.host(conference), self.host(session_id)
        coming = {name for name in self.tree(own) if session_id in self.way(name)}
        if host == own:
            assert not self.map.may_join(session_id, conference)
        elif len(self.tree(host)) + len(coming) > LIMIT:
            with pytest.raises(LimitReached):
                self.map.may_join(session_id, conference)
        else:
            assert self.map.may_join(session_id, conference)
            self.map.join(session_id, conference)
            self.parents[session_id] = conference

    def way(self, name: str) -> set[str]:
        """From ``name`` up to its host, both included."""
        passed = {name}
        while name in self.parents:
            name = self.parents[name]
            passed.add(name)
        return passed

    @rule(session_id=NAMES)
    def part(self, session_id: str) -> None:
        assert self.map.part(session_id) == (self.parents.pop(session_id, None) is not None)

    @invariant()
    def agrees(self) -> None:
        for name in (f"s{number}" for number in range(8)):
            assert self.map.host_of(name) == self.host(name)
            children = {child for child, parent in self.parents.items() if parent == name}
            assert self.map.members_of(name) == children
            assert len(self.tree(self.host(name))) <= LIMIT


TestConferenceMap = MapMachine.TestCase
