"""What becomes of requests that are neither calls nor their business."""

from __future__ import annotations

from ringback.sip.endpoint_config import EndpointConfig
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.invite_session import ExtraHeaders
from ringback.sip.out_of_dialog import IncomingRequest
from ringback.sip.transaction import ServerTransaction

_EVENT_METHODS = frozenset({"SUBSCRIBE", "NOTIFY"})
_KNOWN_METHODS = frozenset({"REFER", "MESSAGE", "REGISTER", "PUBLISH", "OPTIONS"})
_NEED_DIALOG = frozenset({"BYE", "INFO", "UPDATE", "PRACK"})


def capabilities(config: EndpointConfig) -> ExtraHeaders:
    """What a response to OPTIONS says of us (RFC 3261 11.2)."""
    return (
        ("Allow", config.allow),
        ("Accept", config.accept),
        ("Accept-Encoding", "identity"),
        ("Supported", config.supports),
    )


def refuse_method(
    core: EndpointCore, transaction: ServerTransaction, now: float, *, in_dialog: bool = False
) -> None:
    method = transaction.request.method
    status, headers = method_refusal(core.config, method, in_dialog=in_dialog)
    core.reply(transaction, status, headers=headers, now=now)


def method_refusal(
    config: EndpointConfig, method: str, *, in_dialog: bool = False
) -> tuple[int, ExtraHeaders]:
    """405 for what we know and do not do, 489 for event packages (RFC 6665), 481 for what has no
    meaning outside of a dialog, 403 for a REFER there, 501 for what we never heard of."""
    if method == "PRACK" or (method in _NEED_DIALOG and not in_dialog):
        return 481, ()
    if method in _EVENT_METHODS:
        return 489, (("Allow", config.allow),)
    if method == "REFER" and config.transfers and not in_dialog:
        return 403, ()
    status = 405 if method in _KNOWN_METHODS else 501
    return status, (("Allow", config.allow),)


def deliver(core: EndpointCore, transaction: ServerTransaction, now: float) -> IncomingRequest:
    """Hand a request to its owner, who has 64*T1 to answer: after that nobody listens any more
    (RFC 4320)."""
    guard = core.queue.start(now + core.config.timers.give_up, lambda later: transaction.abandon())
    tag = core.new_token()

    def respond(
        status: int,
        reason: str | None,
        headers: ExtraHeaders,
        body: bytes,
        content_type: str | None,
        now: float,
    ) -> bool:
        response = core.response(
            transaction.request,
            status,
            reason,
            to_tag=tag,
            headers=headers,
            body=body,
            content_type=content_type,
        )
        if not transaction.respond(response, now):
            return False
        if status >= 200:
            core.queue.cancel(guard)
        return True

    def ignore() -> None:
        core.queue.cancel(guard)
        transaction.abandon()

    return IncomingRequest(transaction.request, transaction.flow, respond, ignore)
