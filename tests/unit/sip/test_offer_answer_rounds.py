"""Two sides that negotiate with each other in any order: hold, codecs, keys, refusals, glare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringback.sip.dtls_setup import Fingerprint
from ringback.sip.media_security import DtlsAssociation, SdesKeys, SecurityPolicy
from ringback.sip.offer_answer import (
    LocalMedia,
    Negotiated,
    NegotiationState,
    NotAcceptable,
    OfferAnswer,
    StateError,
)
from ringback.sip.sdp_values import G722, OPUS, PCMA, PCMU, Codec, Direction
from unit.sip.sdp_peers import LOCAL, PEER, wire

CODECS = st.lists(
    st.sampled_from([OPUS, G722, PCMA, PCMU]), min_size=1, unique_by=lambda codec: codec.key
)
POLICIES = st.sampled_from(["none", "optional", "required", "sdes", "dtls"])
SIDES = st.sampled_from([0, 1])


def keys_of(side: int) -> Callable[[int], bytes]:
    made = iter(range(10_000))
    return lambda size: (bytes([side]) + next(made).to_bytes(4, "big")) * size


def policy(name: str, side: int) -> SecurityPolicy:
    make = keys_of(side)
    return SecurityPolicy(
        plain=name in ("none", "optional"),
        sdes=name in ("optional", "required", "sdes"),
        dtls=name in ("optional", "required", "dtls"),
        new_key=lambda size: make(size)[:size],
        fingerprint=Fingerprint("sha-256", ":".join([f"{side:02X}"] * 32)),
    )


class TwoSides(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sides: list[OfferAnswer] = []
        self.wanted = [Direction.SENDRECV, Direction.SENDRECV]
        self.protected = False
        self.versions = [-1, -1]

    @initialize(ours=CODECS, theirs=CODECS, mine=POLICIES, other=POLICIES, prefer=st.booleans())
    def begin(
        self, ours: list[Codec], theirs: list[Codec], mine: str, other: str, prefer: bool
    ) -> None:
        for side, (local, codecs, name) in enumerate([(LOCAL, ours, mine), (PEER, theirs, other)]):
            media: LocalMedia = replace(
                local, codecs=tuple(codecs), prefer_local=prefer, security=policy(name, side)
            )
            self.sides.append(OfferAnswer(media, 40 + side))

    @rule(side=SIDES, direction=st.sampled_from(list(Direction)), refuse=st.booleans())
    def offer(self, side: int, direction: Direction, refuse: bool) -> None:
        """One side offers; the other answers, or refuses as if it had no time."""
        us, them = self.sides[side], self.sides[1 - side]
        offered = wire(us.offer(direction=direction))
        self.note(side, us)
        try:
            them.receive_offer(offered)
        except NotAcceptable:
            us.rollback()
            return
        if refuse:
            them.rollback()
            us.rollback()
            return
        answer = wire(them.answer())
        self.note(1 - side, them)
        mine = us.receive_answer(answer)
        assert them.negotiated is not None
        self.wanted[side] = direction
        self.agree(mine, them.negotiated, us.local, them.local)

    @rule()
    def glare(self) -> None:
        """Both offer at once: each refuses the other's, and both go back."""
        offers = [wire(side.offer()) for side in self.sides]
        for side, offered in zip(self.sides, reversed(offers), strict=True):
            try:
                side.receive_offer(offered)
            except StateError:
                pass
            else:
                raise AssertionError("an offer was taken while another was pending")
        for number, side in enumerate(self.sides):
            self.note(number, side)
            side.rollback()

    @rule(side=SIDES, codecs=CODECS)
    def other_codecs(self, side: int, codecs: list[Codec]) -> None:
        oa = self.sides[side]
        oa.local = replace(oa.local, codecs=tuple(codecs))

    def note(self, side: int, oa: OfferAnswer) -> None:
        """The version of our descriptions never goes back, and grows by one at most."""
        description = oa.local_description
        assert description is not None
        version = int(description.origin.version)
        assert version in (self.versions[side], self.versions[side] + 1)
        self.versions[side] = version

    def agree(self, mine: Negotiated, peer: Negotiated, us: LocalMedia, them: LocalMedia) -> None:
        assert (mine.codec, mine.ptime, mine.rtcp_mux) == (peer.codec, peer.ptime, peer.rtcp_mux)
        assert (mine.send, mine.receive) == (peer.receive, peer.send)
        assert (mine.payload_type, mine.codec) in peer.receive_codecs
        assert (peer.payload_type, peer.codec) in mine.receive_codecs
        assert (mine.remote.host, peer.remote.host) == (them.host, us.host)
        self.keys_fit(mine, peer)
        for local, result in ((us, mine), (them, peer)):
            assert local.security.plain or result.security is not None
        assert not self.protected or mine.security is not None
        self.protected = mine.security is not None

    def keys_fit(self, mine: Negotiated, peer: Negotiated) -> None:
        match mine.security, peer.security:
            case None, None:
                return
            case SdesKeys() as a, SdesKeys() as b:
                assert a.suite == b.suite
                assert (a.local_key, a.remote_key) == (b.remote_key, b.local_key)
            case DtlsAssociation() as a, DtlsAssociation() as b:
                assert a.active != b.active
            case kinds:
                raise AssertionError(f"the two sides protect differently: {kinds}")

    @invariant()
    def at_rest(self) -> None:
        """Between rounds nothing is pending."""
        for oa in self.sides:
            assert oa.state in (NegotiationState.NO_SDP, NegotiationState.STABLE)
        agreed = [oa.negotiated is not None for oa in self.sides]
        assert agreed in ([], [True, True], [False, False])


TestTwoSides = TwoSides.TestCase
TestTwoSides.settings = settings(max_examples=150, stateful_step_count=12, deadline=None)
