"""Whether a node has room for another call, by what its processes measure. Pure: time is given.

A process's *pressure* is the part of one processor that it used or wanted over the last second:
the CPU time of all its threads, or, where that is more, the time that the thread of its event loop
ran or stood in the run queue. On a host of its own the two are much the same; on a shared one a
process that gets half a processor is full at half a processor's use.

Its *lateness* is the part of its audio clock's slots that came late over the last second: a
processor that is shared may come too late for audio long before it is full.

Each process is open or shut to new calls:

=====  =======================================================  =====
state  at a measurement                                         next
=====  =======================================================  =====
open   pressure >= limit                                        shut
open   the event loop is late                                   shut
open   lateness >= ``LATE_SHARE``, and in the second before,    shut
       and pressure >= ``LATE_PRESSURE`` of the limit
shut   pressure < ``REOPEN`` of the limit, the event loop in    open
       time, and lateness < half of ``LATE_SHARE``
shut   the same, but late, and pressure < ``REOPEN`` of         open
       ``LATE_PRESSURE`` of the limit
=====  =======================================================  =====

So neither a hiccup of the host shuts a process, nor a host that stumbles all the time under one
that has little to do: fewer calls would not help it.

A call is refused while call control is shut, while all media processes are shut (where there are
any), and, though all are open, where it would be one too many: a measurement knows nothing of the
calls of the last second. So these are counted in advance, and twice, as nobody can tell what of
a second's work was beginning calls and what was carrying them; the larger one counts::

    expected = pressure + carry * (growth since a second ago)
    expected = settled + setup * (calls begun since, per second) + carry' * (growth since then)

``setup`` is what beginning a call costs, seconds of processor time, and ``carry`` what a live one
takes, share of a processor; both are estimated from what was measured, with ``PRIOR_CALLS`` calls
of the usual cost added. ``settled`` is the pressure of a second ago without its set-ups, and
``carry'`` what a live call took of that, but no less than the usual.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

WINDOW_SECONDS = 1.0
"""What "the last second" is; nothing is judged before that much has been seen."""
SLACK_SECONDS = 0.05
"""Samples come at about their times."""
REOPEN = 0.9
"""Of the limit: under it new calls are taken again."""
LATE_SECONDS = 0.03
"""An event loop that is that late again and again loses audio, whatever the processor says."""
LATE_SAMPLES = 4
"""Of so many samples all but one have to be late."""
LATE_SHARE = 0.03
"""Lateness from which on a process with enough to do takes no more calls."""
LATE_PRESSURE = 0.5
"""Of the limit: a process with less to do is not late for its calls."""
SILENT_SECONDS = 5.0
"""A media process that has not told its figures for so long has no room."""
SETUP_SECONDS = 0.012
"""The usual cost of beginning a call, and the most that is assumed."""
CARRY_SHARE = 0.003
"""The usual cost of a live call with an agent on its stream."""
MAX_CARRY_SHARE = 0.01
PRIOR_CALLS = 20
_LONGEST_SPAN = 1.5


class Shortage(StrEnum):
    """Why there is no room."""

    CONTROL = "control"
    """The process that signals and decides is busy."""
    MEDIA = "media"
    """Every media process is busy."""
    RAMP = "ramp"
    """The calls that have just begun will need what is left."""


class AudioSlots(NamedTuple):
    """Of the audio clock of a process, since its start."""

    ran: int = 0
    late: int = 0
    """Of these."""

    def without(self, others: AudioSlots) -> AudioSlots:
        return AudioSlots(self.ran - others.ran, self.late - others.late)

    @property
    def share(self) -> float:
        """The late ones; 0 where none ran."""
        return min(1.0, max(0, self.late) / self.ran) if self.ran > 0 else 0.0


NO_SLOTS = AudioSlots()


@dataclass(frozen=True, slots=True)
class Sample:
    """This process at one moment; ``cpu`` and ``loop`` are running totals in seconds."""

    at: float
    cpu: float
    """Processor time of all threads."""
    loop: float = 0.0
    """How long the event loop's thread ran or waited for a processor; 0 where nobody can tell."""
    lag: float = 0.0
    """How much later than asked for the event loop came to this."""
    live: int = 0
    begun: int = 0
    """Calls since the start of the process."""
    audio: AudioSlots = NO_SLOTS

    def pressure_since(self, before: Sample) -> float:
        elapsed = self.at - before.at
        if elapsed <= 0:
            return 0.0
        return max(self.cpu - before.cpu, self.loop - before.loop) / elapsed


