"""How far a listener, who gets frames as they come, is ahead of the clock."""

from __future__ import annotations

from ringback.media.plane import FRAME_MS
from ringback.rtp.jitter_buffer import SHRINK_LOUD_AFTER, SHRINK_LOUD_EVERY

MAX_LEAD = 3
"""Frames that a listener may be ahead of the clock before quiet ones are left out."""
MAX_LOUD_LEAD = 8
"""The same for any frame."""
LOUD_AFTER_FRAMES = round(SHRINK_LOUD_AFTER * 1000) // FRAME_MS
LOUD_EVERY_FRAMES = round(SHRINK_LOUD_EVERY * 1000) // FRAME_MS
"""Frames of being ahead after which, and after how many more, any frame may be left out."""


class Lead:
    """``frames`` that were given, less those of the clock; negative: behind."""

    __slots__ = ("_ahead_for", "frames")

    def __init__(self) -> None:
        self.frames = self._ahead_for = 0

    @property
    def ahead(self) -> bool:
        """So far that some frame has to be left out, or the listener falls behind what is said."""
        return self.frames >= MAX_LEAD

    def pass_time(self, frames: int) -> None:
        """So many frames of the clock have passed."""
        self._ahead_for = self._ahead_for + frames if self.frames >= MAX_LEAD else 0
        self.frames -= frames

    def may_leave_out(self, quiet: bool) -> bool:
        """Whether the frame that is to be given now, while ``ahead``, is left out."""
        if quiet or self.frames >= MAX_LOUD_LEAD:
            return True
        if self._ahead_for < LOUD_AFTER_FRAMES:
            return False
        self._ahead_for -= LOUD_EVERY_FRAMES
        return True
