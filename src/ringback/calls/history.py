"""Calls as the database has them: those that are over, and those that a dead node left behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from ringback.calls.live_call import LiveCall
from ringback.calls.models import CallRow, TranscriptRow
from ringback.calls.rows import call_of, line_of
from ringback.calls.states import FINAL_STATES, CallState
from ringback.calls.transcript import Line
from ringback.core.database import Database
from ringback.core.end_reason import EndReason
from ringback.core.paging import Page, PageRequest, fetch_page

_FINAL = tuple(sorted(state.value for state in FINAL_STATES))


@dataclass(frozen=True, slots=True)
class RecordedCall:
    call: LiveCall
    lines: tuple[Line, ...]
    transcript_length: int
    quality: dict[str, Any] | None


class CallHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, account_id: str, call_id: str, since: int) -> RecordedCall | None:
        async with self._database.session() as session:
            row = await session.get(CallRow, call_id)
            if row is None or row.account_id != account_id:
                return None
            of_call = TranscriptRow.call_id == call_id
            length = await session.scalar(
                select(func.count()).select_from(TranscriptRow).where(of_call)
            )
            rows = await session.scalars(
                select(TranscriptRow)
                .where(of_call, TranscriptRow.line >= since)
                .order_by(TranscriptRow.line)
            )
            lines = tuple(line_of(line) for line in rows)
        return RecordedCall(call_of(row), lines, length or 0, row.quality)

    async def ended(self, account_id: str, page: PageRequest) -> Page[LiveCall]:
        statement = select(CallRow).where(
            CallRow.account_id == account_id, CallRow.state.in_(_FINAL)
        )
        async with self._database.session() as session:
            found = await fetch_page(session, statement, CallRow.id, page, newest_first=True)
        return Page([call_of(row) for row in found.items], found.next_cursor)

    async def bury(self, node_id: str, now: datetime) -> int:
        """End the calls that were live on this node when it died: their ``ended_at`` is when that
        was found out. Returns how many there were."""
        async with self._database.session() as session:
            lost = await session.scalars(
                update(CallRow)
                .where(CallRow.node_id == node_id, CallRow.state.not_in(_FINAL))
                .values(
                    state=CallState.ENDED.value,
                    end_reason=EndReason.NODE_LOST.value,
                    cause_text="The node that held the call died.",
                    ended_at=now,
                )
                .returning(CallRow.id)
            )
            return len(list(lost))