@dataclass(frozen=True, slots=True)
class Lateness:
    share: float
    """Of the slots of the last second."""
    lasting: bool
    """``LATE_SHARE`` or more in that second and in the one before."""


IN_TIME = Lateness(0.0, lasting=False)


class Mark:
    """Open or shut, with hysteresis. ``limit`` 0: always open."""

    __slots__ = ("limit", "shut")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.shut = False

    def judge(self, pressure: float, late: bool, audio: Lateness = IN_TIME) -> None:
        """``late`` is the event loop, ``audio`` the audio clock."""
        if self.limit <= 0:
            return
        loaded = LATE_PRESSURE * self.limit
        if pressure >= self.limit or late or (audio.lasting and pressure >= loaded):
            self.shut = True
        elif pressure < REOPEN * self.limit:
            if audio.share < LATE_SHARE / 2 or pressure < REOPEN * loaded:
                self.shut = False


@dataclass(slots=True)
class _Media:
    mark: Mark
    pressure: float = 0.0
    lateness: float = 0.0
    told_at: float = 0.0
    used: float | None = None
    used_at: float = 0.0
    audio: AudioSlots = NO_SLOTS


@dataclass(frozen=True, slots=True)
class _Forecast:
    """What is known of the node as it was about a second ago (``at``)."""

    at: float
    begun: int
    live: int
    live_then: float
    """On the average of the second before."""
    pressure: float = 0.0
    settled: float = 0.0
    setup: float = SETUP_SECONDS
    carry: float = CARRY_SHARE
    settled_carry: float = CARRY_SHARE

    def expected(self, now: float, live: int, begun: int) -> float:
        """The pressure of a second from now, share of a processor."""
        span = min(max(now - self.at, WINDOW_SECONDS), _LONGEST_SPAN)
        rate = max(0, begun - self.begun) / span
        growth = max(0.0, live - self.live_then)
        early = self.settled + self.setup * rate + self.settled_carry * growth
        return max(early, self.pressure + self.carry * max(0, live - self.live))


