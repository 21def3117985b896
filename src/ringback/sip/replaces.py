"""Which call an INVITE with Replaces wants the place in (RFC 3891 section 3)."""

from __future__ import annotations

from ringback.sip.dialog import DialogId, DialogState
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import HeaderError
from ringback.sip.events import ReplacedCall
from ringback.sip.headers import Replaces
from ringback.sip.invite_session import Direction, InviteSession
from ringback.sip.message import Request

NO_TAG = "0"
"""What stands for the tag of a peer of RFC 2543, which has none."""


def replaced_call(core: EndpointCore, request: Request) -> ReplacedCall | None:
    """``None`` without a Replaces header. Raises ``HeaderError`` for one that cannot be read and
    for more than one (400). Whether the caller may is for the owner to decide (403)."""
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    if len(values) > 1:
        raise HeaderError("Replaces", "the header must not be repeated")
    replaces = Replaces.parse(values[0])
    session = _session_of(core, replaces)
    if session is None:
        return ReplacedCall(None, 481)
    user, state = session
    if state is DialogState.TERMINATED or user.ended:
        return ReplacedCall(None, 603)
    if state is DialogState.EARLY and user.direction is Direction.INBOUND:
        return ReplacedCall(None, 481)
    if state is DialogState.CONFIRMED and replaces.early_only:
        return ReplacedCall(None, 486)
    return ReplacedCall(user)


def _session_of(core: EndpointCore, replaces: Replaces) -> tuple[InviteSession, DialogState] | None:
    """What they call to-tag is ours."""
    tags: list[str | None] = [replaces.from_tag]
    if replaces.from_tag == NO_TAG:
        tags.append(None)
    for tag in tags:
        found = core.dialogs.get(DialogId(replaces.call_id, replaces.to_tag, tag))
        if found is not None and isinstance(found[0], InviteSession):
            return found[0], found[1].state
    return None
