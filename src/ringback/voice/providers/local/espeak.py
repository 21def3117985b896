"""espeak-ng through ctypes: text in, PCM s16le mono out. Runs in its worker process.

Functions and constants: espeak-ng's ``speak_lib.h``. The library and its data come from the
``espeakng-loader`` wheel (GPL-3.0, which is why it is an optional extra).
"""

from __future__ import annotations

import ctypes
from functools import partial

from ringback.voice.providers.local.engine import EngineError
from ringback.voice.providers.local.frames import Header

MAX_CHARACTERS = 2000

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_RATE, _PITCH = 1, 3
_OK = 0
_BUFFER_MS = 200

_SynthCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Espeak:
    """Raises ``EngineError`` (``espeak_failed``) when the library cannot be started."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate: int = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, data, _INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise EngineError("espeak_failed", "espeak-ng could not be started")
        self._pcm = bytearray()
        # Kept: the library calls it for as long as it lives.
        self._callback = _SynthCallback(partial(_collect, self._pcm))
        self._library.espeak_SetSynthCallback(self._callback)

    def handle(self, header: Header, payload: bytes) -> tuple[Header, bytes]:
        """``header``: ``voice``, ``rate`` (words per minute), ``pitch`` (0-99); payload: the text
        in UTF-8. Answers with ``sample_rate`` and the PCM."""
        self._use(str(header["voice"]))
        self._set(_RATE, header.get("rate"))
        self._set(_PITCH, header.get("pitch"))
        text = payload.decode(errors="replace").replace("\0", " ")[:MAX_CHARACTERS]
        return {"sample_rate": self.sample_rate}, self._speak(text)

    def _use(self, voice: str) -> None:
        """A voice's own name, a language tag, or the language alone."""
        for name in (voice, voice.lower(), voice.lower().partition("-")[0]):
            if self._library.espeak_SetVoiceByName(name.encode()) == _OK:
                return
        raise EngineError("unknown_voice", f"espeak-ng has no voice for {voice!r}")

    def _set(self, parameter: int, value: object) -> None:
        if isinstance(value, int):
            self._library.espeak_SetParameter(parameter, value, 0)

    def _speak(self, text: str) -> bytes:
        data = text.encode()
        self._pcm.clear()
        done = self._library.espeak_Synth(
            data, len(data) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
        )
        if done != _OK or self._library.espeak_Synchronize() != _OK:
            raise EngineError("espeak_failed", f"espeak-ng refused the text (error {done})")
        return bytes(self._pcm)


def _collect(pcm: bytearray, samples: object, count: int, events: object) -> int:
    if count > 0 and samples:
        pcm += ctypes.string_at(ctypes.cast(samples, ctypes.c_void_p), count * 2)  # type: ignore[arg-type]  # a c_short pointer by the callback's type
    return 0