class LoadMeter:
    """``limit`` is the share of a processor from which on new calls are refused; 0: never."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.pressure = 0.0
        """Of this process, over the last second."""
        self.lateness = 0.0
        """The same."""
        self._mark = Mark(limit)
        self._samples: deque[Sample] = deque()
        self._lags: deque[float] = deque(maxlen=LATE_SAMPLES)
        self._forecast: _Forecast | None = None
        self._media: dict[str, _Media] = {}

    # ---- what is measured -------------------------------------------------------------------

    def sample(self, sample: Sample) -> None:
        """A measurement of this process, a few times a second."""
        samples = self._samples
        if samples and sample.at <= samples[-1].at:
            return
        samples.append(sample)
        while len(samples) > 2 and samples[1].at <= sample.at - 2 * WINDOW_SECONDS - SLACK_SECONDS:
            samples.popleft()
        self._lags.append(sample.lag)
        reference = self._seen_at(sample.at - WINDOW_SECONDS)
        if reference is None:
            self._forecast = _unknown(samples[0])
            return
        self.pressure = sample.pressure_since(reference)
        self.lateness = sample.audio.without(reference.audio).share
        audio = Lateness(self.lateness, self._audio_was_late(sample))
        self._mark.judge(self.pressure, self._late(), audio)
        self._forecast = self._foretell(reference)

    def observe(
        self, name: str, pressure: float, lag: float, now: float, lateness: float = 0.0
    ) -> None:
        """The figures of another process that carries media, of the last second; it is late when it
        says so twice in a row."""
        media = self._media.setdefault(name, _Media(Mark(self.limit)))
        audio = Lateness(lateness, min(lateness, media.lateness) >= LATE_SHARE)
        media.pressure, media.lateness, media.told_at = pressure, lateness, now
        media.mark.judge(pressure, lag >= LATE_SECONDS, audio)

    def account(self, name: str, used: float, now: float, audio: AudioSlots = NO_SLOTS) -> None:
        """The same by running totals, each second: for how many seconds since its start the
        process had or wanted a processor, and the slots of its audio clock."""
        media = self._media.setdefault(name, _Media(Mark(self.limit)))
        media.told_at = now
        before, elapsed = media.used, now - media.used_at
        if before is not None and used >= before:
            if elapsed < WINDOW_SECONDS / 2:  # we were late to hear of the one before
                return
            lateness = audio.without(media.audio).share
            self.observe(name, (used - before) / elapsed, 0.0, now, lateness)
        else:  # another process
            media.lateness = 0.0
        media.used, media.used_at, media.audio = used, now, audio

    def forget(self, name: str) -> None:
        """That process is gone."""
        self._media.pop(name, None)

    def pressures(self) -> dict[str, float]:
        """By process."""
        return {"control": self.pressure} | {n: m.pressure for n, m in self._media.items()}

    def latenesses(self) -> dict[str, float]:
        """By process; 0 for one that carries no audio."""
        return {"control": self.lateness} | {n: m.lateness for n, m in self._media.items()}

    # ---- what follows -----------------------------------------------------------------------

    def shortage(self, now: float, live: int, begun: int) -> Shortage | None:
        """Why a call may not begin now, while ``live`` calls live and ``begun`` have begun since
        the start; ``None`` when it may."""
        if self.limit <= 0:
            return None
        busy = self.busy(now)
        if busy is not None:
            return busy
        known = self._forecast or _unknown(Sample(now, 0.0, live=live, begun=begun))
        if known.expected(now, live + 1, begun + 1) > self.limit:
            return Shortage.RAMP
        return self._media_shortage(now, live, max(0, live + 1 - known.live))

    def busy(self, now: float) -> Shortage | None:
        """The same without regard to the calls of the last second."""
        if self._mark.shut:
            return Shortage.CONTROL
        return Shortage.MEDIA if self._media and not self._with_room(now) else None

    def _with_room(self, now: float) -> list[_Media]:
        return [
            media
            for media in self._media.values()
            if not media.mark.shut and now - media.told_at <= SILENT_SECONDS
        ]

    def _media_shortage(self, now: float, live: int, growth: int) -> Shortage | None:
        if not self._media:
            return None
        room = sum(max(0.0, self.limit - media.pressure) for media in self._with_room(now))
        used = sum(media.pressure for media in self._media.values())
        return Shortage.RAMP if room < _carry(used, live) * growth else None

    def _late(self) -> bool:
        return len(self._lags) == LATE_SAMPLES and sorted(self._lags)[1] >= LATE_SECONDS

    def _audio_was_late(self, sample: Sample) -> bool:
        """Whether the audio clock was late over two seconds: whichever second of them is left out,
        the other one is late, so that what passes within one is not taken for two."""
        start = self._seen_at(sample.at - 2 * WINDOW_SECONDS)
        if start is None:
            return False
        both = sample.audio.without(start.audio)
        for end in self._samples:
            begin = self._seen_at(end.at - WINDOW_SECONDS)
            if begin is not None and begin.at >= start.at:
                if both.without(end.audio.without(begin.audio)).share < LATE_SHARE:
                    return False
        return True

    def _seen_at(self, at: float) -> Sample | None:
        """The newest sample of that time or before."""
        for sample in reversed(self._samples):
            if sample.at <= at + SLACK_SECONDS:
                return sample
        return None

    def _foretell(self, reference: Sample) -> _Forecast:
        before = self._seen_at(reference.at - WINDOW_SECONDS) or self._samples[0]
        pressure = reference.pressure_since(before)
        rate = (reference.begun - before.begun) / max(reference.at - before.at, SLACK_SECONDS)
        usual = PRIOR_CALLS * SETUP_SECONDS
        setup = min(SETUP_SECONDS, (pressure + usual) / (rate + PRIOR_CALLS))
        settled = max(0.0, pressure - setup * rate)
        return _Forecast(
            at=reference.at,
            begun=reference.begun,
            live=reference.live,
            live_then=(before.live + reference.live) / 2,
            pressure=self.pressure,
            settled=settled,
            setup=setup,
            carry=_carry(self.pressure, reference.live),
            settled_carry=max(CARRY_SHARE, _carry(settled, before.live)),
        )


def _unknown(start: Sample) -> _Forecast:
    return _Forecast(start.at, start.begun, start.live, start.live)


def _carry(pressure: float, live: int) -> float:
    usual = PRIOR_CALLS * CARRY_SHARE
    return min(MAX_CARRY_SHARE, (pressure + usual) / (live + PRIOR_CALLS))
