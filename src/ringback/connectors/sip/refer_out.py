"""A transfer that we ask the far end to make, from a leg's point of view."""

from __future__ import annotations

import asyncio

from ringback.connectors.contract import TransferResult
from ringback.core.errors import Conflict
from ringback.sip.events import ReferProgress
from ringback.sip.refer_states import ReferStage

ACCEPTED = 202


class ReferOut:
    """One transfer at a time."""

    def __init__(self) -> None:
        self._result: asyncio.Future[TransferResult] | None = None
        self._accepted = False

    def begin(self) -> asyncio.Future[TransferResult]:
        """Raises ``Conflict`` while another one is under way."""
        if self._result is not None and not self._result.done():
            raise Conflict("The call is being transferred already.", code="transfer_in_progress")
        self._accepted = False
        self._result = asyncio.get_running_loop().create_future()
        return self._result

    def progress(self, event: ReferProgress) -> None:
        match event.stage:
            case ReferStage.REFUSED:
                self._decide(False, True, event.status, event.reason)
            case ReferStage.DONE:
                self._decide(200 <= event.status < 300, False, event.status, event.reason)
            case _:
                self._accepted = True

    def hung_up(self) -> bool:
        """The far end ended the call. After its 202 that means that it is at the new one: many
        hang up at once. Returns whether it is."""
        if self._accepted:
            self._decide(True, False, ACCEPTED, "Accepted")
        self.stop()
        result = self._result
        return result is not None and not result.cancelled() and result.result().done

    def stop(self) -> None:
        """The call is over for another reason."""
        self._decide(False, False, 487, "The call ended")

    def _decide(self, done: bool, refused: bool, status: int, text: str) -> None:
        if self._result is not None and not self._result.done():
            self._result.set_result(TransferResult(done, refused, status, text))
