"""The commands that come in on call streams: the service's operations in the words of the REST API.

What a request has in its body a command has in its message. A command that waits for the far end
runs by itself; what it cannot do is told with ``call_error``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from ringback.calls import events
from ringback.calls.gathering import GatherResult
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.registry import Entry
from ringback.calls.requests import (
    DtmfRequest,
    GatherRequest,
    HoldRequest,
    ParticipantAdd,
    ParticipantRemove,
    SayRequest,
    TransferRequest,
)
from ringback.calls.service import CallService
from ringback.connectors.contract import Capability
from ringback.core.errors import InvalidRequest, RingbackError
from ringback.core.http import ApiModel
from ringback.core.http.complaints import validation_message
from ringback.media.plane import MediaPlane

MAX_REQUEST_ID = 64
MAX_WAITING = 64
"""Commands of one call that may be waiting for the far end at once."""

Message = Mapping[str, Any]
Command = Callable[[Entry, Message], Awaitable[object] | None]
M = TypeVar("M", bound=ApiModel)


class StreamCommands:
    def __init__(self, lifecycle: Lifecycle, service: CallService, plane: MediaPlane) -> None:
        self._lifecycle = lifecycle
        self._service = service
        self._plane = plane
        self._waiting: dict[str, int] = {}
        self._commands: dict[str, Command] = {
            "say": self._say,
            "stop_speaking": self._stop_speaking,
            "hangup": self._hang_up,
            "dtmf": self._dtmf,
            "hold": self._hold,
            "resume": self._resume,
            "transfer": self._transfer,
            "cancel_transfer": self._cancel_transfer,
            "add_participant": self._add_participant,
            "remove_participant": self._remove_participant,
            "gather": self._gather,
            "cancel_gather": self._cancel_gather,
            "send_chat": self._unsupported(Capability.WRITE),
            "typing": self._unsupported(Capability.TYPING),
        }

    def run(self, entry: Entry, message: Message) -> None:
        """Never blocks and never raises."""
        kind = str(message.get("type", ""))
        try:
            command = self._commands.get(kind)
            if command is None:
                raise InvalidRequest(f"There is no command {kind[:64]!r}.", code="unknown_type")
            work = command(entry, message)
            if work is not None:
                self._start(entry, kind, work)
        except RingbackError as error:
            self._refuse(entry, error)

    def _start(self, entry: Entry, kind: str, work: Awaitable[object]) -> None:
        waiting = self._waiting.get(entry.call_id, 0)
        self._waiting[entry.call_id] = waiting + 1
        self._lifecycle.background.spawn(self._finish(entry, work), f"{kind}-{entry.call_id}")

    async def _finish(self, entry: Entry, work: Awaitable[object]) -> None:
        try:
            await work
        except RingbackError as error:
            self._refuse(entry, error)
        finally:
            self._waiting[entry.call_id] -= 1
            if not self._waiting[entry.call_id]:
                del self._waiting[entry.call_id]

    def _refuse(self, entry: Entry, error: RingbackError) -> None:
        message = events.call_error(entry.call_id, error.code, error.message, error.hint)
        self._plane.notify(entry.call_id, message)

    def _may_wait(self, entry: Entry) -> None:
        if self._waiting.get(entry.call_id, 0) >= MAX_WAITING:
            raise InvalidRequest(
                f"{MAX_WAITING} commands of this call are still being carried out.",
                code="too_many_commands",
                hint="Wait for the events that tell how they ended.",
            )

    # ---- the commands -----------------------------------------------------------------------

    def _say(self, entry: Entry, message: Message) -> None:
        text = _read(SayRequest, message).text
        self._service.say(entry.account_id, entry.call_id, text)

    def _stop_speaking(self, entry: Entry, message: Message) -> None:
        self._service.stop_speaking(entry.account_id, entry.call_id)

    def _hang_up(self, entry: Entry, message: Message) -> None:
        self._service.hang_up(entry.account_id, entry.call_id)

    def _dtmf(self, entry: Entry, message: Message) -> Awaitable[object]:
        keys = _read(DtmfRequest, message)
        self._may_wait(entry)
        return self._service.send_dtmf(
            entry.account_id, entry.call_id, keys.digits.upper(), keys.method
        )

    def _hold(self, entry: Entry, message: Message) -> Awaitable[object]:
        music = _read(HoldRequest, message).music
        self._may_wait(entry)
        return self._service.holding.hold(entry.account_id, entry.call_id, music)

    def _resume(self, entry: Entry, message: Message) -> Awaitable[object]:
        self._may_wait(entry)
        return self._service.holding.resume(entry.account_id, entry.call_id)

    def _transfer(self, entry: Entry, message: Message) -> Awaitable[object]:
        wanted = _read(TransferRequest, message).wanted()
        self._may_wait(entry)
        return self._service.transfers.start(entry.account_id, entry.call_id, wanted)

    def _cancel_transfer(self, entry: Entry, message: Message) -> None:
        self._service.transfers.cancel(entry.account_id, entry.call_id)

    def _add_participant(self, entry: Entry, message: Message) -> Awaitable[object] | None:
        wanted = _read(ParticipantAdd, message)
        conferences = self._service.conferences
        if wanted.call_id is not None:
            conferences.join(entry.account_id, entry.call_id, wanted.call_id)
            return None
        self._may_wait(entry)
        return conferences.invite(entry.account_id, entry.call_id, wanted.invitation())

    def _remove_participant(self, entry: Entry, message: Message) -> None:
        wanted = _read(ParticipantRemove, message)
        self._service.conferences.remove(
            entry.account_id, entry.call_id, wanted.call_id, wanted.keep
        )

    def _gather(self, entry: Entry, message: Message) -> None:
        request_id = message.get("id")
        if request_id is not None and not (
            isinstance(request_id, str) and 0 < len(request_id) <= MAX_REQUEST_ID
        ):
            raise InvalidRequest(
                f"id: must be a string of 1 to {MAX_REQUEST_ID} characters", code="invalid_field"
            )
        fields = {name: value for name, value in message.items() if name != "id"}
        wanted = _read(GatherRequest, fields).wanted()

        def done(result: GatherResult) -> None:
            told = events.gather_result(
                entry.call_id, result.digits, result.reason.value, request_id
            )
            self._plane.notify(entry.call_id, told)

        self._service.gathers.begin(entry.account_id, entry.call_id, wanted, done)

    def _cancel_gather(self, entry: Entry, message: Message) -> None:
        self._service.gathers.cancel(entry.account_id, entry.call_id)

    def _unsupported(self, capability: Capability) -> Command:
        def refuse(entry: Entry, message: Message) -> None:
            self._service.unsupported(entry.account_id, entry.call_id, capability)

        return refuse


def _read(model: type[M], message: Message) -> M:
    """The message as the request that it stands for. Raises ``InvalidRequest``."""
    fields = {name: value for name, value in message.items() if name != "type"}
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest(
            validation_message(error.errors(include_url=False)), code="invalid_field"
        ) from None
