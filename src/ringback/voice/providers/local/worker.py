"""The process that an engine runs in: ``python -m ringback.voice.providers.local.worker NAME``.

Requests come on standard input and are answered on standard output, in order. The process ends
when standard input closes, however its parent ended, so that none is left behind.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import BinaryIO

from ringback.voice.providers.local.engine import Engine, EngineError
from ringback.voice.providers.local.frames import (
    PREFIX,
    FrameError,
    Header,
    check_sizes,
    decode_header,
    encode,
)

TTS = "tts"
STT = "stt"
NICENESS = 5
"""Recognition may wait a moment; a call's audio may not."""


def load(name: str) -> Engine:
    """Raises ``ImportError`` without the extra, ``ValueError`` for another name."""
    if name == TTS:
        from ringback.voice.providers.local.espeak import Espeak

        return Espeak()
    if name == STT:
        from ringback.voice.providers.local.sphinx import Recogniser

        return Recogniser()
    raise ValueError(f"there is no engine {name!r}")


def serve(engine: Engine, source: BinaryIO, target: BinaryIO) -> None:
    """Answer until ``source`` ends. Raises :class:`FrameError` on anything else than frames."""
    while (request := read_frame(source)) is not None:
        header, payload = request
        try:
            answer, data = engine.handle(header, payload)
        except EngineError as error:
            answer, data = _failure(error.code, error.message, error.retryable), b""
        except Exception as error:
            answer, data = _failure("engine_failed", f"{type(error).__name__}: {error}", True), b""
        target.write(encode({"id": header.get("id"), **answer}, data))
        target.flush()


def read_frame(source: BinaryIO) -> tuple[Header, bytes] | None:
    """The next request; ``None`` at the end. Raises :class:`FrameError`."""
    prefix = source.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    header_size, payload_size = PREFIX.unpack(prefix)
    check_sizes(header_size, payload_size)
    header, payload = source.read(header_size), source.read(payload_size)
    if len(header) < header_size or len(payload) < payload_size:
        return None
    return decode_header(header), payload


def _failure(code: str, message: str, retryable: bool) -> Header:
    return {"error": {"code": code, "message": message, "retryable": retryable}}


def main(name: str) -> int:
    # The parent decides when this ends, not the terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if name == STT:
        os.nice(NICENESS)
    # Whatever a native library prints must not get between the frames.
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    source = os.fdopen(os.dup(0), "rb")
    try:
        return _work(name, source, target)
    except BrokenPipeError:
        # Nobody is left to answer; what is buffered must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), target.fileno())
        return 0


def _work(name: str, source: BinaryIO, target: BinaryIO) -> int:
    try:
        engine = load(name)
    except (ImportError, EngineError) as error:
        message = f"{type(error).__name__}: {error}"
        target.write(encode({"id": 0, **_failure("engine_not_started", message, False)}))
        target.flush()
        return 1
    target.write(encode({"id": 0}))
    target.flush()
    try:
        serve(engine, source, target)
    except FrameError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
