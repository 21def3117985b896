"""baresip as the person on the phone, steered over its ctrl_tcp module."""

from __future__ import annotations

import json
import socket
import threading
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from interop.peers import sound
from interop.peers.process import (
    PeerFailed,
    Process,
    free_port,
    free_port_pair,
    program,
    wait_until,
)

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
audio_player aubridge,sink
audio_source aufile,{speaks}
audio_alert aubridge,alert
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
module_path /usr/lib/baresip/modules
module g711.so
{modules}
module aufile.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
snd_path {folder}
rtp_ports {rtp_first}-{rtp_last}
rtp_timeout 60
"""


SILENCE_SECONDS = 90.0


def silence(path: Path, seconds: float, rate: int = 8000) -> Path:
    """A mono WAV with nothing in it: the microphone of somebody who only listens."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * int(rate * seconds)))
    return path


class Baresip:
    """One user agent. ``speaks`` is a mono WAV of ``rate`` Hz that is its microphone; the call ends
    where the file ends. ``modules`` are loaded beside G.711 (``opus``, ``srtp``, …)."""

    def __init__(
        self,
        folder: Path,
        *,
        user: str = "alice",
        speaks: Path | None = None,
        account: str = "regint=0",
        auto_answer: bool = False,
        domain: str | None = None,
        modules: Sequence[str] = (),
        rate: int = 8000,
    ) -> None:
        binary = program("baresip", "baresip-core")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.sip_port = free_port_pair()  # SIP over TLS takes the next one
        control_port = free_port()
        rtp_first = free_port() & ~1
        (folder / "config").write_text(
            CONFIG.format(
                sip_port=self.sip_port,
                control_port=control_port,
                folder=folder,
                speaks=speaks or silence(folder / "silence.wav", SILENCE_SECONDS, rate),
                rate=rate,
                modules="\n".join(f"module {name}.so" for name in modules),
                rtp_first=rtp_first,
                rtp_last=min(rtp_first + 40, 65534),
            )
        )
        mode = "auto" if auto_answer else "manual"
        host = domain or f"127.0.0.1:{self.sip_port}"
        (folder / "accounts").write_text(f"<sip:{user}@{host}>;{account};answermode={mode}\n")
        self.uri = f"sip:{user}@127.0.0.1:{self.sip_port}"
        self.process = Process([binary, "-f", folder], cwd=folder)
        try:
            self.process.wait_for("baresip is ready")
            self._socket = socket.create_connection(("127.0.0.1", control_port), timeout=10)
        except (PeerFailed, OSError):
            self.process.stop()
            raise
        self._socket.settimeout(None)
        self._messages: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            buffer += data
            while b":" in buffer:
                length, _, rest = buffer.partition(b":")
                if len(rest) < int(length) + 1:
                    break
                with self._changed:
                    self._messages.append(json.loads(rest[: int(length)]))
                    self._changed.notify_all()
                buffer = rest[int(length) + 1 :]

    def command(self, name: str, params: str = "") -> None:
        text = json.dumps({"command": name, "params": params}).encode()
        self._socket.sendall(str(len(text)).encode() + b":" + text + b",")

    def dial(self, uri: str) -> None:
        self.command("dial", uri)

    def accept(self) -> None:
        self.command("accept")

    def hang_up(self) -> None:
        self.command("hangup")

    def press(self, key: str) -> None:
        self.command("sndcode", key)

    def events(self, kind: str) -> list[dict[str, Any]]:
        with self._changed:
            return [m for m in self._messages if m.get("type") == kind]

    def wait_event(
        self,
        kind: str,
        timeout: float = 20.0,
        where: Callable[[dict[str, Any]], bool] = lambda event: True,
    ) -> dict[str, Any]:
        """The first event of ``kind`` (``CALL_ESTABLISHED``, ``CALL_CLOSED``, …) that fits."""

        def found() -> dict[str, Any] | None:
            return next((m for m in self._messages if m.get("type") == kind and where(m)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, timeout)
            event = found()
        if event is None:
            raise PeerFailed(
                f"baresip: no {kind} within {timeout:g} s\n{self._messages}\n{self.process.output}"
            )
        return event

    def heard(self) -> list[Path]:
        """The WAV files of what this user agent received, once it has closed them all."""

        def files() -> list[Path]:
            return sorted(self.folder.glob("dump-*-dec.wav"))

        wait_until(lambda: all(map(sound.is_whole, files())), "baresip closes its recordings")
        return files()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.stop()
        self._socket.close()
        self._reader.join(5)
