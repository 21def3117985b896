"""Music on hold: WAV files that are read once, resampled once per rate, and looped.

Files are read and resampled by a thread, never by the media tick: until a tune is there, the person
hears silence. A file that cannot be read is told in the log once, and the node's own tune plays.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from pathlib import Path

from ringback.audio import wav
from ringback.audio.melody import hold_melody
from ringback.audio.resample import Resampler
from ringback.media.plane import FRAME_MS

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 64 * 1024 * 1024
"""What is read of a file; the rest of a longer one is not played."""
MAX_TUNE_SECONDS = 300
MAX_CACHE_BYTES = 128 * 1024 * 1024
MAX_TUNES = 64

_Key = tuple[str | None, int]
"""Path (``None``: the node's own tune) and sample rate (Hz)."""


class MusicLibrary:
    """Every tune of a process, by file and sample rate, the least recently used one dropped."""

    def __init__(self) -> None:
        self._tunes: OrderedDict[_Key, bytes] = OrderedDict()
        self._bytes = 0
        self._loading: dict[_Key, asyncio.Task[None]] = {}
        self.failures = 0
        """Files that could not be played."""

    def __len__(self) -> int:
        return len(self._tunes)

    @property
    def cached_bytes(self) -> int:
        return self._bytes

    def get(self, path: str | None, sample_rate: int) -> bytes | None:
        """The tune as PCM s16le mono, whole frames; ``None`` while it is being loaded. Call on the
        event loop; never blocks."""
        key = path, sample_rate
        tune = self._tunes.get(key)
        if tune is not None:
            self._tunes.move_to_end(key)
        elif key not in self._loading:
            self._loading[key] = asyncio.get_running_loop().create_task(self._load(key))
        return tune

    async def loaded(self) -> None:
        """Until everything that was asked for is there."""
        while self._loading:
            await asyncio.gather(*self._loading.values())

    async def _load(self, key: _Key) -> None:
        path, sample_rate = key
        try:
            tune = await asyncio.to_thread(load, path, sample_rate)
        except (OSError, ValueError, MemoryError) as error:
            self.failures += 1
            logger.warning("the music on hold %s cannot be played: %s", path, error)
            tune = await asyncio.to_thread(load, None, sample_rate)
        finally:
            del self._loading[key]
        self._keep(key, tune)

    def _keep(self, key: _Key, tune: bytes) -> None:
        self._tunes[key] = tune
        self._bytes += len(tune)
        while len(self._tunes) > 1 and (
            self._bytes > MAX_CACHE_BYTES or len(self._tunes) > MAX_TUNES
        ):
            _, dropped = self._tunes.popitem(last=False)
            self._bytes -= len(dropped)


class MusicPlayer:
    """One person's place in a tune. Implements :class:`ringback.media.bridge.HoldMusic`."""

    def __init__(self, library: MusicLibrary, path: str | None) -> None:
        self._library = library
        self._path = path
        self._tune: bytes | None = None
        self._rate = 0
        self._frames = 0
        self._length = 1

    def take(self, sample_rate: int) -> bytes | None:
        tune = self._tune
        if tune is None or sample_rate != self._rate:
            tune = self._library.get(self._path, sample_rate)
            if tune is None:
                return None
            self._tune, self._rate = tune, sample_rate
            self._length = len(tune) // _frame_bytes(sample_rate)
        size = _frame_bytes(sample_rate)
        at = self._frames % self._length * size
        self._frames += 1
        return tune[at : at + size]


def load(path: str | None, sample_rate: int) -> bytes:
    """Read and resample a tune, padded to whole frames. Blocking.

    Raises ``OSError``, and ``ValueError`` for what is no WAV file that we read or is empty.
    """
    if path is None:
        pcm = hold_melody(sample_rate)
    else:
        with Path(path).open("rb") as file:
            audio = wav.parse(file.read(MAX_FILE_BYTES))
        longest = MAX_TUNE_SECONDS * audio.sample_rate * 2
        resampler = Resampler(audio.sample_rate, sample_rate)
        pcm = resampler.process(audio.pcm[:longest]) + resampler.flush()
        if not pcm:
            raise ValueError("it has no samples")
    return pcm + bytes(-len(pcm) % _frame_bytes(sample_rate))


def _frame_bytes(sample_rate: int) -> int:
    return sample_rate * FRAME_MS // 1000 * 2
